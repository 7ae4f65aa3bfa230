//! What is left over is taken away, and what has ended stays ended: files that no longer verify, units that are being
//! stopped, timers of a silent bus, an old copy of the agent's state.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::Host;
use jit_tests::grants::{elevate, proof, records};

const SOON: Duration = Duration::from_secs(5);
/// An end that is not proven is asked for again after ten seconds.
const AGAIN: Duration = Duration::from_secs(20);
const AGENT: &str = "jit-agent.socket jit-gate.socket jit-link.socket jit-agent.service";

#[test]
fn an_end_is_asked_for_until_it_is_proven() {
    let host = Host::ready();
    let mut alice = host.shell("alice");

    // root stops the unit, and something in it ignores TERM: nothing may be allowed while systemd waits for that.
    let grant = elevate(&mut alice, "--for 5m");
    alice
        .run("sudo bash -c 'trap \"\" TERM HUP; touch /run/deaf; while :; do sleep 1; done' &")
        .ok();
    host.wait_for("it runs", SOON, "test -e /run/deaf");
    let stop = format!(
        "systemctl kill --kill-whom=main jit-{0}.service; systemctl stop --no-block jit-{0}.service; \
         until [ \"$(jitctl log show --json | grep '\"end\"' | grep -c {0})\" = 1 ]; do :; done; pgrep -f 'trap \"\" TERM'",
        grant.id
    );
    host.sh(&stop).ok();
    alice.run("sudo -n id").refused().says("no active grant");
    let shown = proof(&host, &grant.id, SOON);
    assert_eq!(shown["decision"], "proven", "{shown}");

    // A stored grant that verifies no more, and an end that does not get through at first.
    let grant = elevate(&mut alice, "--for 5m");
    let spoil = format!(
        "systemctl stop {AGENT} && sed -i 's/\"bundle\":\"./\"bundle\":\"/' /var/lib/jit/grants/{}.json && \
         chmod a-x /usr/libexec/jit/jit-end && systemctl start {AGENT}",
        grant.id
    );
    host.sh(&spoil).ok();
    let believed = "jitctl log show --json | grep '\"alert\"' | grep 'is not believed'";
    host.wait_for("it is not believed", SOON, believed);
    host.sh("id -nG alice").ok().says("jit-admin");
    alice.run("sudo -n id").refused().says("no active grant");
    host.sh("chmod a+x /usr/libexec/jit/jit-end").ok();
    let shown = proof(&host, &grant.id, AGAIN);
    assert_eq!(shown["decision"], "proven", "{shown}");
    host.sh("id -nG alice").ok().hides("jit-admin");
    host.sh(&format!(
        "ls /var/lib/jit/grants /var/lib/jit/ended /sys/fs/cgroup/jit.slice | grep {}",
        grant.id
    ))
    .refused();

    // systemd cannot be reached: the kernel proves the end all the same, and the timer goes as soon as it can.
    let grant = elevate(&mut alice, "--for 5m");
    host.sh("pkill --signal STOP -x dbus-daemon -u messagebus")
        .ok();
    alice.run("jitctl drop").ok();
    let shown = proof(&host, &grant.id, SOON);
    host.sh("pkill --signal CONT -x dbus-daemon -u messagebus")
        .ok();
    assert_eq!(shown["decision"], "proven", "{shown}");
    assert_eq!(shown["detail"]["timers_gone"], false, "{shown}");
    let none = format!(
        "test -z \"$(systemctl list-units --all --no-legend 'jit-{}*')\"",
        grant.id
    );
    host.wait_for("its timer has gone", AGAIN, &none);
}

#[test]
fn an_old_copy_of_the_state_brings_nothing_back() {
    let mut host = Host::ready();
    let mut alice = host.shell("alice");
    let live = elevate(&mut alice, "--for 10m");
    // A request whose answer is on its way when the copy is made.
    host.sh("systemctl kill --signal=STOP jit-issuer").ok();
    alice.send("jitctl elevate --for 10m --reason pending\n");
    let asked = "ls /var/lib/jit/pending | grep -q json";
    host.wait_for("it is asked for", SOON, asked);
    host.sh("cp -a /var/lib/jit /root/copy && systemctl kill --signal=CONT jit-issuer")
        .ok();
    alice.expect("@@\n");
    alice.run("sudo -n id -u").ok().says("0");
    host.run(&["jitctl", "revoke", &live.id, "--reason", "over"])
        .ok();
    alice.run("jitctl drop --all").ok();
    alice.run("jitctl status").exits(6);
    let ends = |host: &Host| {
        let all = records(host);
        all.iter().filter(|r| r["type"] == "proof").count()
    };
    let proofs = "test $(jitctl log show --json | grep -c '\"type\":\"proof\"') = 2";
    host.wait_for("both are proven", SOON, proofs);

    host.sh(&format!(
        "systemctl stop {AGENT}; rm -rf /var/lib/jit; cp -a /root/copy /var/lib/jit"
    ))
    .ok();
    drop(alice);
    host.reboot();
    let mut alice = host.shell("alice");
    let again = "jitctl log show --json | grep '\"ended-before\"'";
    host.wait_for("the old file is seen through", SOON, again);
    alice.run("id -nG").ok().hides("jit-admin");
    alice.run("sudo -n id").refused();
    alice.run("jitctl status").exits(6);
    // The issuer's stream was read again by now, with the grant that answers the old request.
    let grant = elevate(&mut alice, "--for 10m");
    alice.run("sudo -n id -u").ok().says("0");
    alice.run("jitctl drop").ok().says(&grant.id);
    alice.run("sudo -n id").refused().says("no active grant");
    assert!(ends(&host) >= 3);
    let all = records(&host);
    let given = |r: &&serde_json::Value| r["type"] == "grant";
    assert_eq!(all.iter().filter(given).count(), 3, "{all:#?}");
}
