//! What a local user may try with a grant, without one, and after one. docs/threat-model.md names the promises.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jit_tests::grants::{elevate, records, wait_until};
use jit_tests::{Host, command, project};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(5);

/// Starts one sudo after the other, stops each at a moment of its own, and lets all go on when told to: past the
/// deadline. A command writes the time at which it ran.
const STOPPER: &str = r#"
import os, random, signal, subprocess, sys, time
rounds, span = int(sys.argv[1]), float(sys.argv[2])
stopped = []
for n in range(rounds):
    p = subprocess.Popen(["sudo", "-n", "sh", "-c", "date +%s.%N >/root/ran-" + str(n)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(span * (0.3 + 0.7 * (n + random.random()) / rounds))
    try:
        os.kill(p.pid, signal.SIGSTOP)
        stopped.append((n, p))
    except OSError:
        pass
print("stopped", len(stopped), flush=True)
sys.stdin.readline()
for n, p in stopped:
    try:
        os.kill(p.pid, signal.SIGCONT)
    except OSError:
        pass
for n, p in stopped:
    p.wait()
print("all over", flush=True)
"#;

#[test]
fn sudo_stopped_after_its_yes_runs_nothing_after_the_end() {
    const ROUNDS: usize = 40;
    let host = Host::ready();
    let mut alice = host.shell("alice");
    host.write("/usr/local/bin/stopper", STOPPER);
    // How long a call takes here and now: the stops are spread over the later part of it.
    elevate(&mut alice, "--for 20s");
    let calls = alice
        .run("for i in 1 2 3 4 5; do sudo -n sh -c true; done")
        .ok();
    let span = (calls.elapsed / 5).as_secs_f32();
    alice.run("jitctl drop").ok();

    let grant = elevate(&mut alice, "--for 10s");
    alice.send(&format!("python3 /usr/local/bin/stopper {ROUNDS} {span}\n"));
    alice.expect("stopped ");
    assert!(SystemTime::now() < grant.ends_at, "the stops took too long");
    wait_until(grant.ends_at + Duration::from_secs(1));
    alice.send("\n");
    alice.expect("all over");
    host.wait_for("no sudo is left", SOON, "! pgrep -x sudo");
    let end = grant.ends_at.duration_since(UNIX_EPOCH).unwrap();
    let ran = host.sh("cat /root/ran-* /dev/null").stdout;
    for line in ran.lines() {
        let late = line.parse::<f64>().unwrap() - end.as_secs_f64();
        assert!(late < 0.0, "a command ran {late} s after the end");
    }
    let ran = ran.lines().count();
    assert!(ran < ROUNDS, "no stop came in time: {span} s a call");
    let uses = records(&host);
    let uses = uses
        .iter()
        .filter(|r| r["type"] == "use" && r["grant"] == grant.id.as_str());
    // Some got as far as the yes, and whatever ran had it.
    let allowed = uses.count();
    assert!(
        allowed > 0 && allowed >= ran,
        "{allowed} allowed, {ran} ran"
    );
}

#[test]
fn what_a_grant_starts_ends_with_it_and_asks_for_no_other() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let mut carol = host.shell("carol");
    let grant = elevate(&mut alice, "--for 10s");
    // Sleepers, each told by its number.
    let fork = "import os,sys,time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); os.execv('/bin/sleep',['sleep','7001'])";
    alice.run(&format!("sudo -n python3 -c \"{fork}\"")).ok();
    alice.run("sudo -n -b sleep 7002").ok();
    alice
        .run("sudo -n setsid -f nohup sleep 7003 >/dev/null 2>&1")
        .ok();
    alice
        .run("sudo -n setsid -f setpriv --reuid bob --regid bob --clear-groups sleep 7004")
        .ok();
    alice
        .run("sudo -n sh -c 'trap \"\" HUP TERM; sleep 7005 & exit'")
        .ok();
    host.wait_for("they run", SOON, "test $(pgrep -fxc 'sleep 700[1-5]') = 5");
    // Other managers start what they are told to in their own place: said in the threat model, under what is not seen.
    alice
        .run("sudo -n systemd-run --quiet --unit=elsewhere sleep 7006")
        .ok();
    alice.run("echo 'sleep 7007' | sudo -n at now 2>&1").ok();
    host.wait_for(
        "at's job runs",
        Duration::from_secs(8),
        "pgrep -fx 'sleep 7007'",
    );
    let text = fs::read_to_string(project::root().join("docs/threat-model.md")).unwrap();
    let (_, unseen) = text.split_once("## What we cannot see").unwrap();
    assert!(unseen.contains("`systemd-run`, `at`, cron"), "{unseen}");

    // No grant from within a grant, nor for another login than the one that logged in.
    for asking in [
        "sudo -n jitctl elevate --reason x",
        "sudo -n -u alice jitctl elevate --reason x",
        "sudo -n -u alice setsid -w jitctl elevate --reason x",
    ] {
        alice.run(asking).exits(3).says("inside grant");
    }
    host.wait_refusal("inside grant");
    carol
        .run("sudo -n su - alice -c 'jitctl elevate --reason x'")
        .exits(3)
        .says("logged in as uid 1003");
    let record = host.wait_refusal("logged in as uid 1003");
    assert_eq!(record["login"], "alice");
    assert_eq!(record["auid"], 1003, "{record}");

    wait_until(grant.ends_at + Duration::from_secs(3));
    host.sh("pgrep -fx 'sleep 700[1-5]'").refused();
    host.sh("systemctl is-active elsewhere && pgrep -fx 'sleep 7007'")
        .ok();
}

const ROLES: &str = r#"
[roles.scoped]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = [
    { path = "/usr/bin/id", args = ["-u"] },
    { path = "/usr/bin/echo", args = ["one two"] },
    { path = "/usr/bin/printf", args = ["<%s>", "*"] },
    { path = "/home/alice/bin/tool", args = [] },
    { path = "/opt/alice/tool", args = [] },
    { path = "/usr/local/bin/linked", args = [] },
]
sudoedit = ["/etc/motd"]
auth = "none"

[[approve]]
roles = ["scoped"]
effect = "automatic"
"#;

/// A library that shows when a process of root has loaded it.
fn evil_library(host: &Host) {
    let dir = tempfile::tempdir().unwrap();
    let (source, made) = (dir.path().join("evil.c"), dir.path().join("evil.so"));
    let code = "#include <unistd.h>\n__attribute__((constructor)) static void run(void)\
        { if (geteuid() == 0 && write(1, \"EVIL\\n\", 5) < 0) _exit(9); }";
    fs::write(&source, code).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).args([&made, &source]);
    command::run(&mut cc, "cc evil.c", Duration::from_secs(30)).ok();
    host.copy_in(&made, "/tmp/evil.so");
    host.sh("chmod 0755 /tmp/evil.so; echo 'echo EVIL' >/tmp/evil.sh")
        .ok();
}

#[test]
#[allow(clippy::too_many_lines)]
fn neither_environment_nor_options_nor_links_widen_a_grant() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let mut carol = host.shell("carol");
    evil_library(&host);
    host.sh(&format!(
        "cat >>/etc/jit/policy/roles.toml <<'END'\n{ROLES}\nEND\nsystemctl reload jit-issuer"
    ))
    .ok();
    host.run(&["jitctl", "setup", "local"]).ok();
    host.wait_for(
        "the policy arrives",
        SOON,
        "jitctl log show --json | grep '\"type\":\"policy\"' | grep -q scoped",
    );
    host.sh("install -d -o alice /home/alice/bin /opt/alice; cp /usr/bin/id /home/alice/bin/tool; cp /usr/bin/id /opt/alice/tool; ln -s /opt/alice/tool /usr/local/bin/linked; ln -s /usr/bin/id /tmp/id")
        .ok();
    // The library works where root lets it.
    carol
        .run("sudo -n LD_PRELOAD=/tmp/evil.so id -u")
        .ok()
        .says("EVIL");

    let environment = [
        "sudo -n LD_PRELOAD=/tmp/evil.so id -u",
        "LD_PRELOAD=/tmp/evil.so sudo -n -E id -u",
        "LD_LIBRARY_PATH=/tmp sudo -n -E id -u",
        "sudo -n PYTHONPATH=/tmp id -u",
        "sudo -n PATH=/tmp id -u",
        "sudo -n IFS=x id -u",
        "sudo -n HARMLESS=1 id -u",
    ];
    let options = [
        "sudo -n -h elsewhere id -u",
        "sudo -n -R /tmp id -u",
        "sudo -n -C 10 id -u",
        "sudo -n -u '#-1' id -u",
        "sudo -n -u '#4294967295' id -u",
        "sudo -n -u nobody-at-all id -u",
        "sudo -n -g '#-1' id -u",
        "cd /usr/bin; sudo -n ./id -u",
        "cd /; sudo -n usr/bin/id -u",
    ];
    let grant = elevate(&mut alice, "--for 1h --role admin");
    for tried in environment.iter().chain(&options) {
        alice
            .run(tried)
            .refused()
            .hides("EVIL")
            .hides("uid=")
            .hides("\n0\n");
    }
    // What passes without being asked for comes to nothing.
    for tried in [
        "LD_PRELOAD=/tmp/evil.so LD_AUDIT=/tmp/evil.so sudo -n id -u",
        "LD_PRELOAD=/tmp/evil.so sudo -n --preserve-env=LD_PRELOAD id -u",
        "BASH_ENV=/tmp/evil.sh ENV=/tmp/evil.sh sudo -n bash -c 'id -u'",
        "PS4='$(echo EVIL)' SHELLOPTS=xtrace sudo -n bash -c 'id -u'",
        "PYTHONSTARTUP=/tmp/evil.sh PERL5OPT=-Mevil sudo -n id -u",
        "id() { echo EVIL; }; export -f id; sudo -n bash -c 'id -u'; unset -f id",
    ] {
        alice.run(tried).ok().says("0").hides("EVIL");
    }
    // A full grant gives groups, accounts and places.
    alice.run("sudo -n -D / pwd").ok().says("/");
    alice.run("sudo -n -g adm id -gn").ok().says("adm");
    alice.run("sudo -n -u bob id -un").ok().says("bob");
    alice.run(&format!("jitctl drop {}", grant.id)).ok();

    elevate(&mut alice, "--for 1h --role scoped");
    alice.run("sudo -n id -u").ok().says("0");
    alice.run("sudo -n echo 'one two'").ok().says("one two");
    alice
        .run("sudo -n printf '<%s>' a 'b c'")
        .ok()
        .says("<a><b c>");
    alice.run("sudo -n printf '<%s>'").ok();
    let scoped = [
        "sudo -n id",
        "sudo -n id -u root",
        "sudo -n id -u ''",
        "sudo -n id '-u '",
        "sudo -n id -un",
        "sudo -n echo one two",
        "sudo -n echo 'one  two'",
        "sudo -n echo 'one two' three",
        "sudo -n printf a '<%s>'",
        "sudo -n printf '<%s> x'",
        "sudo -n /tmp/id -u",
        "sudo -n /usr/bin/../bin/id -u",
        "sudo -n /usr//bin/id -u",
        "sudo -n /home/alice/bin/tool",
        "sudo -n /opt/alice/tool",
        "sudo -n /usr/local/bin/linked",
        "sudo -n -u bob id -u",
        "sudo -n -g adm id -u",
        "sudo -n -D /tmp id -u",
        "sudo -n -i id -u",
        "sudo -n -s id -u",
        "sudo -n -s",
        "sudo -n -i",
        "sudo -n sh -c 'id -u'",
        "sudo -n -b sh",
        "PATH=/tmp:$PATH sudo -n sh",
    ];
    for tried in environment.iter().chain(&options).chain(&scoped) {
        alice
            .run(tried)
            .refused()
            .hides("EVIL")
            .hides("uid=")
            .hides("\n0\n");
    }
    // Who can write to the directory can write the command: that is what these were refused for.
    let unsafe_ones = |r: &&Value| {
        let why = r["detail"]["why"].as_str().unwrap_or_default();
        why.contains("/opt/alice can be changed by others than root")
    };
    let refused: Vec<Value> = records(&host).iter().filter(unsafe_ones).cloned().collect();
    let paths: Vec<&str> = refused
        .iter()
        .map(|r| r["command"][0].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/opt/alice/tool", "/usr/local/bin/linked"]);

    // sudoedit: the file counts, never the editor, which runs as alice.
    host.write(
        "/usr/local/bin/editor",
        "#!/bin/sh\nfor f; do id -un >>\"$f\"; done\nsudo -n id -un >>/tmp/editor 2>&1\ntrue\n",
    );
    host.sh("chmod 0755 /usr/local/bin/editor; echo hello >/etc/motd")
        .ok();
    let shadow = host.read("/etc/shadow");
    for tried in [
        "EDITOR='/usr/local/bin/editor -- /etc/shadow' sudoedit -n /etc/motd",
        "SUDO_EDITOR='/usr/local/bin/editor /etc/shadow --' sudoedit -n /etc/motd",
    ] {
        // Refused or run as alice, both are right; what counts is the file.
        alice.run(tried);
        assert_eq!(host.read("/etc/shadow"), shadow, "{tried}");
    }
    for tried in [
        "EDITOR=/usr/local/bin/editor sudoedit -n /etc/shadow",
        "EDITOR=/usr/local/bin/editor sudoedit -n /etc/motd /etc/shadow",
        "EDITOR=/usr/local/bin/editor sudoedit -n /etc/../etc/shadow",
        "cd /etc; EDITOR=/usr/local/bin/editor sudoedit -n shadow",
        "EDITOR=/usr/local/bin/editor sudoedit -n -u bob /etc/motd",
        "EDITOR=/usr/bin/id sudo -n -e /etc/passwd",
    ] {
        alice.run(tried).refused();
        assert_eq!(host.read("/etc/shadow"), shadow, "{tried}");
    }
    host.sh("echo hello >/etc/motd").ok();
    alice
        .run("EDITOR=/usr/local/bin/editor sudoedit -n /etc/motd")
        .ok();
    assert_eq!(host.read("/etc/motd"), "hello\nalice\n");
    assert!(!host.read("/tmp/editor").contains("root\n"));
}
