//! People on one host approve what is asked for on another, with keys of their ssh-agents; the other host believes their
//! signatures alone, whatever the issuer's keys say.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod impostor;

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use impostor::{Link, all_refused, claims, honest, in_force, new_id, nothing_given, now};
use jit_tests::net::pair;
use jit_tests::{Host, Output, Shell};
use serde_json::{Value, json};
use statement::claims::{Grant, Mode, Typ};
use statement::people::{Approval, Format};
use statement::sign::{self, Signer};
use statement::sshsig::NAMESPACE;
use wire::link::Kind;

/// The issuer is asked again about what waits each 5 s.
const TOLD: Duration = Duration::from_secs(15);

const POLICY: &str = r#"
default = "admin"
[roles.admin]
max = "1h"
max_stale = "5m"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
shell = true
auth = "none"
on_end = "kill"
[[approve]]
name = "two levels"
roles = ["admin"]
effect = "approve"
levels = [{ group = "ops", count = 1 }, { group = "security", count = 1 }]
"#;

/// The root keys say who is who, and that nobody is admin without one of ops and one of security.
fn demand(issuer: &Host, host: &Host) {
    let me: Value = serde_json::from_str(&host.read("/var/lib/jit/enrolment.json")).unwrap();
    let enrolment: Value = claims(me["enrolment"].as_str().unwrap());
    let domain = enrolment["host"]
        .as_str()
        .unwrap()
        .split('/')
        .nth(2)
        .unwrap()
        .to_owned();
    let uid: u32 = host.sh("id -u alice").ok().text().parse().unwrap();
    let person = |id: &str, group: &str, names: &[&str]| {
        let key = |name: &&str| {
            let kind = if *name == "carol" { "ecdsa" } else { "ed25519" };
            issuer
                .run_as(
                    id,
                    &format!(
                        "mkdir -p -m 700 .ssh; ssh-keygen -q -t {kind} -N '' -C '' -f .ssh/{name}"
                    ),
                )
                .ok();
            let public = issuer.read(&format!("/home/{id}/.ssh/{name}.pub"));
            json!({ "ssh": public.trim(), "nbf": now() - 60, "exp": now() + 86_400 })
        };
        json!({ "id": id, "groups": [group], "keys": names.iter().map(key).collect::<Vec<_>>() })
    };
    let mut people = vec![
        person("alice", "ops", &["alice"]),
        person("bob", "ops", &["bob", "other"]),
        person("carol", "security", &["carol"]),
    ];
    people[0]["accounts"] = json!([{ "login": "alice", "uid": uid, "domain": domain }]);

    rotate(issuer, |next| {
        next["people"] = json!(people);
        next["rules"]["approval"] = json!({ "admin": [
            { "group": "ops", "count": 1 }, { "group": "security", "count": 1 },
        ] });
    });
    host.wait_for(
        "the trust statement",
        Duration::from_secs(40),
        "jitctl log show --json | grep -q '\"type\":\"trust\"'",
    );
    issuer.write(
        "/etc/jit/jitctl.toml",
        "issuer = \"https://10.77.0.1:8443\"\nca = \"/etc/jit/tls/ca.pem\"\n",
    );
}

/// The next trust statement, in force at the issuer.
fn rotate(issuer: &Host, change: impl FnOnce(&mut Value)) {
    let as_issuer = |script: &str| {
        issuer
            .run(&[
                "runuser",
                "-u",
                "jit-issuer",
                "--",
                "sh",
                "-c",
                &format!("cd /var/lib/jit-issuer && {script}"),
            ])
            .ok();
    };
    as_issuer("jit-issuer trust rotate --draft next.json");
    let file = "/var/lib/jit-issuer/next.json";
    let mut next: Value = serde_json::from_str(&issuer.read(file)).unwrap();
    change(&mut next);
    issuer.write(file, &next.to_string());
    as_issuer("jit-issuer trust sign next.json --key keys/root.pk8");
    as_issuer("jit-issuer trust rotate --install next.json");
    issuer.run(&["systemctl", "restart", "jit-issuer"]).ok();
}

/// One who approves, with the ssh-agent of the own session.
fn person(issuer: &Host, who: &str, command: &str) -> Output {
    let key = format!("ssh-add -q .ssh/{who} 2>/dev/null");
    issuer.run_as(who, &format!("ssh-agent sh -c '{key}; {command}'"))
}

/// Alice asks, and waits in her shell; returns the request's id.
fn ask(alice: &mut Shell, options: &str) -> String {
    alice.send(&format!(
        "jitctl elevate --for 5m --reason 'disk full' {options}\n"
    ));
    let said = alice.expect("Ctrl-C withdraws it.");
    assert!(said.contains("Waiting for 1 of ops."), "{said}");
    let (_, rest) = said.split_once("Request ").unwrap();
    rest.split(';').next().unwrap().to_owned()
}

fn pending(alice: &mut Shell) -> Value {
    let status = alice.run("jitctl status --json").exits(6).json();
    status["pending"].clone()
}

#[test]
#[allow(clippy::too_many_lines)]
fn what_two_people_sign_elsewhere_ends_in_sudo_here_and_what_they_did_not_sign_does_not() {
    pair(Some(POLICY), |issuer, host, _| {
        demand(issuer, host);
        let mut alice = host.shell("alice");
        let mut other = host.shell("alice");

        // Not waited for: it goes on, is shown, and is taken back by its user.
        let asked = alice
            .run("jitctl elevate --no-wait --for 2m --reason x --json")
            .exits(4)
            .json();
        assert_eq!(
            (&asked["status"], &asked["waiting_for"]),
            (&json!("pending"), &json!("1 of ops"))
        );
        let id = asked["request"].as_str().unwrap().to_owned();
        let shown = pending(&mut alice);
        assert_eq!(
            (&shown[0]["id"], &shown[0]["role"]),
            (&json!(id), &json!("admin"))
        );
        assert_eq!(shown[0]["waiting_for"], "1 of ops");
        assert!(shown[0]["age_s"].is_u64(), "{shown}");
        person(issuer, "bob", "jitctl requests")
            .ok()
            .says(&id)
            .says("ROOT-EQUAL");
        host.run_as("bob", &format!("jitctl drop {id}")).exits(3);
        alice.run(&format!("jitctl drop {id}")).ok();
        assert_eq!(pending(&mut alice), json!([]));
        let gone = format!(
            "jitctl requests show {id} --issuer unix:/run/jit-issuer/api.sock | grep -q withdrawn"
        );
        issuer.wait_for("the withdrawal", TOLD, &gone);
        person(issuer, "bob", "jitctl requests")
            .ok()
            .says("Nothing waits for you.");

        // Two levels, the second after the first, each by somebody else.
        let id = ask(&mut alice, "--ticket OPS-1");
        let yes = format!("jitctl approve {id} --yes");
        let shown = person(issuer, "carol", &format!("jitctl requests show {id}")).ok();
        for must in [
            "alice (uid ",
            "/host/web1",
            "ROOT-EQUAL: any command as root",
            "5m 0s",
            "disk full",
            "OPS-1",
        ] {
            assert!(shown.said(must), "{must}\n{shown}");
        }
        person(issuer, "carol", &yes)
            .exits(3)
            .says("waits for 1 of ops");
        person(issuer, "alice", &yes)
            .exits(3)
            .says("approved the own request");
        person(issuer, "dave", &yes).exits(3);
        person(issuer, "bob", &format!("jitctl approve {id}"))
            .exits(2)
            .says("nothing was signed");
        let mut bob = issuer.shell("bob");
        bob.run("eval $(ssh-agent) >/dev/null; ssh-add -q .ssh/bob")
            .ok();
        bob.send(&format!("jitctl approve {id}\n"));
        bob.expect("Sign this? [y/N]");
        bob.send("n\n");
        bob.expect("Nothing was signed.");
        bob.prompt();
        bob.send(&format!("jitctl approve {id}\n"));
        bob.expect("Sign this? [y/N]");
        bob.send("y\n");
        bob.expect("It still waits for 1 of security.");
        bob.prompt();
        bob.run("ssh-add -q -D; ssh-add -q .ssh/other").ok();
        bob.run(&yes).ok().says("still waits for 1 of security");
        bob.run("ssh-agent -k >/dev/null").ok();
        alice.expect_for("Waiting for 1 of security.", TOLD);
        nothing_given_yet(host, &mut other);
        person(issuer, "carol", &yes)
            .ok()
            .says("Approved and granted");
        alice.expect("Now run: sudo");
        alice.prompt();
        other.run("sudo -n id").ok().says("uid=0(root)");
        let record = host.wait_record("the grant", |r| r["type"] == "grant");
        assert_eq!(record["detail"]["approved_by"], json!(["bob", "carol"]));
        assert_eq!(record["request"], id.as_str());

        // An auditor needs nothing of ours.
        audited(issuer, &id);
        let jti = record["grant"].as_str().unwrap().to_owned();
        let stored: Value =
            serde_json::from_str(&host.read(&format!("/var/lib/jit/grants/{jti}.json"))).unwrap();
        let like = grant_in(&stored);
        alice.run("jitctl drop --all").ok();

        // Denied: whoever asked is told why. Interrupted: nobody is asked any more.
        let id = ask(&mut alice, "");
        person(
            issuer,
            "carol",
            &format!("jitctl deny {id} --reason freeze"),
        )
        .ok();
        alice.expect_for("carol denied it: freeze", TOLD);
        alice.prompt();
        person(issuer, "bob", &format!("jitctl approve {id} --yes"))
            .exits(3)
            .says("denied already");
        let id = ask(&mut alice, "");
        alice.send("\x03");
        alice.expect("was withdrawn.");
        alice.prompt();
        issuer.wait_for("the withdrawal", TOLD, &gone.replace(&gone_id(&gone), &id));

        // The grant key is stolen, and the link with it: it mints only what people signed, once, for no longer.
        host.run(&["systemctl", "stop", "jit-link"]).ok();
        host.wait_for(
            "the end",
            TOLD,
            "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json",
        );
        stolen(issuer, host, &mut alice, &like);
        own_approval(issuer, host, &mut alice);
    });
}

/// The root keys, and nobody else, let it count: and then nobody can overlook it.
fn own_approval(issuer: &Host, host: &Host, alice: &mut Shell) {
    alice.run("jitctl drop --all").ok();
    host.run(&["systemctl", "start", "jit-link"]).ok();
    rotate(issuer, |next| {
        next["rules"]["self_approval"] = json!(["admin"]);
    });
    host.wait_for(
        "the next trust statement",
        Duration::from_secs(40),
        "jitctl log show --json | grep -c '\"type\":\"trust\"' | grep -qx 2",
    );
    let id = ask(alice, "");
    let yes = format!("jitctl approve {id} --yes");
    person(issuer, "alice", &yes)
        .ok()
        .says("SELF-APPROVAL: alice asks")
        .says("still waits for 1 of security");
    person(issuer, "carol", &yes)
        .ok()
        .says("by alice (THE OWN REQUEST)")
        .says("Approved and granted");
    alice.expect("Now run: sudo");
    alice.prompt();
    alice.run("sudo -n id -u").ok().says("0");
    let record = host.wait_record("the grant", |r| {
        r["type"] == "grant" && r["request"] == id.as_str()
    });
    assert_eq!(record["detail"]["self_approved_by"], "alice");
    let alert = host.wait_record("the alert", |r| r["detail"]["code"] == "self-approved");
    assert_eq!(alert["grant"], record["grant"]);
    host.sh(&format!("jitctl explain {id}"))
        .ok()
        .says("approved by alice (THE OWN REQUEST), carol");
}

/// The id within the script that waits for a withdrawal.
fn gone_id(script: &str) -> String {
    script.split_whitespace().nth(3).unwrap().to_owned()
}

fn nothing_given_yet(host: &Host, alice: &mut Shell) {
    alice.run("sudo -n id").refused().hides("uid=0");
    host.sh("id -nG alice").ok().hides("jit-admin");
}

fn grant_in(stored: &Value) -> Grant {
    let bundle = stored["bundle"].as_str().expect("a bundle");
    let bundle: Value = serde_json::from_str(bundle).unwrap();
    claims(bundle["grant"].as_str().unwrap())
}

/// With stock `ssh-keygen`, as docs/how-to/approve.md says.
fn audited(issuer: &Host, id: &str) {
    let shown = person(issuer, "bob", &format!("jitctl requests show {id} --json"))
        .ok()
        .json();
    let request = &shown["request"];
    issuer.write("/root/request", request["bytes"].as_str().unwrap());
    for (n, by) in ["bob", "carol"].into_iter().enumerate() {
        let approval = &request["approvals"][n];
        assert_eq!(approval["by"], by, "{shown}");
        issuer.write("/root/sig", approval["sig"].as_str().unwrap());
        let script = format!(
            "cd /root && echo {by} $(cat /home/{by}/.ssh/{by}.pub) >signers && \
             ssh-keygen -Y verify -f signers -I {by} -n {NAMESPACE} -s sig <request"
        );
        issuer.sh(&script).ok().says("Good");
        issuer
            .sh(&script.replace("<request", "</etc/passwd"))
            .refused();
    }
}

fn stolen(issuer: &Host, host: &Host, alice: &mut Shell, like: &Grant) {
    let key = format!(
        "/proc/{}/root/var/lib/jit-issuer/keys/grant.pk8",
        issuer.init()
    );
    let key = Signer::from_pkcs8(&fs::read(key).unwrap()).unwrap();
    let (mut link, ..) = Link::connect(host);
    let request = impostor::ask(alice, &mut link, "60s");
    issuer.write("/root/request", &request);
    issuer.sh("install -m 644 /root/request /tmp/request").ok();
    let sign = |by: &str, key: &str| Approval {
        fmt: Format::Sshsig,
        by: by.to_owned(),
        sig: issuer
            .run_as(
                by,
                &format!("ssh-keygen -Y sign -q -f .ssh/{key} -n {NAMESPACE} </tmp/request"),
            )
            .ok()
            .stdout,
    };
    let (bob, twice) = (sign("bob", "bob"), sign("bob", "other"));
    let (alices, carol) = (sign("alice", "alice"), sign("carol", "carol"));
    let given = Grant {
        mode: Mode::Approved,
        ..honest(like, &request)
    };
    let mint = |grant: &Grant, by: &[&Approval]| {
        let jws = key.sign(Typ::Grant, grant).unwrap();
        let by: Vec<Approval> = by.iter().map(|a| (*a).clone()).collect();
        sign::approved(&jws, &request, &by)
    };
    let auto = Grant {
        mode: Mode::Auto,
        ..given.clone()
    };
    let longer = Grant {
        exp: given.exp + 1,
        ..given.clone()
    };
    // To a time when somebody counted who does not any more.
    let back = Grant {
        iat: given.iat - 3600,
        nbf: given.nbf - 3600,
        exp: given.exp - 3600,
        ..given.clone()
    };
    let other: String = mint(&given, &[&bob, &carol]).replace(
        &URL_SAFE_NO_PAD.encode(&request),
        &URL_SAFE_NO_PAD.encode(request.replacen('.', "A.", 1)),
    );
    let both = [&bob, &carol];
    let wrong: Vec<(&str, Kind, String, &str)> = [
        (
            "automatic",
            mint(&auto, &[]),
            "does not let this role be automatic",
        ),
        (
            "k-1",
            mint(&given, &[&bob]),
            "must approve, and only bob did",
        ),
        (
            "one with two keys",
            mint(&given, &[&bob, &twice]),
            "bob has approved twice",
        ),
        (
            "the requester",
            mint(&given, &[&alices, &carol]),
            "approved the own request",
        ),
        ("longer", mint(&longer, &both), "lasts longer"),
        ("dated back", mint(&back, &both), "dated before its request"),
        ("other bytes", other, "request"),
    ]
    .map(|(name, bundle, why)| (name, Kind::Grant, bundle, why))
    .into();
    all_refused(host, &mut link, &wrong);
    nothing_given(host, alice);
    link.deliver(Kind::Grant, &mint(&given, &both));
    in_force(host, &given.jti);
    alice.run("sudo -n id -u").ok().says("0");
    let second = Grant {
        jti: new_id(),
        ..given.clone()
    };
    let again = [(
        "a second grant",
        Kind::Grant,
        mint(&second, &both),
        "no open request",
    )];
    all_refused(host, &mut link, &again);
}
