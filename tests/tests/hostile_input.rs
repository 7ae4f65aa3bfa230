//! Hostile input: on the sockets, on command lines, in reasons and in names.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use jit_tests::grants::{elevate, records};
use jit_tests::{Carrier, Host};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::frame::{self, Caps};
use wire::{Text, cli, gate};

const SOON: Duration = Duration::from_secs(5);

/// One question on a socket, and its answer; `None` when the agent closed without one.
fn ask<T: DeserializeOwned>(
    link: &mut Carrier,
    question: &impl Serialize,
    caps: Caps,
) -> Option<T> {
    link.send(&frame::encode(question, caps.request).unwrap());
    let head = link.take(frame::HEAD, SOON)?;
    let length = frame::body_len(head.try_into().unwrap(), caps.reply).unwrap();
    Some(frame::decode(&link.take(length, SOON)?).unwrap())
}

fn ask_cli(host: &Host, user: &str, question: &impl Serialize) -> cli::Reply {
    let mut link = host.carrier(user, user, wire::paths::AGENT_SOCK).unwrap();
    ask(&mut link, question, frame::CLI).unwrap()
}

/// As a process of root's that `user` started, which is what sudo is; as root's own with `user` = root.
fn ask_gate(host: &Host, user: &str, question: &gate::Request) -> gate::Reply {
    let mut link = host.carrier(user, "root", wire::paths::GATE_SOCK).unwrap();
    ask(&mut link, question, frame::GATE).unwrap()
}

fn subject(login: &str, uid: u32) -> gate::Subject {
    let login = Text::from(login);
    gate::Subject { login, uid }
}

fn pam(login: &str, uid: u32) -> gate::Request {
    gate::Request::Pam {
        subject: subject(login, uid),
        door: gate::Door::Sudo,
        phase: gate::PamPhase::Auth,
        service: "sudo-jit".into(),
        tty: None,
        last_gate: false,
        target: None,
    }
}

/// Makes a use another one.
type Change = fn(&mut gate::Use);

fn usage(login: &str, uid: u32) -> gate::Request {
    gate::Request::Use(Box::new(gate::Use {
        subject: subject(login, uid),
        door: gate::Door::Sudo,
        command: "/usr/bin/id".into(),
        argv: vec!["id".into()],
        env: Vec::new(),
        runas_user: Some("root".into()),
        runas_uid: 0,
        runas_gid: 0,
        runas_group: None,
        cwd: None,
        chroot: None,
        tty: None,
        shell: false,
        sudoedit: false,
        files: Vec::new(),
        unusual: Vec::new(),
        source: None,
    }))
}

#[test]
fn the_sockets_believe_the_kernel_and_nobody_else() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let grant = elevate(&mut alice, "--for 10m");
    for user in ["alice", "bob", "jit-link"] {
        let refused = host
            .carrier(user, user, wire::paths::GATE_SOCK)
            .err()
            .unwrap();
        assert!(refused.contains("Permission denied"), "{user}: {refused}");
    }
    // A process that bob started may not speak for alice, whatever its effective uid is.
    for question in [pam("alice", 1001), usage("alice", 1001)] {
        match ask_gate(&host, "bob", &question) {
            gate::Reply::Deny { text } => assert!(text.contains("uid 1002"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    host.wait_refusal("a process of uid 1002 asks for uid 1001");
    // Root's own may ask, as PAM does, but a use belongs to the user's own process.
    match ask_gate(&host, "root", &usage("alice", 1001)) {
        gate::Reply::Deny { text } => assert!(text.contains("another user's process"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Name and uid belong together.
    for (login, uid) in [
        ("alice", 1002),
        ("bob", 1001),
        ("root", 0),
        ("alice", 0),
        ("alice", u32::MAX),
        ("alice", 65534),
    ] {
        match ask_gate(&host, "root", &pam(login, uid)) {
            gate::Reply::Deny { .. } => {}
            gate::Reply::Pam { verdict, .. } => {
                assert_eq!(verdict, gate::PamVerdict::Refuse, "{login} {uid}")
            }
            other => panic!("{login} {uid}: {other:?}"),
        }
    }
    for login in [
        "../alice",
        "alice/..",
        "al:ice",
        "alice\n",
        "",
        ".",
        "..",
        "alice\u{0}x",
    ] {
        match ask_gate(&host, "root", &pam(login, 1001)) {
            gate::Reply::Deny { text } => assert!(text.contains("cannot hold a grant"), "{text}"),
            other => panic!("{login:?}: {other:?}"),
        }
    }
    // The right one, to see that the others were refused for what they were.
    match ask_gate(&host, "root", &pam("alice", 1001)) {
        gate::Reply::Pam { verdict, .. } => assert_eq!(verdict, gate::PamVerdict::Success),
        other => panic!("{other:?}"),
    }

    // A sudo that says impossible things, in a grant that would cover all that is possible. One true answer first.
    let as_told = |change: Change| {
        let gate::Request::Use(mut told) = usage("alice", 1001) else {
            unreachable!()
        };
        change(&mut told);
        ask_gate(&host, "alice", &gate::Request::Use(told))
    };
    let reply = as_told(|_| {});
    assert!(matches!(reply, gate::Reply::Allow { .. }), "{reply:?}");
    let impossible: [(Change, &str); 14] = [
        // CVE-2021-4034
        (|u| u.argv.clear(), "no argument list"),
        (|u| u.command = "id".into(), "not an absolute path"),
        (|u| u.command = "".into(), "not an absolute path"),
        (
            |u| u.command = Text(b"\x1b[2J\xff\n/bin/sh".to_vec()),
            "\\x1b[2J\\xff\\n",
        ),
        // CVE-2019-14287
        (|u| u.runas_uid = u32::MAX, "#-1"),
        // CVE-2025-32463
        (|u| u.chroot = Some("/".into()), "another root directory"),
        (|u| u.env = vec!["LD_PRELOAD=/x".into()], "LD_PRELOAD"),
        (|u| u.env = vec!["=x".into()], "without a name"),
        (|u| u.env = vec!["".into()], "without a name"),
        (
            |u| u.env = vec![Text(b"\xff\x1b".to_vec())],
            "without a name",
        ),
        // CVE-2014-6271
        (|u| u.env = vec!["A\n=() { :; }".into()], "A\\n"),
        (
            |u| {
                u.sudoedit = true;
                u.files.clear();
            },
            "to edit this way",
        ),
        (|u| u.door = gate::Door::Su, "su"),
        (|u| u.subject.uid = u32::MAX, "cannot hold a grant"),
    ];
    for (change, says) in impossible {
        match as_told(change) {
            gate::Reply::Deny { text } => {
                assert!(text.contains(says), "{says}: {text}");
                assert!(!text.contains(['\x1b', '\u{fffd}']), "{text:?}");
            }
            other => panic!("{says}: {other:?}"),
        }
    }

    // On the command line's socket a message cannot even name somebody.
    let named = serde_json::json!({"op": "elevate", "reason": "x", "login": "alice", "uid": 1001});
    let code = |reply: cli::Reply| match reply {
        cli::Reply::Error(e) => Some(e.code),
        _ => None,
    };
    let id = || grant.id.clone();
    for (question, expected) in [
        (named, cli::Code::Usage),
        (
            serde_json::json!({"op": "status", "all": true}),
            cli::Code::NotRoot,
        ),
        (serde_json::json!({"op": "host-key"}), cli::Code::NotRoot),
        (
            serde_json::json!({"op": "enrol", "trust": "", "enrolment": "", "policy": "", "replace": true}),
            cli::Code::NotRoot,
        ),
        (
            serde_json::json!({"op": "drop", "grant": id()}),
            cli::Code::NotYours,
        ),
        (
            serde_json::json!({"op": "wait", "request": id(), "max_s": 1}),
            cli::Code::NotYours,
        ),
        (serde_json::json!({"op": "no-such-thing"}), cli::Code::Usage),
    ] {
        assert_eq!(
            code(ask_cli(&host, "bob", &question)),
            Some(expected),
            "{question}"
        );
    }
    // Bytes that are no question are answered or closed, and hold up nobody.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0xff; 8192],
        b"\0\0\0\x05{\"v\":",
        b"\0\0\0\x02{}",
    ] {
        for (user, socket) in [
            ("bob", wire::paths::AGENT_SOCK),
            ("root", wire::paths::GATE_SOCK),
        ] {
            let mut link = host.carrier(user, user, socket).unwrap();
            link.send(bytes);
            link.closed(SOON);
        }
    }

    // Bob holds as many connections as he can get and goes on asking for more; the others are served.
    let flood = "
import os, socket, time
held, asked, stop = [], 0, time.monotonic() + 6
while time.monotonic() < stop:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    try:
        s.connect('/run/jit/agent.sock')
        s.send(b'\\0\\0\\1\\0{')
        asked += 1
    except OSError:
        pass
    held.append(s)
    if len(held) > 500:
        held.pop(0).close()
print(asked)
";
    host.write("/tmp/flood.py", flood);
    let background = host.run(&[
        "systemd-run",
        "--quiet",
        "--unit=flood",
        "--uid=bob",
        "python3",
        "/tmp/flood.py",
    ]);
    background.ok();
    host.wait_for(
        "the flood",
        SOON,
        "test $(ss -x | grep -c jit/agent.sock) -gt 10",
    );
    let mut rounds = 0;
    while host.run(&["systemctl", "is-active", "flood"]).code == 0 {
        alice
            .run("jitctl status")
            .ok()
            .within(Duration::from_secs(1));
        host.run(&["jitctl", "status", "--all"])
            .ok()
            .within(Duration::from_secs(1));
        alice
            .run("sudo -n id -u")
            .ok()
            .says("0")
            .within(Duration::from_secs(2));
        rounds += 1;
    }
    assert!(rounds >= 2, "{rounds} rounds only");
    host.run(&["jitctl", "log", "verify"]).ok();
    assert_eq!(
        host.sh("systemctl show -P NRestarts jit-agent").ok().text(),
        "0"
    );
}

#[test]
#[allow(clippy::too_many_lines)]
fn hostile_words_are_kept_whole_or_refused_and_forge_no_line() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 1h");
    let agent = host
        .sh("systemctl show -P MainPID jit-agent")
        .ok()
        .text()
        .to_owned();

    // No argv at all, for both programs (CVE-2021-4034). The kernel gives an empty word since 5.18; older ones nothing.
    let bare = "python3 -c 'import ctypes,sys; ctypes.CDLL(None).execve(sys.argv[1].encode(), (ctypes.c_char_p*1)(), (ctypes.c_char_p*1)())'";
    for program in ["/usr/bin/sudo", "/usr/bin/jitctl"] {
        alice
            .run(&format!("{bare} {program}"))
            .refused()
            .hides("panicked")
            .hides("Segmentation");
    }
    // 200 KiB of argv are stored whole; a MiB is refused, and the refusal is on record (the class of CVE-2021-3156).
    let huge = |words: u32| {
        format!(
            "python3 -c 'import os; os.execv(\"/usr/bin/sudo\", [\"sudo\", \"-n\", \"true\"] + [\"{{}}\".format(n) * 10000 for n in range(10, 10 + {words})])'"
        )
    };
    alice.run(&huge(10)).ok();
    let use_ = host.wait_record("the long use", |r| {
        r["type"] == "use" && r["command"].as_array().is_some_and(|c| c.len() == 11)
    });
    for (n, word) in use_["command"].as_array().unwrap()[1..].iter().enumerate() {
        assert_eq!(word.as_str().unwrap(), (n + 10).to_string().repeat(10000));
    }
    alice.run(&huge(52)).refused().says("jit: ");
    host.wait_refusal("cannot be allowed");
    alice.run("sudo -n true").ok();
    let health = host.run(&["jitctl", "status", "--json"]).json();
    assert_eq!(health["health"]["log"], "ok", "{health}");
    // Bytes that are no text, in arguments and in what sudo lets through of the environment.
    alice
        .run("LC_ALL=$'\\xff' TERM=$'\\xfe' TZ=$'\\xfd' sudo -n true $'\\xff'")
        .hides("panicked");
    // An environment that is let through whole, and is too large to be recorded.
    host.sh(
        "echo 'Defaults env_keep += \"BIG*\"' >/etc/sudoers.d/big; chmod 0440 /etc/sudoers.d/big",
    )
    .ok();
    let big = |count: u32, byte: u8| {
        format!(
            "python3 -c 'import os; os.execve(\"/usr/bin/sudo\", [\"sudo\", \"-n\", \"true\"], {{\"BIG{{}}\".format(n): chr({byte}) * 120000 for n in range({count})}})'"
        )
    };
    alice.run(&big(4, b'x')).ok();
    alice
        .run(&big(4, 1))
        .refused()
        .says("jit: ")
        .hides("panicked");
    alice.run(&big(40, b'x')).refused().hides("panicked");
    alice.run("BIG=$'\\xff\\xfe\\x01' sudo -n true").ok();
    for tried in [
        "jitctl $'\\xff'",
        "jitctl elevate --reason $'\\xff'",
        "jitctl elevate --reason x --role $'\\xff'",
        "jitctl elevate --reason x -- $'/usr/bin/\\xff'",
        "jitctl drop $'\\xff'",
        "jitctl elevate --reason $'a\\nb'",
        "jitctl elevate --reason $'a\\x1b[2Jb'",
        "jitctl elevate --reason $'a\\xe2\\x80\\xaeb'",
        "jitctl elevate --reason ''",
        "jitctl elevate --reason '   '",
        "jitctl elevate --reason x --ticket $'a\\tb'",
        &format!("jitctl elevate --reason {}", "x".repeat(600)),
    ] {
        let said = alice
            .run(&format!(
                "{tried} 2>&1 | cat -v; exit_code=${{PIPESTATUS[0]}}; (exit $exit_code)"
            ))
            .exits(2);
        assert!(
            !said.stdout.contains('\x1b') && !said.said("panicked"),
            "{said}"
        );
    }

    // Past jitctl, straight into the socket: refused, and told in one line that begins as the agent's lines do.
    let forged = "jit-agent[1]: use login=root decision=allow FORGED";
    let reasons = [
        format!("x\n{forged}"),
        format!("x\r{forged}"),
        format!("x\u{0}{forged}"),
        format!("x\u{85}{forged}"),
        format!("x\u{1b}[2K{forged}"),
        format!("{} {forged}", "y".repeat(600)),
        format!("<86>Nov 20 00:00:00 testhost {forged}\n"),
    ];
    for reason in &reasons {
        let question = serde_json::json!({"op": "elevate", "reason": reason});
        match ask_cli(&host, "alice", &question) {
            cli::Reply::Error(e) => {
                assert_eq!(e.code, cli::Code::Usage, "{reason:?}: {}", e.message)
            }
            other => panic!("{reason:?}: {other:?}"),
        }
    }
    // These are words like others.
    let quoted = format!("\"}} decision=allow {{ \\\" ' $(id) `id` %s %n {forged}");
    alice
        .run(&format!(
            "jitctl elevate --for 5s --reason {}",
            shell_word(&quoted)
        ))
        .ok();
    alice
        .run(&format!(
            "sudo -n -u bob true {}",
            shell_word(&format!("a\n{forged}\u{202e}"))
        ))
        .ok();
    alice
        .run(&format!(
            "jitctl elevate --for 5s --reason ok --ticket {}",
            shell_word("\"=' decision=allow")
        ))
        .ok();
    host.wait_record("the last refusal", |r| {
        r["reason"].as_str() == Some(reasons[6].as_str())
    });
    host.wait_record("the quoted reason", |r| {
        r["type"] == "grant" && r["reason"].as_str() == Some(&quoted)
    });
    host.run(&["journalctl", "--sync"]).ok();
    let journald = host
        .sh("journalctl --all -t jit-agent -o json --no-pager")
        .ok();
    let told: Vec<Value> = journald
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert!(told.len() > 15);
    for line in &told {
        // A message with control characters would be a list of bytes.
        let message = line["MESSAGE"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert!(
            message.chars().all(|c| !c.is_control() && c != '\u{202e}'),
            "{message:?}"
        );
        assert_eq!(line["SYSLOG_PID"].as_str(), Some(agent.as_str()), "{line}");
    }
    let all = records(&host);
    let marked = all
        .iter()
        .filter(|r| r.to_string().contains("FORGED"))
        .count();
    let count = format!("test $(grep -c FORGED /var/log/auth.log) -ge {marked}");
    host.wait_for("rsyslog's file", SOON, &count);
    let file = host.read("/var/log/auth.log");
    for line in file
        .lines()
        .filter(|l| l.contains("FORGED") && !l.contains(" sudo"))
    {
        let from = format!(" testhost jit-agent[{agent}]: ");
        assert!(
            line.split_once(&from)
                .is_some_and(|(time, _)| !time.contains(' ') || time.len() < 20),
            "{line}"
        );
    }
    let ours = |l: &&str| l.contains("FORGED") && l.contains(&format!(" jit-agent[{agent}]: "));
    assert_eq!(file.lines().filter(ours).count(), marked);
    assert_eq!(
        host.sh("systemctl show -P MainPID jit-agent").ok().text(),
        agent
    );
    host.run(&["jitctl", "log", "verify"]).ok();
}

/// As bash reads it: one word.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn names_lead_nowhere_and_a_name_is_not_a_person() {
    let host = Host::ready();
    // Names that no tool makes, but that a directory service may deliver (the class of CVE-2023-42456, where a name led out
    // of the folder of sudo-rs' sessions).
    let names = [
        ("a/b", 2001),
        ("..", 2002),
        ("x@y", 2003),
        ("-rf", 2004),
        ("two words", 2005),
        ("a\\b", 2006),
        ("*", 2007),
        ("1234", 2008),
        ("späth", 2009),
    ];
    let mut script = String::new();
    for (name, uid) in names {
        script.push_str(&format!(
            "printf '%s:x:{uid}:{uid}::/:/bin/bash\\n' '{name}' >>/etc/passwd\n"
        ));
    }
    let list = names.map(|(name, _)| name).join(",");
    script.push_str(&format!("sed -i 's|^\\(jit-eligible:.*\\)$|\\1,LIST|' /etc/group\npython3 - <<'END'\nt=open('/etc/group').read().replace('LIST', {list:?})\nopen('/etc/group','w').write(t)\nEND\ntouch /tmp/before"));
    host.sh(&script).ok();
    for (name, uid) in names {
        let ask = format!(
            "setpriv --reuid {uid} --regid {uid} --clear-groups jitctl elevate --for 1h --reason x"
        );
        let said = host.sh(&ask);
        let file = format!("/run/userdb/{name}:jit-admin.membership");
        match said.code {
            // A name that is only unusual may be given its own membership, and nothing else.
            0 => assert_eq!(host.run(&["cat", &file]).ok().text(), "{}", "{name}"),
            3 => drop(host.run(&["test", "-e", &file]).refused()),
            _ => panic!("{name}: {said}"),
        }
        assert!(!said.said("panicked"), "{said}");
        assert!(name == "x@y" || said.code == 3, "{said}");
    }
    let made = host.sh("find / -xdev -newer /tmp/before -name '*membership*' -not -path '/run/*' -not -path '/proc/*'").ok();
    assert_eq!(made.text(), "");

    // An account that is not there at all.
    host.sh("setpriv --reuid 2999 --regid 2999 --clear-groups jitctl elevate --for 1h --reason x")
        .exits(3)
        .says("2999");
    host.sh("setpriv --reuid 2999 --regid 2999 --clear-groups sudo -n id -u")
        .refused()
        .hides("\n0\n");

    // Erin leaves while she is elevated; another erin comes. A grant is for a name and a number (himmelblau's issue 554 is
    // of one that went by the name).
    host.sh("useradd -m -s /bin/bash -u 2100 -G jit-eligible erin")
        .ok();
    let mut erin = host.shell("erin");
    let grant = elevate(&mut erin, "--for 10m");
    erin.run("sudo -n id -u").ok().says("0");
    erin.run("sudo -n -b sleep 7100").ok();
    host.sh("sed -i '/^erin:/d' /etc/passwd /etc/shadow; useradd -M -d /home/erin -s /bin/bash -u 2101 -g 2100 -G jit-eligible erin")
        .ok();
    host.run_as("erin", "id -u").ok().says("2101");
    host.run_as("erin", "sudo -n id -u")
        .refused()
        .hides("\n0\n");
    erin.run("sudo -n id -u").refused().hides("\n0\n");
    host.wait_for(
        "the grant ends",
        Duration::from_secs(3),
        "! id -nG erin | grep -q jit-admin && ! pgrep -fx 'sleep 7100'",
    );
    host.run_as("erin", "jitctl status").exits(6);
    host.run_as("erin", &format!("jitctl drop {}", grant.id))
        .refused();
    let end = host.wait_record("the end", |r| {
        r["type"] == "end" && r["grant"] == grant.id.as_str()
    });
    assert_eq!(end["detail"]["cause"], "not-eligible", "{end}");

    // A login renamed is not the login of the grant any more.
    let mut alice = host.shell("alice");
    let grant = elevate(&mut alice, "--for 10m");
    host.sh("sed -i 's/^alice:/alicia:/' /etc/passwd /etc/shadow")
        .ok();
    let refused = SystemTime::now();
    alice.run("sudo -n id -u").refused().hides("\n0\n");
    host.wait_record("the end", |r| {
        r["type"] == "end" && r["grant"] == grant.id.as_str()
    });
    assert!(refused.elapsed().unwrap() < SOON);
}
