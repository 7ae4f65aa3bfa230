//! Known ways to keep a right of sudo past its end or to block its gates, on Debian 13 with both sudos. Each test names
//! where it was seen.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, UNIX_EPOCH};

use jit_tests::grants::{self, Grant, records, wait_until};
use jit_tests::{Host, Output, Release};

const SOON: Duration = Duration::from_secs(5);

const ROLES: &str = r#"
[roles.pw]
max = "1h"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
shell = true
auth = "password"

[[approve]]
roles = ["pw"]
effect = "automatic"
"#;

/// Starts one sudo after the other, stops each at a moment of its own, and lets all go on at a given time.
const STOPPER: &str = r#"
import os, random, signal, subprocess, sys, time
program, rounds, until = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
command = lambda n: [program, "-n", "sh", "-c", "date +%s.%N >/root/ran-" + str(n)]
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
start = time.monotonic()
subprocess.run(command("first"), **quiet)
span = time.monotonic() - start
stopped = []
for n in range(rounds):
    p = subprocess.Popen(command(n), **quiet)
    time.sleep(span * (0.2 + 0.8 * (n + random.random()) / rounds))
    try:
        os.kill(p.pid, signal.SIGSTOP)
        stopped.append(p)
    except OSError:
        pass
time.sleep(max(0, until - time.time()))
for p in stopped:
    try:
        os.kill(p.pid, signal.SIGCONT)
    except OSError:
        pass
for p in stopped:
    p.wait()
print(len(stopped))
"#;

fn elevate(host: &Host, options: &str) -> Grant {
    let asked = format!("jitctl --json elevate --reason pitfalls {options}");
    Grant::read(&host.run_as("alice", &asked).ok().json()["grant"])
}

fn drop_all(host: &Host) {
    host.run_as("alice", "jitctl drop --all").ok();
}

fn host() -> Host {
    let host = Host::boot(Release::Trixie, true);
    host.sh(&format!(
        "cat >>/etc/jit/policy/roles.toml <<'END'\n{ROLES}\nEND"
    ))
    .ok();
    host.set_up();
    host
}

/// With her password on standard input.
fn with_password(host: &Host, sudo: &str) -> Output {
    host.run_as("alice", &format!("echo alice-secret | {sudo} -S id -u"))
}

/// `setsid`, `nohup` and children that ignore signals outlive what PAM and sudo end by themselves (sudo(8), `use_pty`).
fn what_sudo_rs_started_ends_with_the_grant(host: &Host) {
    for end in ["deadline", "drop", "revoke", "eligibility"] {
        let grant = elevate(
            host,
            if end == "deadline" {
                "--for 5s"
            } else {
                "--for 5m"
            },
        );
        for (start, n) in [
            ("setsid -f nohup sleep", 1),
            ("sh -c 'trap \"\" HUP TERM; sleep 7002 & exit' #", 2),
            (
                "setsid -f setpriv --reuid bob --regid bob --clear-groups sleep",
                3,
            ),
            ("-u bob setsid -f sleep", 4),
            ("-i setsid -f sleep", 5),
        ] {
            let line = format!("sudo-rs -n {start} 700{n} >/dev/null 2>&1 </dev/null");
            host.run_as("alice", &line).ok();
        }
        host.wait_for("they run", SOON, "test $(pgrep -fxc 'sleep 700[1-5]') = 5");
        match end {
            "deadline" => wait_until(grant.ends_at),
            "drop" => drop_all(host),
            "revoke" => {
                host.run(&["jitctl", "revoke", &grant.id, "--reason", "pitfalls"])
                    .ok();
            }
            _ => {
                host.run(&["gpasswd", "-d", "alice", "jit-eligible"]).ok();
            }
        }
        host.wait_for(end, SOON, "! pgrep -fxa 'sleep 700[1-5]'");
        host.run_as("alice", "sudo-rs -n id -u")
            .refused()
            .hides("0\n");
        host.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
        grants::proof(host, &grant.id, SOON);
    }
}

/// The user may stop a set-uid program of his and let it go on later: sudo_jit has a look before the exec, sudo-rs has
/// none, so the process must be in the grant's cgroup before PAM's yes.
fn sudo_rs_stopped_after_its_yes_runs_nothing_after_the_end(host: &Host) {
    const ROUNDS: usize = 20;
    let grant = elevate(host, "--for 8s");
    let end = grant.ends_at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    host.write("/usr/local/bin/stopper", STOPPER);
    let script = format!(
        "python3 /usr/local/bin/stopper sudo-rs {ROUNDS} {}",
        end + 1
    );
    let stopped: usize = host.run_as("alice", &script).ok().text().parse().unwrap();
    assert!(stopped > 0, "no stop came in time");
    let ran = host.sh("cat /root/ran-*").ok().stdout;
    for line in ran.lines() {
        let late = line.parse::<f64>().unwrap() - end as f64;
        assert!(late < 0.0, "a command ran {late} s after the end");
    }
    let uses = records(host);
    let uses = uses
        .iter()
        .filter(|r| r["type"] == "use" && r["grant"] == grant.id.as_str())
        .count();
    assert!(
        uses >= ran.lines().count() && ran.lines().count() <= ROUNDS,
        "{uses} uses"
    );
}

/// Tickets (CVE-2013-1776 and -2776: another terminal's; GHSA-c978-wq47-pvvw: sudo-rs mixed whose password it was): a
/// password given once is asked for again, and revives nothing.
fn no_ticket_of_sudo_rs_counts(host: &Host) {
    // Each with a ticket of the former: one after the other in one session.
    let both = "echo alice-secret | sudo-rs -S id -u && sudo-rs -n id -u";
    let grant = elevate(host, "--role pw --for 6s");
    host.run_as("alice", both)
        .refused()
        .says("0\n")
        .says("required");
    with_password(host, "sudo-rs").ok().says("0");
    with_password(host, "sudo").ok().says("0");
    host.run_as(
        "alice",
        "echo alice-secret | sudo-rs -S -v; sudo-rs -n true",
    )
    .refused();
    wait_until(grant.ends_at + Duration::from_millis(300));
    for sudo in ["sudo", "sudo-rs"] {
        with_password(host, sudo).refused().hides("0\n");
    }
}

/// A managed user's own rule in sudoers opens nothing (also NOPASSWD, which passes over PAM's auth), and a set-uid
/// caller whom root's rules authenticate as another (rootpw, targetpw) is not who asks.
fn standing_rules_of_the_managed_count_for_nothing_in_sudo_rs(host: &Host) {
    host.sh("echo 'alice ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice")
        .ok();
    for sudo in ["sudo", "sudo-rs"] {
        host.run_as("alice", &format!("{sudo} -n id -u"))
            .refused()
            .hides("0\n");
        host.run_as("carol", &format!("{sudo} -n id -u"))
            .ok()
            .says("0");
    }
    elevate(host, "--for 1m");
    host.run_as("alice", "sudo-rs -n id -u").ok().says("0");
    host.sh("echo 'Defaults:alice rootpw' >>/etc/sudoers.d/alice")
        .ok();
    host.run_as("alice", "echo root-secret | sudo-rs -S id -u")
        .refused()
        .hides("0\n");
    drop_all(host);
    // The sudo that never loads our plugin shares the PAM file: without its wiring it gives a managed user nothing.
    host.sh(
        "rm /etc/sudoers.d/alice; echo 'alice ALL=(ALL:ALL) ALL' >/etc/sudoers.d/alice; \
        cp -p /etc/sudo.conf /root/wired; sed -i '/^Plugin/d' /etc/sudo.conf",
    )
    .ok();
    with_password(host, "sudo").refused().hides("0\n");
    host.run_as("carol", "sudo -n id -u").ok().says("0");
    host.sh("cp -p /root/wired /etc/sudo.conf; rm /etc/sudoers.d/alice")
        .ok();
}

/// Intercept mode asks the gates again for each command of a command, in sudo's own loop (sudo_plugin(5)); calls in a
/// pipeline wait for each other's output.
fn hundreds_of_commands_at_once_block_nothing(host: &Host) {
    const COMMANDS: usize = 200;
    host.sh("echo 'Defaults:alice intercept' >/etc/sudoers.d/intercept")
        .ok();
    let grant = elevate(host, "--for 5m");
    let many =
        format!("sudo -n sh -c 'for i in $(seq {COMMANDS}); do /usr/bin/true || exit 3; done'");
    host.run_as("alice", &many)
        .ok()
        .within(Duration::from_secs(30));
    let uses = records(host);
    let uses = uses
        .iter()
        .filter(|r| r["grant"] == grant.id.as_str() && r["command"][0] == "/usr/bin/true")
        .count();
    assert_eq!(uses, COMMANDS, "each command is a use of its own");
    host.sh("rm /etc/sudoers.d/intercept").ok();
    for sudo in ["sudo", "sudo-rs"] {
        let pipeline = format!("echo through{}", format!(" | {sudo} -n cat").repeat(20));
        let said = host
            .run_as("alice", &pipeline)
            .ok()
            .within(Duration::from_secs(15));
        assert_eq!(said.text(), "through");
    }
    drop_all(host);
}

/// Pitfalls 6, 8, 10 and 18 of sudo's and sudo-rs' own, and the rules that a managed user brings along.
#[test]
fn no_way_around_the_gates_of_both_sudos() {
    let host = host();
    what_sudo_rs_started_ends_with_the_grant(&host);
    sudo_rs_stopped_after_its_yes_runs_nothing_after_the_end(&host);
    no_ticket_of_sudo_rs_counts(&host);
    standing_rules_of_the_managed_count_for_nothing_in_sudo_rs(&host);
    hundreds_of_commands_at_once_block_nothing(&host);
}
