//! Installing changes no login and no sudo; removing, at any step, leaves a sudo that works.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jit_tests::{Host, grants};

/// Everything below /etc with its mode, owner and content, but the files that hold users and groups.
const ETC: &str = "cd /etc && find . -path ./jit -prune -o -path ./apparmor.d -prune -o ! -name '*passwd*' ! -name '*group*' ! -name '*shadow*' \
    ! -name '*sub[ug]id*' ! -name ld.so.cache -printf '%p %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {} \\; \
    -o -printf '\\n' \\) | sort";

const SUDO_WORKS: &str =
    "sudo -n true && runuser -u carol -- sudo -n true && runuser -u bob -- sh -c '! sudo -n true'";

#[test]
fn installing_enables_starts_and_wires_nothing() {
    let host = Host::plain();
    let before = host.sh(ETC).ok().stdout;
    assert!(before.lines().count() > 300, "{before}");
    host.install();
    assert_eq!(host.sh(ETC).ok().stdout, before);
    let states = host
        .sh("systemctl list-unit-files --no-legend 'jit*' | awk '{print $2}' | sort | uniq -c")
        .ok();
    assert_eq!(
        states.text().split_whitespace().collect::<Vec<_>>(),
        // What is static is started by another unit of ours, and by nobody else.
        ["9", "disabled", "1", "static"],
        "{states}"
    );
    assert_eq!(
        host.sh("systemctl list-units --no-legend 'jit*'")
            .ok()
            .text(),
        ""
    );
    host.sh(SUDO_WORKS).ok();
    // Made for it, and empty.
    assert!(
        host.sh("getent group jit-eligible")
            .ok()
            .text()
            .ends_with(':')
    );
    for user in ["jit-link", "jit-issuer"] {
        host.sh(&format!("getent passwd {user}"))
            .ok()
            .says("nologin");
    }
    host.sh("stat -c '%a %U' /var/lib/jit /var/log/jit/journal | sort -u")
        .ok()
        .says("700 root");
    host.sh("dpkg --verify jit-agent jitctl jit-issuer")
        .ok()
        .hides("/");
}

#[test]
fn reinstalling_keeps_what_the_admin_wrote() {
    let host = Host::installed();
    host.sh("echo '# ours' >>/etc/jit/ceiling.toml; rm /etc/jit/policy/roles.toml")
        .ok();
    host.install();
    host.sh("tail -1 /etc/jit/ceiling.toml").ok().says("# ours");
    host.sh("test ! -e /etc/jit/policy/roles.toml").ok();
}

#[test]
fn an_upgrade_restarts_what_runs_and_nothing_else() {
    let host = Host::installed();
    host.run(&["systemctl", "start", "jit-agent.service"]).ok();
    let pid = || {
        host.run(&[
            "systemctl",
            "show",
            "--property=MainPID",
            "--value",
            "jit-agent",
        ])
        .ok()
        .stdout
    };
    let before = pid();
    host.install();
    assert_ne!(pid(), before);
    host.run(&["systemctl", "is-active", "jit-agent.service"])
        .ok();
    host.run(&["systemctl", "is-active", "jit-link.service"])
        .exits(3);
}

#[test]
fn removing_leaves_sudo_and_purging_leaves_the_journal() {
    let host = Host::ready();
    host.sh("grep -q sudo_jit.so /etc/sudo.conf").ok();
    host.sh(SUDO_WORKS).ok();
    // The agent first, while everything else of ours still stands.
    host.run(&["dpkg", "--remove", "jit-agent"]).ok();
    host.sh(SUDO_WORKS).ok();
    host.sh("! grep -q jit /etc/sudo.conf; test ! -e /etc/jit/sudoers")
        .ok();
    assert_eq!(
        host.sh("systemctl list-units --all --no-legend 'jit*' | grep -v jit-issuer")
            .stdout,
        ""
    );
    host.run(&["dpkg", "--remove", "jit-issuer", "jitctl"]).ok();
    host.sh(SUDO_WORKS).ok();
    host.run(&["dpkg", "--purge", "jit-agent", "jit-issuer", "jitctl"])
        .ok()
        .says("the journal stays");
    host.sh(SUDO_WORKS).ok();
    let left = host.sh("find / -xdev \\( -name 'jit*' -o -path '*/jit/*' \\) -not -path '/proc/*' -not -path '/root/*'").ok();
    let rest: Vec<&str> = left
        .stdout
        .lines()
        .filter(|path| !path.starts_with("/var/log/jit"))
        .collect();
    assert_eq!(rest, Vec::<&str>::new());
    host.sh("ls /var/log/jit/journal/*.seg").ok();
    host.run(&["systemctl", "is-system-running"]).ok();
}

#[test]
fn the_only_way_to_root_is_removed_by_nobody_who_does_not_say_so() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let grant = grants::elevate(&mut alice, "--for 10m");
    // Dave, with his password, is the last who does not pass jit.
    host.sh("passwd --lock root; rm /etc/sudoers.d/carol; gpasswd --delete carol sudo; gpasswd --delete dave sudo")
        .ok();
    host.sh("runuser -u carol -- sudo -n true").refused();
    host.run(&["dpkg", "--remove", "jit-agent"])
        .refused()
        .says("nobody could become root")
        .says("JIT_FORCE_REMOVE=yes");
    // Nothing was changed by that.
    host.sh("dpkg --status jit-agent | grep -x 'Status: .* ok installed'; systemctl is-active jit-agent.socket jit-agent jit-link")
        .ok();
    alice.run("sudo -n id -u").ok().says("0");
    let kept = grants::list(&alice.run("jitctl status --json").ok());
    assert_eq!(grants::Grant::read(&kept[0]).ends_at, grant.ends_at);
    // A key is a way, where sshd takes it; so is a password.
    host.sh("mkdir -pm 700 /root/.ssh; echo ssh-ed25519 AAAA >/root/.ssh/authorized_keys; mkdir -p /run/sshd /etc/ssh/sshd_config.d
             echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/no.conf; ssh-keygen -A")
        .ok();
    host.run(&["dpkg", "--remove", "jit-agent"]).refused();
    host.sh("rm /root/.ssh/authorized_keys").ok();

    host.sh("JIT_FORCE_REMOVE=yes dpkg --remove jit-agent").ok();
    host.sh("sudo -n true").ok();
    alice.run("sudo -n true").refused();
    assert_eq!(host.sh("id -nG alice").ok().text(), "alice jit-eligible");
    host.sh("lsattr -R /var/log/jit | grep -q -- '-a-'").ok();
    host.sh("JIT_PURGE_JOURNAL=yes dpkg --purge jit-agent; test ! -e /var/log/jit")
        .ok();
}

#[test]
fn removing_packages_that_were_never_set_up_works() {
    let host = Host::installed();
    host.run(&["dpkg", "--purge", "jit-agent", "jit-issuer", "jitctl"])
        .ok();
    host.sh(SUDO_WORKS).ok();
    host.sh("test ! -e /var/log/jit").ok();
}
