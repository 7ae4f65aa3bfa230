//! Wiring sudo and taking it back: every file as it was, nobody else's sudo touched, at every step and after every
//! accident.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::{Host, Output, Release, grants};

/// Everything below /etc with type, mode, owner, group and content. Users and groups are made by packages and by
/// setup, and stay.
const ETC: &str = "cd /etc && find . ! -name '*passwd*' ! -name '*group*' ! -name '*shadow*' ! -name '*sub[ug]id*' \
    ! -name ld.so.cache -printf '%p %y %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {} \\; -o -printf '\\n' \\) | sort";

const SUDO_WORKS: &str = "sudo -n true && runuser -u carol -- sudo -n true";

fn etc(host: &Host) -> String {
    let listed = host.sh(ETC).ok().stdout;
    assert!(listed.lines().count() > 300, "{listed}");
    listed
}

/// Fails with the lines that differ.
#[track_caller]
fn same(before: &str, after: &str, when: &str) {
    let gone: Vec<_> = before
        .lines()
        .filter(|l| !after.lines().any(|a| a == *l))
        .collect();
    let new: Vec<_> = after
        .lines()
        .filter(|l| !before.lines().any(|b| b == *l))
        .collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{when}, /etc differs: without {gone:#?}, with {new:#?}"
    );
}

/// Names, numbers and times of the wiring's files: shows also a file written anew with the same bytes.
fn inodes(host: &Host) -> String {
    host.sh("stat -c '%n %i %Y %Z' /etc/sudo.conf /etc/jit/sudoers /etc/pam.d/sudo-jit /var/lib/jit/wiring/*")
        .ok()
        .stdout
}

#[test]
fn setup_and_its_undo_leave_no_trace_whatever_was_there_before() {
    let host = Host::installed();
    host.sh("cp -p /etc/sudo.conf /root/stock").ok();
    for (what, prepare) in [
        ("the stock sudo.conf", "true"),
        ("no sudo.conf", "rm /etc/sudo.conf"),
        (
            "lines of the admin, mode 0600",
            "printf 'Set group_source static\\nPlugin sudoers_policy sudoers.so\\nSet disable_coredump false' \
             >/etc/sudo.conf; chmod 0600 /etc/sudo.conf",
        ),
        (
            "another group, mode 0640",
            "printf '# ours\\r\\n\\nPath askpass /usr/bin/true\\n' >/etc/sudo.conf; chgrp adm /etc/sudo.conf; \
             chmod 0640 /etc/sudo.conf",
        ),
        (
            "files of our names",
            "echo '# mine' >/etc/pam.d/sudo-jit; chmod 0604 /etc/pam.d/sudo-jit; \
             echo '# mine too' >/etc/jit/sudoers; chown 0:4 /etc/jit/sudoers",
        ),
    ] {
        host.sh("cp -p /root/stock /etc/sudo.conf").ok();
        host.sh(prepare).ok();
        let before = etc(&host);

        let shown = host.run(&["jitctl", "setup", "sudo", "--dry-run"]).ok();
        for file in ["/etc/sudo.conf", "/etc/jit/sudoers", "/etc/pam.d/sudo-jit"] {
            shown.clone().says(&format!("+++ {file}"));
        }
        shown.says("\n+Plugin jit_approval /usr/libexec/jit/sudo_jit.so\n");
        same(&before, &etc(&host), &format!("after a dry run on {what}"));
        host.sh("test ! -e /var/lib/jit/wiring/manifest.json").ok();

        host.run(&["jitctl", "setup", "sudo"])
            .ok()
            .says("tested: `sudo -n true` as root")
            .says("as carol");
        assert_ne!(etc(&host), before);
        host.sh("grep -c '^Plugin jit_' /etc/sudo.conf")
            .ok()
            .says("2");
        host.sh(SUDO_WORKS).ok();
        let wired = inodes(&host);
        host.run(&["jitctl", "setup", "sudo"])
            .ok()
            .says("wired already");
        assert_eq!(inodes(&host), wired, "a second setup wrote");

        host.run(&["jitctl", "setup", "sudo", "--undo"]).ok();
        same(&before, &etc(&host), &format!("undone on {what}"));
        host.sh(SUDO_WORKS).ok();
        host.run(&["jitctl", "setup", "sudo", "--undo"])
            .ok()
            .says("nothing to undo");
        same(&before, &etc(&host), "undone twice");
        host.sh("rm -f /etc/pam.d/sudo-jit /etc/jit/sudoers").ok();
    }
}

#[test]
fn an_edit_made_since_setup_is_kept_and_said() {
    let host = Host::installed();
    let before = etc(&host);
    host.run(&["jitctl", "setup", "sudo"]).ok();
    let edit = "echo 'Set probe_interfaces false' >>/etc/sudo.conf; echo 'Defaults lecture=never' >>/etc/jit/sudoers";
    host.sh(edit).ok();
    host.run(&["jitctl", "setup", "sudo", "--undo"])
        .ok()
        .says("/etc/sudo.conf was changed since setup; the changed file is kept as /etc/sudo.conf.jit-changed")
        .says("kept as /etc/jit/sudoers.jit-changed");
    host.sh("tail -n1 /etc/sudo.conf.jit-changed /etc/jit/sudoers.jit-changed")
        .ok()
        .says("Set probe_interfaces false")
        .says("Defaults lecture=never");
    host.sh("rm /etc/sudo.conf.jit-changed /etc/jit/sudoers.jit-changed")
        .ok();
    same(&before, &etc(&host), "undone after an edit");

    // A setup in between takes the admin's line into what undo gives back; an edit of our own file is set aside.
    host.run(&["jitctl", "setup", "sudo"]).ok();
    host.sh(edit).ok();
    host.run(&["jitctl", "setup", "sudo"])
        .ok()
        .says("kept the edited /etc/jit/sudoers in /var/lib/jit/wiring");
    host.sh("! grep -q lecture /etc/jit/sudoers && tail -1 /var/lib/jit/wiring/*.edited")
        .ok()
        .says("Defaults lecture=never");
    host.run(&["jitctl", "setup", "sudo", "--undo"]).ok();
    host.sh("tail -1 /etc/sudo.conf")
        .ok()
        .says("Set probe_interfaces false");
    host.sh("sed -i '$d' /etc/sudo.conf").ok();
    same(&before, &etc(&host), "undone, but for the admin's own line");
}

#[test]
fn a_setup_that_would_break_sudo_changes_nothing() {
    let host = Host::installed();
    host.run(&["cp", "-pr", "/etc", "/root/etc"]).ok();
    for (prepare, says, repair) in [
        // Loads no more, though all its symbols are there: only calling sudo shows it.
        (
            "sed -i.bak 's/libgcc_s.so.1/libgcc_x.so.1/' /usr/libexec/jit/sudo_jit.so",
            "`sudo -n true` as root ended with 0 before and ends with 1 now",
            "mv /usr/libexec/jit/sudo_jit.so.bak /usr/libexec/jit/sudo_jit.so",
        ),
        (
            "echo 'carol ALL=(' >/etc/sudoers.d/broken",
            "visudo refuses the file that includes /etc/sudoers",
            "rm /etc/sudoers.d/broken",
        ),
        (
            "chmod 0664 /etc/sudo.conf",
            "/etc/sudo.conf has mode 0664, so sudo ignores it",
            "chmod 0644 /etc/sudo.conf",
        ),
        (
            "echo 'Plugin audit_json audit_json.so' >>/etc/sudo.conf",
            "loads another plugin",
            "cp -p /root/etc/sudo.conf /etc/",
        ),
        (
            "echo 'Defaults group_plugin=\"system_group.so\"' >/etc/sudoers.d/groups",
            "/etc/sudoers.d/groups:1",
            "rm /etc/sudoers.d/groups",
        ),
        (
            "sed -i 's/^group:.*/group: files/' /etc/nsswitch.conf",
            "does not name systemd",
            "cp -p /root/etc/nsswitch.conf /etc/",
        ),
        (
            "passwd -l root; gpasswd -M carol,dave jit-eligible",
            "No way to root is left without jit",
            "passwd -u root; gpasswd -M '' jit-eligible",
        ),
    ] {
        host.sh(prepare).ok();
        let before = etc(&host);
        let said = host.run(&["jitctl", "setup", "sudo"]).exits(1).says(says);
        same(
            &before,
            &etc(&host),
            &format!("after a failed setup\n{said}"),
        );
        host.sh("ls /var/lib/jit/wiring").hides("manifest.json");
        // Drop-ins with a fault, and a file that sudo ignores, make a noise and nothing else.
        host.sh(SUDO_WORKS).ok();
        host.sh(repair).ok();
    }
    host.run(&["jitctl", "setup", "sudo"]).ok();
}

#[test]
fn a_setup_or_an_undo_that_is_killed_midway_harms_nobody_and_can_be_undone() {
    let host = Host::installed();
    let before = etc(&host);
    // Files are put in place by rename: the N-th of them is the last thing that the program does.
    let killed = |n: u32, command: &str| {
        let call = "rename,renameat,renameat2";
        let trace = format!(
            "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={n}"
        );
        host.sh(&format!("{trace} {command}"))
    };
    let mut kills = 0;
    for n in 1.. {
        let setup = killed(n, "jitctl setup sudo");
        host.sh(SUDO_WORKS).ok();
        let done = setup.code == 0;
        if !done {
            kills += 1;
            setup.exits(137);
        }
        host.run(&["/usr/libexec/jit/jit-end", "--unwire"]).ok();
        // A file that was never put in place may lie around under a name that nothing reads.
        host.sh("find /etc -name '.*.jit-new' -delete").ok();
        same(&before, &etc(&host), &format!("setup killed at {n}"));
        if done {
            break;
        }
    }
    assert!(kills >= 6, "setup was killed {kills} times only");
    for n in 1.. {
        host.run(&["jitctl", "setup", "sudo"]).ok();
        let undo = killed(n, "/usr/libexec/jit/jit-end --unwire");
        host.sh(SUDO_WORKS).ok();
        host.run(&["jitctl", "setup", "sudo", "--undo"]).ok();
        host.sh("find /etc -name '.jit-*' -delete").ok();
        same(&before, &etc(&host), &format!("undo killed at {n}"));
        if undo.code == 0 {
            assert!(n > 1, "undo was never killed");
            break;
        }
        undo.exits(137);
    }
}

/// With her password, so that nothing but the want of a right can be the reason.
fn alice_tries(host: &Host) -> Output {
    host.run_as(
        "alice",
        "echo alice-secret | sudo -S -k id 2>&1; exit ${PIPESTATUS[1]}",
    )
}

#[test]
fn a_sudo_conf_without_our_lines_gives_a_managed_user_nothing_and_others_what_they_had() {
    let host = Host::installed();
    host.sh("cp -p /etc/sudo.conf /root/stock").ok();
    host.set_up();
    host.run(&["cp", "-p", "/etc/sudo.conf", "/root/wired"])
        .ok();
    for (what, plant, noise) in [
        ("stock", "cp -p /root/stock /etc/sudo.conf", ""),
        ("mode", "chmod 0664 /etc/sudo.conf", "group writable"),
        (
            "owner",
            "chown alice /etc/sudo.conf",
            "is owned by uid 1001",
        ),
        ("gone", "rm /etc/sudo.conf", ""),
    ] {
        host.sh(plant).ok();
        for granted in [false, true] {
            let said = alice_tries(&host).refused().hides("uid=0");
            // Not our gates: they are not loaded.
            said.says("not in the sudoers file").says(noise);
            for (who, script) in [
                ("root", "sudo -n id -u"),
                ("carol", "runuser -u carol -- sudo -n id -u"),
                (
                    "dave",
                    "runuser -u dave -- sh -c 'echo dave-secret | sudo -S -k -p \"\" id -u'",
                ),
            ] {
                let output = host.sh(script).ok();
                assert_eq!(output.text(), "0", "{who}, {what}\n{output}");
            }
            if !granted {
                host.run_as("alice", "jitctl elevate --for 1m --reason test")
                    .ok();
            }
        }
        host.sh("rm -f /etc/sudo.conf; cp -p /root/wired /etc/sudo.conf")
            .ok();
        host.run_as("alice", "sudo -n id").ok().says("uid=0");
        host.run_as("alice", "jitctl drop --all").ok();
    }
}

/// Sets up, lets alice run something for long, and returns the grant.
fn in_use(host: &Host) -> grants::Grant {
    host.set_up();
    let mut alice = host.shell("alice");
    let grant = grants::elevate(&mut alice, "--for 5m");
    host.sh("systemd-run --quiet --uid=alice --unit=user-of-root --collect sudo -n sleep 4321")
        .ok();
    let started = "pgrep -fxu root 'sleep 4321'";
    host.wait_for("her process starts", Duration::from_secs(5), started);
    grant
}

/// Nothing of a grant is in force, and nothing of ours runs.
#[track_caller]
fn all_is_gone(host: &Host) {
    host.sh("pgrep -fxa 'sleep 4321'").exits(1);
    host.sh("id -nG alice").ok().hides("jit-admin");
    host.sh("ls -A /run/userdb").hides(".membership");
    host.sh("pgrep -a '^jit-'").exits(1);
    let units = host.sh("systemctl list-units --all --plain --no-legend 'jit*'; systemctl list-timers --all --no-legend 'jit*'");
    assert_eq!(units.ok().text(), "");
    host.run_as("alice", "sudo -n id").refused().hides("uid=0");
    host.run(&["systemctl", "is-system-running"]).ok();
}

#[test]
fn packages_removed_in_any_order_while_a_grant_is_in_use_leave_sudo_and_nothing_of_it() {
    let host = Host::plain();
    let before = etc(&host);
    let others = Bystanders::start(&host, Duration::ZERO);
    // Before anything was set up.
    host.install();
    host.run(&["dpkg", "--purge", "jit-agent", "jitctl", "jit-issuer"])
        .ok();
    same(&before, &etc(&host), "never set up");
    for (how, order) in [
        ("--purge", "jit-agent jitctl jit-issuer"),
        ("--remove", "jit-agent; jitctl; jit-issuer"),
        ("--purge", "jitctl; jit-issuer; jit-agent"),
        ("--remove", "jit-issuer; jit-agent; jitctl"),
    ] {
        host.install();
        in_use(&host);
        for packages in order.split("; ") {
            let words = packages.split(' ');
            let argv: Vec<&str> = ["dpkg", how].into_iter().chain(words).collect();
            host.run(&argv).ok();
        }
        all_is_gone(&host);
        let after = if how == "--purge" {
            etc(&host)
        } else {
            // Their conffiles are the admin's.
            let all = etc(&host);
            host.run(&["dpkg", "--purge", "jit-agent", "jitctl", "jit-issuer"])
                .ok();
            assert!(all.contains("./jit/ceiling.toml") && !all.contains("./jit/sudoers"));
            let lines = all
                .lines()
                .filter(|l| !l.starts_with("./jit") && !l.starts_with("./apparmor.d"));
            lines.map(|l| format!("{l}\n")).collect()
        };
        same(&before, &after, &format!("{how} {order}"));
    }
    others.noticed_nothing();
}

#[test]
fn an_upgrade_while_a_grant_is_in_use_disturbs_nobody() {
    let host = Host::installed();
    let grant = in_use(&host);
    let wired = etc(&host);
    let others = Bystanders::start(&host, Duration::ZERO);
    host.install();
    same(&wired, &etc(&host), "upgraded");
    host.sh("pgrep -fxa 'sleep 4321'").ok();
    let now = host.run_as("alice", "jitctl status --json").ok();
    let still = grants::Grant::read(&grants::list(&now)[0]);
    assert_eq!((still.id, still.ends_at), (grant.id, grant.ends_at));
    host.wait_for(
        "she goes on as soon as the new agent has heard from the issuer",
        Duration::from_secs(5),
        "runuser -u alice -- sudo -n true",
    );
    others.noticed_nothing();
}

#[test]
fn a_package_removed_in_the_middle_of_an_upgrade_leaves_sudo_and_nothing_of_it() {
    let host = Host::installed();
    in_use(&host);
    let others = Bystanders::start(&host, Duration::ZERO);
    host.sh("mkdir -p /root/packages").ok();
    let package = jit_tests::project::packages()
        .into_iter()
        .find(|p| p.display().to_string().contains("/jit-agent_"))
        .expect("the package of the agent");
    host.copy_in(&package, "/root/packages/agent.deb");
    // Killed among the files that it renames into place, early and late; then again from the start.
    for n in [2, 12, 30] {
        let trace = format!(
            "strace -f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when={n}"
        );
        host.sh(&format!("{trace} dpkg --install /root/packages/agent.deb"))
            .exits(137);
        host.sh(SUDO_WORKS).ok();
    }
    host.run(&["dpkg", "--install", "/root/packages/agent.deb"])
        .ok();
    host.wait_for(
        "the grant lives on",
        Duration::from_secs(5),
        "runuser -u alice -- sudo -n true",
    );
    // A crash after unpacking: dpkg then calls no prerm when the package is removed.
    host.run(&["dpkg", "--unpack", "/root/packages/agent.deb"])
        .ok();
    host.sh(SUDO_WORKS).ok();
    host.run(&["dpkg", "--remove", "jit-agent"]).ok();
    others.noticed_nothing();
    host.run(&["dpkg", "--remove", "jit-issuer"]).ok();
    all_is_gone(&host);
    host.sh("! grep jit /etc/sudo.conf; ls /etc/jit/sudoers /etc/pam.d/sudo-jit /usr/libexec/jit")
        .exits(2);
}

#[test]
fn a_package_whose_record_of_the_wiring_is_lost_is_not_removed() {
    let host = Host::installed();
    host.run(&["jitctl", "setup", "sudo"]).ok();
    host.run(&["rm", "-r", "/var/lib/jit/wiring"]).ok();
    let others = Bystanders::start(&host, Duration::ZERO);
    host.run(&["dpkg", "--remove", "jit-agent"])
        .refused()
        .says("take the lines with /usr/libexec/jit/ and /etc/jit/sudoers out of it");
    host.sh("dpkg --status jit-agent | grep -x 'Status: .* ok installed'")
        .ok();
    host.sh("sed -i '/^Plugin/d' /etc/sudo.conf").ok();
    host.run(&["dpkg", "--remove", "jit-agent"]).ok();
    others.noticed_nothing();
}

const SUDO_RS_WORKS: &str = "sudo-rs -n true && runuser -u carol -- sudo-rs -n true";

#[test]
fn both_sudos_of_debian_13_are_wired_by_one_setup_and_given_back_to_the_byte() {
    let host = Host::boot(Release::Trixie, true);
    let before = etc(&host);
    let shown = host.run(&["jitctl", "setup", "sudo", "--dry-run"]).ok();
    for file in ["pam.d/sudo", "pam.d/sudo-i", "sudoers-rs", "sudo.conf"] {
        shown.clone().says(&format!("+++ /etc/{file}"));
    }
    shown.says("+%jit-admin ALL=(ALL:ALL) NOSETENV: ALL");
    same(&before, &etc(&host), "after a dry run");

    host.set_up();
    let said = host
        .run(&["jitctl", "setup", "sudo"])
        .ok()
        .says("wired already");
    said.says("/usr/bin/sudo is sudo 1.9.16p2: its plugin and PAM ask")
        .says("/usr/bin/sudo-rs is sudo-rs 0.2.5: PAM alone asks");
    host.run(&["jitctl", "doctor"])
        .ok()
        .says("gate: /usr/bin/sudo is sudo")
        .says("gate: /usr/bin/sudo-rs is sudo-rs")
        .hides("known-holes");
    for (who, script) in [("alice", "sudo-rs -n id -u"), ("bob", "sudo-rs -n id -u")] {
        host.run_as(who, script).refused().hides("0\n");
    }
    host.sh(SUDO_WORKS).ok();
    host.sh(SUDO_RS_WORKS).ok();

    host.run_as("alice", "jitctl elevate --for 1m --reason test")
        .ok();
    for sudo in ["sudo", "sudo-rs"] {
        host.run_as("alice", &format!("{sudo} -n id -u"))
            .ok()
            .says("0");
    }
    let uses: Vec<_> = grants::records(&host)
        .into_iter()
        .filter(|r| r["type"] == "use")
        .collect();
    assert_eq!(uses.len(), 2, "one record a use: {uses:#?}");
    assert_eq!(uses[1]["detail"]["by"], "sudo-rs");
    assert_eq!(
        uses[1]["command"],
        serde_json::json!(["sudo-rs", "-n", "id", "-u"])
    );

    // What follows from the role table is written by setup: doctor says when it is due.
    let roles = "sed -i 's/^%jit-admin/%jit-other/' /etc/sudoers-rs";
    host.sh(roles).ok();
    host.run(&["jitctl", "doctor"])
        .ok()
        .says("sudoers-rs-outdated");
    host.run_as("alice", "sudo-rs -n id -u").refused();
    host.run(&["jitctl", "setup", "sudo"]).ok();
    host.run_as("alice", "sudo-rs -n id -u").ok();

    for (id, plant) in [
        (
            "sudo-rs-not-wired",
            "cp /root/etc/pam.d/sudo* /etc/pam.d/; rm /etc/sudoers-rs",
        ),
        ("pam-sudo-order", "cp /root/etc/pam.d/sudo /etc/pam.d/"),
        (
            "pam-sudo-order",
            "sed -i '1i auth sufficient pam_permit.so' /etc/pam.d/sudo-i",
        ),
        ("pam-sudo-mode", "chmod 0666 /etc/pam.d/sudo"),
        ("sudoers-rs-missing", "rm /etc/sudoers-rs"),
        ("sudoers-rs-mode", "chmod 0666 /etc/sudoers-rs"),
        (
            "sudoers-rs-not-wired",
            "echo '@include /etc/sudoers' >/etc/sudoers-rs",
        ),
        ("sudoers-rs-syntax", "echo 'nonsense(' >>/etc/sudoers-rs"),
    ] {
        host.sh("rm -rf /root/wired; cp -pr /etc /root/wired; mkdir -p /root/etc/pam.d; \
            for f in sudo sudo-i; do sed '/^# >>> jit/,/^# <<< jit/d' /etc/pam.d/$f >/root/etc/pam.d/$f; done")
            .ok();
        host.sh(plant).ok();
        host.run(&["jitctl", "doctor"])
            .exits(7)
            .says(&format!("{id}:"));
        host.sh("cp -p /root/wired/pam.d/sudo* /etc/pam.d/; cp -p /root/wired/sudoers-rs /etc/")
            .ok();
    }
    host.run(&["jitctl", "doctor"]).ok();

    host.run_as("alice", "jitctl drop --all").ok();
    host.run(&["jitctl", "setup", "sudo", "--undo"]).ok();
    // Services stay enabled.
    let after = etc(&host);
    let lines = after.lines().filter(|l| !l.starts_with("./systemd/"));
    let after: String = lines.map(|l| format!("{l}\n")).collect();
    let lines = before.lines().filter(|l| !l.starts_with("./systemd/"));
    let before: String = lines.map(|l| format!("{l}\n")).collect();
    same(&before, &after, "undone");
    host.sh(SUDO_WORKS).ok();
    host.sh(SUDO_RS_WORKS).ok();
}

#[test]
fn a_setup_with_two_sudos_that_is_killed_midway_harms_neither_and_can_be_undone() {
    let host = Host::boot(Release::Trixie, true);
    let before = etc(&host);
    let call = "rename,renameat,renameat2";
    for n in 1.. {
        let trace = format!(
            "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={n}"
        );
        let setup = host.sh(&format!("{trace} jitctl setup sudo"));
        host.sh(SUDO_WORKS).ok();
        host.sh(SUDO_RS_WORKS).ok();
        host.run(&["/usr/libexec/jit/jit-end", "--unwire"]).ok();
        host.sh("find /etc -name '.*.jit-new' -delete").ok();
        same(&before, &etc(&host), &format!("setup killed at {n}"));
        if setup.code == 0 {
            assert!(n > 12, "setup was killed {n} times only");
            break;
        }
        setup.exits(137);
    }

    // Rules that the judge of sudo-rs refuses are never put in force.
    host.sh("echo 'Defaults:%jit-eligible no_such_setting' >>/usr/lib/jit/wiring/sudoers-rs")
        .ok();
    host.run(&["jitctl", "setup", "sudo"])
        .exits(1)
        .says("visudo of sudo-rs refuses /etc/sudoers-rs");
    same(&before, &etc(&host), "refused");
    host.sh(SUDO_RS_WORKS).ok();
    host.install();

    // Removal, also of a package that was unpacked and never configured: sudo asks for no file that is gone.
    let others = Bystanders::start(&host, Duration::ZERO);
    for removal in [
        "dpkg --remove jit-agent",
        "dpkg --unpack /root/packages/jit-agent_*.deb; dpkg --remove jit-agent",
    ] {
        host.run(&["jitctl", "setup", "local"]).ok();
        host.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
        host.run_as("alice", "jitctl elevate --for 5m --reason test")
            .ok();
        host.run_as("alice", "sudo-rs -n true").ok();
        host.sh("systemd-run --quiet --uid=alice --unit=hers --collect sudo-rs -n sleep 4321")
            .ok();
        host.wait_for(
            "it runs",
            Duration::from_secs(5),
            "pgrep -fxu root 'sleep 4321'",
        );
        host.sh(removal).ok();
        host.sh("pgrep -fxa 'sleep 4321'").exits(1);
        host.sh(SUDO_RS_WORKS).ok();
        host.run_as("alice", "sudo-rs -n id")
            .refused()
            .hides("uid=0");
        host.sh("! grep -l jit /etc/pam.d/sudo /etc/pam.d/sudo-i /etc/sudo.conf && test ! -e /etc/sudoers-rs")
            .ok();
        host.sh("dpkg --install /root/packages/jit-agent_*.deb")
            .ok();
    }
    others.noticed_nothing();
    host.run(&["jitctl", "setup", "sudo"]).ok();
    host.run(&["rm", "-r", "/var/lib/jit/wiring"]).ok();
    host.sh("sed -i '/^Plugin/d' /etc/sudo.conf").ok();
    host.run(&["dpkg", "--remove", "jit-agent"])
        .refused()
        .says("take the lines with /usr/libexec/jit/ out of sudo and sudo-i");
    host.sh(SUDO_RS_WORKS).ok();
}
