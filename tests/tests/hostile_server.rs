//! Whoever answers at the issuer's address, with its certificate or another, can withhold what is new and nothing else: the host
//! says what it met, goes on with what it has, and is well again once the issuer is back.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use jit_tests::Host;
use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{elevate_as, wait_for_issuer};
use jit_tests::net::pair;

const SERVER: &str = include_str!("../hosts/hostile_server.py");
/// What the link may hold at most, in KiB.
const MOST_KIB: u64 = 64 * 1024;
/// A call of the link to the issuer takes at most 10 s, and jitctl a moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// The trick, whether it is played with the issuer's own certificate, and what the link's journal says of it.
const TRICKS: [(&str, bool, &str); 7] = [
    ("silent", true, "the issuer did not answer in time"),
    ("endless", false, "invalid peer certificate: UnknownIssuer"),
    ("slow", true, "the issuer did not answer in time"),
    // The head is too large, or the connection broke under what came on: whichever is seen first.
    (
        "headers",
        true,
        "no stream: the connection to the issuer broke",
    ),
    ("endless", true, "an event of the stream is too long"),
    ("noise", true, "an event of the stream is malformed"),
    ("large", true, "an event of the stream is too long"),
];

#[test]
fn a_server_that_means_ill_can_only_withhold() {
    pair(None, |issuer, host, _| {
        issuer.write("/root/server.py", SERVER);
        issuer
            .sh(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=jit \
                 -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:10.77.0.1 -keyout /root/own.key -out /root/own.pem",
            )
            .ok();
        let grant = elevate_as(host, "alice", "--for 30m");
        let others = Bystanders::start(host, Duration::from_millis(200));
        let holder = Bystanders::holder(host, Duration::from_millis(200));
        issuer
            .sh("systemctl stop jit-issuer-https.socket jit-issuer.service")
            .ok();
        for (trick, certified, says) in TRICKS {
            play(issuer, host, trick, certified, says);
        }
        others.noticed_nothing();
        holder.noticed_nothing();

        issuer
            .sh("systemctl start jit-issuer-https.socket jit-issuer.service")
            .ok();
        host.sh("systemctl restart jit-link").ok();
        wait_for_issuer(host);
        issuer
            .run(&["jitctl", "revoke", &grant.id, "--reason", "the test"])
            .ok();
        host.wait_for(
            "the end of the right",
            PATIENCE,
            "! runuser -u alice -- sudo -n true 2>/dev/null",
        );
        elevate_as(host, "alice", "--for 1m");
        host.run_as("alice", "sudo -n id").ok().says("uid=0(root)");
        host.run(&["jitctl", "log", "verify"]).ok();
    });
}

fn play(issuer: &Host, host: &Host, trick: &str, certified: bool, says: &str) {
    let (cert, key) = if certified {
        ("/etc/jit/tls/issuer.pem", "/etc/jit/tls/issuer.key")
    } else {
        ("/root/own.pem", "/root/own.key")
    };
    issuer
        .sh(&format!(
            "systemd-run --quiet --collect --unit=server python3 /root/server.py {cert} {key} {trick}"
        ))
        .ok();
    issuer.wait_for(
        "the server",
        PATIENCE,
        "ss -Hltn sport = :8443 | grep -q LISTEN",
    );
    // A new start, so that it does not wait for longer after each.
    let since = host.sh("date +%s.%N && systemctl restart jit-link").ok();
    let since = since.text();
    let start = Instant::now();
    host.run_as("alice", "jitctl elevate --for 1m --reason x")
        .refused();
    assert!(start.elapsed() < PATIENCE, "{trick}: {:?}", start.elapsed());
    host.wait_for(
        &format!("{trick} is named"),
        PATIENCE,
        &format!("journalctl -q -u jit-link --since @{since} -o cat | grep -q '{says}'"),
    );
    let peak = host
        .sh("awk '/^VmHWM/ { print $2 }' /proc/$(systemctl show --property=MainPID --value jit-link)/status")
        .ok();
    let peak: u64 = peak.text().parse().expect("kB");
    assert!(peak < MOST_KIB, "{trick}: the link took {peak} kB");
    host.sh("systemctl is-active jit-agent jit-link").ok();
    issuer.run(&["systemctl", "stop", "server"]).ok();
}
