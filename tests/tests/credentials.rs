//! The issuer's keys as encrypted credentials of systemd: signed with, and nowhere on the disk in the clear.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jit_tests::grants::elevate_as;
use jit_tests::{Host, Release};

/// Every key that the running issuer signs with goes into the store and off the disk.
const MOVE: &str = "set -e; mkdir -p -m 0700 /etc/credstore.encrypted; cd /var/lib/jit-issuer/keys
for key in grant revocation state enrol policy witness; do
    systemd-creds encrypt --with-key=host --name=jit.issuer.$key $key.pk8 /etc/credstore.encrypted/jit.issuer.$key
    mv $key.pk8 /root/
done
systemctl restart jit-issuer";

fn keys_lie_encrypted(release: Release) {
    let host = Host::ready_on(release);
    host.sh(MOVE).ok();
    let grant = elevate_as(&host, "alice", "--for 5m");
    host.run_as("alice", "sudo -n id -u").ok().says("0");
    host.run(&["jitctl", "revoke", &grant.id, "--reason", "enough"])
        .ok();
    host.wait_record("its end", |r| {
        r["type"] == "end" && r["grant"] == grant.id.as_str()
    });
    host.run_as("alice", "sudo -n id -u").refused();

    // The store of another machine is worth nothing here: no key, no issuer, no right.
    host.sh(
        "sed -i '1s/./A/' /etc/credstore.encrypted/jit.issuer.grant; systemctl restart jit-issuer",
    )
    .refused();
    host.sh("mv /root/*.pk8 /var/lib/jit-issuer/keys/ && rm -r /etc/credstore.encrypted && systemctl reset-failed jit-issuer && systemctl restart jit-issuer")
        .ok();
    elevate_as(&host, "alice", "--for 5m");
    host.run_as("alice", "sudo -n id -u").ok().says("0");
}

#[test]
fn keys_of_the_issuer_lie_encrypted_on_debian_12() {
    keys_lie_encrypted(Release::Bookworm);
}

#[test]
fn keys_of_the_issuer_lie_encrypted_on_debian_13() {
    keys_lie_encrypted(Release::Trixie);
}
