//! The agent is restarted again and again while people work, ask and give back: nobody is refused for it, and no grant ends
//! that was not given back.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{allow_many_requests, elevate_as, records, wait_for_issuer};
use jit_tests::{Host, Release, seed};
use serde_json::Value;

/// Who asks, uses and gives back meanwhile.
const ASKING: [&str; 2] = ["erin", "frank"];

/// Arguments: how many restarts, and who asks, uses and gives back all the time. Meanwhile alice calls sudo without a pause, and
/// between two restarts one call of hers ends, so that each meets one or two; each fifth waits until everybody who asks has come
/// one step further, and the others come at any moment of theirs. Says as JSON what was not as it is without restarts.
const RESTARTS: &str = r#"
import json, subprocess, sys, threading, time
rounds, people, over = int(sys.argv[1]), sys.argv[2:], threading.Event()
said = {"sudo": 0, "asked": dict.fromkeys(people, 0), "longest_restart_s": 0, "wrong": []}
steps = dict.fromkeys(people, 0)
def run(*argv):
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout
def uses():
    while not over.is_set():
        result = run("runuser", "-u", "alice", "--", "sudo", "-n", "id", "-u")
        said["sudo"] += 1
        if result != (0, "0\n"):
            said["wrong"].append(["sudo", *result])
def asks(who):
    def step(wanted, *argv):
        code, text = run("runuser", "-u", who, "--", *argv)
        if code != 0 or not wanted(text):
            said["wrong"].append([who, *argv, code, text])
        steps[who] += 1
    while not over.is_set():
        step(lambda text: "Grant" in text, "jitctl", "elevate", "--for", "5m", "--reason", "over restarts")
        step(lambda text: text == "0\n", "sudo", "-n", "id", "-u")
        step(lambda text: "id" in text, "jitctl", "status", "--json")
        step(lambda text: True, "jitctl", "drop")
        said["asked"][who] += 1
threads = [threading.Thread(target=uses), *(threading.Thread(target=asks, args=(who,)) for who in people)]
for thread in threads:
    thread.start()
for n in range(rounds):
    ended = said["sudo"]
    start = time.monotonic()
    result = run("systemctl", "restart", "jit-agent.service")
    said["longest_restart_s"] = max(said["longest_restart_s"], round(time.monotonic() - start, 2))
    if result != (0, ""):
        said["wrong"].append(["restart", *result])
    further = {who: step + (n % 5 == 0) for who, step in steps.items()}
    while said["sudo"] == ended or any(steps[who] < further[who] for who in people):
        time.sleep(0.002)
over.set()
for thread in threads:
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

/// One host at a time: gates wait for a restart, and not for a machine that has another host's to do at the same moment.
static ALONE: Mutex<()> = Mutex::new(());

fn restarts_refuse_nobody(release: Release) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rounds = seed::number("JIT_RESTARTS").unwrap_or(100);
    let host = Host::ready_on(release);
    for who in ASKING {
        host.run(&["useradd", "--groups", "jit-eligible", who]).ok();
    }
    allow_many_requests(&host);
    wait_for_issuer(&host);
    let kept = elevate_as(&host, "alice", "--for 30m");
    let others = Bystanders::start(&host, Duration::from_millis(200));
    host.write("/root/restarts.py", RESTARTS);
    let rounds_text = rounds.to_string();
    let argv = [&["python3", "/root/restarts.py", &rounds_text], &ASKING[..]].concat();
    let said = host
        .run_for(&argv, Duration::from_secs(60 + 3 * rounds))
        .ok()
        .json();
    others.noticed_nothing();
    eprintln!("{said}");
    let all = records(&host);
    let loud = |r: &&Value| ["refused", "alert"].contains(&r["type"].as_str().unwrap());
    let loud: Vec<_> = all.iter().filter(loud).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    let wrong = said["wrong"].as_array().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(said["sudo"].as_u64().unwrap() >= rounds, "{said}");
    let asked = ASKING.map(|who| said["asked"][who].as_u64().unwrap());
    assert!(asked.iter().all(|n| *n >= rounds / 25), "{said}");

    let stops = all.iter().filter(|r| r["type"] == "stop").count();
    assert!(stops as u64 >= rounds, "{stops} stops");
    let uses = all
        .iter()
        .filter(|r| r["type"] == "use" && r["decision"] == "allow")
        .count();
    let wanted = said["sudo"].as_u64().unwrap() + asked.iter().sum::<u64>();
    assert_eq!(uses as u64, wanted, "each use once");
    let ends: Vec<_> = all.iter().filter(|r| r["type"] == "end").collect();
    assert!(!ends.iter().any(|r| r["grant"] == kept.id.as_str()));
    let dropped = ends
        .iter()
        .filter(|r| r["detail"]["cause"] == "dropped")
        .count();
    assert_eq!(dropped, ends.len(), "{ends:#?}");
    assert_eq!(dropped as u64, asked.iter().sum::<u64>(), "each end once");
    host.run_as("alice", "sudo -n id -u").ok().says("0");
    host.run(&["jitctl", "log", "verify"]).ok();
}
