//! The end of a grant takes everything: the right, the membership, and each process that ran with it, however it tries
//! to stay; at the deadline and early, with the agent dead, and over a reboot.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use jit_tests::grants::{Grant, elevate, list, proof, records, wait_until};
use jit_tests::{Host, Shell};

/// For the right, the membership and what heeds a signal.
const SOON: Duration = Duration::from_secs(1);
/// For what ignores TERM and HUP.
const LATER: Duration = Duration::from_secs(3);

/// The end of what an open shell shows before the next command.
const PROMPT: &str = "@@\n";

/// All ways to run with a grant. Each wrote its pid into a file of its name below `/run/pids`.
const ALL: [&str; 5] = ["background", "daemon", "login", "stubborn", "su"];

/// Alice at three terminals, logged in before any grant.
struct Alice {
    desk: Shell,
    /// Here she becomes root with `sudo -i`, there with `sudo su -`.
    login: Shell,
    su: Shell,
}

impl Alice {
    fn at(host: &Host) -> Self {
        let [desk, login, su] = ["alice"; 3].map(|user| host.shell(user));
        Self { desk, login, su }
    }

    /// Runs with the grant in every way, and fails unless all of it runs.
    #[track_caller]
    fn work(&mut self, host: &Host) {
        host.sh("rm -rf /run/pids; mkdir /run/pids").ok();
        for script in [
            "sudo sh -c 'echo $$ >/run/pids/background; exec sleep 1000' &",
            "sudo sh -c 'setsid nohup sh -c \"echo \\$\\$ >/run/pids/daemon; exec sleep 1000\" >/dev/null 2>&1 &'",
            "sudo bash -c 'trap \"\" TERM HUP; echo $$ >/run/pids/stubborn; while :; do sleep 1; done' &",
        ] {
            self.desk.run(script).ok();
        }
        for (shell, command, name) in [
            (&mut self.login, "sudo -i", "login"),
            (&mut self.su, "sudo su -", "su"),
        ] {
            shell.send(&format!("{command}\n"));
            shell.expect("root@testhost:~# ");
            shell.send(&format!(
                "echo $$ >/run/pids/{name}; printf 'now-%d\\n' $UID\n"
            ));
            shell.expect("now-0\n");
        }
        host.wait_for(
            "everything runs",
            Duration::from_secs(10),
            "test \"$(find /run/pids -size +0 | grep -c pids/)\" = 5",
        );
        assert_eq!(alive(host), ALL);
    }

    /// Fails unless the grant is gone within the limits after `end`, with all that [`Alice::work`] started.
    #[track_caller]
    fn lost_everything(&mut self, host: &Host, grant: &Grant, end: SystemTime, soon: Duration) {
        wait_until(end + soon);
        let left = alive(host);
        host.sh("id -nG alice").ok().hides("jit-admin");
        self.desk.run("sudo -n id").refused().hides("uid=0");
        assert!(left.iter().all(|name| name == "stubborn"), "left: {left:?}");
        // Her own shells are back.
        for shell in [&mut self.login, &mut self.su] {
            shell.expect(PROMPT);
            shell.run("id -u").ok().says("1001");
        }
        wait_until(end + LATER);
        assert_eq!(alive(host), Vec::<String>::new());
        host.sh("pgrep -fx 'sleep 10*'").exits(1);
        host.sh(&format!("ls /sys/fs/cgroup/jit.slice/*{}*", grant.id))
            .refused();
        host.run_as("alice", "jitctl drop").refused();
    }
}

/// Which of them run.
#[track_caller]
fn alive(host: &Host) -> Vec<String> {
    let script = "for file in /run/pids/*; do ps -o stat= -p $(cat $file) | grep -qv Z && basename $file; done; true";
    let output = host.sh(script).ok();
    output.stdout.lines().map(str::to_owned).collect()
}

/// The proof is journaled and says that all is gone; the record before it says why.
#[track_caller]
fn proven(host: &Host, grant: &Grant, cause: &str) {
    let proof = proof(host, &grant.id, Duration::from_secs(5));
    assert_eq!(proof["decision"], "proven", "{proof}");
    assert_eq!(proof["detail"]["memberships_gone"], true, "{proof}");
    assert_eq!(proof["detail"]["cgroup_empty"], true, "{proof}");
    let all = records(host);
    let ends: Vec<_> = all
        .iter()
        .filter(|r| r["type"] == "end" && r["grant"] == grant.id.as_str())
        .collect();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    assert_eq!(ends[0]["detail"]["cause"], cause);
}

const STOP_AGENT: &str = "set -e; units='jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket'
    systemctl mask --quiet $units; systemctl kill --signal=KILL jit-agent.service; systemctl stop $units
    ! systemctl is-active $units; ! pgrep -x jit-agent";

#[test]
fn the_deadline_takes_everything() {
    let host = Host::ready();
    let mut alice = Alice::at(&host);
    let grant = elevate(&mut alice.desk, "--for 10s");
    alice.work(&host);
    // To the last moment.
    wait_until(grant.ends_at - Duration::from_millis(800));
    assert_eq!(alive(&host), ALL);
    alice.desk.run("sudo -n id").ok().says("uid=0(root)");
    alice.lost_everything(&host, &grant, grant.ends_at, SOON);
    proven(&host, &grant, "deadline");
    alice
        .desk
        .run("sudo -n id")
        .refused()
        .says("because its time was over")
        .says("jitctl elevate");
}

#[test]
fn the_deadline_takes_everything_without_an_agent() {
    let host = Host::ready();
    let mut alice = Alice::at(&host);
    let grant = elevate(&mut alice.desk, "--for 12s");
    alice.work(&host);
    host.sh(STOP_AGENT).ok();
    alice
        .desk
        .run("sudo -n id")
        .refused()
        .says("the agent did not answer");
    wait_until(grant.ends_at - Duration::from_millis(800));
    assert_eq!(alive(&host), ALL);
    alice.lost_everything(&host, &grant, grant.ends_at, SOON);
    host.sh("systemctl unmask jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket; systemctl start jit-agent.service")
        .ok();
    proven(&host, &grant, "deadline");
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn a_grant_lives_over_a_reboot_and_not_over_its_end() {
    let mut host = Host::ready();
    let mut alice = Alice::at(&host);
    let grant = elevate(&mut alice.desk, "--for 40s");
    alice.work(&host);
    drop(alice);
    host.reboot();
    host.sh("pgrep -fx 'sleep 1000'").exits(1);
    host.sh("id -nG alice").ok().says("jit-admin");
    let mut alice = Alice::at(&host);
    let status = alice.desk.run("jitctl status --json").ok();
    let after: Vec<Grant> = list(&status).iter().map(Grant::read).collect();
    assert_eq!(after.len(), 1, "{status}");
    assert_eq!((&after[0].id, after[0].ends_at), (&grant.id, grant.ends_at));
    alice.work(&host);
    alice.lost_everything(&host, &grant, grant.ends_at, SOON);
    proven(&host, &grant, "deadline");

    // The end comes while the power is off.
    let grant = elevate(&mut alice.desk, "--for 8s");
    host.sh("id -nG alice").ok().says("jit-admin");
    drop(alice);
    host.kill();
    wait_until(grant.ends_at);
    host.start();
    let mut alice = host.shell("alice");
    alice.run("id -nG").ok().hides("jit-admin");
    alice.run("sudo -n id").refused().says("jitctl elevate");
    alice.run("jitctl status").exits(6);
    host.sh(&format!(
        "systemctl list-units --all --no-legend '*{}*' | grep .",
        grant.id
    ))
    .refused();
    proven(&host, &grant, "deadline");
}

#[test]
fn giving_back_revoking_and_stopping_take_everything_at_once() {
    let host = Host::ready();
    let mut alice = Alice::at(&host);

    let grant = elevate(&mut alice.desk, "--for 5m");
    alice.work(&host);
    let start = SystemTime::now();
    alice.desk.run("jitctl drop").ok().says(&grant.id);
    alice.lost_everything(&host, &grant, start, SOON);
    proven(&host, &grant, "dropped");

    // By a process that was started with the grant's own group.
    let grant = elevate(&mut alice.desk, "--for 5m");
    host.run_as("alice", "id -nG; jitctl drop; echo then $?")
        .ok()
        .says("jit-admin")
        .says(&grant.id)
        .says("then 0");
    host.sh("id -nG alice").ok().hides("jit-admin");

    let grant = elevate(&mut alice.desk, "--for 5m");
    alice.work(&host);
    let start = SystemTime::now();
    host.run(&["jitctl", "revoke", &grant.id, "--reason", "wrong host"])
        .ok();
    alice.lost_everything(&host, &grant, start, SOON);
    proven(&host, &grant, "revoked");
    alice
        .desk
        .run("sudo -n id")
        .refused()
        .says("it was revoked");

    let grant = elevate(&mut alice.desk, "--for 5m");
    alice.work(&host);
    let start = SystemTime::now();
    host.run(&["gpasswd", "--delete", "alice", "jit-eligible"])
        .ok();
    // The right goes with this call already.
    alice.desk.run("sudo -n id").refused();
    alice.lost_everything(&host, &grant, start, 2 * SOON);
    proven(&host, &grant, "not-eligible");
    alice.desk.run("jitctl elevate --reason again").exits(3);
    host.run(&["gpasswd", "--add", "alice", "jit-eligible"])
        .ok();

    let grant = elevate(&mut alice.desk, "--for 5m");
    alice.work(&host);
    let start = SystemTime::now();
    let unit = format!("jit-{}.service", grant.id);
    host.run(&["systemctl", "stop", "--no-block", &unit]).ok();
    // systemd tells us when the last process has gone.
    alice.lost_everything(&host, &grant, start, LATER);
    proven(&host, &grant, "unit-stopped");
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn restarts_of_the_agent_change_no_deadline() {
    let host = Host::ready();
    let mut alice = Alice::at(&host);
    let grant = elevate(&mut alice.desk, "--for 12s");
    alice.work(&host);
    let pid = "systemctl show --property=MainPID --value jit-agent";
    for script in [
        "systemctl restart jit-agent.service",
        "systemctl kill --signal=KILL jit-agent.service",
    ] {
        let before = host.sh(pid).ok().stdout;
        host.sh(script).ok();
        host.wait_for(
            "the agent is back",
            Duration::from_secs(5),
            &format!("systemctl is-active jit-agent.service && test $({pid}) != {before}"),
        );
        let status = alice.desk.run("jitctl status --json").ok();
        let after: Vec<Grant> = list(&status).iter().map(Grant::read).collect();
        assert_eq!(after.len(), 1, "{status}");
        assert_eq!((&after[0].id, after[0].ends_at), (&grant.id, grant.ends_at));
        alice.desk.run("sudo -n id -u").ok().says("0");
        assert_eq!(alive(&host), ALL);
    }
    alice.lost_everything(&host, &grant, grant.ends_at, SOON);
    proven(&host, &grant, "deadline");
}

#[test]
fn no_ticket_of_sudo_revives_a_right() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let grant = elevate(&mut alice, "--for 5s");
    alice.run("sudo -v && sudo -n true").ok();
    alice
        .run("(while :; do sudo -n -v; sudo -n id; sleep 0.05; done) >>/tmp/loop 2>&1 &")
        .ok();
    wait_until(grant.ends_at + Duration::from_millis(100));
    host.sh("grep -q 'uid=0' /tmp/loop && : >/tmp/loop").ok();
    for _ in 0..10 {
        alice.run("sudo -n id").refused().hides("uid=0");
        alice.run("sudo -n -v").refused();
    }
    wait_until(grant.ends_at + 2 * SOON);
    host.sh("grep -c 'sudo: ' /tmp/loop && ! grep uid=0 /tmp/loop")
        .ok();
    alice.run("kill %1").ok();

    // A ticket from the time when a standing rule held.
    let mut dave = host.shell("dave");
    dave.send("sudo id\n");
    dave.expect("password for dave: ");
    dave.send("dave-secret\n");
    dave.expect("uid=0(root)");
    dave.expect(PROMPT);
    dave.run("sudo -n id").ok();
    host.run(&["usermod", "-aG", "jit-eligible", "dave"]).ok();
    dave.run("sudo -n id").refused().says("jitctl elevate");
    let grant = elevate(&mut dave, "--for 3s");
    dave.run("sudo -n id").ok().says("uid=0(root)");
    wait_until(grant.ends_at + Duration::from_millis(300));
    dave.run("sudo -n id").refused().says("jitctl elevate");
    host.sh("ls -A /run/sudo/ts | grep -x dave").refused();
}
