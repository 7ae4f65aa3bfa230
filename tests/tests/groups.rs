//! Grants of groups without sudo: who has the membership, for how long, and what keeps it beyond its end.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::grants::{elevate, give_roles, proof};
use jit_tests::{Host, Shell};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(5);
/// With the search for files, which has five seconds.
const PROVEN: Duration = Duration::from_secs(12);

const ROLES: &str = r#"
[roles.team]
max = "1h"
doors = []
groups = ["team"]
auth = "none"

[roles.watched]
max = "1h"
doors = []
groups = ["team"]
auth = "none"
on_end = "report"

[roles.shadow]
max = "1h"
doors = []
groups = ["shadow"]
auth = "none"

[roles.twin]
max = "1h"
doors = []
groups = ["ops"]
auth = "none"

[[approve]]
roles = ["team", "watched", "shadow", "twin"]
effect = "automatic"
"#;

/// The group, what it may read, and what looks like what an ending takes away but is not.
const DISK: &str = r#"
set -e
groupadd team
groupadd -o -g "$(getent group sudo | cut -d: -f3)" ops
install -d /srv/other
mount -t tmpfs tmpfs /srv/other
chmod 1777 /srv/other
install -d /srv/again
mount --bind /srv/other /srv/again
echo secret >/srv/team.txt; chown root:team /srv/team.txt; chmod 0640 /srv/team.txt
install -o alice -g team -m 2755 /usr/bin/id /srv/before
install -o bob -g team -m 2755 /usr/bin/id /srv/of-bob
sleep 1.1
"#;

fn groups_of(host: &Host, login: &str) -> Vec<String> {
    let said = host.run_as(login, "id -nG").ok();
    said.text().split(' ').map(str::to_owned).collect()
}

fn in_team(host: &Host, login: &str) -> bool {
    groups_of(host, login).iter().any(|g| g == "team")
}

fn mode(host: &Host, path: &str) -> String {
    host.run(&["stat", "--format=%a", path])
        .ok()
        .text()
        .to_owned()
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut all: Vec<&str> = list
        .as_array()
        .map(|l| l.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    all.sort_unstable();
    all
}

fn give_back(shell: &mut Shell, id: &str) {
    shell.run(&format!("jitctl drop {id}")).ok();
}

#[test]
#[allow(clippy::too_many_lines)]
fn a_group_is_given_without_sudo_and_taken_from_processes_and_files() {
    let host = Host::ready();
    host.sh(DISK).ok();
    host.run(&["usermod", "-aG", "jit-eligible,team", "bob"])
        .ok();
    give_roles(&host, ROLES);
    let mut alice = host.shell("alice");
    assert!(!in_team(&host, "alice"));

    // Root by another name is refused, by name and by number.
    alice
        .run("jitctl elevate --role shadow --for 5m --reason x")
        .exits(3)
        .says("equals root");
    alice
        .run("jitctl elevate --role twin --for 5m --reason x")
        .refused()
        .says("has the number of sudo");
    assert!(
        !groups_of(&host, "alice")
            .iter()
            .any(|g| g == "ops" || g == "sudo")
    );
    host.wait_for(
        "nothing is left of it",
        SOON,
        "test -z \"$(find /run/userdb /run/jit/given -type f 2>/dev/null)\"",
    );

    // A new login has it, without newgrp; it opens no door.
    let grant = elevate(&mut alice, "--for 10m --role team");
    assert!(in_team(&host, "alice"));
    alice.run("sudo -n id").refused();
    alice.run("cat /srv/team.txt").refused();
    let mut second = host.shell("alice");
    second.run("cat /srv/team.txt").ok().says("secret");
    // All that she can do to keep it.
    second
        .run(
            "for d in ~ /tmp /srv/other ~/deep/er; do mkdir -p $d; cp /usr/bin/id $d/kept; chgrp team $d/kept; chmod 2755 $d/kept; done; \
             cp /usr/bin/sleep ~/nap; chgrp team ~/nap; chmod 2755 ~/nap; \
             mkdir ~/shared; chgrp team ~/shared; chmod 2775 ~/shared; \
             cp /usr/bin/id ~/plain; chgrp team ~/plain; ln -s /srv ~/deep/link; \
             (setsid sleep 7301 &) ; nohup sleep 7302 >/dev/null 2>&1 &",
        )
        .ok();
    // Her first shell does not have the group, and what it runs gets it from the file.
    alice.run("~/kept -ng; ~/nap 7303 &").ok().says("team");
    alice.run("sleep 7304 &").ok();
    // A lease would make an open of the file wait (fcntl(2)).
    host.write(
        "/tmp/lease.py",
        "import fcntl, os, time\nf = os.open('/home/alice/kept', os.O_RDONLY)\nfcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)\nprint('held', flush=True)\ntime.sleep(600)\n",
    );
    alice.run("python3 /tmp/lease.py >/tmp/leased 2>&1 &").ok();
    host.wait_for("the lease", SOON, "grep -q held /tmp/leased");
    give_back(&mut alice, &grant.id);
    assert!(!in_team(&host, "alice"));
    second.wait_closed(SOON);
    let record = proof(&host, &grant.id, PROVEN);
    let detail = &record["detail"];
    assert_eq!(record["decision"], "proven", "{record}");
    // Each once, though /srv/other is seen at two places; and only what was made while she held the group.
    assert_eq!(
        sorted(&detail["setgid_stripped"]),
        [
            "/home/alice/deep/er/kept",
            "/home/alice/kept",
            "/home/alice/nap",
            "/srv/other/kept",
            "/tmp/kept",
        ],
        "{record}"
    );
    assert_eq!(detail["setgid_unseen"], Value::Null, "{record}");
    for (path, expected) in [
        ("/home/alice/kept", "755"),
        ("/home/alice/deep/er/kept", "755"),
        ("/srv/other/kept", "755"),
        ("/srv/before", "2755"),
        ("/srv/of-bob", "2755"),
        ("/home/alice/shared", "2775"),
    ] {
        assert_eq!(mode(&host, path), expected, "{path}");
    }
    alice.run("~/kept -ng").ok().hides("team");
    alice.run("chmod g+s ~/kept; ~/kept -ng").hides("team");
    let alive = host.sh("pgrep -ax 'sleep|nap' | grep -o '730.'; true");
    assert_eq!(alive.text(), "7304", "{alive}");

    // Only reported: the shell goes on, the files stay as they are, and both are named.
    let grant = elevate(&mut alice, "--for 10m --role watched");
    let mut second = host.shell("alice");
    second
        .run("chgrp team ~/plain; chmod 2755 ~/plain; sleep 7305 &")
        .ok();
    give_back(&mut alice, &grant.id);
    let record = proof(&host, &grant.id, PROVEN);
    assert_eq!(record["decision"], "unproven", "{record}");
    assert_eq!(record["detail"]["memberships_gone"], true, "{record}");
    assert_eq!(
        sorted(&record["detail"]["setgid_left"]),
        ["/home/alice/plain"]
    );
    assert!(
        record["detail"]["left"].as_array().unwrap().len() >= 2,
        "{record}"
    );
    second
        .run("cat /srv/team.txt; pkill -x sleep")
        .says("secret");
    assert_eq!(mode(&host, "/home/alice/plain"), "2755");
    drop(second);
    host.sh("rm /home/alice/plain").ok();

    // Of two grants of one group the last takes it, and what was made under the first.
    let one = elevate(&mut alice, "--for 10m --role team");
    let two = elevate(&mut alice, "--for 20m --role team");
    let mut second = host.shell("alice");
    second
        .run("cp /usr/bin/id ~/both; chgrp team ~/both; chmod 2755 ~/both; sleep 1.1")
        .ok();
    give_back(&mut alice, &one.id);
    let record = proof(&host, &one.id, PROVEN);
    assert_eq!(
        record["detail"]["kept_for_others"],
        json!(["jit-team", "team"]),
        "{record}"
    );
    assert!(in_team(&host, "alice"));
    second.run("cat /srv/team.txt").ok();
    assert_eq!(mode(&host, "/home/alice/both"), "2755");
    give_back(&mut alice, &two.id);
    let record = proof(&host, &two.id, PROVEN);
    assert_eq!(
        sorted(&record["detail"]["setgid_stripped"]),
        ["/home/alice/both"],
        "{record}"
    );
    assert!(!in_team(&host, "alice"));

    // What is his for good is not touched: membership, shell, file.
    let mut bob = host.shell("bob");
    let mut own = host.shell("bob");
    let grant = elevate(&mut bob, "--for 10m --role team");
    let made = host.sh("ls /run/userdb");
    assert_eq!(made.text(), "bob:jit-team.membership", "{made}");
    own.run("cp /usr/bin/id ~/own; chgrp team ~/own; chmod 2755 ~/own")
        .ok();
    give_back(&mut bob, &grant.id);
    let record = proof(&host, &grant.id, PROVEN);
    assert_eq!(record["decision"], "proven", "{record}");
    assert_eq!(record["detail"]["setgid_stripped"], Value::Null, "{record}");
    assert!(in_team(&host, "bob"));
    own.run("cat /srv/team.txt").ok().says("secret");
    assert_eq!(mode(&host, "/home/bob/own"), "2755");
}

#[test]
fn caches_of_the_name_service_neither_hide_nor_keep_a_membership() {
    let host = Host::ready_with_name_caches();
    host.sh("groupadd team; printf '[sssd]\\nservices = nss\\ndomains = local\\n[domain/local]\\nid_provider = files\\n' >/etc/sssd/sssd.conf; chmod 0600 /etc/sssd/sssd.conf")
        .ok();
    give_roles(&host, ROLES);
    let mut alice = host.shell("alice");
    let each = [
        &[][..],
        &["nscd.service"],
        &["sssd.service"],
        &["systemd-userdbd.socket", "systemd-userdbd.service"],
        &["nscd.service", "sssd.service", "systemd-userdbd.socket"],
    ];
    host.sh("systemctl stop nscd sssd 'sssd-*.socket' systemd-userdbd.socket systemd-userdbd")
        .ok();
    for running in each {
        if !running.is_empty() {
            host.run(&[&["systemctl", "start"], running].concat()).ok();
        }
        // Now whatever remembers answers remembers this one.
        assert!(!in_team(&host, "alice"), "{running:?}");
        let grant = elevate(&mut alice, "--for 10m --role team");
        assert!(in_team(&host, "alice"), "{running:?}");
        let mut second = host.shell("alice");
        second.run("id -nG").ok().says("team");
        give_back(&mut alice, &grant.id);
        assert!(!in_team(&host, "alice"), "{running:?}");
        second.wait_closed(SOON);
        let record = proof(&host, &grant.id, PROVEN);
        assert_eq!(record["decision"], "proven", "{running:?}: {record}");
        if !running.is_empty() {
            host.run(&[&["systemctl", "stop"], running].concat()).ok();
        }
    }
}

/// He is quicker than the ending of his grant, which waits for what ignores TERM.
#[test]
fn an_ending_leaves_alone_what_runs_by_the_grant_after_it() {
    let host = Host::ready();
    host.run(&["groupadd", "team"]).ok();
    give_roles(&host, ROLES);
    let mut alice = host.shell("alice");
    let start = |seconds: u32| {
        let script = format!("trap '' TERM HUP; setsid sleep {seconds} >/dev/null 2>&1 & echo $!");
        let said = host.run_as("alice", &script).ok();
        said.text().parse::<u64>().unwrap()
    };
    for round in 0..5 {
        let first = elevate(&mut alice, "--for 10m --role team");
        let old = start(7400 + round);
        let file = format!("/home/alice/kept{round}");
        let script = format!("cp /usr/bin/id {file}; chgrp team {file}; chmod 2755 {file}");
        host.run_as("alice", &script).ok();
        assert_eq!(mode(&host, &file), "2755");
        give_back(&mut alice, &first.id);
        let next = elevate(&mut alice, "--for 10m --role team");
        let new = start(7500 + round);

        let record = proof(&host, &first.id, PROVEN);
        assert_eq!(record["decision"], "proven", "{record}");
        let ended = record["detail"]["ended_outside"].to_string();
        assert!(!ended.contains(&new.to_string()), "{new}: {record}");
        host.sh(&format!("kill -0 {new}")).ok();
        assert_eq!(mode(&host, &file), "755", "{record}");

        give_back(&mut alice, &next.id);
        let record = proof(&host, &next.id, PROVEN);
        assert_eq!(record["decision"], "proven", "{record}");
        host.sh(&format!("kill -0 {old} || kill -0 {new}"))
            .refused();
    }
}
