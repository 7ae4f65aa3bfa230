//! The life of a grant beside its start and end: extended, started later, used once, warned of, asked a password for.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use jit_tests::grants::{Grant, elevate, list, proof, records, time, wait_until};
use jit_tests::{Host, Shell};
use serde_json::Value;

/// For the right, the membership and what heeds a signal.
const SOON: Duration = Duration::from_secs(1);
const KILL_AGENT: &str = "systemctl kill --signal=KILL jit-agent.service";

/// Her live grants.
#[track_caller]
fn live(shell: &mut Shell) -> Vec<Grant> {
    let status = shell.run("jitctl status --json");
    list(&status).iter().map(Grant::read).collect()
}

/// Extends in an open shell and returns the grant as it is then.
#[track_caller]
fn extend(shell: &mut Shell, options: &str) -> Grant {
    let said = shell
        .run(&format!(
            "jitctl --json extend --reason 'not done yet' {options}"
        ))
        .ok();
    Grant::read(&said.json()["grant"])
}

/// Waits until the link has brought a heartbeat.
#[track_caller]
fn issuer_heard(host: &Host) {
    host.wait_for(
        "the issuer is heard",
        Duration::from_secs(10),
        "jitctl status --json | grep -q '\"issuer\":\"ok\"'",
    );
}

/// Something that runs with the grant, and its name in the process table.
#[track_caller]
fn work(host: &Host, shell: &mut Shell, seconds: u32) -> String {
    shell
        .run(&format!("(sudo -n sleep {seconds} >/dev/null 2>&1 &)"))
        .ok();
    let alive = format!("pgrep -u root -fx 'sleep {seconds}'");
    host.wait_for("it runs", Duration::from_secs(5), &alive);
    alive
}

/// The timers and end units of a grant that systemd has loaded.
#[track_caller]
fn timers(host: &Host, grant: &Grant) -> String {
    let script = format!(
        "systemctl list-units --all --no-legend --plain 'jit-{}-*.timer' | cut -d' ' -f1",
        grant.id
    );
    host.sh(&script).ok().stdout
}

/// The grant is gone within the limit, its processes too, and it is proven with this cause.
#[track_caller]
fn ended(host: &Host, shell: &mut Shell, grant: &Grant, alive: &str, end: SystemTime, cause: &str) {
    wait_until(end + SOON);
    shell.run("sudo -n id").refused().hides("uid=0");
    host.sh(alive).exits(1);
    host.sh("id -nG alice").ok().hides("jit-admin");
    let proof = proof(host, &grant.id, Duration::from_secs(5));
    assert_eq!(proof["decision"], "proven", "{proof}");
    assert_eq!(ends(host, grant), [cause]);
    host.wait_for(
        "no timer is left",
        Duration::from_secs(2),
        &format!(
            "! systemctl list-units --all --no-legend | grep {}",
            grant.id
        ),
    );
}

/// The causes of the `end` records of a grant.
#[track_caller]
fn ends(host: &Host, grant: &Grant) -> Vec<String> {
    let all = records(host);
    all.iter()
        .filter(|r| r["type"] == "end" && r["grant"] == grant.id.as_str())
        .map(|r| r["detail"]["cause"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn extensions(host: &Host, grant: &Grant) -> Vec<Value> {
    let mut all = records(host);
    all.retain(|r| r["type"] == "extend" && r["grant"] == grant.id.as_str());
    all
}

#[test]
fn an_extension_moves_the_end_and_nothing_else() {
    let mut host = Host::ready();
    let mut alice = host.shell("alice");
    alice.run("jitctl extend --reason x").exits(6);
    let first = elevate(&mut alice, "--for 8s");
    let alive = work(&host, &mut alice, 1001);
    let same = format!(
        "stat -c %i /sys/fs/cgroup/jit.slice/jit-{}.service; {alive}; systemctl show -p InvocationID jit-{}.service",
        first.id, first.id
    );
    let before = host.sh(&same).ok().stdout;

    // What it may not.
    for (options, code, text) in [
        ("--for 2s", 2, "s more already"),
        ("--for 61m", 3, "at most 1h at a time"),
        ("01JD3ZK5T2M8Q4W7X9Y0B1C2D3", 6, "no live grant"),
    ] {
        alice
            .run(&format!("jitctl extend --reason x {options}"))
            .exits(code)
            .says(text);
    }
    host.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    host.run_as("bob", &format!("jitctl extend {} --reason x", first.id))
        .exits(3)
        .says("not yours");
    alice
        .run(&format!(
            "sudo -n -u alice jitctl extend {} --reason x",
            first.id
        ))
        .exits(3)
        .says("from inside grant");

    let longer = extend(&mut alice, "--for 12s --ticket T-2");
    assert_eq!(longer.id, first.id);
    assert!(longer.ends_at > first.ends_at + SOON);
    assert_eq!(live(&mut alice)[0].ends_at, longer.ends_at);
    assert_eq!(timers(&host, &first), format!("jit-{}-2.timer\n", first.id));
    let record = extensions(&host, &first).remove(0);
    assert_eq!(record["reason"], "not done yet", "{record}");
    assert_eq!(record["ticket"], "T-2", "{record}");
    // An agent that is killed knows it all again.
    host.sh(KILL_AGENT).ok();
    wait_until(first.ends_at + SOON);
    assert_eq!(host.sh(&same).ok().stdout, before);
    alice.run("sudo -n id -u").ok().says("0");
    assert_eq!(live(&mut alice)[0].ends_at, longer.ends_at);
    ended(
        &host,
        &mut alice,
        &first,
        &alive,
        longer.ends_at,
        "deadline",
    );

    // Without an agent PID 1 knows the new end, too.
    let grant = elevate(&mut alice, "--for 6s");
    let alive = work(&host, &mut alice, 1002);
    let longer = extend(&mut alice, "--for 8s");
    let longest = extend(&mut alice, "--for 11s");
    assert!(longest.ends_at > longer.ends_at);
    assert_eq!(timers(&host, &grant), format!("jit-{}-3.timer\n", grant.id));
    let units = "jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket";
    host.sh(&format!(
        "systemctl mask --quiet {units}; {KILL_AGENT}; systemctl stop {units}"
    ))
    .ok();
    wait_until(longer.ends_at + SOON / 2);
    host.sh(&alive).ok();
    wait_until(longest.ends_at + SOON);
    host.sh(&alive).exits(1);
    host.sh("id -nG alice").ok().hides("jit-admin");
    host.sh(&format!(
        "systemctl unmask --quiet {units}; systemctl start {units}"
    ))
    .ok();
    issuer_heard(&host);
    assert_eq!(
        proof(&host, &grant.id, Duration::from_secs(5))["decision"],
        "proven"
    );

    // Any link's revocation ends the chain, and any link's id gives it back.
    for (link, cause) in [(0, "revoked"), (1, "revoked"), (1, "dropped")] {
        let grant = elevate(&mut alice, "--for 5m");
        let alive = work(&host, &mut alice, 1003);
        extend(&mut alice, "--for 10m");
        extend(&mut alice, &format!("{} --for 15m", grant.id));
        let by = extensions(&host, &grant)[link]["detail"]["by"].clone();
        let ids = [&grant.id, by.as_str().unwrap()];
        let start = SystemTime::now();
        match cause {
            "dropped" => alice.run(&format!("jitctl drop {}", ids[link])).ok(),
            _ => host
                .run(&["jitctl", "revoke", ids[link], "--reason", "enough"])
                .ok(),
        };
        ended(&host, &mut alice, &grant, &alive, start, cause);
    }

    // Over a reboot, with its last end.
    let grant = elevate(&mut alice, "--for 5s");
    let longer = extend(&mut alice, "--for 30s");
    drop(alice);
    host.reboot();
    let mut alice = host.shell("alice");
    wait_until(grant.ends_at);
    assert_eq!(live(&mut alice)[0].ends_at, longer.ends_at);
    issuer_heard(&host);
    let alive = work(&host, &mut alice, 1004);
    ended(
        &host,
        &mut alice,
        &grant,
        &alive,
        longer.ends_at,
        "deadline",
    );

    // The ceiling counts the whole life.
    host.sh("sed -i '1i max_duration_s = 60' /etc/jit/ceiling.toml; systemctl restart jit-agent")
        .ok();
    issuer_heard(&host);
    // What a refusal says to ask for is what would be given.
    alice
        .run("sudo -n id")
        .refused()
        .says("--role admin --for 1m --reason");
    let grant = elevate(&mut alice, "--for 50s");
    wait_until(grant.ends_at - Duration::from_secs(47));
    alice
        .run("jitctl extend --for 60s --reason x")
        .exits(3)
        .says("at most 1m on this host, extensions included")
        .says("ask with: --for");
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn an_extension_that_is_cut_off_is_completed_or_ends_when_the_grant_did() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    // The agent is killed when the extension is on disk and systemd cannot be asked for the next timer.
    let bus = |signal| {
        host.sh(&format!(
            "pkill --signal {signal} -x dbus-daemon -u messagebus"
        ))
        .ok()
    };
    let cut = |alice: &mut Shell| {
        let grant = elevate(alice, "--for 9s");
        let alive = work(&host, alice, 1005);
        bus("STOP");
        alice
            .run("((jitctl extend --for 15s --reason 'not done yet' >/tmp/said 2>&1; echo done $? >>/tmp/said) &)")
            .ok();
        host.wait_for(
            "it is kept",
            Duration::from_secs(4),
            &format!(
                "grep -q '\"timers\":2' /var/lib/jit/grants/{}.json",
                grant.id
            ),
        );
        host.wait_for(
            "it is journaled",
            Duration::from_secs(4),
            "jitctl log show --json | tail -1 | grep -q '\"type\":\"extend\"'",
        );
        (grant, alive)
    };
    let (grant, alive) = cut(&mut alice);
    host.sh(KILL_AGENT).ok();
    bus("CONT");
    host.wait_for(
        "it is completed",
        Duration::from_secs(5),
        &format!("systemctl is-active jit-{}-2.timer", grant.id),
    );
    wait_until(grant.ends_at + SOON);
    host.sh(&alive).ok();
    assert_eq!(timers(&host, &grant), format!("jit-{}-2.timer\n", grant.id));
    let now = live(&mut alice).remove(0);
    assert!(now.ends_at > grant.ends_at + 2 * SOON);
    ended(&host, &mut alice, &grant, &alive, now.ends_at, "deadline");

    // It comes while the grant is ending: the grant ends when it would have.
    let (grant, alive) = cut(&mut alice);
    wait_until(grant.ends_at + Duration::from_secs(3));
    bus("CONT");
    host.wait_for(
        "who asked is told",
        Duration::from_secs(10),
        "grep '^done [13]' /tmp/said && grep -q 'could not be put in force' /tmp/said",
    );
    host.sh(&alive).exits(1);
    alice.run("sudo -n id").refused();
    let proof = proof(&host, &grant.id, Duration::from_secs(10));
    assert_eq!(proof["detail"]["memberships_gone"], true, "{proof}");
    host.wait_for(
        "no timer is left",
        Duration::from_secs(10),
        &format!(
            "! systemctl list-units --all --no-legend | grep {}",
            grant.id
        ),
    );
    host.run(&["jitctl", "log", "verify"]).ok();
}

/// Asks for a grant that starts later, and returns it with its start.
#[track_caller]
fn schedule(shell: &mut Shell, options: &str) -> (Grant, SystemTime) {
    let said = shell
        .run(&format!(
            "jitctl --json elevate --reason later {options} 2>/dev/null"
        ))
        .ok()
        .json();
    assert_eq!(said["status"], "scheduled", "{said}");
    let starts = time(said["starts_at"].as_str().unwrap());
    (Grant::read(&said["grant"]), starts)
}

/// Alice's grant has begun; how soon after its start is the machine's affair.
#[track_caller]
fn in_force(host: &Host, start: SystemTime) {
    wait_until(start);
    host.wait_for(
        "it is in force",
        Duration::from_secs(20),
        "jitctl status --all >/dev/null && id -nG alice | grep -q jit-admin",
    );
}

#[test]
fn a_later_start_gives_nothing_before_and_all_of_it_then() {
    let mut host = Host::ready();
    host.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    let (mut alice, mut bob) = (host.shell("alice"), host.shell("bob"));
    alice
        .run("jitctl elevate --at 2020-01-01T00:00:00Z --reason x")
        .exits(2)
        .says("has passed");
    alice
        .run("jitctl elevate --at +169h --reason x")
        .exits(2)
        .says("at most seven days");
    alice
        .run("jitctl elevate --at +1h --for 2m --reason x")
        .ok()
        .says("  starts 20")
        .says("after 2m 0s")
        .says("Nothing is given before");
    alice.run("jitctl drop").ok();

    let (grant, start) = schedule(&mut alice, "--at +15s --for 8s");
    let (revoked, _) = schedule(&mut alice, "--at +15s --for 5m");
    let (dropped, _) = schedule(&mut alice, "--at +15s --for 5m");
    let (lost, bobs_start) = schedule(&mut bob, "--at +12s --for 5m");
    let nothing = |alice: &mut Shell| {
        alice.run("sudo -n id").refused().says("no active grant");
        alice.run("id -nG alice").ok().hides("jit-admin");
        alice.run("jitctl status").exits(6).says("its start in");
    };
    nothing(&mut alice);
    host.run(&["jitctl", "revoke", &revoked.id, "--reason", "no"])
        .ok();
    host.wait_for(
        "the revocation",
        Duration::from_secs(5),
        "jitctl log show --json | grep -q '\"type\":\"revocation\"'",
    );
    // By the id of its request, which is what `status` shows.
    let status = alice.run("jitctl status --json").exits(6).json();
    let requests: Vec<&Value> = status["pending"].as_array().unwrap().iter().collect();
    assert_eq!(requests.len(), 2, "{status}");
    let id = requests[1]["id"].as_str().unwrap();
    alice
        .run(&format!("jitctl drop {id}"))
        .ok()
        .says(&dropped.id);
    host.run(&["gpasswd", "--delete", "bob", "jit-eligible"])
        .ok();
    host.sh(KILL_AGENT).ok();
    host.wait_for(
        "the agent is back",
        Duration::from_secs(5),
        "jitctl status --all >/dev/null; test $? = 6",
    );
    nothing(&mut alice);
    in_force(&host, start);
    alice.run("sudo -n id -u").ok().says("0");
    assert_eq!(live(&mut alice)[0].id, grant.id);
    let alive = work(&host, &mut alice, 1006);
    ended(&host, &mut alice, &grant, &alive, grant.ends_at, "deadline");
    wait_until(bobs_start + SOON);
    bob.run("sudo -n id").refused().hides("uid=0");
    for (id, cause) in [
        (&revoked, "revoked"),
        (&dropped, "dropped"),
        (&lost, "not-eligible"),
    ] {
        assert_eq!(ends(&host, id), [cause]);
        let proof = proof(&host, &id.id, Duration::from_secs(5));
        assert_eq!(proof["decision"], "proven", "{proof}");
    }

    // The host is off when it should start, and gives what is left of it.
    let (grant, start) = schedule(&mut alice, "--at +4s --for 5m");
    drop((alice, bob));
    host.kill();
    wait_until(start + SOON);
    host.start();
    let mut alice = host.shell("alice");
    in_force(&host, start);
    issuer_heard(&host);
    alice.run("sudo -n id -u").ok().says("0");
    assert_eq!(live(&mut alice)[0].ends_at, grant.ends_at);

    // And before: it waits over the reboot.
    alice.run("jitctl drop").ok();
    let (_, start) = schedule(&mut alice, "--at +30s --for 5m");
    drop(alice);
    host.reboot();
    let mut alice = host.shell("alice");
    nothing(&mut alice);
    in_force(&host, start);
    issuer_heard(&host);
    alice.run("sudo -n id -u").ok().says("0");
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn who_takes_messages_is_warned_before_the_end_and_nobody_else() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let [mut quiet, mut stopped] = ["alice"; 2].map(|user| host.shell(user));
    let mut bob = host.shell("bob");
    for shell in [&mut alice, &mut stopped, &mut bob] {
        shell.run("mesg y && test -c $(tty)").ok();
    }
    quiet.run("mesg n; cat /dev/null").ok();
    // A terminal that takes no output holds nobody up.
    stopped.send("\x13");
    let grant = elevate(&mut alice, "--for 12s");
    let warning = format!("jit: grant {} (role admin) ends in 6s; ", grant.id);
    alice.expect(&warning);
    alice.expect(&format!(
        "Longer: jitctl extend {} --reason \"why\"\n",
        grant.id
    ));
    assert!(SystemTime::now() < grant.ends_at - Duration::from_secs(4));
    // What it advises helps, and the new end is warned of anew.
    let longer = extend(&mut alice, "--for 20s");
    alice.expect("ends in 10s");
    assert!(longer.ends_at - Duration::from_secs(11) < SystemTime::now());
    host.run(&["jitctl", "revoke", &grant.id, "--reason", "enough"])
        .ok();
    alice.expect(&format!(
        "jit: grant {} (role admin) has ended because it was revoked.",
        grant.id
    ));
    for shell in [&mut quiet, &mut bob] {
        shell.run("echo all").ok().says("all").hides("jit:");
    }
}

const ROLES: &str = r#"
[roles.single]
doors = ["sudo"]
max = "15m"
runas = ["root"]
commands = [{ path = "/usr/bin/sleep", args = ["*"] }, { path = "/usr/bin/id", args = ["-u"] }]
once = true
auth = "none"

[roles.careful]
doors = ["sudo"]
max = "15m"
runas = "ALL"
commands = "ALL"
auth = "password"

[[approve]]
name = "more"
roles = ["single", "careful"]
effect = "automatic"
"#;

/// A host with the sample's roles and ours.
fn with_roles() -> Host {
    let host = Host::ready();
    let sample = host.read("/etc/jit/policy/roles.toml");
    host.write("/etc/jit/policy/roles.toml", &format!("{sample}{ROLES}"));
    host.run(&["systemctl", "reload", "jit-issuer"]).ok();
    host.run(&["jitctl", "setup", "local"]).ok();
    host.wait_record("the new policy", |r| {
        r["type"] == "policy" && r["detail"]["version"] == 2
    });
    host
}

#[test]
fn a_grant_for_one_use_gives_one_and_a_careful_one_asks_for_the_password() {
    let host = with_roles();
    let mut alice = host.shell("alice");
    let grant = elevate(&mut alice, "--role single --for 5m");
    // Eight at once: one runs.
    alice
        .run("for i in 1 2 3 4 5 6 7 8; do (sudo -n sleep 1007 >/tmp/said.$i 2>&1; echo done >>/tmp/said.$i) & done >/dev/null 2>&1; disown -a")
        .ok();
    host.wait_for(
        "seven were refused",
        Duration::from_secs(15),
        "test $(cat /tmp/said.* | grep -c '^done') = 7",
    );
    host.sh("pgrep -u root -fxc 'sleep 1007'").ok().says("1\n");
    alice.run("sudo -n id -u").refused();
    // It stays used when the agent is killed.
    host.sh(KILL_AGENT).ok();
    host.wait_for(
        "the agent is back",
        Duration::from_secs(5),
        "jitctl status --all",
    );
    issuer_heard(&host);
    alice.run("sudo -n id -u").refused();
    alice
        .run("jitctl extend --reason x --for 10m")
        .refused()
        .says("was used");
    host.sh("pgrep -u root -fxc 'sleep 1007'").ok().says("1\n");
    // With its one use it ends.
    host.sh("pkill -u root -fx 'sleep 1007'").ok();
    let proof = proof(&host, &grant.id, Duration::from_secs(5));
    assert_eq!(proof["decision"], "proven", "{proof}");
    assert_eq!(ends(&host, &grant), ["used"]);
    alice
        .run("sudo -n id -u")
        .refused()
        .says("because it was for one use");

    let grant = elevate(&mut alice, "--role careful --for 5m");
    alice
        .run("sudo -n id")
        .refused()
        .says("a password is required")
        .hides("uid=0");
    alice.send("sudo id\n");
    alice.expect("password for alice: ");
    alice.send("wrong\n");
    alice.expect("password for alice: ");
    alice.send("alice-secret\n");
    alice.expect("uid=0(root)");
    alice.prompt();
    // Each time: no ticket stands for it.
    alice.send("sudo id\n");
    for _ in 0..3 {
        alice.expect("password for alice: ");
        alice.send("bob-secret\n");
    }
    alice.prompt();
    let uses: Vec<Value> = records(&host)
        .into_iter()
        .filter(|r| r["type"] == "use" && r["grant"] == grant.id.as_str())
        .collect();
    assert_eq!(uses.len(), 1, "{uses:#?}");
    // Others are asked what they were asked before.
    host.sh("sudo -n id -u").ok().says("0");
    host.run_as("carol", "sudo -n id -u").ok().says("0");
    host.run_as("bob", "sudo -n id").refused().hides("jit");
    // Without a grant no password helps.
    alice.run("jitctl drop").ok();
    alice
        .run("sudo id")
        .refused()
        .says("no active grant")
        .hides("[sudo]");
    quiet(&host, &[grant]);
    the_budget_of_a_day_counts_what_was_held(&host, &mut alice);
}

fn quiet(host: &Host, given: &[Grant]) {
    for grant in given {
        proof(host, &grant.id, Duration::from_secs(10));
    }
}

/// Seconds that grants were held, by the journal.
fn held(host: &Host) -> u64 {
    let records = records(host).into_iter();
    let ends = records.filter(|r| r["type"] == "end");
    let second = |r: &Value, name: &str| r["detail"][name].as_u64().unwrap();
    ends.map(|r| second(&r, "until") - second(&r, "from")).sum()
}

/// Asked for, granted meanwhile, held before a restart: together never more than the ceiling's seconds.
fn the_budget_of_a_day_counts_what_was_held(host: &Host, alice: &mut Shell) {
    let budget = |seconds: u64| {
        host.sh(&format!(
            "sed -i '/^max_per_day_s/d' /etc/jit/ceiling.toml
             sed -i '1i max_per_day_s = {seconds}' /etc/jit/ceiling.toml
             systemctl restart jit-agent"
        ))
        .ok();
        issuer_heard(host);
    };
    let over = |alice: &mut Shell, command: &str| {
        let asked = alice.run(&format!("jitctl {command} --reason x"));
        asked.exits(3).says("a day")
    };
    budget(held(host) + 100);
    over(alice, "elevate --for 101s").says("ask with: --for 100s");
    elevate(alice, "--for 60s");
    over(alice, "extend --for 2m");
    over(alice, "elevate --for 60s");
    over(alice, "elevate --at +2h --for 60s");
    // Both fit when they are asked for; the second no more when it comes.
    host.sh("systemctl kill --signal=STOP jit-issuer").ok();
    let ask = "jitctl --json elevate --reason x --no-wait --for 35s";
    let asked: Vec<Value> = (0..2)
        .map(|_| host.run_as("alice", ask).exits(4).json())
        .collect();
    host.sh("systemctl kill --signal=CONT jit-issuer").ok();
    host.wait_record("the second", |r| {
        r["type"] == "refused"
            && asked.iter().any(|a| a["request"] == r["request"])
            && r["detail"]["why"].to_string().contains("a day")
    });
    host.wait_for(
        "the first is given",
        Duration::from_secs(10),
        "test $(runuser -u alice -- jitctl status | grep -c ' left, ends') = 2",
    );
    let given = live(alice);
    alice.run("jitctl drop --all").ok();
    quiet(host, &given);
    // A start of the agent forgets nothing, and what was given back counts for as long as it was held.
    budget(held(host) + 5);
    let last = elevate(alice, "--for 3s");
    quiet(host, &[last]);
    host.sh("systemctl restart jit-agent").ok();
    issuer_heard(host);
    over(alice, "elevate --for 3s").says("ask with: --for 2s");
}
