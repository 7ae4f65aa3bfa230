//! Broken parts: who needs them is refused soon and told why, nobody else notices, and what was given still ends.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{self, Grant, elevate, wait_until};
use jit_tests::{Host, Output, Shell};

const SECOND: Duration = Duration::from_secs(1);
/// What a call may lose to a dead agent.
const BUDGET: Duration = Duration::from_secs(3);
const OTHERS: Duration = Duration::from_millis(500);

const ALL: &str =
    "jit-agent.socket jit-gate.socket jit-link.socket jit-agent.service jit-link.service";

/// In place of `gate.sock`: takes each connection and answers in one of several wrong ways.
const FAKE: &str = r#"
import os, socket, sys, threading, time
kind, path = sys.argv[1], "/run/jit/gate.sock"
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o600)
listener.listen(64)

def frame(body):
    return len(body).to_bytes(4, "big") + body

def answer(peer):
    try:
        # A close with something unread would throw away what was sent.
        if kind != "nothing":
            peer.recv(65536)
        if kind == "garbage":
            peer.sendall(frame(b"\xff\x00 not json"))
        elif kind == "noise":
            peer.sendall(os.urandom(4096))
        elif kind == "promise":
            peer.sendall(b"\x7f\xff\xff\xff" + b"x" * 100000)
        elif kind == "two":
            peer.sendall(frame(b'{"v":1,"m":"done"}') * 2)
        elif kind == "drip":
            peer.sendall(b"\x00\x00\x01\x00")
            for _ in range(100):
                peer.sendall(b" ")
                time.sleep(0.1)
        elif kind == "silence":
            time.sleep(30)
    except OSError:
        pass
    peer.close()

while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
"#;

#[test]
fn while_the_agent_does_not_answer_its_users_are_refused_in_time_and_nobody_else_notices() {
    let host = Host::ready();
    host.write("/root/fake.py", FAKE);
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 10m");
    alice.run("sudo -n id").ok().says("uid=0");
    let others = Bystanders::start(&host, Duration::from_millis(100));

    let stopped = format!("systemctl stop {ALL}");
    let start = format!("systemctl start {ALL}");
    let fake = |kind: &str| {
        format!(
            "{stopped}; rm -f /run/jit/gate.sock; systemd-run --quiet --unit=fake python3 /root/fake.py {kind}; \
             until [ -S /run/jit/gate.sock ]; do sleep 0.05; done"
        )
    };
    let unfake = format!("systemctl stop fake; rm /run/jit/gate.sock; {start}");
    let agent = "systemctl show --property=MainPID --value jit-agent";
    let without = [
        // No more descriptors than it has, and room for none: one may be that of a connection which is just over.
        (
            "out of descriptors",
            format!(
                "pid=$({agent}); prlimit --pid $pid --nofile=$(($(ls /proc/$pid/fd | wc -l) - 1)):"
            ),
            "jit-agent",
            format!("prlimit --pid $({agent}) --nofile=1024:"),
        ),
        (
            "killed",
            "systemctl stop jit-link.service jit-agent.socket jit-gate.socket jit-link.socket; \
             systemctl kill --signal=KILL jit-agent || true"
                .to_owned(),
            "jit-agent is not running",
            start.clone(),
        ),
        (
            "masked",
            format!("systemctl mask --now {ALL}"),
            "jit-agent is not running",
            format!("systemctl unmask {ALL}; {start}"),
        ),
        (
            "hanging",
            "systemctl kill --signal=STOP jit-agent".to_owned(),
            "jit-agent took too long",
            "systemctl kill --signal=CONT jit-agent".to_owned(),
        ),
        (
            "garbage",
            fake("garbage"),
            "jit-agent sent a malformed message",
            unfake.clone(),
        ),
        ("noise", fake("noise"), "jit-agent", unfake.clone()),
        (
            "promise",
            fake("promise"),
            "at most 65536 are taken",
            unfake.clone(),
        ),
        (
            "two answers",
            fake("two"),
            "bytes after the message",
            unfake.clone(),
        ),
        (
            "hanging up",
            fake("nothing"),
            "jit-agent hung up",
            unfake.clone(),
        ),
        (
            "drip",
            fake("drip"),
            "jit-agent took too long",
            unfake.clone(),
        ),
        (
            "silence",
            fake("silence"),
            "jit-agent took too long",
            unfake,
        ),
    ];
    for (what, plant, says, repair) in without {
        host.sh(&plant).ok();
        let commands: &[&str] = if says.contains("too long") {
            // Each of them waits for as long as it may.
            &["sudo -n id"]
        } else {
            &["sudo -n id", "sudo -n -l", "sudo -n -i id"]
        };
        for command in commands {
            // The shell and a new process see the same.
            for said in [alice.run(command), host.run_as("alice", command)] {
                assert!(
                    said.code != 0
                        && !said.said("uid=0")
                        && said.said("jit: the agent did not answer (")
                        && said.said(says)
                        && said.said("systemctl status jit-agent"),
                    "{what}: {said}"
                );
                said.within(BUDGET);
            }
        }
        if what == "killed" {
            for command in [
                "jitctl elevate --reason test",
                "jitctl status",
                "jitctl drop --all",
            ] {
                alice.run(command).exits(5).says("jit-agent is not running");
            }
            let said = alice.run("jitctl status --json").exits(5);
            assert_eq!(said.json()["error"]["code"], "agent-unreachable", "{said}");
        }
        if what == "hanging" {
            let said = alice.run("jitctl status").exits(5);
            said.says("jit-agent took too long").within(6 * SECOND);
        }
        host.sh(&repair).ok();
        let works = "runuser -u alice -- sudo -n true";
        host.wait_for(&format!("repaired: {what}"), 5 * SECOND, works);
    }
    others.noticed_nothing().within(OTHERS);
    // The journal is told, and not flooded.
    let all = grants::records(&host);
    let alerts = all.iter().filter(|r| {
        let why = r["detail"]["why"].as_str().unwrap_or_default();
        r["type"] == "alert" && why.contains("connections cannot be accepted")
    });
    assert!((1..=3).contains(&alerts.count()), "{all:#?}");
}

#[test]
fn a_shell_that_is_short_of_descriptors_gets_no_more_than_sudo_alone_gives_it() {
    let host = Host::ready();
    let tries = |who: &str, n: u32| host.run_as(who, &format!("ulimit -n {n}; sudo -n id"));
    let before: Vec<bool> = (3..16).map(|n| tries("carol", n).code == 0).collect();
    assert!(before.contains(&true) && before.contains(&false));
    for granted in [false, true] {
        for (n, works) in (3..16).zip(&before) {
            assert_eq!(tries("carol", n).code == 0, *works, "carol, {n}");
            let said = tries("alice", n).within(BUDGET);
            if granted && *works {
                said.ok().says("uid=0");
            } else {
                assert!(!said.stderr.is_empty(), "{said}");
                said.refused().hides("uid=0");
            }
        }
        host.run_as("alice", "jitctl elevate --for 5m --reason test")
            .ok();
    }
}

/// Three grants, and a root process with each: one ends soon.
fn three_in_use(host: &Host, alice: &mut Shell, soon: &str) -> [Grant; 3] {
    [(soon, 4001), ("2m", 4002), ("5m", 4003)].map(|(life, n)| {
        let grant = elevate(alice, &format!("--for {life}"));
        // Of all live grants the one that ends last takes it.
        alice.run(&format!("sudo -n sleep {n} &")).ok();
        let started = format!("pgrep -fxu root 'sleep {n}'");
        host.wait_for("her process starts", 5 * SECOND, &started);
        grant
    })
}

/// The numbers of alice's root processes that still run.
fn alive(host: &Host) -> String {
    host.sh("pgrep -axu root sleep | grep -o '400[0-9]$' | sort | xargs")
        .text()
        .to_owned()
}

/// The first of three ends by itself, the second is given back, the third revoked; each in time.
fn all_three_end(host: &Host, alice: &mut Shell, [first, second, third]: &[Grant; 3]) {
    assert_eq!(
        alive(host),
        "4001 4002 4003",
        "all live before the first ends"
    );
    wait_until(first.ends_at + SECOND);
    assert_eq!(alive(host), "4002 4003", "the first's deadline has passed");
    alice.run(&format!("jitctl drop {}", second.id)).ok();
    assert_eq!(alive(host), "4003", "the second was given back");
    host.run(&["jitctl", "revoke", &third.id, "--reason", "test"])
        .ok();
    let gone = "! pgrep -fxu root 'sleep 4003' && ! id -nG alice | grep -q jit-admin";
    host.wait_for("the third is revoked", SECOND, gone);
    assert_eq!(alive(host), "");
    alice.run("sudo -n id").refused().hides("uid=0");
}

/// Ends and proofs of these grants come into the journal.
fn ends_are_journaled(host: &Host, given: &[Grant]) {
    for grant in given {
        grants::proof(host, &grant.id, 15 * SECOND);
        let all = grants::records(host);
        let end = |r: &&serde_json::Value| r["type"] == "end" && r["grant"] == grant.id.as_str();
        assert!(all.iter().any(|r| end(&r)), "no end of {}", grant.id);
    }
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn on_a_full_disk_nothing_new_is_given_and_all_that_was_given_ends() {
    let host = Host::installed();
    // State and journal on one small disk, as on a host with one partition.
    host.sh(
        "mkdir /srv/small; mount -t tmpfs -o size=4m small /srv/small; mkdir /srv/small/lib /srv/small/log; \
         mount --bind /srv/small/lib /var/lib/jit; mount --bind /srv/small/log /var/log/jit; \
         systemd-tmpfiles --create jit-agent.conf",
    )
    .ok();
    host.set_up();
    let mut alice = host.shell("alice");
    let given = three_in_use(&host, &mut alice, "12s");
    let others = Bystanders::start(&host, Duration::from_millis(100));
    host.sh("dd if=/dev/zero of=/srv/small/fill bs=1k status=none")
        .refused()
        .says("No space left");
    // What is reserved for the next uses, with ever smaller records. The rest is kept for what ends.
    alice
        .run("for size in 60000 6000 600 1; do while sudo -n true $(printf %0${size}d 0) 2>/dev/null; do :; done; done")
        .ok();
    alice
        .run("sudo -n id")
        .refused()
        .hides("uid=0")
        .says("jit: this use cannot be allowed: the journal cannot be written")
        .says("no space left")
        .within(BUDGET);
    alice
        .run("jitctl elevate --reason test")
        .exits(1)
        .says("no right can be given")
        .says("o space left");
    host.run(&["jitctl", "doctor"]).exits(7).says("log-health");
    all_three_end(&host, &mut alice, &given);
    others.noticed_nothing().within(OTHERS);
    // Also that is on record, on the full disk.
    for grant in &given {
        let end = format!(
            "jitctl log show --json | grep '\"{}\"' | grep -q '\"type\":\"end\"'",
            grant.id
        );
        host.wait_for("the end is journaled", 15 * SECOND, &end);
    }

    host.run(&["rm", "/srv/small/fill"]).ok();
    ends_are_journaled(&host, &given);
    elevate(&mut alice, "--for 1m");
    alice.run("sudo -n id").ok().says("uid=0");
    host.run(&["jitctl", "doctor"]).ok();
}

#[test]
fn with_a_dead_journal_nothing_new_is_given_and_all_that_was_given_ends() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let given = three_in_use(&host, &mut alice, "12s");
    let others = Bystanders::start(&host, Duration::from_millis(100));
    host.sh(
        &format!(
        "systemctl stop {ALL}; mount -t tmpfs -o ro,mode=0700 none /var/log/jit/journal; systemctl start {ALL}"
    ))
    .ok();
    let heard = "jitctl status --json | grep -q '\"issuer\":\"ok\"'";
    host.wait_for("the agent hears from the issuer", 5 * SECOND, heard);
    alice
        .run("sudo -n id")
        .refused()
        .hides("uid=0")
        .says("jit: this use cannot be allowed: the journal cannot be written (")
        .says("/var/log/jit/journal");
    alice
        .run("jitctl elevate --reason test")
        .exits(1)
        .says("no right can be given: the journal cannot be written (");
    host.run(&["jitctl", "doctor"]).exits(7).says("log-health");
    all_three_end(&host, &mut alice, &given);
    others.noticed_nothing().within(OTHERS);

    host.run(&["umount", "/var/log/jit/journal"]).ok();
    ends_are_journaled(&host, &given);
    elevate(&mut alice, "--for 1m");
    alice.run("sudo -n id").ok().says("uid=0");
    host.run(&["jitctl", "doctor"]).ok();
}

#[test]
fn without_news_from_the_issuer_grants_go_on_until_they_are_stale_and_work_until_its_deadline() {
    let host = Host::installed();
    host.sh("sed -i 's/^#max_stale_s.*/max_stale_s = 6/' /etc/jit/ceiling.toml")
        .ok();
    host.set_up();
    let mut alice = host.shell("alice");
    for (what, says) in [("jit-issuer", "issuer"), ("jit-link", "link")] {
        let others = Bystanders::start(&host, Duration::from_millis(100));
        // The issuer's state comes at once to a link that connects.
        host.run(&["systemctl", "restart", "jit-link"]).ok();
        let heard = "jitctl status --json | grep -q '\"issuer\":\"ok\"'";
        host.wait_for("the agent hears from the issuer", 5 * SECOND, heard);
        let short = elevate(&mut alice, "--for 13s");
        alice.run("sudo -n sleep 4001 &").ok();
        elevate(&mut alice, "--for 5m");
        host.run(&["systemctl", "stop", what]).ok();

        alice
            .run("jitctl elevate --for 1m --reason test")
            .exits(5)
            .says(says);
        alice.run("sudo -n id").ok().says("uid=0");
        host.wait_for(
            "the view of revocations is too old",
            8 * SECOND,
            "! runuser -u alice -- sudo -n true",
        );
        alice
            .run("sudo -n id")
            .refused()
            .hides("uid=0")
            .says("this host last heard from the issuer")
            .says("(at most 6 s allowed), so revocations could be missing");
        let shown = alice.run("jitctl status --json").ok().json();
        assert_ne!(shown["health"]["issuer"], "ok", "{shown}");
        // A stale view ends nothing.
        assert_eq!(alive(&host), "4001");
        wait_until(short.ends_at + SECOND);
        assert_eq!(alive(&host), "");
        others.noticed_nothing().within(OTHERS);

        host.run(&["systemctl", "start", what]).ok();
        host.wait_for(
            "what still lives can be used again",
            40 * SECOND,
            "runuser -u alice -- sudo -n true",
        );
        alice.run("jitctl drop --all").ok();
    }
}

#[test]
fn a_fault_in_the_ceiling_stops_what_is_new_and_ends_what_is_old() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let given = three_in_use(&host, &mut alice, "12s");
    let others = Bystanders::start(&host, Duration::from_millis(100));
    host.sh("echo 'max_duration_s = \"a day' >>/etc/jit/ceiling.toml; systemctl restart jit-agent")
        .ok();
    alice
        .run("jitctl elevate --reason test")
        .refused()
        .says("/etc/jit/ceiling.toml")
        .within(BUDGET);
    alice
        .run("sudo -n id")
        .refused()
        .hides("uid=0")
        .says("/etc/jit/ceiling.toml")
        .within(BUDGET);
    host.run(&["jitctl", "doctor"])
        .exits(7)
        .says("/etc/jit/ceiling.toml");
    all_three_end(&host, &mut alice, &given);
    others.noticed_nothing().within(OTHERS);
    host.sh("sed -i '$d' /etc/jit/ceiling.toml; systemctl restart jit-agent")
        .ok();
    ends_are_journaled(&host, &given);
}

#[test]
fn a_reload_takes_what_is_right_and_keeps_what_was_before_what_is_wrong() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let others = Bystanders::start(&host, Duration::from_millis(100));
    let pid = "systemctl show --property=MainPID --value jit-agent";
    let agent = host.sh(pid).ok().stdout;
    elevate(&mut alice, "--for 10m");

    // Nothing is signalled, and the reason is where the reload says it is.
    host.sh("mkdir /etc/jit/ceiling.toml.d; echo 'max_durations_s = 60' >/etc/jit/ceiling.toml.d/50-site.toml")
        .ok();
    let fault = "/etc/jit/ceiling.toml.d/50-site.toml: line 1: unknown key `max_durations_s`; did you mean `max_duration_s`?";
    host.run(&["systemctl", "reload", "jit-agent"]).refused();
    let said = |what: &str| {
        let script = format!("journalctl --boot --unit=jit-agent | grep -F '{what}'");
        host.wait_for("the reason", 5 * SECOND, &script);
    };
    said(fault);
    host.run(&["jitctl", "config", "check"])
        .exits(7)
        .says(fault);
    // Nor is it taken by an agent that is told all the same.
    host.run(&[
        "systemctl",
        "kill",
        "--signal=HUP",
        "--kill-who=main",
        "jit-agent",
    ])
    .ok();
    let alert = "jitctl log search --type alert --json | grep -F 'stays as it was: /etc/jit/ceiling.toml.d/50-site.toml: line 1'";
    host.wait_for("the alert", 5 * SECOND, alert);
    alice.run("sudo -n id -u").ok().says("0");
    elevate(&mut alice, "--for 2m");

    host.sh("sed -i s/durations/duration/ /etc/jit/ceiling.toml.d/50-site.toml")
        .ok();
    host.run(&["jitctl", "config", "check"]).ok();
    host.run(&["systemctl", "reload", "jit-agent"]).ok();
    host.wait_for(
        "the record of the reload",
        5 * SECOND,
        "jitctl log search --type config --json | grep -F '\"changed\":[\"ceiling.max_duration_s\"]'",
    );
    alice
        .run("jitctl elevate --for 2m --reason test")
        .exits(3)
        .says("at most 1m");
    // What is live stays as it was granted.
    alice.run("sudo -n id -u").ok().says("0");
    host.run_as("bob", "jitctl config show --origin")
        .ok()
        .says("# /etc/jit/ceiling.toml.d/50-site.toml:1");

    // One that others could have written is none of the administrator's.
    host.run(&["chmod", "g+w", "/etc/jit/ceiling.toml.d/50-site.toml"])
        .ok();
    host.run(&["systemctl", "reload", "jit-agent"]).refused();
    said("chmod go-w");
    assert_eq!(host.sh(pid).ok().stdout, agent);
    others.noticed_nothing();
}

#[test]
fn a_fault_in_the_roles_leaves_the_policy_as_it_was() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let refuses = |order: &str, says: &str| -> Output {
        host.run(&["systemctl", order, "jit-issuer"]).ok();
        let script = format!("journalctl --boot --unit=jit-issuer --lines=3 | grep -F '{says}'");
        host.wait_for("the issuer says what is wrong", 5 * SECOND, &script);
        host.sh(&script)
    };
    host.sh("sed -i 's/^max = \"1h\"/mox = \"10h\"/' /etc/jit/policy/roles.toml")
        .ok();
    for order in ["reload", "restart"] {
        refuses(order, "/etc/jit/policy/roles.toml: line")
            .says("mox")
            .says("policy version 1 stays in force");
        let heard = "jitctl status --json | grep -q '\"issuer\":\"ok\"'";
        host.wait_for("the issuer is back", 40 * SECOND, heard);
        alice
            .run("jitctl elevate --for 2h --reason test")
            .exits(3)
            .says("1h");
        elevate(&mut alice, "--for 1m");
    }
    // And a sound one counts at once.
    host.sh("sed -i 's/^mox = \"10h\"/max = \"2h\"/' /etc/jit/policy/roles.toml")
        .ok();
    host.run(&["systemctl", "reload", "jit-issuer"]).ok();
    host.wait_for(
        "the new policy reaches the host",
        5 * SECOND,
        "runuser -u alice -- jitctl elevate --for 2h --reason test",
    );
}

#[test]
fn without_a_message_bus_nothing_new_is_given_and_all_that_was_given_ends() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let given = three_in_use(&host, &mut alice, "12s");
    let others = Bystanders::start(&host, Duration::from_millis(100));
    host.run(&["systemctl", "stop", "dbus.socket", "dbus.service"])
        .ok();
    alice
        .run("jitctl elevate --reason test")
        .exits(1)
        .says("what was granted could not be put in force");
    alice.run("id -nG alice").ok().says("jit-admin");
    all_three_end(&host, &mut alice, &given);
    others.noticed_nothing().within(OTHERS);
    host.run(&["systemctl", "start", "dbus.socket", "dbus.service"])
        .ok();
    ends_are_journaled(&host, &given);
    elevate(&mut alice, "--for 1m");
    alice.run("sudo -n id").ok().says("uid=0");
}
