//! No false alarm: a host with work, refusals, endings, restarts of every part, a receiver and a witness, for a long time; nothing
//! of it may be called an attack, a fault or an alert.
//!
//! `JIT_SOAK_S` says for how many seconds, `JIT_SEED` repeats a run; `make test-long` takes an hour.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::time::Duration;

use jit_tests::grants::records;
use jit_tests::{Host, seed};

const DAYS: &str = include_str!("../hosts/soak.py");

const RECEIVER: &str = r#"
global(workDirectory="/var/lib/siem" maxMessageSize="1m")
module(load="imrelp")
template(name="body" type="list") { property(name="msg" position.from="1") constant(value="\n") }
ruleset(name="json") { if $msgid != "checkpoint" then { action(type="omfile" file="/var/log/siem/json" template="body") } }
input(type="imrelp" port="20514" ruleset="json" maxDataSize="1m")
"#;

#[test]
fn nothing_of_every_day_is_called_an_attack() {
    let seconds = seed::number("JIT_SOAK_S").unwrap_or(30);
    let seed = seed::seed();
    let host = Host::ready_with_receivers();
    host.sh("mkdir -p /var/log/siem /var/lib/siem && touch /var/log/siem/json")
        .ok();
    host.write("/etc/siem.conf", RECEIVER);
    host.write(
        "/etc/systemd/system/siem.service",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/sbin/rsyslogd -n -f /etc/siem.conf -i /run/siem.pid\n",
    );
    // As often as a test likes.
    for unit in ["jit-agent", "jit-link", "jit-issuer"] {
        host.sh(&format!("mkdir -p /etc/systemd/system/{unit}.service.d"))
            .ok();
        let drop_in = format!("/etc/systemd/system/{unit}.service.d/often.conf");
        host.write(&drop_in, "[Unit]\nStartLimitIntervalSec=0\n");
    }
    host.write(
        "/etc/jit/link.toml",
        "[receiver.siem]\naddress = \"127.0.0.1:20514\"\ntransport = \"relp\"\nformat = \"json\"\n",
    );
    host.sh("systemctl daemon-reload && systemctl start siem && systemctl restart jit-link")
        .ok();
    host.write("/root/soak.py", DAYS);
    let argv = [
        "python3",
        "/root/soak.py",
        &seconds.to_string(),
        &seed.to_string(),
    ];
    let said = host.run_for(&argv, Duration::from_secs(seconds + 600)).ok();
    let all = records(&host);
    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &all {
        *types.entry(record["type"].as_str().unwrap()).or_default() += 1;
    }
    let said = said.json();
    eprintln!("JIT_SEED={seed}: {seconds} s: {} {types:?}", said["done"]);
    assert_eq!(said["wrong"], serde_json::json!([]), "JIT_SEED={seed}");

    // In the journal, in the numbers, in the local log, at the issuer.
    let alarms: Vec<_> = all
        .iter()
        .filter(|r| {
            ["alert", "recovery", "escape", "breakglass"].contains(&r["type"].as_str().unwrap())
                || r["decision"] == "unproven"
        })
        .collect();
    assert!(alarms.is_empty(), "JIT_SEED={seed}: {alarms:#?}");
    for kind in [
        "grant", "use", "refused", "end", "proof", "start", "stop", "witness",
    ] {
        assert!(types.contains_key(kind), "JIT_SEED={seed}: no {kind}");
    }
    let numbers = host.read("/run/jit/metrics/jit.prom");
    let loud = [
        "jit_alerts_total",
        "jit_journal_faults_total",
        "jit_unproven_ends_total",
    ];
    let found = numbers
        .lines()
        .find(|l| loud.iter().any(|name| l.starts_with(name)) && !l.ends_with(" 0"));
    assert!(found.is_none(), "JIT_SEED={seed}: {found:?}");
    let local = host
        .sh("journalctl --sync; journalctl --boot -q -t jit-agent -p warning -o cat | grep -v '^refused '; true")
        .ok();
    assert_eq!(local.text(), "", "JIT_SEED={seed}");
    let hosts = host.run(&["jitctl", "hosts", "--json"]).ok().json();
    let witnessed = &hosts["hosts"][0]["witnessed"];
    assert!(
        witnessed["size"].as_u64().unwrap() > 0 && witnessed["trouble"].is_null(),
        "JIT_SEED={seed}: {hosts}"
    );
    host.run(&["jitctl", "log", "verify", "--against", "/var/log/siem/json"])
        .ok()
        .says("No fault.");
    host.run(&["systemctl", "--failed", "--no-legend"])
        .ok()
        .hides("jit");
}
