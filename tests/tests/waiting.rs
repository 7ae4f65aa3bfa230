//! Grants that wait for their start: what was signed lies on disk until then and is believed only when it has been
//! verified; a revocation ends what waits whatever it names.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use jit_tests::grants::{Grant, proof, records, time, wait_until};
use jit_tests::{Host, Shell};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

/// Asks for a grant that starts later, and returns it with its start.
#[track_caller]
fn schedule(shell: &mut Shell, at: &str) -> (Grant, SystemTime) {
    let ask = format!("jitctl --json elevate --reason later --for 5m --at {at} 2>/dev/null");
    let said = shell.run(&ask).ok().json();
    assert_eq!(said["status"], "scheduled", "{said}");
    let starts = time(said["starts_at"].as_str().unwrap());
    (Grant::read(&said["grant"]), starts)
}

fn file(grant: &Grant) -> String {
    format!("/var/lib/jit/grants/{}.json", grant.id)
}

/// Changes one letter of the grant's signature.
fn forge(host: &Host, grant: &Grant) {
    let mut kept: Value = serde_json::from_str(&host.read(&file(grant))).unwrap();
    let mut bundle: Value = serde_json::from_str(kept["bundle"].as_str().unwrap()).unwrap();
    let signed = bundle["grant"].as_str().unwrap();
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    bundle["grant"] = json!(format!("{head}.{other}{}", &signature[1..]));
    kept["bundle"] = json!(bundle.to_string());
    host.write(&file(grant), &kept.to_string());
}

/// It ended for this cause, proven, and was never in force.
#[track_caller]
fn never_started(host: &Host, grant: &Grant, cause: &str) -> Vec<Value> {
    let proof = proof(host, &grant.id, SOON);
    assert_eq!(proof["decision"], "proven", "{proof}");
    let all = records(host);
    let mine = |kind: &str| {
        let of_it = |r: &&Value| r["type"] == kind && r["grant"] == grant.id.as_str();
        all.iter().filter(of_it).collect::<Vec<_>>()
    };
    assert!(mine("grant").is_empty(), "{:?}", mine("grant"));
    let ends = mine("end");
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0]["detail"]["cause"], cause, "{ends:?}");
    assert_eq!(ends[0]["login"], "alice");
    host.run(&["test", "!", "-e", &file(grant)]).ok();
    all
}

#[track_caller]
fn forged(host: &Host, grant: &Grant) {
    let all = never_started(host, grant, "not-armed");
    let said = format!("stored grant {} is not believed", grant.id);
    let alert = |r: &Value| {
        r["detail"]["why"]
            .as_str()
            .is_some_and(|why| why.contains(&said))
    };
    assert!(
        all.iter().any(|r| r["type"] == "alert" && alert(r)),
        "{said}"
    );
}

#[test]
fn what_was_altered_while_it_waited_never_starts() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    // Altered while no agent runs: the next one finds it before its start.
    let (found, _) = schedule(&mut alice, "+1h");
    let (moved, _) = schedule(&mut alice, "+1h");
    // The link, too: it would call the agent back.
    host.run(&["systemctl", "stop", "jit-link", "jit-agent"])
        .ok();
    forge(&host, &found);
    // The plain file alone says that its time has come.
    let mut kept: Value = serde_json::from_str(&host.read(&file(&moved))).unwrap();
    kept["from_s"] = json!(1);
    host.write(&file(&moved), &kept.to_string());
    host.run(&["systemctl", "start", "jit-agent", "jit-link"])
        .ok();
    forged(&host, &found);
    forged(&host, &moved);

    // Altered while the agent runs, which has verified it before: it does so again.
    let (good, starts) = schedule(&mut alice, "+15s");
    let (altered, _) = schedule(&mut alice, "+15s");
    let (gone, _) = schedule(&mut alice, "+15s");
    forge(&host, &altered);
    host.run(&["rm", &file(&gone)]).ok();
    wait_until(starts);
    host.wait_for(
        "it is in force",
        Duration::from_secs(20),
        "id -nG alice | grep -q jit-admin",
    );
    alice.run("sudo -n id -u").ok().says("0");
    let status = alice.run("jitctl status --json").ok().json();
    let live = status["grants"].as_array().unwrap();
    assert_eq!(live.len(), 1, "{status}");
    assert_eq!(live[0]["id"], good.id.as_str());
    forged(&host, &altered);
    forged(&host, &gone);
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn a_revocation_ends_what_waits_whatever_it_names() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let kid = |host: &Host, grant: &Grant| {
        let kept: Value = serde_json::from_str(&host.read(&file(grant))).unwrap();
        let bundle: Value = serde_json::from_str(kept["bundle"].as_str().unwrap()).unwrap();
        let signed = bundle["grant"].as_str().unwrap().to_owned();
        let head = signed.split_once('.').unwrap().0;
        let head = format!("printf %s '{head}' | basenc --base64url -d 2>/dev/null; true");
        let head: Value = serde_json::from_str(&host.sh(&head).ok().stdout).unwrap();
        head["kid"].as_str().unwrap().to_owned()
    };
    for target in ["id", "user", "host", "before", "key"] {
        for restart in [false, true] {
            // A key's revocation holds for what it signs later, too: once is enough.
            if target == "key" && !restart {
                continue;
            }
            let (grant, _) = schedule(&mut alice, "+1h");
            // A revocation of people or hosts means what was given up to its second.
            let given = SystemTime::now() + Duration::from_secs(2);
            if restart {
                host.run(&["systemctl", "restart", "jit-agent"]).ok();
            }
            let named = match target {
                "id" => grant.id.clone(),
                "user" => "--user=alice".to_owned(),
                "host" => "--host=localhost".to_owned(),
                "before" => {
                    wait_until(given);
                    let now = host.run(&["date", "-u", "+%FT%TZ"]).ok();
                    format!("--before={}", now.text())
                }
                _ => format!("--key={}", kid(&host, &grant)),
            };
            host.run(&["jitctl", "revoke", &named, "--reason", "enough"])
                .ok();
            let revoked = SystemTime::now();
            let all = never_started(&host, &grant, "revoked");
            let end = all.iter().rfind(|r| r["type"] == "end").unwrap();
            // What it was asked for is known also where nobody had looked at it.
            assert_eq!(end["reason"], "later", "{end}");
            wait_until(revoked + Duration::from_secs(1));
        }
    }
    host.run(&["jitctl", "log", "verify"]).ok();
}
