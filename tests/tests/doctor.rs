//! `jitctl doctor`: quiet on a sound host, and for each fault of the wiring a finding with what mends it.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::{Host, Output};
use serde_json::Value;

/// Runs the words that the finding itself gives.
const AS_IT_SAYS: &str = "";

/// What the fault does to sudo.
#[derive(Clone, Copy, PartialEq)]
enum Sudo {
    /// Nobody notices, and a grant still works.
    Works,
    /// A grant gives nothing; everyone else's sudo works.
    WithoutGrants,
    /// Nobody's works.
    Dead,
}

use Sudo::{Dead, WithoutGrants, Works};

/// Id of the finding, what makes the fault, what it does, what mends it.
type Fault = (&'static str, &'static str, Sudo, &'static str);

const SUDO_CONF: &[Fault] = &[
    (
        "sudo-conf-missing",
        "rm /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-not-wired",
        "cp /root/stock /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-ignored",
        "chmod 0664 /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-ignored",
        "chmod 0646 /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-ignored",
        "chown alice /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-line-missing",
        "sed -i '/^Plugin jit_audit/d' /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-line-missing",
        "sed -i '/^Plugin jit_approval/d' /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-line-missing",
        "sed -i '/^Plugin sudoers_io/d' /etc/sudo.conf",
        Works,
        AS_IT_SAYS,
    ),
    // The rule and the scope still hold; PAM and standing rules are as without us.
    (
        "sudo-conf-order",
        "sed -i '/^Plugin jit_/d; $aPlugin jit_audit /usr/libexec/jit/sudo_jit.so\\nPlugin jit_approval /usr/libexec/jit/sudo_jit.so' \
         /etc/sudo.conf",
        Works,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-sudoers-file",
        "sed -i 's,sudoers_file=/etc/jit/sudoers,sudoers_file=/etc/sudoers,' /etc/sudo.conf",
        WithoutGrants,
        AS_IT_SAYS,
    ),
    (
        "sudo-conf-group-source",
        "sed -i 's/^Set group_source dynamic/Set group_source adaptive/' /etc/sudo.conf",
        Works,
        AS_IT_SAYS,
    ),
    (
        "plugin-missing",
        "mv /usr/libexec/jit/sudo_jit.so /root/",
        Dead,
        "mv /root/sudo_jit.so /usr/libexec/jit/",
    ),
    (
        "plugin-symbol",
        "cp -p /usr/libexec/jit/sudo_jit.so /root/ && sed -i 's/jit_audit/jit_audix/g' /usr/libexec/jit/sudo_jit.so",
        Dead,
        "mv /root/sudo_jit.so /usr/libexec/jit/",
    ),
    (
        "plugin-unsafe",
        "chmod 0666 /usr/libexec/jit/sudo_jit.so",
        Works,
        "chmod 0644 /usr/libexec/jit/sudo_jit.so",
    ),
    (
        "plugin-unsafe",
        "chown alice /usr/libexec/jit/sudo_jit.so",
        Works,
        "chown root:root /usr/libexec/jit/sudo_jit.so",
    ),
    (
        "plugin-unsafe",
        "chmod 0777 /usr/libexec/jit",
        Works,
        "chmod 0755 /usr/libexec/jit",
    ),
];

const THE_REST: &[Fault] = &[
    ("sudoers-missing", "rm /etc/jit/sudoers", Dead, AS_IT_SAYS),
    (
        "sudoers-edited",
        "echo 'bob ALL=(ALL) /usr/bin/true' >>/etc/jit/sudoers",
        Works,
        "jitctl setup sudo",
    ),
    (
        "sudoers-mode",
        "chmod 0666 /etc/jit/sudoers",
        Dead,
        AS_IT_SAYS,
    ),
    (
        "sudoers-mode",
        "chown alice /etc/jit/sudoers",
        Dead,
        AS_IT_SAYS,
    ),
    (
        "sudoers-syntax",
        "echo 'carol ALL=(' >/etc/sudoers.d/broken",
        Works,
        "rm /etc/sudoers.d/broken",
    ),
    (
        "pam-service-missing",
        "rm /etc/pam.d/sudo-jit",
        Works,
        AS_IT_SAYS,
    ),
    (
        "pam-service-mode",
        "chmod 0666 /etc/pam.d/sudo-jit",
        Works,
        AS_IT_SAYS,
    ),
    // Source: himmelblau #1561 shipped this line, and a denial counted for nothing.
    (
        "pam-service-order",
        "sed -i 's/^account .*pam_jit.so/account [success=ok default=ignore] pam_jit.so/' /etc/pam.d/sudo-jit",
        Works,
        AS_IT_SAYS,
    ),
    (
        "pam-service-order",
        "sed -i '2iaccount sufficient pam_permit.so' /etc/pam.d/sudo-jit",
        Works,
        AS_IT_SAYS,
    ),
    (
        "pam-module-missing",
        "mv /usr/lib/*/security/pam_jit.so /root/",
        WithoutGrants,
        "mv /root/pam_jit.so /usr/lib/*-linux-gnu*/security/",
    ),
    (
        "nsswitch-group",
        "cp -p /etc/nsswitch.conf /root/; sed -i 's/^group:.*/group: files/' /etc/nsswitch.conf",
        Works,
        "cp -p /root/nsswitch.conf /etc/",
    ),
    (
        "jit-end-missing",
        "mv /usr/libexec/jit/jit-end /root/",
        Works,
        "mv /root/jit-end /usr/libexec/jit/",
    ),
    (
        "no-way-to-root",
        "passwd --lock root; gpasswd -a carol jit-eligible; gpasswd -a dave jit-eligible",
        Works,
        "passwd --unlock root; gpasswd -d carol jit-eligible; gpasswd -d dave jit-eligible",
    ),
    (
        "unit-not-enabled",
        "systemctl disable jit-reconcile.service",
        Works,
        AS_IT_SAYS,
    ),
    (
        "unit-masked",
        "systemctl mask jit-link.service",
        Works,
        AS_IT_SAYS,
    ),
    (
        "unit-missing",
        "cd /usr/lib/systemd/system; mv jit-reconcile.service /root/; systemctl daemon-reload",
        Works,
        "mv /root/jit-reconcile.service /usr/lib/systemd/system/; systemctl daemon-reload; systemctl enable jit-reconcile",
    ),
    (
        "agent-unreachable",
        "systemctl stop jit-link jit-agent.socket jit-gate.socket jit-link.socket jit-agent",
        WithoutGrants,
        "systemctl start jit-agent.socket jit-gate.socket jit-link.socket jit-agent jit-link",
    ),
];

/// A wired host where alice holds a grant and bob, as eligible, holds none.
fn host() -> Host {
    let host = Host::installed();
    host.sh("cp -p /etc/sudo.conf /root/stock").ok();
    // Nothing of ours in use, nothing to complain of.
    let said = doctor(&host, 0);
    assert!(
        ids(&said, "note").contains(&"not-set-up".to_owned()),
        "{said:#}"
    );
    host.set_up();
    host.sh("gpasswd -a bob jit-eligible").ok();
    host.run_as("alice", "jitctl elevate --for 30m --reason test")
        .ok();
    host
}

#[track_caller]
fn doctor(host: &Host, code: i32) -> Value {
    let said = host.run(&["jitctl", "doctor", "--json"]).exits(code).json();
    assert_eq!(said["ok"], code == 0);
    assert_eq!(said["schema_version"], 1);
    said
}

fn ids(said: &Value, level: &str) -> Vec<String> {
    let all = said["findings"].as_array().expect("findings");
    let those = all.iter().filter(|f| f["level"] == level);
    those
        .map(|f| f["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// With their passwords, so that only the want of a right can be the reason.
fn tries(host: &Host, who: &str) -> Output {
    host.run_as(
        who,
        &format!("echo {who}-secret | sudo -S -k id; exit ${{PIPESTATUS[1]}}"),
    )
}

fn each_is_found_and_mended(host: &Host, faults: &[Fault]) {
    doctor(host, 0);
    for (id, plant, sudo, mend) in faults {
        host.sh(plant).ok();
        let said = doctor(host, 7);
        let all = said["findings"].as_array().expect("findings");
        let found = all
            .iter()
            .find(|f| f["id"] == *id && f["level"] == "fault")
            .unwrap_or_else(|| panic!("{plant}: no {id} in {said:#}"));
        let fix = found["fix"].as_str().expect("what mends it");
        host.run(&["jitctl", "doctor"])
            .exits(7)
            .says(&format!("fault   {id}: "))
            .says(&format!("fix: {fix}"));

        // Eligible and without a grant, he gets nothing, whatever is broken.
        tries(host, "bob").refused().hides("uid=0");
        let alice = tries(host, "alice");
        let works = ["root", "carol"].map(|who| host.run_as(who, "sudo -n true").code == 0);
        let standing = if *sudo == Dead {
            // Root has other ways.
            !works[1]
        } else if *id == "no-way-to-root" {
            // Managed now: her standing right sleeps.
            works == [true, false]
        } else {
            works == [true, true]
        };
        assert!(standing, "{plant}: root and carol: {works:?}");
        assert_eq!(alice.code == 0, *sudo == Works, "{plant}\n{alice}");

        host.sh(if *mend == AS_IT_SAYS { fix } else { mend }).ok();
        if mend.contains("systemctl") || fix.contains("systemctl") {
            let answers = "jitctl status --json | grep -q '\"issuer\":\"ok\"'";
            host.wait_for("the agent is back", Duration::from_secs(10), answers);
        }
        let left = ids(&doctor(host, 0), "fault");
        assert_eq!(left, Vec::<String>::new(), "{plant}");
        host.run_as("alice", "sudo -n id").ok().says("uid=0");
    }
}

#[test]
fn each_fault_of_sudo_conf_and_the_plugin_is_found_and_mended() {
    let host = host();
    each_is_found_and_mended(&host, SUDO_CONF);
}

#[test]
fn each_fault_of_the_other_files_and_units_is_found_and_mended() {
    let host = host();
    each_is_found_and_mended(&host, THE_REST);

    // What looks wrong but harms nobody is said and is no fault.
    for (id, plant, mend) in [
        (
            "sudo-conf-foreign-plugin",
            "echo 'Plugin audit_json audit_json.so' >>/etc/sudo.conf",
            "sed -i '$d' /etc/sudo.conf",
        ),
        (
            "sudoers-skipped-file",
            "echo 'bob ALL=(ALL) ALL' >/etc/sudoers.d/bob.rules",
            "rm /etc/sudoers.d/bob.rules",
        ),
        (
            "jit-in-sudoers",
            "echo '%:jit-active ALL=(ALL) ALL' >/etc/sudoers.d/ours",
            "rm /etc/sudoers.d/ours",
        ),
        (
            "group-plugin-taken",
            "echo 'Defaults group_plugin=\"system_group.so\"' >/etc/sudoers.d/groups",
            "rm /etc/sudoers.d/groups",
        ),
        (
            "record-missing",
            "mv /var/lib/jit/wiring/manifest.json /root/",
            "mv /root/manifest.json /var/lib/jit/wiring/",
        ),
    ] {
        host.sh(plant).ok();
        let said = doctor(&host, 0);
        assert!(
            ids(&said, "warning").contains(&id.to_owned()),
            "{plant}: {said:#}"
        );
        host.sh(mend).ok();
        assert!(
            !ids(&doctor(&host, 0), "warning").contains(&id.to_owned()),
            "{mend}"
        );
    }
    // Rights that stand are notes, and so is a link or an issuer that is away.
    host.run(&["systemctl", "stop", "jit-issuer"]).ok();
    let gone = "jitctl status --json | grep -q '\"issuer\":\"down\"'";
    host.wait_for("the agent misses the issuer", Duration::from_secs(5), gone);
    let notes = ids(&doctor(&host, 0), "note");
    for id in ["standing-right", "other-doors", "issuer-health"] {
        assert!(notes.contains(&id.to_owned()), "{notes:?}");
    }
    host.run(&["jitctl", "doctor"])
        .ok()
        .says("gives a standing right to carol, dave: %sudo ALL=(ALL:ALL) ALL")
        .says("carol ALL=(ALL:ALL) NOPASSWD: ALL")
        .says("reached through su");
    // Without root it sees less and says so.
    host.run_as("alice", "jitctl doctor").ok().says("not-root");
}
