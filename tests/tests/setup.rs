//! A wiring that nobody confirms takes itself back: in its time, at a boot, whoever died meanwhile. And the tree of an image is
//! wired and unwired like a host.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::{Host, Release};

/// Everything below a tree's /etc with type, mode, owner, group and content.
fn etc(host: &Host, root: &str) -> String {
    let script = format!(
        "cd {root}/etc && find . -printf '%p %y %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {{}} \\; -o -printf '\\n' \\) \
         | grep -v '/jit-setup-revert.service \\|^./systemd/system/multi-user.target.wants d' | sort"
    );
    let listed = host.sh(&script).ok().stdout;
    assert!(listed.lines().count() > 300, "{listed}");
    listed
}

const WIRED: &str = "grep -q jit_approval /etc/sudo.conf && test -e /etc/jit/sudoers";
const MARK: &str = "/var/lib/jit/wiring/unconfirmed";

fn unwired_again(host: &Host, before: &str, when: &str) {
    host.wait_for(
        "the mark is gone",
        Duration::from_secs(20),
        &format!("test ! -e {MARK} && ! systemctl -q is-active jit-setup-revert.service"),
    );
    assert_eq!(etc(host, ""), before, "{when}");
    host.sh("sudo -n true && runuser -u carol -- sudo -n true && ! ls /var/lib/jit/wiring/* 2>/dev/null")
        .ok();
}

fn what_nobody_confirms(release: Release) {
    let mut host = Host::boot(release, true);
    let before = etc(&host, "");
    let arm = |after: &str| {
        host.run(&["jitctl", "setup", "sudo", "--revert-after", after])
            .ok()
            .says("jitctl setup confirm")
    };

    // In its time, while others work.
    let others = Bystanders::start(&host, Duration::from_millis(100));
    arm("10s");
    host.sh(WIRED).ok();
    host.run(&["jitctl", "doctor"]).says("unconfirmed: ");
    unwired_again(&host, &before, "after its time");
    others.noticed_nothing();
    host.run(&["jitctl", "setup", "confirm"])
        .exits(1)
        .says("nobody confirmed it in time");

    // Killed at any moment after the first change.
    host.sh("jitctl setup sudo --revert-after 10s & while ! test -e /etc/jit/sudoers; do :; done; kill -KILL $!; wait")
        .ok();
    unwired_again(&host, &before, "after a kill");

    // Confirmed: it stays, also when its time has come and over a boot.
    arm("20s");
    host.run(&["jitctl", "setup", "confirm"])
        .ok()
        .says("sudo stays wired");
    host.sh("systemctl list-timers --all --no-legend | grep jit-setup-revert; test $? = 1")
        .ok();
    host.run(&["jitctl", "setup", "confirm"])
        .ok()
        .says("nothing waited");
    host.reboot();
    host.sh(WIRED).ok();
    host.run(&["jitctl", "setup", "sudo", "--undo"]).ok();
    assert_eq!(etc(&host, ""), before, "undone");

    // A boot before its time, and one that was sudden.
    for sudden in [false, true] {
        host.run(&["jitctl", "setup", "sudo", "--revert-after", "1h"])
            .ok();
        host.sh(WIRED).ok();
        if sudden {
            host.kill();
            host.start();
        } else {
            host.reboot();
        }
        unwired_again(&host, &before, "after a boot");
    }
    host.run(&["jitctl", "setup", "sudo", "--undo", "--revert-after", "5m"])
        .exits(2);
}

#[test]
fn what_nobody_confirms_is_taken_back_on_debian_12() {
    what_nobody_confirms(Release::Bookworm);
}

#[test]
fn what_nobody_confirms_is_taken_back_on_debian_13() {
    what_nobody_confirms(Release::Trixie);
}

#[test]
fn an_image_is_wired_by_its_own_programs_and_the_host_is_not() {
    let host = Host::installed();
    host.sh(
        "mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir upper work image && \
         mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/image",
    )
    .ok();
    let before = etc(&host, "");
    let image = etc(&host, "/mnt/image");
    let dry = [
        "jitctl",
        "setup",
        "sudo",
        "--dry-run",
        "--root",
        "/mnt/image",
    ];
    host.run(&dry).ok().says("+++ /etc/sudo.conf");
    assert_eq!(etc(&host, "/mnt/image"), image, "a dry run");

    host.run(&["jitctl", "setup", "sudo", "--root=/mnt/image"])
        .ok()
        .says("tested: ");
    assert_eq!(etc(&host, ""), before, "the host itself");
    host.sh("grep -q jit_approval /mnt/image/etc/sudo.conf && chroot /mnt/image sudo -n true")
        .ok();
    // The image as a host: what is wired there is whole.
    host.sh("test -e /mnt/image/var/lib/jit/wiring/manifest.json && test ! -e /var/lib/jit/wiring/manifest.json")
        .ok();

    host.run(&["jitctl", "setup", "sudo", "--undo", "--root", "/mnt/image"])
        .ok();
    assert_eq!(etc(&host, "/mnt/image"), image, "undone");
    host.run(&["jitctl", "setup", "sudo", "--root", "/mnt/upper"])
        .exits(1)
        .says("Install the packages in it first");
    host.run_as("alice", "jitctl setup sudo --root /mnt/image")
        .exits(3);
}
