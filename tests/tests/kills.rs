//! The agent, `jit-end` and the link are killed at random moments while people ask, use and give back: no process and no
//! membership outlives its deadline, whatever ran by a grant is in the journal, and the next one to ask is served.
//!
//! `JIT_KILL_ROUNDS` says how many are killed, `JIT_SEED` repeats a run; `make test-long` kills some thousands.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{elevate, records};
use jit_tests::{Host, seed};

const KILLER: &str = include_str!("../hosts/kills.py");

#[test]
fn whoever_is_killed_nothing_outlives_its_deadline() {
    let rounds = seed::number("JIT_KILL_ROUNDS").unwrap_or(100);
    let seed = seed::seed();
    let host = Host::ready();
    host.write("/root/kills.py", KILLER);
    let others = Bystanders::start(&host, Duration::from_millis(200));
    let argv = [
        "python3",
        "/root/kills.py",
        &seed.to_string(),
        &rounds.to_string(),
    ];
    let limit = Duration::from_secs(60 + 3 * rounds);
    let mut said = host.run_for(&argv, limit).ok().json();
    others.noticed_nothing();
    let given = said["given"].take();
    eprintln!("JIT_SEED={seed}: {said}");
    let wrong = said["wrong"].as_array().unwrap();
    assert!(wrong.is_empty(), "JIT_SEED={seed}: {wrong:#?}");
    let count = |name: &str| said[name].as_u64().unwrap();
    for what in ["tickers", "ran"] {
        assert!(count(what) * 20 > rounds, "too little was done: {said}");
    }

    // But marks in /run/jit/ending: an ending that is killed after another has told of the end leaves its own, an empty
    // file that counts only as long as there is a file of the grant.
    host.wait_for(
        "nothing is left",
        Duration::from_secs(15),
        "left=$(systemctl list-units --all --no-legend 'jit-0*'; ls /run/userdb 2>/dev/null | grep :; \
         ls /var/lib/jit/grants/*.json /var/lib/jit/ended/*.json 2>/dev/null; ls -A /run/jit/given); \
         echo \"$left\"; test -z \"$left\" || { for f in /var/lib/jit/*/*.json; do journalctl --boot --no-pager -o short-precise | grep $(basename $f .json); done; false; }",
    );
    let all = records(&host);
    for grant in given.as_array().unwrap() {
        let over = all
            .iter()
            .any(|r| r["type"] == "proof" && r["grant"] == *grant);
        assert!(over, "JIT_SEED={seed}: no proof of {grant}");
    }
    host.run(&["jitctl", "log", "verify"]).ok();
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 1m");
    alice.run("sudo -n true").ok();
}
