//! A host that was let go, or whose disk was made anew, comes back by a token that its issuer made for that, and by no other.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::Host;
use jit_tests::command::Output;
use jit_tests::grants::{elevate_as, wait_for_issuer};
use jit_tests::net::pair;

const SOON: Duration = Duration::from_secs(10);

/// A token of the issuer, used on the host.
fn enrol(issuer: &Host, host: &Host, token: &[&str]) -> Output {
    let argv = [&["jit-issuer", "enrol-token", "--host", "web1"], token].concat();
    let token = issuer.run(&argv).ok();
    host.write("/root/token", &token.stdout);
    host.run(&["jitctl", "enrol", "--token-file", "/root/token"])
}

#[track_caller]
fn works(host: &Host) {
    wait_for_issuer(host);
    elevate_as(host, "alice", "--for 1m");
    host.run_as("alice", "sudo -n id -u").ok().says("0");
    host.run_as("alice", "jitctl drop").ok();
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn a_host_comes_back_only_by_a_token_made_for_that() {
    pair(None, |issuer, host, _| {
        works(host);

        // Let go, and taken back.
        issuer
            .run(&[
                "jit-issuer",
                "host",
                "decommission",
                "web1",
                "--reason",
                "sold",
            ])
            .ok();
        host.wait_for(
            "it is let go",
            SOON,
            "test $(runuser -u alice -- jitctl elevate --for 1m --reason x >/dev/null 2>&1; echo $?) = 3",
        );
        enrol(issuer, host, &[]).ok().says("/host/web1");
        // What was let go at this second has the same second's grants with it.
        std::thread::sleep(Duration::from_secs(1));
        works(host);

        // Made anew: another key under the same name.
        host.sh(
            "systemctl stop jit-link jit-agent.socket jit-gate.socket jit-link.socket jit-agent && rm -rf /var/lib/jit && \
             chattr -R -a /var/log/jit && rm -rf /var/log/jit && systemd-tmpfiles --create && \
             systemctl start jit-agent.socket jit-gate.socket jit-link.socket jit-agent jit-link",
        )
        .ok();
        host.run_as("alice", "sudo -n id").refused();
        enrol(issuer, host, &[])
            .exits(1)
            .says("make the token with --replace")
            .hides("clock");
        enrol(issuer, host, &["--replace"]).ok();
        works(host);
        let known = issuer.run(&["jitctl", "hosts", "--json"]).ok().json();
        assert_eq!(known["hosts"].as_array().unwrap().len(), 1, "{known}");
    });
}
