//! The agent is restarted again and again while people work: nobody is refused for it, nobody waits in vain, no grant ends.
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

/// Argument: how many restarts. Meanwhile two of alice's loops call sudo, and one asks for grants and gives them back. Says
/// as JSON what was not as it is without restarts.
const RESTARTS: &str = r#"
import json, subprocess, sys, threading
rounds, over, lock = int(sys.argv[1]), threading.Event(), threading.Lock()
said = {"sudo": 0, "elevate": 0, "wrong": []}
def run(*argv):
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout
def alice(*argv):
    return run("runuser", "-u", "alice", "--", *argv)
def count(what, result, right):
    with lock:
        said[what] += 1
        if not right:
            said["wrong"].append([what, *result])
def uses():
    while not over.is_set():
        result = alice("sudo", "-n", "id", "-u")
        count("sudo", result, result == (0, "0\n"))
def asks():
    while not over.is_set():
        result = alice("jitctl", "--json", "elevate", "--for", "5m", "--reason", "restarts")
        granted = result[0] == 0
        count("elevate", result, granted)
        if granted:
            result = alice("jitctl", "drop", json.loads(result[1])["grant"]["id"])
            count("elevate", result, result[0] == 0)
people = [threading.Thread(target=f) for f in (uses, uses, asks)]
for thread in people:
    thread.start()
for _ in range(rounds):
    result = run("systemctl", "restart", "jit-agent.service")
    if result != (0, ""):
        said["wrong"].append(["restart", *result])
over.set()
for thread in people:
    thread.join()
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
