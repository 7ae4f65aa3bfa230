//! The main job: who asks gets root in the shell that is already open, within what the role says, and nobody else
//! notices anything.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jit_tests::grants::{Grant, elevate, list, proof, records, time};
use jit_tests::{Host, Output};
use serde_json::{Value, json};

const REFUSAL: &str = "jit: you have no active grant on this host.\n\
    Ask for one: jitctl elevate --role admin --for 15m --reason \"why\"\n";

#[test]
fn elevation_opens_sudo_in_shells_that_were_open_before() {
    let host = Host::installed();
    host.run(&["jitctl", "setup", "local"]).ok();
    let mut before = host.shell("alice");
    before.run("sudo -n id").refused();
    host.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
    let mut after = host.shell("alice");
    for shell in [&mut before, &mut after] {
        let said = shell.run("sudo -n id").refused().says(REFUSAL);
        assert!(!said.said("uid=0"), "{said}");
        shell
            .run("sudo -n systemctl restart nginx")
            .refused()
            .says("jitctl elevate --role restart-web --for 15m --reason");
        // At a terminal, too, no password is asked for.
        shell.run("sudo id").refused().says(REFUSAL).hides("[sudo]");
    }

    // The line that the refusal names does what it says.
    let line = REFUSAL.split_once("Ask for one: ").unwrap().1.trim();
    before.run(line).ok().says("role   admin").says("Grant 01");
    for shell in [&mut before, &mut after] {
        shell.run("sudo -n id").ok().says("uid=0(root)");
        shell.run("sudo -n -u bob id -un").ok().says("bob");
    }
    // Old shells keep their old groups, and need no new ones.
    before.run("id -nG").ok().hides("jit-");
    host.run_as("alice", "id -nG").ok().says("jit-admin");

    // Nobody else.
    host.run_as("bob", "sudo -n id").refused().hides("uid=0");
    host.run_as("bob", "jitctl elevate --reason 'me too'")
        .exits(3)
        .says("usermod -aG jit-eligible bob");
    let mut bob = host.shell("bob");
    bob.send("sudo id\n");
    bob.expect("password for bob: ");
    bob.send("bob-secret\n");
    bob.expect("bob is not in the sudoers file");

    before.run("jitctl drop").ok();
    for shell in [&mut before, &mut after] {
        shell
            .run("sudo -n id")
            .refused()
            .says("because it was given back");
    }
}

#[test]
fn status_tells_the_truth_in_the_frozen_shape() {
    let host = Host::ready();
    let none = host.run_as("alice", "jitctl status --json").exits(6).json();
    let health = json!({"agent": "ok", "link": "ok", "issuer": "ok", "clock": "ok", "log": "ok"});
    let nothing = json!({
        "schema_version": 1, "login": "alice", "uid": 1001, "eligible": true, "grants": [], "pending": [], "health": health,
    });
    assert_eq!(none, nothing);
    let bob = host.run_as("bob", "jitctl status --json").exits(6).json();
    assert_eq!(bob["eligible"], false);

    let start = SystemTime::now();
    let asked = "jitctl elevate --json --for 40s --reason 'a \"quoted\" why' --ticket OPS-1";
    let asked = host.run_as("alice", asked).ok().json();
    assert_eq!(asked["status"], "active");
    let status = host.run_as("alice", "jitctl status --json").ok();
    let grants = list(&status);
    assert_eq!(grants.len(), 1, "{status}");
    let mut grant = grants[0].clone();
    let ends_at = time(grant["ends_at"].as_str().unwrap());
    let life = ends_at.duration_since(start).unwrap().as_secs_f64();
    // Rounded down, never late.
    assert!(life > 38.0 && life <= 40.1, "{life}\n{status}");
    let left = grant["seconds_left"].as_u64().unwrap();
    assert!((35..=40).contains(&left), "{left}");
    assert_eq!(asked["grant"]["id"], grant["id"]);
    for shown in ["id", "ends_at", "seconds_left"] {
        grant.as_object_mut().unwrap().remove(shown).unwrap();
    }
    let rest = json!({
        "role": "admin", "doors": ["sudo"], "groups": ["jit-admin"], "commands": ["ALL"],
        "reason": "a \"quoted\" why", "ticket": "OPS-1",
    });
    assert_eq!(grant, rest);

    let all = host.run(&["jitctl", "status", "--all", "--json"]).ok();
    assert_eq!(list(&all)[0]["login"], "alice", "{all}");
    host.run_as("alice", "jitctl status --all").exits(3);
    host.run_as("alice", "jitctl status").ok().says("s left");
    assert_eq!(
        list(&host.run_as("bob", "jitctl status --json").exits(6)),
        Vec::<Value>::new()
    );
    documents_have_the_members_of_the_reference(&host);
    nobody_else_reads_or_writes_what_is_ours(&host);
}

/// docs/reference/jitctl.md, "Output": scripts go by these names.
fn documents_have_the_members_of_the_reference(host: &Host) {
    let members = |value: &Value| {
        let names = value.as_object().unwrap().keys();
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let ask = "jitctl elevate --json --for 1m --reason x";
    let grant = host.run_as("alice", ask).ok().json()["grant"]["id"].clone();
    let id = grant.as_str().unwrap();
    // From then on it is compared with the journal.
    let cosigned = "test -e /var/lib/jit/witness.json";
    host.wait_for("a cosignature", Duration::from_secs(20), cosigned);
    let active = "grant request schema_version status";
    let tree = "checkpoint keys origin schema_version size witness";
    for (user, command, expected) in [
        ("alice", ask, active),
        (
            "alice",
            &format!("jitctl extend {id} --json --for 2m --reason x"),
            active,
        ),
        (
            "alice",
            "jitctl elevate --json --at +1h --for 1m --reason x",
            "grant request schema_version starts_at status",
        ),
        (
            "alice",
            &format!("jitctl explain {id} --json"),
            "about left_out records rules schema_version verdict why",
        ),
        ("alice", "jitctl drop --json", "dropped schema_version"),
        (
            "root",
            "jitctl revoke --json --user alice --reason x",
            "schema_version serial",
        ),
        ("root", "jitctl doctor --json", "findings ok schema_version"),
        (
            "root",
            "jitctl hosts --json",
            "hosts rev_serial schema_version",
        ),
        (
            "root",
            "jitctl log verify --json",
            "entries faults first_time last_time more_faults ok schema_version sealed starts unfinished unprotected witness",
        ),
        ("root", "jitctl log export --json /root/tree", tree),
        (
            "root",
            "jitctl log prove --json 0",
            "checkpoint index keys origin proof schema_version size witness",
        ),
        (
            "root",
            "jitctl setup local --json",
            "schema_version status steps",
        ),
        (
            "root",
            "jitctl setup sudo --dry-run --json",
            "files schema_version",
        ),
    ] {
        let document = host.run_as(user, command).ok().json();
        assert_eq!(document["schema_version"], 1, "{command}: {document}");
        assert_eq!(members(&document), expected, "{command}: {document}");
    }
}

/// Every document of the state and every socket, for everybody else of the host.
fn nobody_else_reads_or_writes_what_is_ours(host: &Host) {
    let state = "/var/lib/jit /var/lib/jit-issuer /var/lib/jit-link /var/log/jit/journal";
    let seen = format!("find {state} -type f -readable 2>/dev/null; true");
    assert_eq!(host.run_as("alice", &seen).ok().text(), "");
    let all = format!("{state} /etc/jit /usr/libexec/jit /usr/lib/jit /run/jit /run/jit-issuer");
    let written = format!("find {all} ! -type l ! -type s -perm /022");
    assert_eq!(host.sh(&written).ok().text(), "");
    for (socket, mode) in [
        ("agent", "666 root root"),
        ("gate", "600 root root"),
        ("link", "660 root jit-link"),
    ] {
        let path = format!("/run/jit/{socket}.sock");
        let shown = host.run(&["stat", "-c", "%a %U %G", &path]).ok();
        assert_eq!(shown.text(), mode, "{path}");
    }
}

/// The end of what an open shell shows before the next command.
const PROMPT: &str = "@@\n";

/// What sudo says to people who have nothing to do with us.
fn transcript(host: &Host) -> String {
    // No lecture was given and no ticket is left.
    host.sh("rm -rf /run/sudo/ts /var/lib/sudo/lectured").ok();
    let mut all = String::new();
    let mut note = |who: &str, output: &Output| {
        let Output {
            command,
            code,
            stdout,
            stderr,
            ..
        } = output;
        writeln!(all, "{who}$ {command}\n{stdout}{stderr}[{code}]").unwrap();
    };
    for script in [
        "sudo id",
        "sudo -u alice id -un",
        "sudo -i pwd",
        "sudo -l",
        "sudo -v",
        "sudo -u nobody false",
    ] {
        note("root", &host.sh(script));
    }
    for script in [
        "sudo id",
        "sudo -n -u dave -g adm id",
        "sudo -n sh -c 'exit 7'",
        "sudo -i pwd",
        "sudo -l",
        "sudo -v",
        "sudo -n env | sort",
        "echo x | sudo tee /run/carol >/dev/null; EDITOR=cat sudoedit /run/carol",
        "sudo FOO=bar sh -c 'echo $FOO'",
        "sudo /nonexistent",
    ] {
        note("carol", &host.run_as("carol", script));
    }
    for script in ["sudo -n id", "sudo -n -l", "sudo -n -v"] {
        note("bob", &host.run_as("bob", script));
        note("dave", &host.run_as("dave", script));
    }
    let mut dave = host.shell("dave");
    dave.send("sudo id\n");
    all += &dave.expect("password for dave: ");
    dave.send("wrong\n");
    all += &dave.expect("password for dave: ");
    dave.send("dave-secret\n");
    all += &dave.expect("\nuid=0(root) gid=0(root) groups=0(root)\n");
    dave.expect(PROMPT);
    // By his ticket, and then without it.
    all += &dave.run("sudo -n id").ok().stdout;
    all += &dave.run("sudo -k; sudo -n id").refused().stdout;
    let mut bob = host.shell("bob");
    bob.send("sudo id\n");
    all += &bob.expect("password for bob: ");
    bob.send("bob-secret\n");
    all += &bob.expect("bob is not in the sudoers file.");
    all += &bob.expect(PROMPT);
    // The one trace: a global setting, which a listing shows to everyone.
    let words: Vec<&str> = all.split(' ').filter(|w| !w.is_empty()).collect();
    words
        .join(" ")
        .replace(",\n ", ", ")
        .replace(", group_plugin=/usr/libexec/jit/sudo_jit.so", "")
}

#[test]
fn root_standing_admins_and_strangers_notice_nothing() {
    let host = Host::installed();
    let before = transcript(&host);
    assert!(before.contains("uid=0(root)") && before.contains("User carol may run"));
    assert!(!before.contains("jit"), "{before}");

    host.set_up();
    host.run_as(
        "alice",
        "jitctl elevate --for 10m --reason 'for the comparison'",
    )
    .ok();
    host.run_as("alice", "sudo -n id").ok();
    assert_eq!(transcript(&host), before);

    let of_others: Vec<Value> = records(&host)
        .into_iter()
        .filter(|r| r.get("login").is_some_and(|l| l != "alice"))
        .collect();
    assert_eq!(of_others, Vec::<Value>::new());

    host.sh("systemctl stop jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket")
        .ok();
    host.run_as("alice", "sudo -n id").refused();
    assert_eq!(transcript(&host), before);
}

#[test]
fn every_exit_code_means_what_the_help_says() {
    let host = Host::ready();
    host.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    let long = "x".repeat(513);
    let check = |user: &str, script: &str, code: i32, name: &str, text: &str| {
        let plain = host.run_as(user, script).exits(code).says(text);
        assert_eq!(plain.stdout, "", "a failure is no output\n{plain}");
        // The same as JSON, which stands on standard output with every code.
        let script = script.replacen("jitctl ", "jitctl --json ", 1);
        let error = host.run_as(user, &script).exits(code).json();
        assert_eq!(error["schema_version"], 1, "{error}");
        assert_eq!(error["error"]["code"], name, "{error}");
    };
    for options in [
        "--for 0s --reason x",
        "--for 15 --reason x",
        "--for 1.5h --reason x",
        "--for -5s --reason x",
        "--reason ''",
        "--reason '  '",
        "--reason $'a\\nb'",
        "--reason $'\\e[2J'",
        &format!("--reason {long}"),
        "--ticket '' --reason x",
        "--bad-option --reason x",
    ] {
        check(
            "alice",
            &format!("jitctl elevate {options}"),
            2,
            "usage",
            "error",
        );
    }
    check(
        "alice",
        "jitctl elevate --role nobody --reason x",
        3,
        "unknown-role",
        "restart-web",
    );
    check(
        "alice",
        "jitctl elevate --for 61m --reason x",
        3,
        "too-long",
        "at most 1h",
    );
    check(
        "alice",
        "jitctl elevate --role restart-web --for 16m --reason x",
        3,
        "too-long",
        "at most 15m",
    );
    check(
        "dave",
        "jitctl elevate --reason x",
        3,
        "not-eligible",
        "jit-eligible",
    );
    check(
        "dave",
        "jitctl run --reason x -- id",
        3,
        "not-eligible",
        "jit-eligible",
    );
    check("alice", "jitctl drop", 6, "no-grant", "grant");
    check("alice", "jitctl setup local", 3, "not-root", "root");
    check("alice", "jitctl setup sudo --undo", 3, "not-root", "root");
    check("alice", "jitctl log show", 3, "not-root", "root");
    check("alice", "jitctl status --all", 3, "not-root", "root");
    check("alice", "jitctl explain x", 2, "usage", "index");
    check("alice", "jitctl explain 0", 3, "not-yours", "yours");
    check("root", "jitctl explain 999999", 1, "not-found", "nothing");
    check("alice", "jitctl extend --reason x", 6, "no-grant", "");
    check("root", "jitctl log prove 999999", 2, "usage", "");
    check(
        "alice",
        "jitctl revoke --user alice --reason x",
        3,
        "not-root",
        "root",
    );
    check(
        "alice",
        "jitctl run --reason x -- /nonexistent",
        2,
        "usage",
        "no command",
    );
    host.run_as("alice", "jitctl status").exits(6);

    // Another's grant, and one that never was.
    let asked = host
        .run_as("bob", "jitctl elevate --json --for 2m --reason x")
        .ok();
    let id = asked.json()["grant"]["id"].as_str().unwrap().to_owned();
    check("alice", &format!("jitctl drop {id}"), 3, "not-yours", "");
    check(
        "alice",
        "jitctl drop 01JD3ZK5T2M8Q4W7X9Y0B1C2D3",
        6,
        "no-grant",
        "",
    );
    // From inside a grant, and under somebody else's login.
    host.run_as("bob", "sudo -n -u alice jitctl elevate --reason x")
        .exits(3);
    let mut carol = host.shell("carol");
    carol
        .run("sudo -u alice jitctl elevate --reason x")
        .exits(3);
    host.run_as("bob", &format!("exec jitctl drop {id}")).ok();

    // A right for one command, which tells its own status.
    host.run_as(
        "alice",
        "jitctl run --for 1m --reason x -- sh -c 'id -u; exit 42'",
    )
    .exits(42)
    .says("0\n");
    host.run_as(
        "alice",
        "jitctl run --for 1m --reason x -- sh -c 'kill -9 $$'",
    )
    .exits(137);
    // For that one command.
    host.run_as("alice", "sudo -n id")
        .refused()
        .says("does not cover");

    // The wiring.
    host.run(&["jitctl", "doctor"]).exits(0);
    host.run(&["chmod", "0664", "/etc/sudo.conf"]).ok();
    host.run(&["jitctl", "doctor"]).exits(7).says("sudo.conf");
    host.run(&["chmod", "0644", "/etc/sudo.conf"]).ok();
    host.run(&["jitctl", "doctor"]).exits(0);

    // An issuer that does not answer yet.
    host.sh("jitctl revoke --host localhost --reason 'a clean start'")
        .ok();
    host.wait_for(
        "no grant lives",
        Duration::from_secs(5),
        "jitctl status --all; test $? = 6",
    );
    host.sh("systemctl kill --signal=STOP jit-issuer").ok();
    let pending = host.run_as(
        "alice",
        "jitctl elevate --json --no-wait --for 30s --reason x",
    );
    let pending = pending.exits(4).json();
    assert_eq!(pending["error"]["code"], "pending", "{pending}");
    assert_eq!(pending["role"], "admin", "{pending}");
    let status = host.run_as("alice", "jitctl status --json").exits(6).json();
    assert_eq!(status["pending"][0]["id"], pending["request"], "{status}");
    assert_eq!(status["pending"][0]["role"], "admin", "{status}");
    assert!(status["pending"][0]["age_s"].is_u64(), "{status}");
    host.run_as("alice", "jitctl elevate --wait=1s --reason x")
        .exits(4);
    let interrupted = "timeout --preserve-status --signal=INT 0.5 jitctl --json elevate --reason x";
    let interrupted = host.run_as("alice", interrupted).exits(130).json();
    assert_eq!(interrupted["error"]["code"], "interrupted", "{interrupted}");
    host.sh("systemctl kill --signal=CONT jit-issuer").ok();
    host.wait_for(
        "what was asked for comes",
        Duration::from_secs(10),
        // All but the one that she withdrew.
        "runuser -u alice -- jitctl status | grep -c ' left, ends' | grep -qx 2",
    );
    host.run(&["systemctl", "stop", "jit-link.service"]).ok();
    check(
        "alice",
        "jitctl elevate --reason x",
        5,
        "unreachable",
        "link",
    );

    host.sh("systemctl stop jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket")
        .ok();
    for command in [
        "status",
        "elevate --reason x",
        "drop",
        "run --reason x -- id",
    ] {
        check(
            "alice",
            &format!("jitctl {command}"),
            5,
            "agent-unreachable",
            "doctor",
        );
    }
}

#[test]
fn a_role_gives_what_it_names_and_nothing_else() {
    let host = Host::ready();
    host.write(
        "/etc/systemd/system/nginx.service",
        "[Service]\nExecStart=/bin/sleep infinity\n",
    );
    host.sh(
        "systemctl daemon-reload; systemctl start nginx; logger -t beacon here; journalctl --sync",
    )
    .ok();
    let mut alice = host.shell("alice");

    // Groups and no sudo.
    let old = host.run_as("alice", "head -c1 /var/log/auth.log");
    old.refused();
    let logs = elevate(&mut alice, "--role logs --for 5m");
    alice
        .run("id -nG alice")
        .ok()
        .says("adm")
        .says("systemd-journal");
    host.run_as(
        "alice",
        "head -c1 /var/log/auth.log && journalctl -n1 -q -t beacon",
    )
    .ok()
    .says("here");
    alice
        .run("sudo -n id")
        .refused()
        .says("opens the door sudo");
    let mut late = host.shell("alice");
    late.run("id -nG").ok().says("adm");
    alice.run(&format!("jitctl drop {}", logs.id)).ok();
    // The login that holds the group goes with it.
    late.wait_closed(Duration::from_secs(2));
    alice
        .run("id -nG alice")
        .ok()
        .hides("adm")
        .hides("systemd-journal");
    host.run_as("alice", "head -c1 /var/log/auth.log").refused();
    proof(&host, &logs.id, Duration::from_secs(12));

    // One command with exactly these arguments.
    elevate(&mut alice, "--role restart-web --for 5m");
    let pid = "systemctl show --property=MainPID nginx";
    let before = host.sh(pid).ok().stdout;
    alice.run("sudo -n systemctl restart nginx").ok();
    let after = host.sh(pid).ok().stdout;
    assert_ne!(after, before);
    let refused = [
        ("systemctl restart cron", "with these arguments"),
        ("systemctl restart nginx cron", "with these arguments"),
        ("systemctl stop nginx", "with these arguments"),
        ("systemctl", "with these arguments"),
        ("systemctl 'restart nginx'", "with these arguments"),
        ("/usr/bin/../bin/systemctl restart nginx", "does not allow"),
        ("id", "does not allow the command /usr/bin/id"),
        (
            "sh -c 'systemctl restart nginx'",
            "does not allow the command",
        ),
        ("-s", "does not allow a shell"),
        ("-i", "does not allow a shell"),
        ("-s systemctl restart nginx", "does not allow a shell"),
        ("-e /etc/hosts", "does not allow to edit /etc/hosts"),
        ("-u bob systemctl restart nginx", "run as user bob"),
        ("-u '#1002' systemctl restart nginx", "run as user"),
        ("-g adm systemctl restart nginx", "run as group adm"),
        ("FOO=1 systemctl restart nginx", "not allowed to set"),
        (
            "LD_PRELOAD=/tmp/x.so systemctl restart nginx",
            "not allowed to set",
        ),
        ("-E systemctl restart nginx", "not allowed to preserve"),
        (
            "-D /tmp systemctl restart nginx",
            "the working directory /tmp",
        ),
    ];
    let count = records(&host).len();
    for (args, why) in refused {
        alice.run(&format!("sudo -n {args}")).refused().says(why);
    }
    alice
        .run("sudoedit -n /etc/hosts")
        .refused()
        .says("to edit /etc/hosts");
    assert_eq!(host.sh(pid).ok().stdout, after);
    let new = records(&host).split_off(count);
    assert_eq!(new.len(), refused.len() + 1, "{new:#?}");
    for ((args, why), record) in refused.iter().zip(&new) {
        assert_eq!(record["type"], "refused", "{args}: {record}");
        assert_eq!(record["login"], "alice", "{args}: {record}");
        assert_eq!(record["auid"], 1001, "{args}: {record}");
        let said = record["detail"]["why"].as_str().unwrap();
        // The rest sudoers itself refused, in words of its own.
        let by_us = record["detail"]["by"] == "G3";
        assert!(!by_us || said.contains(why), "{args}: {record}");
        assert!(
            !said.is_empty() && record["command"].is_array(),
            "{args}: {record}"
        );
    }
    let by_us = new.iter().filter(|r| r["detail"]["by"] == "G3").count();
    assert_eq!(by_us, refused.len() + 1 - 3, "{new:#?}");

    // What the policy gives beyond that, by the journal.
    let usage = host
        .run(&["jitctl", "policy", "usage", "--json"])
        .ok()
        .json();
    let row = |role: &str| {
        let rows = usage["roles"].as_array().unwrap();
        rows.iter().find(|r| r["role"] == role).unwrap().clone()
    };
    let (web, admin) = (row("restart-web"), row("admin"));
    assert_eq!(
        (&web["used"], &web["uses"]),
        (&json!(true), &json!(1)),
        "{web}"
    );
    assert_eq!(
        (&web["wider"], &web["logins"]),
        (&json!([]), &json!(["alice"]))
    );
    assert_eq!(
        (&admin["used"], &admin["grants"]),
        (&json!(false), &json!(0))
    );
    host.run_as("alice", "jitctl policy usage").exits(3);

    // Rules in Rego take the place of the table at a reload.
    let rule = "package jit\n\ndecision := {\"effect\": \"automatic\", \"rule\": \"by rego\"} if {\n\tinput.role == \"logs\"\n\tinput.requester.login == \"alice\"\n}\n";
    host.write(
        "/etc/jit/policy/jit.rego",
        &rule.replace("input.", "inputt."),
    );
    host.run_as("alice", "jitctl policy check")
        .exits(7)
        .says("jit.rego: line 4: ");
    host.sh("sed -i '/approve/,$d' /etc/jit/policy/roles.toml")
        .ok();
    host.write("/etc/jit/policy/jit.rego", rule);
    host.run_as("alice", "jitctl policy check").ok();
    let taken = "jitctl log show --json | grep -c '\"type\":\"policy\"'";
    // Nothing found is no failure here.
    let before = host.sh(&format!("{taken} || true")).ok().stdout;
    host.sh("systemctl reload jit-issuer").ok();
    host.wait_for(
        "the policy arrives",
        Duration::from_secs(10),
        &format!("test $({taken}) -gt {}", before.trim()),
    );
    let ask = "--for 1m --reason x";
    host.run_as("alice", &format!("jitctl elevate --role admin {ask}"))
        .exits(3)
        .says("No rule of the policy gives role admin to alice");
    elevate(&mut alice, "--role logs --for 1m");
    host.sh("jitctl log show --json | grep '\"type\":\"grant\"' | grep -q 'by rego'")
        .ok();
}

#[test]
fn grants_stand_beside_each_other_and_listings_are_recorded() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    alice.run("sudo -n -l").refused().says(REFUSAL);
    alice.run("sudo -n -v").refused().says(REFUSAL);
    let web = elevate(&mut alice, "--role restart-web --for 1m");
    alice
        .run("sudo -n -l")
        .ok()
        .says(&format!("Grant {} (role restart-web", web.id))
        .says("(root) /usr/bin/systemctl restart nginx");
    alice.run("sudo -n id").refused();
    let short = elevate(&mut alice, "--for 2m");
    let long = elevate(&mut alice, "--for 3m");
    let live = |output: &Output| -> Vec<String> {
        let mut ids: Vec<String> = list(output).iter().map(|g| Grant::read(g).id).collect();
        ids.sort();
        ids
    };
    assert_eq!(
        live(&alice.run("jitctl status --json").ok()),
        [web.id.clone(), short.id.clone(), long.id.clone()]
    );
    // Each covers what it covers; of two, the one that ends last is used.
    alice.run("sudo -n id").ok();
    let count = records(&host).len();
    alice
        .run("sudo -n -l")
        .ok()
        .says("(ALL) ALL")
        .says("restart nginx");
    alice.run("sudo -n -v").ok();
    let all = records(&host);
    let uses: Vec<&Value> = all.iter().filter(|r| r["type"] == "use").collect();
    assert_eq!(uses.len(), 1);
    assert_eq!(uses[0]["grant"], long.id);
    let kinds: Vec<&Value> = all[count..].iter().map(|r| &r["detail"]["kind"]).collect();
    assert_eq!(kinds, ["list", "validate"], "{:#?}", &all[count..]);

    // Giving one back takes its own right and leaves what the other gives too.
    alice.run(&format!("jitctl drop {}", long.id)).ok();
    alice.run("id -nG alice").ok().says("jit-admin");
    alice.run("sudo -n id").ok();
    alice.run(&format!("jitctl drop {}", short.id)).ok();
    alice
        .run("id -nG alice")
        .ok()
        .hides("jit-admin")
        .says("jit-restart-web");
    alice.run("sudo -n id").refused().says("does not cover");
    assert_eq!(live(&alice.run("jitctl status --json").ok()), [web.id]);
    alice.run("jitctl drop").ok();
    alice.run("jitctl status --json").exits(6);
}
