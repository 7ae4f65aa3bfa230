//! The agent is restarted again and again while people work: nobody is refused for it, and no grant ends.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{elevate_as, records};
use jit_tests::{Host, Release, seed};

/// Argument: how many restarts. Meanwhile alice calls sudo without a pause, and between two restarts one call of hers ends, so
/// that each meets one or two. Says as JSON what was not as it is without restarts.
const RESTARTS: &str = r#"
import json, subprocess, sys, threading, time
rounds, over = int(sys.argv[1]), threading.Event()
said = {"sudo": 0, "longest_restart_s": 0, "wrong": []}
def run(*argv):
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout
def uses():
    while not over.is_set():
        result = run("runuser", "-u", "alice", "--", "sudo", "-n", "id", "-u")
        said["sudo"] += 1
        if result != (0, "0\n"):
            said["wrong"].append(["sudo", *result])
alice = threading.Thread(target=uses)
alice.start()
for _ in range(rounds):
    ended = said["sudo"]
    start = time.monotonic()
    result = run("systemctl", "restart", "jit-agent.service")
    said["longest_restart_s"] = max(said["longest_restart_s"], round(time.monotonic() - start, 2))
    if result != (0, ""):
        said["wrong"].append(["restart", *result])
    while said["sudo"] == ended:
        time.sleep(0.002)
over.set()
alice.join()
print(json.dumps(said))
"#;

#[test]
fn a_hundred_restarts_of_the_agent_refuse_nobody_on_debian_12() {
    restarts_refuse_nobody(Release::Bookworm);
}

#[test]
fn a_hundred_restarts_of_the_agent_refuse_nobody_on_debian_13() {
    restarts_refuse_nobody(Release::Trixie);
}

fn restarts_refuse_nobody(release: Release) {
    let rounds = seed::number("JIT_RESTARTS").unwrap_or(100);
    let host = Host::ready_on(release);
    let kept = elevate_as(&host, "alice", "--for 30m");
    let others = Bystanders::start(&host, Duration::from_millis(200));
    host.write("/root/restarts.py", RESTARTS);
    let argv = ["python3", "/root/restarts.py", &rounds.to_string()];
    let said = host
        .run_for(&argv, Duration::from_secs(60 + 3 * rounds))
        .ok()
        .json();
    others.noticed_nothing();
    eprintln!("{said}");
    let wrong = said["wrong"].as_array().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(said["sudo"].as_u64().unwrap() >= rounds, "{said}");

    let all = records(&host);
    let stops = all.iter().filter(|r| r["type"] == "stop").count();
    assert!(stops as u64 >= rounds, "{stops} stops");
    let uses = all
        .iter()
        .filter(|r| r["type"] == "use" && r["decision"] == "allow")
        .count();
    assert_eq!(uses as u64, said["sudo"].as_u64().unwrap(), "each use once");
    assert!(
        !all.iter()
            .any(|r| r["type"] == "end" && r["grant"] == kept.id.as_str())
    );
    host.run_as("alice", "sudo -n id -u").ok().says("0");
    host.run(&["jitctl", "log", "verify"]).ok();
}
