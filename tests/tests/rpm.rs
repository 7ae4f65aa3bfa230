//! The .rpms, with their scriptlets, on a booted host: what is true of the .debs is true of them. Debian's rpm has no
//! database of what Debian installed, so dependencies are not looked at here.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::{Host, grants, project};

const SUDO_WORKS: &str =
    "sudo -n true && runuser -u carol -- sudo -n true && runuser -u bob -- sh -c '! sudo -n true'";

/// Everything below /etc that no package manager keeps for itself.
const ETC: &str = "cd /etc && find . -path ./jit -prune -o -path ./apparmor.d -prune -o ! -name '*passwd*' ! -name '*group*' ! -name '*shadow*' \
    ! -name '*sub[ug]id*' ! -name ld.so.cache -printf '%p %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {} \\; \
    -o -printf '\\n' \\) | sort";

fn pid(host: &Host) -> String {
    let show = "systemctl show --property=MainPID --value jit-agent";
    host.sh(show).ok().text().to_owned()
}

#[test]
fn rpms_install_upgrade_and_erase_while_a_grant_lives_and_others_call_sudo() {
    let host = Host::with_rpm();
    host.bring(&project::rpms());
    let before = host.sh(ETC).ok().stdout;
    let others = Bystanders::start(&host, Duration::from_millis(100));

    host.sh("rpm --install --nodeps /root/packages/*.rpm").ok();
    assert_eq!(host.sh(ETC).ok().stdout, before);
    let states = "systemctl list-unit-files --no-legend 'jit*' | awk '{print $2}' | sort -u";
    assert_eq!(host.sh(states).ok().text(), "disabled");
    let running = "systemctl list-units --no-legend 'jit*'";
    assert_eq!(host.sh(running).ok().text(), "");
    host.sh("rpm --verify --nodeps jit-agent jitctl jit-issuer")
        .ok();
    host.sh("getent passwd jit-link jit-issuer; getent group jit-eligible")
        .ok();

    host.set_up();
    let mut alice = host.shell("alice");
    let grant = grants::elevate(&mut alice, "--for 10m");
    alice.run("sudo -n id -u").ok().says("0");

    // The same version once more runs what an upgrade runs.
    host.sh("echo '# ours' >>/etc/jit/ceiling.toml").ok();
    let agent = pid(&host);
    host.sh("rpm --upgrade --replacepkgs --nodeps /root/packages/*.rpm")
        .ok();
    assert_ne!(pid(&host), agent);
    host.sh("tail -1 /etc/jit/ceiling.toml").ok().says("# ours");
    let kept = grants::list(&alice.run("jitctl status --json").ok());
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["id"].as_str(), Some(grant.id.as_str()));
    assert_eq!(grants::Grant::read(&kept[0]).ends_at, grant.ends_at);
    alice.run("sudo -n id -u").ok().says("0");
    alice.send("sudo -n sleep 1000 &\n");
    host.wait_for(
        "root's process",
        Duration::from_secs(10),
        "pgrep -u root -x sleep -a | grep -q 1000",
    );

    // The agent first, while everything else of ours still stands.
    host.sh("rpm --erase --nodeps jit-agent").ok();
    host.sh("! pgrep -u root -x sleep -a | grep 1000").ok();
    host.sh(
        "test ! -e /usr/libexec/jit; ! grep -qs jit /etc/sudo.conf && test ! -e /etc/jit/sudoers",
    )
    .ok();
    alice.run("sudo -n true").exits(1);
    assert_eq!(host.sh("id -nG alice").ok().text(), "alice jit-eligible");
    host.sh("rpm --erase --nodeps jit-issuer jitctl").ok();
    others.noticed_nothing();
    host.sh(SUDO_WORKS).ok();
    host.sh("ls /var/log/jit/journal/*.seg").ok();
    let left = "rpm -qa 'jit*'; find /usr/bin /usr/lib /usr/libexec /usr/share /etc/systemd -xdev -name '*jit*'";
    assert_eq!(host.sh(left).ok().text(), "");
    host.run(&["systemctl", "is-system-running"]).ok();
}

#[test]
fn an_erasure_that_cannot_unwire_erases_nothing() {
    let host = Host::with_rpm();
    host.bring(&project::rpms());
    host.sh("rpm --install --nodeps /root/packages/*.rpm").ok();
    host.set_up();
    // What setup wrote is known by its manifest; this line is somebody else's, and needs our file as well.
    host.sh("cp /etc/sudo.conf /root/wired; /usr/libexec/jit/jit-end --unwire; cp /root/wired /etc/sudo.conf; cp -a /etc/sudoers /etc/jit/sudoers")
        .ok();
    host.sh("rpm --erase --nodeps jit-agent").refused();
    host.sh("test -e /usr/libexec/jit/sudo_jit.so").ok();
    host.sh("sudo -n true").ok();
    host.sh("rm /etc/sudo.conf && rpm --erase --nodeps jit-agent")
        .ok();
    host.sh(SUDO_WORKS).ok();
}
