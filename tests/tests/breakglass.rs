//! A code from paper gives its user one grant when issuer and link are dead and nothing is fresh: once, for its time, and
//! loudly.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::Host;
use jit_tests::grants::{Grant, list, proof, records, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(5);

/// Id and code, one for each line that `jit-issuer breakglass make` printed.
fn make(host: &Host, id: &str, file: &str, options: &str) -> Vec<(String, String)> {
    let made = host
        .sh(&format!(
            "cd /var/lib/jit-issuer && runuser -u jit-issuer -- jit-issuer breakglass make --host {id} --out {file} {options}"
        ))
        .ok();
    let lines = made.stdout.lines();
    lines
        .map(|line| line.split_once('\t').expect("an id and a code"))
        .map(|(id, code)| (id.to_owned(), code.to_owned()))
        .collect()
}

/// What a user types, from a file only he reads.
fn typed(host: &Host, user: &str, code: &str, options: &str) -> jit_tests::Output {
    host.run_as(
        user,
        &format!("printf '%s\\n' '{code}' | jitctl breakglass --reason 'nobody answers' {options}"),
    )
}

fn said(host: &Host, decision: &str) -> Vec<Value> {
    records(host)
        .into_iter()
        .filter(|r| r["type"] == "breakglass" && r["decision"] == decision)
        .collect()
}

#[test]
fn a_code_gives_one_grant_when_nobody_can_be_asked_and_everyone_is_told() {
    let mut host = Host::ready();
    let hosts = host.run(&["jit-issuer", "host", "ls"]).ok();
    let id = hosts.text().split('\t').nth(3).expect("an id").to_owned();

    // By the stream, and by a file; some for another host.
    let streamed = make(&host, &id, "streamed", "--count 3 --for 10m");
    let add = [
        "jit-issuer",
        "breakglass",
        "add",
        "/var/lib/jit-issuer/streamed",
    ];
    host.run(&add).ok().says("added");
    host.run(&add).ok().says("was there");
    host.wait_for(
        "the statements arrive",
        SOON,
        "test $(ls /var/lib/jit/breakglass | wc -l) = 3",
    );
    let foreign = id.rsplit_once('/').unwrap().0.to_owned() + "/other";
    let elsewhere = make(&host, &foreign, "elsewhere", "");
    let brought = make(&host, &id, "brought", "--count 2 --for 20s");
    host.run(&["jitctl", "import", "/var/lib/jit-issuer/elsewhere"])
        .exits(3)
        .says("addressed to other hosts");
    host.run(&["jitctl", "import", "/var/lib/jit-issuer/brought"])
        .ok()
        .says("Taken: 2");
    assert_eq!(said(&host, "received").len(), 5);
    // No code lies anywhere on the host.
    let (_, code) = &brought[0];
    host.sh(&format!("! grep -rqF '{code}' /var/lib /var/log /etc"))
        .ok();

    // Nobody is there any more, and what the host knows is old.
    host.sh("cat >>/etc/jit/ceiling.toml <<'END'\nmax_stale_s = 1\nEND\nsystemctl stop jit-link jit-issuer; systemctl restart jit-agent; sleep 2")
        .ok();
    let mut alice = host.shell("alice");
    alice.run("jitctl elevate --for 1m --reason x").exits(5);

    // Not for everyone, not with just anything, and nothing of that uses it up.
    let (first, code) = &brought[0];
    typed(&host, "carol", code, "")
        .exits(3)
        .says("jit-eligible");
    host.sh(&format!("echo {code} | jitctl breakglass --reason x"))
        .exits(3);
    alice
        .run("echo AAAAA-AAAAA | jitctl breakglass --reason x")
        .exits(2);
    alice
        .run("jitctl breakglass --reason x </dev/null")
        .exits(2);
    let mistyped = code.replacen(&code[..1], if code.starts_with('7') { "8" } else { "7" }, 1);
    typed(&host, "alice", &mistyped, "")
        .exits(2)
        .says("typing error");
    assert!(said(&host, "deny").is_empty());
    typed(&host, "alice", &elsewhere[0].1, "")
        .exits(3)
        .says("opens nothing on this host");
    assert_eq!(said(&host, "deny").len(), 1);
    typed(&host, "alice", code, "--for 1h")
        .exits(3)
        .says("at most 20s");
    alice.run("sudo -n id").refused();

    // The use: unseen on the terminal, in the journal first, an alert, on everyone's terminal, for its own time.
    host.sh("cp -a /var/lib/jit/breakglass /root/before").ok();
    let mut bob = host.shell("bob");
    bob.run("mesg y && test -c $(tty)").ok();
    alice.send("jitctl breakglass --reason 'the issuer is gone' --for 12s\n");
    alice.expect("Code:");
    alice.send(&format!("{}\n", code.to_lowercase().replace('-', " ")));
    let shown = alice.prompt();
    assert!(!shown.to_uppercase().contains(&code[..5]), "{shown}");
    let told = bob.expect("Reason: the issuer is gone");
    assert!(told.contains("BREAK-GLASS on"), "{told}");
    let status = host.run_as("alice", "jitctl status --json").ok();
    let grants = list(&status);
    let grant = Grant::read(grants.first().expect("a grant"));
    assert_eq!(grant.id, *first);
    alice.run("sudo -n id").ok().says("uid=0(root)");
    alice.run("sudo -n sleep 1004 & echo").ok();
    host.wait_for(
        "root's process",
        Duration::from_secs(10),
        "pgrep -u root -fx 'sleep 1004'",
    );
    let kinds: Vec<Value> = records(&host)
        .into_iter()
        .filter(|r| r["grant"] == first.as_str() && r["decision"] == "allow")
        .map(|r| r["type"].clone())
        .collect();
    assert_eq!(kinds[..2], ["breakglass", "grant"], "{kinds:?}");
    host.sh("journalctl --no-pager -o cat PRIORITY=1 SYSLOG_IDENTIFIER=jit-agent")
        .ok()
        .says("the issuer is gone");
    alice
        .run("jitctl extend --for 1h --reason x")
        .exits(3)
        .says("cannot be extended");
    typed(&host, "alice", code, "").exits(3).says("used before");
    wait_until(grant.ends_at + Duration::from_millis(500));
    alice.run("sudo -n id").refused();
    host.wait_for("the end", SOON, "! pgrep -fx 'sleep 1004'");
    proof(&host, first, SOON);

    // What is put back from a copy is known by the journal.
    host.sh("systemctl stop jit-agent; rm -r /var/lib/jit/breakglass; mv /root/before /var/lib/jit/breakglass; systemctl start jit-agent")
        .ok();
    typed(&host, "alice", code, "").exits(3).says("used before");
    alice.run("sudo -n id").refused();
    let put_back = |r: &Value| {
        r["type"] == "alert" && r["detail"]["why"].as_str().unwrap().contains("put back")
    };
    assert!(records(&host).iter().any(put_back));

    // Over a reboot it goes on to its end, and is as used as before.
    let (second, code) = &streamed[0];
    typed(&host, "alice", code, "").ok().says(second);
    host.run_as("alice", "sudo -n id").ok();
    drop((alice, bob));
    host.reboot();
    host.sh("systemctl stop jit-link jit-issuer").ok();
    host.wait_for(
        "the right is back",
        SOON,
        "runuser -u alice -- sudo -n true",
    );
    typed(&host, "alice", code, "").exits(3).says("used before");
    host.run_as("alice", "jitctl drop").ok();
    proof(&host, second, SOON);
    host.run_as("alice", "sudo -n id").refused();

    // The issuer's people can take an unused one back, and a used one's grant.
    host.sh("systemctl start jit-issuer jit-link").ok();
    let revoke = |id: &str| {
        host.wait_for(
            "the revocation",
            Duration::from_secs(10),
            &format!("jitctl revoke {id} --reason 'lost the sheet' && jitctl log show --json | grep '\"type\":\"revocation\"' | grep -q {id}"),
        );
    };
    let (third, code) = &streamed[1];
    revoke(third);
    typed(&host, "alice", code, "").exits(3).says("revoked");
    let (fourth, code) = &streamed[2];
    typed(&host, "alice", code, "").ok();
    host.run_as("alice", "sudo -n id").ok();
    revoke(fourth);
    proof(&host, fourth, SOON);
    host.run_as("alice", "sudo -n id").refused();

    // Only a few tries, whatever is tried.
    let busy = (0..6).any(|_| typed(&host, "alice", &elsewhere[0].1, "").code == 1);
    assert!(busy, "codes could be tried for ever");
}
