//! A journal that nobody has looked at since its agent started: what begins by it, for how long, and what only the witness
//! can say of it.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use jit_tests::grants::elevate;
use jit_tests::net::pair;
use jit_tests::project;
use jit_tests::witnessed::{
    SOON, START, STOP, WELL, accept_log, policy, starts_unseen, wait_told, wait_witnessed,
    witnessed,
};

#[test]
fn after_a_restart_without_the_witness_what_begins_is_flagged_and_soon_nothing_does() {
    pair(Some(&policy()), |_, host, cable| {
        let restart = ["systemctl", "restart", "jit-agent"];
        let mut alice = host.shell("alice");
        elevate(&mut alice, "--for 1m");
        host.wait_for("the witness", SOON, WELL);

        // Within the bound: the issuer signed it before it went away.
        starts_unseen(&mut alice, cable, "unseen one");
        host.run(&restart).ok();
        wait_told(
            host,
            &[
                "\"type\":\"grant\"",
                "unseen one",
                "\"witness\":\"offline\"",
            ],
        );
        host.wait_for("the grant", SOON, "id -nG alice | grep -q jit-admin");
        cable.mend();
        host.wait_for("the witness", SOON, WELL);
        // Seen again: nothing is flagged.
        elevate(&mut alice, "--for 2m");
        let shown = host.sh("jitctl log show --json | grep '\"type\":\"grant\"' | tail -1");
        shown.ok().hides("offline");

        // Beyond it.
        host.sh(
            "echo 'witness_offline_s = 0' >>/etc/jit/ceiling.toml && systemctl reload jit-agent",
        )
        .ok();
        starts_unseen(&mut alice, cable, "unseen two");
        host.run(&restart).ok();
        wait_told(
            host,
            &[
                "\"type\":\"refused\"",
                "\"what\":\"activation\"",
                "without it grants begin for 0 s",
            ],
        );
        host.sh("jitctl log show --json | grep '\"type\":\"grant\"' | grep 'unseen two'")
            .refused();
        cable.mend();
        host.wait_for("the witness", SOON, WELL);
        elevate(&mut alice, "--for 3m");
        alice.run("sudo -n true").ok();
    });
}

/// Those of the catalogue of attacks whose head says what the witness calls them.
#[test]
fn what_shows_nowhere_on_the_host_is_named_by_the_witness() {
    let folder = project::root().join("tests/attacks/journal");
    let mut scripts: Vec<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|file| {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).ok()?;
            let said = text.lines().find_map(|l| l.strip_prefix("# Witness:"))?;
            Some((
                file.file_name().into_string().unwrap(),
                said.trim().to_owned(),
            ))
        })
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 4, "{scripts:?}");

    pair(Some(&policy()), |issuer, host, _| {
        host.sh("mkdir /root/attacks /root/old").ok();
        for name in scripts
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(["jitlog.py"])
        {
            host.copy_in(&folder.join(name), &format!("/root/attacks/{name}"));
        }
        let mut alice = host.shell("alice");
        for (round, (name, kinds)) in (1_u64..).zip(&scripts) {
            elevate(&mut alice, "--for 10m");
            host.sh("rm -rf /root/old/* && cp -a /var/lib/jit /root/old/lib && cp -a /var/log/jit/journal /root/old/")
            .ok();
            alice
                .run("for i in 1 2 3 4 5 6; do sudo -n echo $i; done >/dev/null")
                .ok();
            let entries =
                host.run(&["jitctl", "log", "attest", "--json"]).json()["entries"].clone();
            // A grant's head goes to the witness at once.
            elevate(&mut alice, "--for 11m");
            wait_witnessed(
                issuer,
                &format!("the head before {name}"),
                &format!("w and w[\"size\"] > {entries} and not w[\"trouble\"]"),
            );

            let program = if name.ends_with(".py") {
                "python3"
            } else {
                "sh"
            };
            host.sh(&format!(
                "{STOP} && JIT_OLD=/root/old PYTHONDONTWRITEBYTECODE=1 {program} /root/attacks/{name} && {START}"
            ))
            .ok();
            wait_witnessed(
                issuer,
                &format!("what {name} is"),
                &format!("w[\"trouble\"] and w[\"trouble\"][\"kind\"] in \"{kinds}\".split()"),
            );
            let kind = witnessed(issuer)["trouble"]["kind"].clone();
            host.wait_for(
                "the host knows",
                SOON,
                &format!("jitctl status | grep -q '{}: '", kind.as_str().unwrap()),
            );
            alice
                .run("jitctl elevate --for 1m --reason 'the test'")
                .exits(3)
                .says(": this host's journal");

            accept_log(issuer, "the test");
            wait_witnessed(
                issuer,
                "the next generation",
                &format!("w[\"generation\"] == {} and not w[\"trouble\"]", round + 1),
            );
            host.wait_for("the host knows", SOON, WELL);
        }
    });
}
