//! What sudo runs under grants that limit commands: exactly what the role lists, as it is found on the disk. Rows 4 and 5
//! of the threats in docs/threat-model.md; what widens a grant by options and environment is in attacks.rs.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jit_tests::grants::{elevate, give_roles};
use jit_tests::{Host, Shell};
use serde_json::Value;

const ROLES: &str = r##"
[roles.paths]
max = "1h"
doors = ["sudo"]
runas = ["root"]
auth = "none"
commands = [
    { path = "/opt/ok/tool", args = [] },
    { path = "/opt/ok/link", args = [] },
    { path = "/opt/ok/up", args = [] },
    { path = "/opt/ok/dirlink/tool", args = [] },
    { path = "/opt/ok/script", args = ["*"] },
    { path = "/opt/ok/groupwritable", args = [] },
    { path = "/opt/ok/hers", args = [] },
    { path = "/opt/ok/herlink", args = [] },
    { path = "/opt/ok/acl", args = [] },
    { path = "/opt/ok/viahers", args = [] },
    { path = "/opt/ok/viashared", args = [] },
    { path = "/opt/ok/loop", args = [] },
    { path = "/opt/ok/fifo", args = [] },
    { path = "/opt/ok", args = [] },
    { path = "/opt/shared/tool", args = [] },
    { path = "/opt/hers/tool", args = [] },
    { path = "/opt/hers/rooted/tool", args = [] },
    { path = "/var/tmp/tool", args = [] },
    { path = "/home/alice/tool", args = [] },
]

[roles.people]
max = "1h"
doors = ["sudo"]
runas = ["bob", "#1003"]
commands = [{ path = "/usr/bin/id", args = ["*"] }]
auth = "none"

[roles.places]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/bin/pwd", args = [] }]
cwd = ["/srv/work", "/srv/hers", "/srv/linked"]
auth = "none"

[roles.terminal]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/bin/id", args = ["-u"] }]
tty = true
auth = "none"

[roles.variables]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/bin/printenv", args = ["*"] }]
env = ["REPORT", "PATH"]
auth = "none"

[roles.noshell]
max = "1h"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
auth = "none"

[roles.files]
max = "1h"
doors = ["sudo"]
runas = ["root", "bob"]
sudoedit = [
    "/etc/app/conf", "/etc/app/new", "/etc/app/link", "/etc/app/dirlink/conf", "/srv/bobs/conf",
    "/srv/hers/conf", "/srv/linked/conf",
]
auth = "none"

[[approve]]
roles = ["paths", "people", "places", "terminal", "variables", "noshell", "files"]
effect = "automatic"
"##;

/// What lies on the disk: alice owns what is called hers.
const DISK: &str = r#"
set -e
install -d /opt/ok /opt/ok/dir /etc/app /etc/app/dir /srv/work
install -d -o alice /opt/hers /srv/hers
install -d -o root -m 0755 /opt/hers/rooted
install -d -o root -g alice -m 0775 /opt/shared
install -d -o bob /srv/bobs
for place in /opt/ok /opt/ok/dir /opt/hers /opt/hers/rooted /opt/shared /var/tmp /home/alice; do
    printf '#!/bin/sh\necho ran as $(id -u)\n' >$place/tool
    chmod 0755 $place/tool
done
cd /opt/ok
ln -s dir/tool link
ln -s ../../opt/./ok/dir/../tool up
ln -s dir dirlink
cp tool groupwritable; chgrp alice groupwritable; chmod 0775 groupwritable
cp tool hers; chown alice hers
ln -s tool herlink; chown -h alice herlink
cp tool acl; chmod 0775 acl
ln -s /opt/hers/rooted/tool viahers
ln -s /opt/shared/../ok/tool viashared
ln -s loop2 loop; ln -s loop loop2
mkfifo fifo
printf '#!/bin/sh\nwhoami\n' >script; chmod 0755 script
install -d -o alice /home/alice/bin
printf '#!/bin/sh\necho EVIL\n' >/home/alice/bin/whoami; chmod 0755 /home/alice/bin/whoami
ln -s /srv/hers /srv/linked
for file in /etc/app/conf /etc/app/dir/conf /srv/hers/conf /srv/bobs/conf; do echo old >$file; done
chown bob /srv/bobs/conf
ln -s /etc/shadow /etc/app/link
ln -s dir /etc/app/dirlink
printf '#!/bin/sh\nfor f; do [ "$f" = -- ] || echo new >"$f"; done\n' >/usr/local/bin/editor
chmod 0755 /usr/local/bin/editor
echo 'Defaults env_keep += "REPORT OTHER"' >/etc/sudoers.d/keep
chmod 0440 /etc/sudoers.d/keep
"#;

/// One role after the other: of several grants the one that covers would count.
fn with(alice: &mut Shell, role: &str, check: impl FnOnce(&mut Shell)) {
    let grant = elevate(alice, &format!("--for 1h --role {role}"));
    check(alice);
    alice.run(&format!("jitctl drop {}", grant.id)).ok();
}

#[test]
#[allow(clippy::too_many_lines)]
fn a_limited_grant_gives_what_it_lists_and_nothing_that_others_can_change() {
    let host = Host::ready();
    host.sh(DISK).ok();
    give_roles(&host, ROLES);
    let mut alice = host.shell("alice");

    with(&mut alice, "paths", |alice| {
        // The last goes through a shared directory and out of it again: nothing in it is looked up.
        for good in ["tool", "link", "up", "dirlink/tool", "viashared"] {
            alice
                .run(&format!("sudo -n /opt/ok/{good}"))
                .ok()
                .says("ran as 0");
        }
        // Where somebody else can write, he chooses what runs (CVE-2015-5602 and CVE-2021-23240 are of this kind).
        let changeable = "can be changed by others than root";
        for (bad, says) in [
            ("/opt/ok/groupwritable", changeable),
            ("/opt/ok/hers", changeable),
            ("/opt/ok/herlink", changeable),
            ("/opt/ok/acl", changeable),
            ("/opt/ok/viahers", "/opt/hers can be changed"),
            ("/opt/shared/tool", "/opt/shared can be changed"),
            ("/opt/hers/tool", "/opt/hers can be changed"),
            ("/opt/hers/rooted/tool", "/opt/hers can be changed"),
            ("/var/tmp/tool", "/var/tmp can be changed"),
            // The agent does not see into homes.
            ("/home/alice/tool", "cannot be looked at"),
        ] {
            alice
                .run(&format!("sudo -n {bad}"))
                .refused()
                .says(says)
                .hides("ran as");
        }
        for bad in ["loop", "fifo", ""] {
            alice
                .run(&format!("timeout 20 sudo -n /opt/ok/{bad}"))
                .refused()
                .hides("ran as");
        }
        // A path is one spelling (row 4), and a listing says which.
        for bad in [
            "/opt/ok/./tool",
            "/opt/ok//tool",
            "/opt/ok/dir/../tool",
            "/opt/ok/dir/tool",
            "/opt/ok/tool x",
            "/opt/ok/tool ''",
        ] {
            alice
                .run(&format!("sudo -n {bad}"))
                .refused()
                .hides("ran as");
        }
        alice
            .run("sudo -n -l")
            .ok()
            .says("(role paths, ")
            .says("(root) /opt/ok/tool")
            .says("(root) /opt/ok/script *");
        // The caller's PATH chooses nothing: with secure_path sudo sets its own, without it the agent refuses.
        let hijack = "PATH=/home/alice/bin:$PATH sudo -n /opt/ok/script";
        alice.run(hijack).ok().says("root").hides("EVIL");
        host.sh("echo 'Defaults:alice !secure_path' >/etc/sudoers.d/path; chmod 0440 /etc/sudoers.d/path")
            .ok();
        alice.run(hijack).refused().says("PATH").hides("EVIL");
        alice
            .run("PATH=/usr/local/bin:/usr/bin:/bin sudo -n /opt/ok/script")
            .ok()
            .says("root");
        host.sh("rm /etc/sudoers.d/path").ok();
    });

    with(&mut alice, "people", |alice| {
        for (who, name) in [("bob", "bob"), ("carol", "carol"), ("'#1003'", "carol")] {
            alice
                .run(&format!("sudo -n -u {who} id -un"))
                .ok()
                .says(name);
        }
        // CVE-2019-14287 for the last two.
        for bad in [
            "",
            "-u root",
            "-u dave",
            "-g bob",
            "-u bob -g adm",
            "-u '#0'",
            "-u '#-1'",
            "-u '#4294967295'",
        ] {
            alice
                .run(&format!("sudo -n {bad} id -un"))
                .refused()
                .hides("root\n");
        }
    });

    with(&mut alice, "places", |alice| {
        alice.run("cd /tmp; sudo -n pwd").ok().says("/tmp");
        alice.run("sudo -n -D /srv/work pwd").ok().says("/srv/work");
        for bad in ["/", "/srv", "/srv/work/../work", "/srv/hers", "/srv/linked"] {
            alice.run(&format!("sudo -n -D {bad} pwd")).refused();
        }
    });

    with(&mut alice, "terminal", |alice| {
        alice.run("sudo -n id -u").ok().says("0");
        host.run_as("alice", "setsid --wait sudo -n id -u </dev/null")
            .refused()
            .says("asks for a terminal");
    });

    with(&mut alice, "variables", |alice| {
        alice.run("REPORT=7 sudo -n printenv REPORT").ok().says("7");
        alice
            .run("OTHER=7 sudo -n printenv OTHER")
            .refused()
            .says("OTHER")
            .hides("\n7\n");
        alice
            .run("REPORT='() { :; }; echo EVIL' sudo -n printenv REPORT")
            .refused();
    });

    with(&mut alice, "noshell", |alice| {
        alice.run("sudo -n id -u").ok().says("0");
        for bad in ["-i", "-s", "-i id -u", "-s id -u", "-u bob -i id"] {
            alice
                .run(&format!("sudo -n {bad} </dev/null"))
                .refused()
                .says("does not allow a shell");
        }
    });

    with(&mut alice, "files", |alice| {
        let edit = |alice: &mut Shell, words: &str| {
            alice.run(&format!("EDITOR=/usr/local/bin/editor sudoedit -n {words}"))
        };
        for (words, file) in [
            ("/etc/app/conf", "/etc/app/conf"),
            ("/etc/app/new", "/etc/app/new"),
            ("-u bob /srv/bobs/conf", "/srv/bobs/conf"),
        ] {
            edit(alice, words).ok();
            assert_eq!(host.read(file), "new\n", "{file}");
        }
        let shadow = host.read("/etc/shadow");
        for (words, says) in [
            // Her own directory, and a link into it: she could put a link to any file there (CVE-2015-5602).
            ("/srv/hers/conf", "/srv/hers can be changed"),
            ("/srv/linked/conf", "/srv/hers can be changed"),
            // As root into a directory of bob's.
            ("/srv/bobs/conf", "/srv/bobs can be changed"),
            // Refused by sudo itself, which edits no links.
            ("/etc/app/link", ""),
            // In the scope, and then not.
            ("/etc/app/conf /etc/passwd", "to edit /etc/passwd"),
            ("/etc/app/../app/conf", "to edit"),
            ("-u carol /etc/app/conf", "to run as user carol"),
        ] {
            edit(alice, words).refused().says(says);
        }
        // CVE-2023-22809: what follows -- in EDITOR is no file of the ask.
        for editor in ["editor -- /etc/shadow", "editor /srv/hers/conf --"] {
            alice.run(&format!(
                "SUDO_EDITOR='/usr/local/bin/{editor}' sudoedit -n /etc/app/conf"
            ));
        }
        assert_eq!(host.read("/etc/shadow"), shadow);
        // The editor is not a command of the grant.
        alice
            .run("sudo -n /usr/local/bin/editor /etc/app/conf")
            .refused();
    });
    explained(&host, &mut alice);
}

/// Why each was allowed or refused is told afterwards, rule by rule.
fn explained(host: &Host, alice: &mut Shell) {
    let grant = elevate(alice, "--for 1h --role paths");
    alice.run("sudo -n /opt/ok/tool").ok();
    alice.run("sudo -n /opt/ok/hers").refused();
    alice.run("sudo -n -i").refused();
    alice.run(&format!("jitctl drop {}", grant.id)).ok();
    alice.run("sudo -n /opt/ok/tool").refused();
    let explain = |id: &str| host.run(&["jitctl", "--json", "explain", id]).ok().json();
    let record = |what: &str, is_it: &dyn Fn(&Value) -> bool| {
        let found = host.wait_record(what, |r| {
            r["login"] == "alice" && r["detail"]["what"] == "use" && is_it(r)
        });
        explain(&found["index"].to_string())
    };
    let broken = |told: &Value| {
        assert_eq!(told["verdict"], "refused", "{told}");
        let rules = told["rules"].as_array().unwrap().clone();
        let at = rules.iter().position(|r| r["result"] == "broken").unwrap();
        assert!(rules[..at].iter().all(|r| r["result"] == "met"), "{told}");
        assert!(
            rules[at + 1..].iter().all(|r| r["result"] == "not reached"),
            "{told}"
        );
        rules[at].clone()
    };
    let disk = record("the program that is hers", &|r| {
        r["grant"] == *grant.id && r["detail"]["rule"] == "disk"
    });
    assert_eq!(broken(&disk)["rule"], "disk");
    let shell = record("a shell", &|r| {
        r["grant"] == *grant.id && r["detail"]["rule"] == "shell"
    });
    assert_eq!(broken(&shell)["allowed"], "no", "{shell}");
    let late = record("a use without a grant", &|r| {
        r["detail"]["rule"] == "grant" && r["command"][2] == "/opt/ok/tool"
    });
    assert_eq!(broken(&late)["rule"], "grant");

    let used = host.wait_record("the use", |r| r["type"] == "use" && r["grant"] == *grant.id);
    let told = explain(&used["index"].to_string());
    assert_eq!(told["verdict"], "allowed", "{told}");
    let rules = told["rules"].as_array().unwrap();
    assert!(rules.iter().all(|r| r["result"] == "met"), "{told}");
    let command = rules.iter().find(|r| r["rule"] == "command").unwrap();
    assert_eq!(command["asked"], "/opt/ok/tool", "{told}");
    let allowed = command["allowed"].as_str().unwrap();
    assert!(allowed.starts_with("/opt/ok/tool, "), "{told}");

    // By any of its names a grant tells its whole life.
    let request = used["request"].as_str().unwrap();
    for (id, about) in [(grant.id.as_str(), "grant"), (request, "request")] {
        let told = explain(id);
        assert_eq!(told["about"], about, "{told}");
        assert_eq!(told["verdict"], "given, and ended", "{told}");
        let types: Vec<&Value> = told["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["type"])
            .collect();
        for wanted in ["request", "grant", "use", "refused", "end", "proof"] {
            assert!(types.iter().any(|t| **t == wanted), "{wanted}: {told}");
        }
    }
    // He may know it of himself, and nothing of others.
    let his = alice.run(&format!("jitctl explain {}", used["index"])).ok();
    his.says("allowed").says("met         command");
    alice
        .run(&format!("jitctl explain {}", grant.id))
        .ok()
        .says("ended by: dropped");
    for id in [used["index"].to_string(), grant.id.clone(), "0".to_owned()] {
        host.run_as("bob", &format!("jitctl explain {id}"))
            .exits(3)
            .says("yours");
    }
    host.run(&["jitctl", "explain", "x"]).exits(2);
    host.run(&["jitctl", "explain", "99999999"]).exits(1);
}
