//! The door su: a grant that opens it stands for the password, holds what su starts, and nobody else notices.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use jit_tests::grants::{elevate_as, give_roles, proof, records, wait_until};
use jit_tests::{Host, Output, Release};
use serde_json::{Value, json};

const ROLES: &str = r#"
[roles.shell]
max = "1h"
doors = ["su"]
runas = ["root", "bob"]
commands = "ALL"
shell = true
auth = "none"

[roles.proven]
max = "1h"
doors = ["su"]
runas = ["root"]
commands = "ALL"
shell = true
auth = "password"

[roles.single]
max = "1h"
doors = ["su"]
runas = ["root"]
commands = "ALL"
shell = true
once = true
auth = "none"

[[approve]]
roles = ["shell", "proven", "single"]
effect = "automatic"
"#;

/// What carol and root do with su, and a managed user must not notice about them.
#[track_caller]
fn others_go_on(host: &Host) {
    host.run_as("carol", "echo root-secret | su -c 'id -u'")
        .ok()
        .says("0");
    host.run_as("carol", "echo wrong | su -c 'id -u'")
        .refused()
        .says("Authentication failure")
        .hides("jit:");
    host.sh("su -c 'id -u' && su - alice -c 'id -un' && runuser -u alice -- id -un")
        .ok()
        .says("0\nalice\nalice");
}

/// She knows root's password: nothing but the want of a grant can be the reason.
fn alice_tries(host: &Host, su: &str) -> Output {
    host.run_as("alice", &format!("echo root-secret | {su}"))
        .refused()
        .hides("uid=")
        .says("jit: ")
}

fn uses(host: &Host) -> Vec<Value> {
    let all = records(host).into_iter();
    all.filter(|r| r["type"] == "use").collect()
}

fn files(host: &Host) -> String {
    host.sh("cd /etc/pam.d && stat -c '%n %a %u:%g' su su-l && sha256sum su su-l && ls -A | grep -v sudo-jit")
        .ok()
        .stdout
}

fn a_grant_opens_su(release: Release) {
    let host = Host::ready_on(release);
    give_roles(&host, ROLES);
    let before = files(&host);
    let shown = host.run(&["jitctl", "setup", "pam", "--dry-run"]).ok();
    shown
        .says("+++ /etc/pam.d/su\n")
        .hides("+++ /etc/pam.d/su-l");
    assert_eq!(files(&host), before, "a dry run");
    host.run(&["jitctl", "setup", "pam"])
        .ok()
        .says("tested: `su -c true` as root")
        .says("`su carol -c true` as carol");
    host.run(&["jitctl", "setup", "pam"])
        .ok()
        .says("su is wired already");
    others_go_on(&host);

    // Without a grant, and with one for another door.
    let said = alice_tries(&host, "su -c id");
    said.says("jitctl elevate --role proven --for 15m");
    alice_tries(&host, "su - -c id");
    let limited = elevate_as(&host, "alice", "--role restart-web --for 5m");
    alice_tries(&host, "su -c id").says("the grant does not open su");
    host.run_as("alice", &format!("jitctl drop {}", limited.id))
        .ok();

    let grant = elevate_as(&host, "alice", "--role shell --for 5m");
    let unit = format!("/jit.slice/jit-{}.service", grant.id);
    for (su, uid) in [
        ("su -c 'id; cat /proc/self/cgroup'", "uid=0"),
        ("su - -c 'id; cat /proc/self/cgroup'", "uid=0"),
        ("su - bob -c 'id; cat /proc/self/cgroup'", "uid=1002"),
    ] {
        host.run_as("alice", &format!("{su} </dev/null"))
            .ok()
            .says(uid)
            .says(&unit);
    }
    alice_tries(&host, "su dave -c id").says("the grant does not allow to run as user dave");
    let used = uses(&host);
    assert_eq!(used.len(), 3, "one record a use: {used:#?}");
    assert_eq!(used[0]["grant"], grant.id.as_str());
    assert_eq!(used[0]["detail"]["by"], "su");
    assert_eq!(used[2]["runas"], "bob");
    assert_eq!(
        used[2]["command"],
        json!(["su", "-", "bob", "-c", "id; cat /proc/self/cgroup"])
    );
    host.run_as("alice", "jitctl drop --all").ok();

    // A shell on a terminal, and what it left behind, end with the grant. The use is journaled before anything runs.
    let started = "test $(jitctl log show --json | grep -c '\"type\":\"use\"') = 4 || exit 9; setsid sleep 4321 & sleep 4322";
    let grant = elevate_as(&host, "alice", "--role shell --for 15s");
    host.write("/root/started", started);
    host.sh("systemd-run --quiet --uid=alice --unit=hers --collect script -qc \"su - -c '. /root/started'\" /dev/null")
        .ok();
    host.wait_for(
        "her processes start",
        Duration::from_secs(12),
        "pgrep -fxu root 'sleep 4321' && pgrep -fxu root 'sleep 4322'",
    );
    wait_until(grant.ends_at);
    host.wait_for(
        "they are gone",
        Duration::from_secs(10),
        "! pgrep -fx 'sleep 432[12]'",
    );
    proof(&host, &grant.id, Duration::from_secs(10));
    alice_tries(&host, "su -c id");

    // Limits that su cannot keep, and a password of her own.
    elevate_as(&host, "alice", "--role single --for 1m");
    alice_tries(&host, "su -c id").says("it is for one use");
    host.run_as("alice", "jitctl drop --all").ok();
    elevate_as(&host, "alice", "--role proven --for 5m");
    let tries = |secret: &str| host.run_as("alice", &format!("echo {secret} | su -c id"));
    tries("alice-secret").ok().says("uid=0");
    tries("root-secret").refused().hides("uid=");

    host.run_as("alice", "jitctl drop --all").ok();

    // Where the host's limits let standing rights count, the target's password is one; and it is no use of a grant.
    host.sh("cp -p /etc/jit/ceiling.toml /root/ && echo 'standing_rules = \"allow\"' >>/etc/jit/ceiling.toml && systemctl reload jit-agent")
        .ok();
    host.wait_for(
        "it counts",
        Duration::from_secs(5),
        "runuser -u alice -- sh -c 'echo root-secret | su -c true'",
    );
    host.run_as("alice", "echo wrong | su -c id")
        .refused()
        .says("Authentication failure");
    host.sh("cp -p /root/ceiling.toml /etc/jit/ && systemctl reload jit-agent")
        .ok();
    host.wait_for(
        "it counts no more",
        Duration::from_secs(20),
        "! runuser -u alice -- sh -c 'echo root-secret | su -c true'",
    );
    let proven = uses(&host);
    let proven: Vec<_> = proven.iter().filter(|r| r["role"] == "proven").collect();
    assert_eq!(proven.len(), 1, "her own password was one use: {proven:#?}");

    // Without the agent.
    host.run(&[
        "systemctl",
        "stop",
        "jit-agent.socket",
        "jit-gate.socket",
        "jit-link.socket",
        "jit-agent.service",
    ])
    .ok();
    let start = SystemTime::now();
    host.run_as("alice", "su -c id </dev/null")
        .refused()
        .says("jit: the agent did not answer")
        .hides("uid=");
    // Of that su itself waits for two to three seconds after any refusal.
    assert!(start.elapsed().unwrap() < Duration::from_secs(12));
    others_go_on(&host);
    host.run(&[
        "systemctl",
        "start",
        "jit-agent.socket",
        "jit-gate.socket",
        "jit-link.socket",
        "jit-agent.service",
    ])
    .ok();

    host.run(&["jitctl", "setup", "pam", "--undo"])
        .ok()
        .says("put back /etc/pam.d/su");
    assert_eq!(files(&host), before, "undone");
    host.sh("grep -q jit_approval /etc/sudo.conf && sudo -n true")
        .ok();
    host.run(&["jitctl", "setup", "pam", "--undo"])
        .ok()
        .says("su is not wired to jit: nothing to undo");
}

const SU_WORKS: &str = "su -c true && su - -c true && \
    runuser -u carol -- sh -c 'echo root-secret | su -c true 2>/dev/null'";

#[test]
fn a_setup_or_undo_of_su_that_is_killed_midway_harms_nobody_and_sudo_stays_wired() {
    let host = Host::ready();
    let before = files(&host);
    let call = "rename,renameat,renameat2";
    for (command, undone) in [
        ("jitctl setup pam", false),
        ("jitctl setup pam --undo", true),
    ] {
        for n in 1.. {
            if undone {
                host.run(&["jitctl", "setup", "pam"]).ok();
            }
            let trace = format!(
                "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={n}"
            );
            let killed = host.sh(&format!("{trace} {command}"));
            host.sh(SU_WORKS).ok();
            host.run(&["jitctl", "setup", "pam", "--undo"]).ok();
            host.sh("find /etc -name '.*.jit-new' -delete; find /etc -name '.jit-*' -delete")
                .ok();
            assert_eq!(files(&host), before, "{command} killed at {n}");
            host.sh("grep -q jit_approval /etc/sudo.conf && sudo -n true")
                .ok();
            if killed.code == 0 {
                assert!(n > 1, "{command} was never killed");
                break;
            }
            killed.exits(137);
        }
    }
}

#[test]
fn su_is_put_back_alone_and_doctor_finds_what_was_changed_in_it() {
    let host = Host::ready();
    let before = files(&host);
    // Unconfirmed, su alone goes back.
    host.run(&["jitctl", "setup", "pam", "--revert-after", "20s"])
        .ok()
        .says("su stays so");
    host.run(&["jitctl", "doctor"]).ok().says("su is put back");
    host.wait_for(
        "it is taken back",
        Duration::from_secs(60),
        "test ! -e /var/lib/jit/wiring/unconfirmed && ! systemctl -q is-active jit-setup-revert.service",
    );
    assert_eq!(files(&host), before, "unconfirmed");
    host.sh("grep -q jit_approval /etc/sudo.conf && sudo -n true")
        .ok();
    host.run(&["jitctl", "setup", "pam", "--revert-after", "1h"])
        .ok();
    host.run(&["jitctl", "setup", "confirm"])
        .ok()
        .says("su stays wired");

    for (id, plant) in [
        (
            "pam-su-not-wired",
            "sed -i '/^# >>> jit/,/^# <<< jit/d' /etc/pam.d/su",
        ),
        (
            "pam-su-order",
            "sed -i '1i auth sufficient pam_permit.so' /etc/pam.d/su",
        ),
        ("pam-su-order", "sed -i '/default=done/d' /etc/pam.d/su"),
        (
            "pam-su-not-wired",
            "sed -i '1i auth sufficient pam_rootok.so' /etc/pam.d/su-l",
        ),
        ("pam-su-mode", "chmod 0666 /etc/pam.d/su"),
        ("pam-su-missing", "rm /etc/pam.d/su"),
        ("pam-copy", "mv /usr/libexec/jit/pam_jit.so /root/"),
    ] {
        host.sh("rm -rf /root/wired; cp -pr /etc/pam.d /root/wired")
            .ok();
        host.sh(plant).ok();
        host.run(&["jitctl", "doctor"])
            .exits(7)
            .says(&format!("{id}:"));
        host.sh("cp -p /root/wired/su* /etc/pam.d/; test -e /usr/libexec/jit/pam_jit.so || mv /root/pam_jit.so /usr/libexec/jit/")
            .ok();
    }
    host.run(&["jitctl", "doctor"])
        .ok()
        .says("gate: /usr/bin/su: PAM asks")
        .hides("through su");

    // The tree of an image, by its own programs.
    host.sh("jitctl setup pam --undo && mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir upper work image && \
             mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/image")
        .ok();
    host.run(&["jitctl", "setup", "pam", "--root=/mnt/image"])
        .ok();
    assert_eq!(files(&host), before, "the host itself");
    host.sh("grep -q pam_jit /mnt/image/etc/pam.d/su && chroot /mnt/image su -c true")
        .ok();
    host.run(&["jitctl", "setup", "pam", "--undo", "--root", "/mnt/image"])
        .ok();
    host.sh("cmp /mnt/image/etc/pam.d/su /etc/pam.d/su").ok();
}

#[test]
fn packages_removed_while_su_is_in_use_leave_a_working_su_and_nothing_of_the_grant() {
    let host = Host::ready();
    give_roles(&host, ROLES);
    let before = files(&host);

    // Without the record, removal is refused before a file goes.
    host.run(&["jitctl", "setup", "pam"]).ok();
    host.sh("cp -p /etc/sudo.conf /root/ && sed -i '/^Plugin/d' /etc/sudo.conf && mv /var/lib/jit/wiring /root/")
        .ok();
    host.run(&["dpkg", "--remove", "jit-agent"])
        .refused()
        .says("take the lines with /usr/libexec/jit/ out of su and su-l");
    host.sh(SU_WORKS).ok();
    host.sh("mv /root/wiring /var/lib/jit/ && mv /root/sudo.conf /etc/")
        .ok();

    let unpacked = "dpkg --unpack /root/packages/jit-agent_*.deb; dpkg --remove jit-agent";
    for removal in ["dpkg --remove jit-agent", unpacked] {
        if removal == unpacked {
            host.install();
        }
        host.sh("jitctl setup local && jitctl setup pam").ok();
        elevate_as(&host, "alice", "--role shell --for 5m");
        host.sh("systemd-run --quiet --uid=alice --unit=hers --collect su -c 'sleep 4321'")
            .ok();
        host.wait_for(
            "it runs",
            Duration::from_secs(5),
            "pgrep -fxu root 'sleep 4321'",
        );
        host.sh(removal).ok();
        host.sh("pgrep -fxa 'sleep 4321'").exits(1);
        host.sh(SU_WORKS).ok();
        assert_eq!(files(&host), before, "{removal}");
    }
}

#[test]
fn a_grant_opens_su_on_debian_12() {
    a_grant_opens_su(Release::Bookworm);
}

#[test]
fn a_grant_opens_su_on_debian_13() {
    a_grant_opens_su(Release::Trixie);
}
