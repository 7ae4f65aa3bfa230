//! Elevation on a host that is asked for on another machine, with a person's key or a CI's: it ends in sudo there. Whoever has
//! stolen the grant key and the link gets nothing by it that the person did not sign, for that host, once.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod impostor;

use std::fs;
use std::time::Duration;

use impostor::{Link, all_refused, claims, honest, in_force, new_id, nothing_given, now};
use jit_tests::net::pair;
use jit_tests::{Host, Output, Shell, project};
use serde_json::{Value, json};
use statement::asked::{NAMESPACE, sealed, to_sign};
use statement::claims::{Grant, Request, Typ};
use statement::detail::{All, AllOr};
use statement::sign::{self, Signer, SshSigner};
use wire::link::Kind;

const SOON: Duration = Duration::from_secs(10);

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
[roles.careful]
max = "1h"
max_stale = "5m"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
auth = "none"
on_end = "kill"
[roles.deploy]
max = "10m"
max_stale = "5m"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/bin/id", args = ["*"] }]
auth = "none"
on_end = "kill"
[[approve]]
name = "test"
roles = ["admin", "careful", "deploy"]
effect = "automatic"
"#;

/// Where the issuer is and who certified it; the only thing a machine needs beside `jitctl` and a key.
const AT: &str = "issuer = \"https://10.77.0.1:8443\"\nca = \"/etc/jit/tls/ca.pem\"\n";

/// The root keys say who is who: alice, a CI that works as bob, and carol, who approves. Their keys are on the issuer's
/// machine, where no agent runs.
fn people(issuer: &Host, host: &Host) {
    let me: Value = serde_json::from_str(&host.read("/var/lib/jit/enrolment.json")).unwrap();
    let enrolment: Value = claims(me["enrolment"].as_str().unwrap());
    let domain = enrolment["host"]
        .as_str()
        .unwrap()
        .split('/')
        .nth(2)
        .unwrap()
        .to_owned();
    let key = |user: &str, kind: &str| {
        let make = format!("mkdir -p -m 700 .ssh; ssh-keygen -q -t {kind} -N '' -C '' -f .ssh/key");
        issuer.run_as(user, &make).ok();
        let public = issuer.read(&format!("/home/{user}/.ssh/key.pub"));
        json!([{ "ssh": public.trim(), "nbf": now() - 3600, "exp": now() + 86_400 }])
    };
    let account = |login: &str| {
        let uid: u32 = host
            .sh(&format!("id -u {login}"))
            .ok()
            .text()
            .parse()
            .unwrap();
        json!([{ "login": login, "uid": uid, "domain": domain }])
    };
    let people = json!([
        { "id": "alice", "keys": key("alice", "ed25519"), "accounts": account("alice") },
        { "id": "ci-deploy", "keys": key("bob", "ecdsa"), "accounts": account("bob") },
        { "id": "carol", "groups": ["ops"], "keys": key("carol", "ed25519") },
    ]);
    rotate(issuer, &|next| {
        next["people"] = people.clone();
        next["rules"]["automatic"] = json!(["admin", "deploy"]);
        next["rules"]["approval"] = json!({ "careful": [{ "group": "ops", "count": 1 }] });
    });
    issuer.write("/etc/jit/jitctl.toml", AT);
    host.wait_for(
        "the trust statement",
        Duration::from_secs(40),
        "jitctl log show --json | grep -q '\"type\":\"trust\"'",
    );
    host.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    issuer
        .sh("systemctl mask --now jit-agent.socket jit-gate.socket jit-link.socket jit-agent.service")
        .ok();
}

/// The next trust statement, in force on the issuer.
fn rotate(issuer: &Host, change: &dyn Fn(&mut Value)) {
    let as_issuer = |script: &str| {
        let script = format!("cd /var/lib/jit-issuer && {script}");
        issuer
            .run(&["runuser", "-u", "jit-issuer", "--", "sh", "-c", &script])
            .ok();
    };
    as_issuer("rm -f next.json && jit-issuer trust rotate --draft next.json");
    let file = "/var/lib/jit-issuer/next.json";
    let mut next: Value = serde_json::from_str(&issuer.read(file)).unwrap();
    change(&mut next);
    issuer.write(file, &next.to_string());
    as_issuer("jit-issuer trust sign next.json --key keys/root.pk8");
    as_issuer("jit-issuer trust rotate --install next.json");
    issuer.run(&["systemctl", "restart", "jit-issuer"]).ok();
}

/// As somebody with an ssh-agent.
fn person(issuer: &Host, who: &str, command: &str) -> Output {
    let script = format!("ssh-agent sh -c 'ssh-add -q .ssh/key 2>/dev/null; {command}'");
    issuer.run_as(who, &script)
}

fn ended(host: &Host) {
    let gone = "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json";
    host.wait_for("the end", SOON, gone);
}

#[test]
fn what_is_signed_elsewhere_ends_in_sudo_here_and_nothing_else_does() {
    pair(Some(POLICY), |issuer, host, _| {
        people(issuer, host);
        let mut alice = host.shell("alice");
        alice.run("sudo -n id").refused();

        // From another machine to sudo here: when jitctl is back, it works.
        let elevate = "jitctl elevate --host web1 --for 5m --reason \"deploy 4.2\" --ticket OPS-4";
        let said = person(issuer, "alice", &format!("{elevate} --json"))
            .ok()
            .json();
        assert_eq!(
            (&said["status"], &said["login"]),
            (&json!("active"), &json!("alice")),
            "{said}"
        );
        let id = said["grant"]["id"].as_str().unwrap().to_owned();
        alice.run("sudo -n id").ok().says("uid=0(root)");
        let asked = host.wait_record("the request", |r| r["type"] == "request");
        assert_eq!(asked["detail"]["asked_by"], "alice", "{asked}");
        assert_eq!(
            (&asked["ticket"], &asked["login"]),
            (&json!("OPS-4"), &json!("alice"))
        );
        let given = host.wait_record("the grant", |r| r["type"] == "grant");
        assert_eq!(
            (&given["grant"], &given["detail"]["asked_by"]),
            (&json!(id), &json!("alice"))
        );
        let file: Value =
            serde_json::from_str(&host.read(&format!("/var/lib/jit/grants/{id}.json"))).unwrap();
        let bundle: Value = serde_json::from_str(file["bundle"].as_str().unwrap()).unwrap();
        let like: Grant = claims(bundle["grant"].as_str().unwrap());
        let answered = unb64(bundle["request"].as_str().unwrap());

        // Given back from there, by whoever asked and by nobody else.
        person(issuer, "carol", &format!("jitctl drop --remote {id}")).exits(6);
        person(issuer, "alice", &format!("jitctl drop --remote {id}"))
            .ok()
            .says(&id);
        host.wait_for(
            "the end of the right",
            SOON,
            "! runuser -u alice -- sudo -n true 2>/dev/null",
        );
        ended(host);
        person(issuer, "alice", &format!("jitctl drop --remote {id}")).ok();

        a_job(issuer, host);
        with_approval(issuer, host, &mut alice);
        refusals(issuer, host);

        // The grant key is stolen, and the link with it.
        host.run(&["systemctl", "stop", "jit-link"]).ok();
        ended(host);
        stolen(issuer, host, &mut alice, &like, &answered);
    });
}

/// `packaging/ci`, as jobs run it: the right is there between the two, and the key nowhere after them.
fn by_scripts(issuer: &Host, host: &Host, bob: &mut Shell) {
    for name in ["elevate", "give-back"] {
        let script = fs::read_to_string(project::root().join("packaging/ci").join(name)).unwrap();
        issuer.write(&format!("/usr/local/bin/jit-ci-{name}"), &script);
    }
    issuer.sh("chmod 755 /usr/local/bin/jit-ci-*").ok();
    let job = |role: &str, script: &str| {
        let set = format!("JIT_HOST=web1 JIT_ROLE={role} JIT_FOR=2m JIT_DIR=$HOME/job");
        let set = format!(
            "{set} JIT_COMMAND='/usr/bin/id -u' JIT_REASON='job 18' JIT_KEY=\"$(cat .ssh/key)\""
        );
        issuer.run_as("bob", &format!("export {set}; jit-ci-{script}"))
    };
    job("deploy", "elevate").ok().says("\"active\"");
    bob.run("sudo -n id -u").ok().says("0");
    issuer.run_as("bob", "stat -c %a job/key").ok().says("600");
    job("deploy", "give-back").ok();
    issuer.run_as("bob", "test ! -e job").ok();
    ended(host);
    bob.run("sudo -n id -u").refused();
    // Refused, the job fails with that; and nothing is left of it either.
    job("none", "elevate").exits(3);
    job("none", "give-back").ok();
    issuer.run_as("bob", "test ! -e job").ok();
}

/// A CI's job: a key in a file, no ssh-agent; one command, for its own account.
fn a_job(issuer: &Host, host: &Host) {
    let mut bob = host.shell("bob");
    let job = "jitctl elevate --host web1 --key .ssh/key --role deploy --for 2m --reason job-17";
    issuer
        .run_as("bob", &format!("{job} -- id -u"))
        .exits(2)
        .says("absolute path");
    issuer
        .run_as("bob", &format!("{job} -- /usr/bin/env"))
        .exits(3)
        .says("does not cover");
    let said = issuer
        .run_as("bob", &format!("{job} --json -- /usr/bin/id -u"))
        .ok()
        .json();
    assert_eq!(
        said["grant"]["commands"],
        json!(["/usr/bin/id -u"]),
        "{said}"
    );
    bob.run("sudo -n id -u").ok().says("0");
    bob.run("sudo -n id -g").refused();
    let request = said["request"].as_str().unwrap();
    issuer
        .run_as(
            "bob",
            &format!("jitctl drop --remote --key .ssh/key {request}"),
        )
        .ok();
    host.wait_for(
        "the end of the right",
        SOON,
        "! runuser -u bob -- sudo -n id -u 2>/dev/null",
    );
    ended(host);
    by_scripts(issuer, host, &mut bob);
    issuer.run_as("bob", "chmod 644 .ssh/key").ok();
    issuer.run_as("bob", job).exits(2).says("others can read");
    issuer.run_as("bob", "chmod 600 .ssh/key").ok();
}

/// People approve it as any other request; whoever does not wait is told so.
fn with_approval(issuer: &Host, host: &Host, alice: &mut Shell) {
    let ask = "jitctl elevate --host web1 --role careful --for 5m --reason x";
    let said = person(issuer, "alice", &format!("{ask} --no-wait --json"))
        .exits(4)
        .json();
    assert_eq!(
        (&said["status"], &said["waiting_for"]),
        (&json!("pending"), &json!("1 of ops"))
    );
    let id = said["request"].as_str().unwrap().to_owned();
    person(issuer, "carol", &format!("jitctl requests show {id}"))
        .ok()
        .says("alice (uid ")
        .says("elsewhere, signed by alice");
    person(issuer, "carol", "jitctl requests")
        .ok()
        .says("on web1");
    let yes = format!("jitctl approve {id} --yes");
    person(issuer, "alice", &yes).exits(3);
    person(issuer, "carol", &yes)
        .ok()
        .says("Approved and granted");
    host.wait_for(
        "the grant",
        SOON,
        "runuser -u alice -- sudo -n true 2>/dev/null",
    );
    let given = host.wait_record("the grant", |r| {
        r["type"] == "grant" && r["request"] == id.as_str()
    });
    assert_eq!(given["detail"]["approved_by"], json!(["carol"]));
    person(issuer, "alice", &format!("jitctl drop --remote {id}")).ok();
    ended(host);
    // Withdrawn before anybody decided it; and not waited for any longer than was said.
    let said = person(issuer, "alice", &format!("{ask} --wait=1s --json"))
        .exits(4)
        .json();
    let id = said["request"].as_str().unwrap().to_owned();
    person(issuer, "alice", &format!("jitctl drop --remote {id}"))
        .ok()
        .says("Withdrawn");
    person(issuer, "carol", &format!("jitctl approve {id} --yes")).exits(3);
    alice.run("sudo -n id").refused();
}

fn refusals(issuer: &Host, host: &Host) {
    let ask = "jitctl elevate --host web1 --reason x";
    // Known to approve, with no account there; unknown; another's account.
    person(issuer, "carol", ask)
        .exits(3)
        .says("no such account");
    issuer
        .run_as(
            "dave",
            "mkdir -p -m 700 .ssh; ssh-keygen -q -t ed25519 -N \"\" -f .ssh/key",
        )
        .ok();
    person(issuer, "dave", ask).exits(3).says("knows nobody");
    person(issuer, "alice", &format!("{ask} --login bob"))
        .exits(3)
        .says("no such account");
    person(issuer, "alice", &format!("{ask} --for 2h"))
        .exits(3)
        .says("at most 1h");
    person(issuer, "alice", &format!("{ask} --role none"))
        .exits(3)
        .says("no role");
    person(issuer, "alice", "jitctl elevate --host web9 --reason x")
        .exits(1)
        .says("No such host");
    person(issuer, "alice", "jitctl elevate --key .ssh/key --reason x")
        .exits(2)
        .says("--host");
    issuer.run_as("alice", ask).exits(3).says("no ssh-agent");
    let away = "jitctl elevate --host web1 --reason x --issuer https://10.77.0.1:1";
    person(issuer, "alice", away).exits(5);
    // Granted, and the host has another word: it is told.
    host.run(&["gpasswd", "-d", "alice", "jit-eligible"]).ok();
    person(issuer, "alice", ask)
        .exits(3)
        .says("no longer eligible");
    host.run(&["usermod", "-aG", "jit-eligible", "alice"]).ok();
    ended(host);
    let drop_in = "/etc/jit/ceiling.toml.d/remote.toml";
    host.sh(&format!(
        "install -d /etc/jit/ceiling.toml.d && echo 'remote = false' >{drop_in}"
    ))
    .ok();
    host.run(&["systemctl", "reload", "jit-agent"]).ok();
    person(issuer, "alice", ask)
        .exits(3)
        .says("no requests from elsewhere");
    host.sh(&format!("rm {drop_in} && systemctl reload jit-agent"))
        .ok();
}

fn unb64(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

fn key_of(issuer: &Host, user: &str) -> SshSigner {
    let path = format!("/proc/{}/root/home/{user}/.ssh/key", issuer.init());
    SshSigner::from_openssh(&fs::read_to_string(path).unwrap()).unwrap()
}

fn signed(by: &SshSigner, request: &Request) -> String {
    let input = to_sign(request, by.key()).unwrap();
    sealed(&input, &by.sign(NAMESPACE, input.as_bytes()).unwrap())
}

/// What the thief delivers with the real grant key.
fn stolen(issuer: &Host, host: &Host, alice: &mut Shell, like: &Grant, answered: &str) {
    let path = format!(
        "/proc/{}/root/var/lib/jit-issuer/keys/grant.pk8",
        issuer.init()
    );
    let thief = Signer::from_pkcs8(&fs::read(path).unwrap()).unwrap();
    let (mut link, ..) = Link::connect(host);
    let mint = |request: &str| {
        sign::bundle(
            &thief.sign(Typ::Grant, &honest(like, request)).unwrap(),
            request,
        )
    };
    let (hers, bobs, daves) = (
        key_of(issuer, "alice"),
        key_of(issuer, "bob"),
        key_of(issuer, "dave"),
    );
    let old: Request = claims(answered);
    let asked = |change: &dyn Fn(&mut Request)| {
        let mut request = Request {
            id: new_id(),
            iat: now(),
            nonce: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            approve_until: now() + 600,
            ..old.clone()
        };
        change(&mut request);
        request
    };
    let good = signed(&hers, &asked(&|_| ()));
    let other = format!("{}9", like.aud[0]);
    let for_other = asked(&|r| {
        r.aud = vec![other.clone()];
        r.sub.push('9');
    });
    // As the thief would have it: the same signature under other claims.
    let longer = to_sign(
        &Request {
            dur: 3600,
            ..claims(&good)
        },
        hers.key(),
    )
    .unwrap();
    let altered = format!("{longer}.{}", good.rsplit('.').next().unwrap());
    let late = asked(&|r| {
        r.iat = now() - 700;
        r.approve_until = now() - 1;
    });
    let too_late = |request: &str| {
        let grant = Grant {
            iat: now() - 10,
            nbf: now() - 10,
            exp: now() + 50,
            ..honest(like, request)
        };
        sign::bundle(&thief.sign(Typ::Grant, &grant).unwrap(), request)
    };
    let wide = asked(&|r| {
        r.role = "deploy".to_owned();
        r.dur = 60;
        for d in &mut r.authorization_details {
            d.groups = vec!["jit-deploy".to_owned()];
            d.commands = AllOr::All(All::All);
        }
    });
    let careful = asked(&|r| {
        r.role = "careful".to_owned();
        for d in &mut r.authorization_details {
            d.groups = vec!["jit-careful".to_owned()];
            d.shell = false;
        }
    });
    let ahead = asked(&|r| {
        r.iat = now() + 200;
        r.approve_until = now() + 1200;
    });
    // Dated so that the two fit, and that the grant by itself could be taken.
    let ahead_grant = |request: &str| {
        let grant = honest(like, request);
        let grant = Grant {
            iat: grant.iat + 100,
            nbf: grant.nbf + 100,
            exp: grant.exp + 100,
            ..grant
        };
        sign::bundle(&thief.sign(Typ::Grant, &grant).unwrap(), request)
    };
    let wrong: Vec<(&str, Kind, String, &str)> = [
        (
            "a key nobody knows",
            mint(&signed(&daves, &asked(&|_| ()))),
            "knows nobody with this key",
        ),
        (
            "another person's key",
            mint(&signed(&bobs, &asked(&|_| ()))),
            "names another person",
        ),
        (
            "another person for her account",
            mint(&signed(&bobs, &asked(&|r| r.iss = "ci-deploy".to_owned()))),
            "not to ci-deploy",
        ),
        (
            "for another host",
            mint(&signed(&hers, &for_other)),
            "other hosts",
        ),
        ("altered", mint(&altered), "does not match"),
        ("replayed", mint(answered), "answered before"),
        (
            "too late",
            too_late(&signed(&hers, &late)),
            "had waited too long",
        ),
        (
            "ahead",
            ahead_grant(&signed(&hers, &ahead)),
            "its request is dated ahead of this host's clock",
        ),
        (
            "more than the role gives",
            mint(&signed(&hers, &wide)),
            "goes beyond role deploy",
        ),
        (
            "without approval",
            mint(&signed(&hers, &careful)),
            "does not let this role be automatic",
        ),
    ]
    .map(|(name, bundle, why)| (name, Kind::Grant, bundle, why))
    .into();
    all_refused(host, &mut link, &wrong);
    nothing_given(host, alice);

    // What she signed works, also with nobody but the thief to carry it, once.
    let first = honest(like, &good);
    link.deliver(
        Kind::Grant,
        &sign::bundle(&thief.sign(Typ::Grant, &first).unwrap(), &good),
    );
    in_force(host, &first.jti);
    alice.run("sudo -n id -u").ok().says("0");
    let again = [(
        "a second grant",
        Kind::Grant,
        mint(&good),
        "answered before",
    )];
    all_refused(host, &mut link, &again);
    // Once is once, also for an agent that was started anew.
    alice.run("jitctl drop --all").ok();
    ended(host);
    drop(link);
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    let (mut link, ..) = Link::connect(host);
    let again = [(
        "after a restart",
        Kind::Grant,
        mint(&good),
        "answered before",
    )];
    all_refused(host, &mut link, &again);

    // She leaves: what lives by her key ends with the trust statement that leaves her out, and nothing new counts.
    let last = signed(&hers, &asked(&|_| ()));
    let grant = honest(like, &last);
    link.deliver(
        Kind::Grant,
        &sign::bundle(&thief.sign(Typ::Grant, &grant).unwrap(), &last),
    );
    in_force(host, &grant.jti);
    rotate(issuer, &|next| {
        next["people"]
            .as_array_mut()
            .unwrap()
            .retain(|p| p["id"] != "alice")
    });
    let newest = issuer
        .sh("ls /var/lib/jit-issuer/trust/*.json | sort -V | tail -1")
        .ok();
    link.deliver(Kind::Trust, issuer.read(newest.text()).trim_end());
    ended(host);
    let removed = [(
        "a removed person",
        Kind::Grant,
        mint(&signed(&hers, &asked(&|_| ()))),
        "knows nobody with this key",
    )];
    all_refused(host, &mut link, &removed);
    nothing_given(host, alice);
}
