//! Shows the thing at work: a fresh Debian, one person, twenty seconds of root, and what is left of it. Every step is
//! checked, so a transcript that ends is one that is true.
// The transcript is the product of this program, and a step that fails ends it.
#![allow(clippy::print_stdout, clippy::panic)]

use std::thread;
use std::time::{Duration, Instant};

use jit_tests::{Host, Output, Shell};

/// How long alice is root.
const LIFE: &str = "20s";

fn main() {
    title("A disposable Debian 12 with the packages installed");
    let host = Host::installed();
    root(&host, "dpkg-query --show 'jit*'").ok();

    title("An admin sets it up. Nothing was running or wired until now");
    root(&host, "jitctl setup local").ok();

    title(
        "Alice has a shell open already. Then the admin makes her eligible, which gives her no right",
    );
    let mut alice = host.shell("alice");
    root(&host, "usermod -aG jit-eligible alice").ok();
    person(&mut alice, "sudo -n id")
        .refused()
        .says("jitctl elevate");

    title("She asks for what she needs, for as long as she needs it");
    person(
        &mut alice,
        &format!("jitctl elevate --for {LIFE} --reason 'the web server hangs'"),
    )
    .ok();
    let start = Instant::now();
    person(&mut alice, "sudo -n id").ok().says("uid=0(root)");
    person(&mut alice, "sudo -n sleep 4321 &").ok();
    person(
        &mut alice,
        "sudo -n sh -c 'setsid nohup sleep 4322 >/dev/null 2>&1 &'",
    )
    .ok();
    host.wait_for(
        "her processes start",
        Duration::from_secs(5),
        "test $(pgrep -fxc 'sleep 432[12]') = 2",
    );
    root(&host, "pgrep -a -u root -x sleep")
        .ok()
        .says("sleep 4321")
        .says("sleep 4322");
    person(&mut alice, "id -nG alice").ok().says("jit-admin");

    title("The time runs");
    while host.run_as("alice", "jitctl status --json").json()["grants"]
        .as_array()
        .is_some_and(|g| !g.is_empty())
    {
        let status = host.run_as("alice", "jitctl status");
        println!(
            "  {:>4.1} s  {}",
            start.elapsed().as_secs_f32(),
            grants_line(&status)
        );
        thread::sleep(Duration::from_secs(4));
    }

    title(
        "It is over: the right, the group, and every process that ran with it, also the one that hid",
    );
    person(&mut alice, "sudo -n id")
        .refused()
        .says("jitctl elevate");
    person(&mut alice, "id -nG alice").ok().hides("jit-admin");
    host.wait_for(
        "her processes end",
        Duration::from_secs(3),
        "! pgrep -fx 'sleep 432[12]'",
    );
    root(&host, "pgrep -a -f 'sleep 432[12]' || echo none").says("none");

    title("The next grant is revoked while she uses it");
    person(
        &mut alice,
        "jitctl elevate --for 15m --reason 'still hangs'",
    )
    .ok();
    person(&mut alice, "sudo -n sleep 4323 &").ok();
    host.wait_for(
        "her process starts",
        Duration::from_secs(5),
        "pgrep -fx 'sleep 4323'",
    );
    root(
        &host,
        "jitctl revoke --user alice --reason 'her laptop was stolen'",
    )
    .ok();
    let took = host.wait_for(
        "her process ends",
        Duration::from_secs(5),
        "! pgrep -fx 'sleep 4323'",
    );
    println!("  gone after {:.2} s", took.as_secs_f32());
    person(&mut alice, "sudo -n id").refused();

    title("Those who had sudo before notice nothing");
    println!(
        "carol$ sudo -n id -un\n  {}",
        host.run_as("carol", "sudo -n id -un")
            .ok()
            .says("root")
            .text()
    );

    title("The journal tells it all, and shows that nobody touched it");
    root(&host, "jitctl log show").ok();
    root(&host, "jitctl log verify").ok();

    title("Undone, byte for byte");
    root(&host, "jitctl setup sudo --undo").ok();
    root(&host, "dpkg --verify sudo && echo unchanged")
        .ok()
        .says("unchanged");
}

fn title(text: &str) {
    println!("\n── {text}");
}

fn root(host: &Host, script: &str) -> Output {
    show("root#", script, host.sh(&format!("exec 2>&1; {script}")))
}

fn person(shell: &mut Shell, script: &str) -> Output {
    let output = shell.run(script);
    show("alice$", script, output)
}

fn show(prompt: &str, script: &str, output: Output) -> Output {
    println!("{prompt} {script}");
    for line in output
        .stdout
        .lines()
        .chain(output.stderr.lines())
        .filter(|l| !l.is_empty())
    {
        println!("  {line}");
    }
    output
}

/// The line of `jitctl status` that tells the time left.
fn grants_line(status: &Output) -> String {
    let line = status
        .stdout
        .lines()
        .find(|l| l.contains("left"))
        .unwrap_or_else(|| status.text());
    line.trim().to_owned()
}
