//! The issuer as witness of a host's journal: what is cosigned, and what happens when a journal was put back, goes on
//! otherwise, or says nothing.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::grants::{elevate, records};
use jit_tests::net::pair;
use jit_tests::witnessed::{
    SOON, START, STOP, WELL, accept_log, policy, starts_unseen, wait_told, wait_witnessed,
    witnessed,
};
use jit_tests::{Host, Release, Shell, command, project};
use statement::sign::Signer;

fn entries(host: &Host) -> u64 {
    let seen = host.run(&["jitctl", "log", "attest", "--json"]).json();
    seen["entries"].as_u64().expect("entries")
}

/// Copies journal and state of the agent, which does not run meanwhile.
fn copy(host: &Host, name: &str) {
    host.sh(&format!(
        "{STOP} && mkdir /root/{name} && cp -a /var/log/jit/journal /root/{name}/log && cp -a /var/lib/jit /root/{name}/lib && {START}"
    ))
    .ok();
}

/// Puts them back, as whoever became root, or restored a machine, does.
fn put_back(host: &Host, name: &str) {
    host.sh(&format!(
        "set -e; {STOP}
         chattr -R -i -a /var/log/jit/journal
         rm -r /var/log/jit/journal/* /var/lib/jit
         cp -a /root/{name}/log/* /var/log/jit/journal/
         cp -a /root/{name}/lib /var/lib/jit
         cd /var/log/jit/journal
         chattr +a *
         for closed in $(ls | head -n -1); do chattr -a $closed; chattr +i $closed; done"
    ))
    .ok();
}

fn refused(alice: &mut Shell, text: &str) {
    alice
        .run("jitctl elevate --for 1m --reason 'the test'")
        .exits(3)
        .says(text);
}

/// Root and a standing admin have their sudo, whatever the witness says.
fn others_work(host: &Host) {
    host.sh("sudo -n true").ok();
    host.run_as("carol", "sudo -n true").ok();
}

#[test]
fn a_journal_that_was_put_back_or_goes_on_otherwise_gives_nothing_until_it_is_accepted() {
    pair(Some(&policy()), |issuer, host, cable| {
        issuer
            .sh("sed -i 's/^\\[limits\\]/[limits]\\nsilent_s = 10/' /etc/jit/issuer.toml && systemctl restart jit-issuer")
            .ok();
        let mut alice = host.shell("alice");
        elevate(&mut alice, "--for 10m");
        alice.run("sudo -n true").ok();
        wait_witnessed(
            issuer,
            "a head after the grant",
            "w and w[\"size\"] > 4 and not w[\"trouble\"]",
        );
        host.wait_for("the cosignature is kept", SOON, WELL);
        let attested = host.run(&["jitctl", "log", "attest", "--json"]).ok().json();
        // Test hosts lie on an overlay.
        assert_eq!(attested["tier"], "mount-only", "{attested}");
        assert_eq!(attested["witness"]["standing"], "whole", "{attested}");
        let verified = host.run(&["jitctl", "log", "verify", "--json"]).ok().json();
        assert_eq!(verified["witness"]["standing"], "whole", "{verified}");
        let tree = [
            "jitctl",
            "log",
            "export",
            "--witnessed",
            "/root/tree",
            "--json",
        ];
        let tree = host.run(&tree).ok().json();
        let name = tree["witness"].as_str().unwrap().split('+').next().unwrap();
        let checkpoint = host.read("/root/tree/checkpoint");
        assert!(
            checkpoint.contains(&format!("\u{2014} {name} ")),
            "{checkpoint}"
        );

        // Put back from a copy: the host says so itself, and the issuer names it with its sizes.
        copy(host, "old");
        let before = witnessed(issuer)["size"].as_u64().unwrap();
        elevate(&mut alice, "--for 10m");
        for _ in 0..20 {
            alice.run("sudo -n true").ok();
        }
        elevate(&mut alice, "--for 10m");
        let newer = format!("w[\"size\"] > {before} + 20");
        wait_witnessed(issuer, "the newer head", &newer);
        let size = witnessed(issuer)["size"].as_u64().unwrap();
        put_back(host, "old");
        host.sh(START).ok();
        wait_witnessed(
            issuer,
            "the rollback",
            "w[\"trouble\"] and w[\"trouble\"][\"kind\"] == \"rollback\"",
        );
        host.wait_for(
            "the host knows",
            SOON,
            "jitctl status | grep -q 'rollback: '",
        );
        refused(&mut alice, "rollback: this host's journal has");
        let log = issuer.journal("jit-issuer.service");
        assert!(
            log.contains(&format!("entries; {size} were witnessed")),
            "{log}"
        );
        assert!(log.contains("/host/web1: rollback: "), "{log}");
        issuer
            .run(&["jitctl", "hosts"])
            .ok()
            .says("ROLLBACK: its journal has");
        host.run(&["jitctl", "status"]).says("rollback");
        others_work(host);
        host.sh("jitctl log show --json | grep -q 'rollback: this host'")
            .ok();

        // Accepted, aloud: another log begins, and grants with it.
        accept_log(issuer, "restored");
        wait_witnessed(
            issuer,
            "the next generation",
            "w[\"generation\"] == 2 and not w[\"trouble\"]",
        );
        host.wait_for("the host knows", SOON, WELL);
        elevate(&mut alice, "--for 10m");
        alice.run("sudo -n true").ok();
        let log = issuer.journal("jit-issuer.service");
        assert!(
            log.contains("another log is accepted after generation 1: restored"),
            "{log}"
        );
        let attested = host.run(&["jitctl", "log", "attest", "--json"]).ok().json();
        assert_eq!(attested["witness"]["generation"], 2, "{attested}");

        // Two ways from one place: the one that was not shown grows longer, out of sight.
        copy(host, "fork");
        let before = witnessed(issuer)["size"].as_u64().unwrap();
        elevate(&mut alice, "--for 10m");
        let one = format!("w[\"size\"] > {before} + 1");
        wait_witnessed(issuer, "one way", &one);
        let size = witnessed(issuer)["size"].as_u64().unwrap();
        put_back(host, "fork");
        cable.cut();
        host.sh(START).ok();
        while entries(host) <= size + 2 {
            alice.run("sudo -n true");
        }
        cable.mend();
        wait_witnessed(
            issuer,
            "the fork",
            "w[\"trouble\"] and w[\"trouble\"][\"kind\"] == \"fork\"",
        );
        host.wait_for("the host knows", SOON, "jitctl status | grep -q 'fork: '");
        refused(&mut alice, "fork: this host's journal does not go on");
        accept_log(issuer, "restored");
        wait_witnessed(issuer, "the third generation", "w[\"generation\"] == 3");
        host.wait_for("the host knows", SOON, WELL);
        elevate(&mut alice, "--for 10m");

        // Silence.
        host.sh(STOP).ok();
        issuer.wait_for(
            "the silence is told",
            Duration::from_secs(30),
            "journalctl -b -u jit-issuer --since -15s | grep -q 'web1: silent: nothing new was witnessed'",
        );
        issuer.run(&["jitctl", "hosts"]).ok().says("SILENT since");
        issuer.sh("curl -s --unix-socket /run/jit-issuer/api.sock http://localhost/metrics | grep -q '^jit_issuer_witness_silent_hosts 1'").ok();
        host.sh(START).ok();
        issuer.wait_for(
            "it speaks again",
            Duration::from_secs(30),
            "journalctl -b -u jit-issuer --since -15s | grep -q 'web1: it speaks again'",
        );
    });
}

/// A stock verifier that other people wrote (`aics-tlog`, from PyPI), for the Python of Debian 13, of the versions and hashes of
/// `packaging/judges`.
fn stock_verifier(host: &Host) {
    let list = project::root().join("packaging/judges/witness.txt");
    let at = project::root().join("target/judges-witness");
    let listed = std::fs::read(&list).unwrap();
    if std::fs::read(at.join("list")).ok().as_ref() != Some(&listed) {
        let script = "set -e; rm -rf wheels; python3 -m venv --clear venv
            venv/bin/pip download -q --no-deps --require-hashes -r \"$1\" --python-version 3.13 --only-binary=:all: \
              --platform manylinux_2_28_$(uname -m) --platform manylinux2014_$(uname -m) --platform any -d wheels
            cp \"$1\" list";
        std::fs::create_dir_all(&at).unwrap();
        let mut command = std::process::Command::new("bash");
        command
            .args(["-c", script, "bash"])
            .arg(&list)
            .current_dir(&at);
        command::run(&mut command, "pip download", Duration::from_secs(120)).ok();
    }
    for wheel in std::fs::read_dir(at.join("wheels")).unwrap() {
        host.copy_in(&wheel.unwrap().path(), "/root/wheel");
        host.sh("cd /root && python3 -m zipfile -e wheel aics").ok();
    }
}

#[test]
fn a_stock_verifier_accepts_what_was_cosigned_on_one_box() {
    let host = Host::boot(Release::Trixie, true);
    host.set_up();
    host.run_as("alice", "jitctl elevate --for 1m --reason 'the test'")
        .ok();
    host.wait_for("the cosignature", SOON, WELL);
    let export = [
        "jitctl",
        "log",
        "export",
        "--witnessed",
        "/root/tree",
        "--json",
    ];
    let tree = host.run(&export).ok().json();
    let (log, witness) = (
        tree["keys"][0].as_str().unwrap(),
        tree["witness"].as_str().unwrap(),
    );
    stock_verifier(&host);
    let verify = |witness: &str| {
        host.sh(&format!(
            "PYTHONPATH=/root/aics python3 -m aics_tlog.cli verify-checkpoint --tiles /root/tree --log-key '{log}' --witness-key '{witness}' --quorum 1 --max-age 300"
        ))
    };
    verify(witness).ok();
    // One entry of it, which must be what the bundle has: an edited bundle and an edited tile are named.
    let folder = project::root().join("tests/attacks/journal/tree");
    host.sh("mkdir /root/attacks").ok();
    for script in [
        "edit-a-bundle.py",
        "edit-a-tile.py",
        "edit-a-bundle-and-its-tile.py",
        "tree.py",
    ] {
        host.copy_in(&folder.join(script), &format!("/root/attacks/{script}"));
    }
    let included = |tree: &str| {
        host.sh(&format!(
            "PYTHONPATH=/root/aics python3 -m aics_tlog.cli verify-inclusion --tiles {tree} --log-key '{log}' --index 3 --entry-out /root/entry"
        ))
    };
    included("/root/tree").ok();
    let entry: serde_json::Value = serde_json::from_str(&host.read("/root/entry")).unwrap();
    let records = records(&host);
    assert_eq!(entry["time"], records[3]["time"]);
    // What the log says of its own place.
    let start = records.iter().find(|r| r["type"] == "start").unwrap();
    let place = serde_json::json!({ "filesystem": "overlay", "tier": "mount-only" });
    assert_eq!(start["detail"]["journal"], place);
    for (script, named) in [
        ("edit-a-bundle.py", "entries/000.p/"),
        ("edit-a-tile.py", "do not match the root"),
        ("edit-a-bundle-and-its-tile.py", "do not match the root"),
    ] {
        host.sh(&format!(
            "rm -rf /root/edited && cp -a /root/tree /root/edited && python3 /root/attacks/{script} /root/edited 3"
        ))
        .ok();
        let said = included("/root/edited").refused();
        said.says("TileVerificationError").says(named);
    }
    // Of another host's issuer.
    let other =
        journal::Witness::from_pkcs8("other/witness", &Signer::generate().unwrap().1).unwrap();
    verify(&other.key().vkey()).refused();
    // The quorum is of cosignatures that were made over exactly this tree.
    host.sh("sed -i '3s/./A/' /root/tree/checkpoint").ok();
    verify(witness).refused();
}

#[test]
fn without_the_witness_grants_begin_for_a_while_and_uses_of_a_strict_role_never() {
    pair(Some(&policy()), |_, host, cable| {
        let uses = "runuser -u alice -- sudo -n true";
        let issuer = "jitctl status --json --all | grep -q '\"issuer\":\"ok\"'";
        let mut alice = host.shell("alice");
        let strict = elevate(&mut alice, "--role strict --for 10m");
        alice.run("sudo -n id").ok().says("uid=0(root)");
        cable.cut();
        alice
            .run("sudo -n id")
            .refused()
            .says("its record was not cosigned in time");
        cable.mend();
        host.wait_for("the witness", SOON, uses);
        alice.run(&format!("jitctl drop {}", strict.id)).ok();

        // Within the bound, and flagged.
        host.sh("echo 'witness = \"before-grant\"' >>/etc/jit/ceiling.toml && systemctl reload jit-agent")
            .ok();
        elevate(&mut alice, "--for 1m");
        starts_unseen(&mut alice, cable, "unseen one");
        wait_told(host, &["\"type\":\"grant\"", "unseen one"]);
        wait_told(host, &["\"type\":\"witness\"", "\"what\":\"offline\""]);
        host.wait_for("the grant", SOON, "id -nG alice | grep -q jit-admin");
        cable.mend();
        host.wait_for("the issuer", SOON, issuer);

        // Beyond it.
        host.sh(
            "echo 'witness_offline_s = 0' >>/etc/jit/ceiling.toml && systemctl reload jit-agent",
        )
        .ok();
        elevate(&mut alice, "--for 1m");
        starts_unseen(&mut alice, cable, "unseen two");
        wait_told(
            host,
            &[
                "\"type\":\"refused\"",
                "\"what\":\"activation\"",
                "without it grants begin for 0 s",
            ],
        );
        others_work(host);
        cable.mend();
        host.wait_for("the issuer", SOON, issuer);
        elevate(&mut alice, "--for 1m");
    });
}
