//! What needs somebody's eye is told by every way that there is: a record, a severity in the local log, a signal on the bus, a
//! number for a collector, a message for a receiver. What receivers got of it is put before the rules that are shipped.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jit_tests::grants::{elevate, give_roles};
use jit_tests::{Host, project};
use serde_json::Value;

const METRICS: &str = "/run/jit/metrics/jit.prom";
const SOON: Duration = Duration::from_secs(5);

/// The link may be away for a minute.
const LINK_AWAY: Duration = Duration::from_secs(80);

/// Two receivers over RELP: the bodies of messages as they are.
const RECEIVER: &str = r#"
global(workDirectory="/var/lib/siem" maxMessageSize="1m")
module(load="imrelp")
template(name="body" type="string" string="%msg%\n")
ruleset(name="json") { action(type="omfile" file="/var/log/siem/json" template="body") }
ruleset(name="ocsf") { action(type="omfile" file="/var/log/siem/ocsf" template="body") }
input(type="imrelp" port="20514" ruleset="json" maxDataSize="1m")
input(type="imrelp" port="20515" ruleset="ocsf" maxDataSize="1m")
"#;

const LINK: &str = r#"
[receiver.json]
address = "127.0.0.1:20514"
transport = "relp"
format = "json"
[receiver.ocsf]
address = "127.0.0.1:20515"
transport = "relp"
format = "ocsf"
"#;

/// Its processes outlive it, so that its end is not proven.
const WATCHED: &str = r#"
[roles.watched]
max = "1h"
doors = []
groups = ["team"]
auth = "none"
on_end = "report"

[[approve]]
roles = ["watched"]
effect = "automatic"
"#;

/// More refusals than are recorded one by one.
const FLOOD: &str =
    "for i in $(seq 120); do jitctl elevate --reason no; done >/dev/null 2>&1; true";

/// Root's ear on the bus.
const EAR: &str = include_str!("../hosts/ear.py");

/// Starts the ear anew, and waits for the answers to its greeting and to its subscription.
#[track_caller]
fn listen(host: &Host) {
    host.sh("systemctl stop ear 2>/dev/null; rm -f /root/heard; systemd-run -q --unit ear python3 /root/ear.py")
        .ok();
    let both = "test $(grep -cx answer /root/heard) = 2";
    host.wait_for("the subscription", SOON, both);
}

/// Every way tells of the newest record of this type and code.
#[track_caller]
fn told(host: &Host, kind: &str, code: &str, priority: &str) -> u64 {
    let index = logged(host, kind, code, priority, SOON);
    let signal = if code.is_empty() {
        format!("{kind}  {index}")
    } else {
        format!("{kind} {code} {index}")
    };
    host.wait_for(
        "the signal",
        SOON,
        &format!("grep -qx '{signal}' /root/heard"),
    );
    if kind == "alert" {
        number(host, &format!("jit_alerts_total{{code=\"{code}\"}} [1-9]"));
    }
    index
}

/// The index of the newest record of this type and code, which the local log has, too. Its JSON there is that of the journal.
#[track_caller]
fn logged(host: &Host, kind: &str, code: &str, priority: &str, limit: Duration) -> u64 {
    let start = Instant::now();
    loop {
        let said = host.sh(&format!(
            "journalctl --sync; journalctl -q -o json JIT_TYPE={kind} PRIORITY={priority} | tail -n 200"
        ));
        let of = |line: &str| -> Option<(u64, Value)> {
            let line: Value = serde_json::from_str(line).ok()?;
            let record = serde_json::from_str(line["JIT_RECORD"].as_str()?).ok()?;
            Some((line["JIT_INDEX"].as_str()?.parse().ok()?, record))
        };
        let mut found = said.stdout.lines().rev().filter_map(of);
        let is_it = |record: &Value| record["detail"]["code"].as_str().unwrap_or_default() == code;
        if let Some((index, _)) = found.find(|(_, record)| is_it(record)) {
            return index;
        }
        assert!(start.elapsed() < limit, "no {kind} {code} in {limit:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn number(host: &Host, line: &str) {
    host.wait_for("the number", SOON, &format!("grep -qx '{line}' {METRICS}"));
}

#[test]
fn what_needs_an_eye_is_told_by_every_way_and_found_by_the_rules() {
    let host = Host::ready_with_receivers();
    host.sh("mkdir -p /var/log/siem /var/lib/siem; groupadd team")
        .ok();
    host.write("/etc/siem.conf", RECEIVER);
    host.sh("systemd-run -q --unit siem /usr/sbin/rsyslogd -n -f /etc/siem.conf -i /run/siem.pid")
        .ok();
    host.write("/etc/jit/link.toml", LINK);
    host.write("/etc/jit/agent.toml", "receiver_behind_s = 10\n");
    host.sh("systemctl reload jit-agent && systemctl restart jit-link")
        .ok();
    give_roles(&host, WATCHED);
    host.write("/root/ear.py", EAR);
    listen(&host);
    // For everybody's eyes, and of nobody in particular.
    host.wait_for("the numbers", SOON, &format!("test -s {METRICS}"));
    host.run(&["stat", "-c", "%a %U", METRICS])
        .ok()
        .says("644 root");
    number(&host, "jit_journal_writable 1");
    number(&host, "jit_link_connected 1");

    // What happens every day, and a session that leaves its grant.
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 10m");
    number(&host, "jit_grants 1");
    alice
        .run("sudo -n true; sudo -n -l; jitctl extend --for 20m --reason longer")
        .ok();
    alice.run("sudo -n su - bob -c 'sleep 1'").ok();
    alice.run("jitctl drop").ok();
    let logs = elevate(&mut alice, "--role logs --for 20m");
    alice.run("jitctl extend --for 30m --reason longer").ok();

    host.run_as("bob", "jitctl elevate --reason 'let me in'")
        .exits(3);
    told(&host, "refused", "", "4");
    // A code as codes are, and none of this host's.
    alice
        .run("echo AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-E4BAG | jitctl breakglass --reason fire")
        .exits(3);
    told(&host, "breakglass", "", "1");
    number(&host, "jit_breakglass_total 1");
    // A flood: from some point on it is only counted, and that is told.
    host.run_as("bob", FLOOD).ok();
    told(&host, "alert", "burst", "4");
    let burst = Instant::now();
    // An end that leaves what had the membership.
    let watched = elevate(&mut alice, "--role watched --for 1h");
    let mut second = host.shell("alice");
    second.run("sleep 7311 &").ok();
    alice.run(&format!("jitctl drop {}", watched.id)).ok();
    logged(&host, "alert", "unproven", "4", Duration::from_secs(30));
    told(&host, "alert", "unproven", "4");
    number(&host, "jit_unproven_ends_total 1");
    // The journal under the living agent.
    host.sh("cd /var/log/jit/journal; echo x >>\"$(ls | tail -n 1)\"")
        .ok();
    host.run_as("carol", "jitctl elevate --reason no").exits(3);
    told(&host, "alert", "journal", "4");
    told(&host, "recovery", "", "4");

    // The link is away, and so nobody takes records: both are told, each after its time.
    host.run(&["systemctl", "stop", "jit-link"]).ok();
    host.run_as("carol", "jitctl elevate --reason no").exits(3);
    logged(&host, "alert", "receiver", "4", Duration::from_secs(40));
    told(&host, "alert", "receiver", "4");
    logged(&host, "alert", "link", "4", LINK_AWAY);
    told(&host, "alert", "link", "4");
    number(&host, "jit_link_connected 0");
    host.run(&["systemctl", "start", "jit-link"]).ok();
    number(&host, "jit_link_connected 1");
    alice.run(&format!("jitctl drop {}", logs.id)).ok();
    counts_are_told(&host, burst);

    // The agent itself: nobody can listen yet when the next one tells, so the bus does.
    host.sh("! grep -qx gone /root/heard").ok();
    host.run(&["systemctl", "kill", "-s", "KILL", "jit-agent"])
        .ok();
    host.wait_for("the bus's word", SOON, "grep -qx gone /root/heard");
    logged(&host, "alert", "killed", "4", Duration::from_secs(20));
    number(&host, r#"jit_alerts_total{code="killed"} 1"#);
    listen(&host);
    // Without it the flag is cleared, which it finds when it opens the journal.
    host.sh(
        "systemctl stop jit-agent.socket jit-gate.socket jit-link.socket jit-agent; cd /var/log/jit/journal
        chattr -a \"$(ls | tail -n 1)\"; systemctl start jit-agent jit-link",
    )
    .ok();
    logged(&host, "recovery", "", "4", SOON);
    number(&host, "jit_journal_faults_total [1-9]");
    judged(&host);
}

/// Each refusal of bob is on record, by itself or by number, without one more of his: a minute after a flood, and when the agent
/// stops.
#[track_caller]
fn counts_are_told(host: &Host, burst: Instant) {
    let refused = || -> u64 {
        // The journal was changed from outside by now, which each reading says by its exit code.
        let said = host.run(&["jitctl", "log", "search", "--type", "refused", "--json"]);
        let lines = said.stdout.lines();
        let all: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
        let bob = &all.iter().find(|r| r["login"] == "bob").unwrap()["uid"];
        let his = all.iter().filter(|r| &r["uid"] == bob);
        his.map(|r| {
            let counted = r["detail"]["not_recorded_before"].as_u64().unwrap_or(0);
            counted + u64::from(r["detail"]["what"] != "counted")
        })
        .sum()
    };
    while refused() != 121 && burst.elapsed() < Duration::from_secs(90) {
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(refused(), 121, "a minute after the flood");
    host.run_as("bob", FLOOD).ok();
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    assert_eq!(refused(), 241, "when the agent has stopped");
    listen(host);
}

/// All has come, and the rules find in it what they are for, and no more.
#[track_caller]
fn judged(host: &Host) {
    // What is sent last comes last.
    host.wait_for(
        "the last records",
        Duration::from_secs(60),
        "jitctl simulate --siem --within 20s --from /var/log/siem/json --from /var/log/siem/ocsf",
    );
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let local = host.sh("journalctl --sync; journalctl -q -o json -t jit-agent");
    let files = [
        file("records", &host.read("/var/log/siem/json")),
        file("events", &host.read("/var/log/siem/ocsf")),
        file("lines", &local.ok().stdout),
        file("metrics", &host.read(METRICS)),
    ];
    let script = project::root().join("scripts/check-siem");
    let said = Command::new(script).args(files).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
    println!("{text}");
}
