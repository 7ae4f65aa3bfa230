//! A host follows its root keys, step by step, and acts on what they say of keys, people and epochs. The test speaks in the
//! place of the link, with every key the issuer has.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod impostor;

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use impostor::*;
use jit_tests::grants::records;
use jit_tests::{Host, Shell};
use serde_json::{Value, json};
use statement::claims::{Grant, Mode, Policy, Revocation, State, Target, Typ};
use statement::digest::sha256_b64;
use statement::people::{Account, Approval, Format, Need, Person, PersonKey};
use statement::sign::{self, Signer};
use statement::sshsig::NAMESPACE;
use statement::trust::TrustClaims;
use wire::link::{Down, Kind};

fn ssh_keygen(dir: &Path, args: &[&str]) {
    let out = Command::new("ssh-keygen")
        .current_dir(dir)
        .args(args)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// An approver with stock OpenSSH tools.
struct Hand<'a> {
    dir: &'a Path,
    name: &'static str,
}

impl Hand<'_> {
    fn new<'a>(dir: &'a Path, name: &'static str) -> Hand<'a> {
        ssh_keygen(
            dir,
            &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name],
        );
        Hand { dir, name }
    }

    fn person(&self, id: &str) -> Person {
        let public = std::fs::read_to_string(self.dir.join(format!("{}.pub", self.name))).unwrap();
        Person {
            id: id.to_owned(),
            groups: vec!["ops".to_owned()],
            accounts: vec![],
            keys: vec![PersonKey {
                ssh: public.trim().to_owned(),
                nbf: now() - 60,
                exp: now() + 3600,
            }],
        }
    }

    fn approve(&self, by: &str, request: &str) -> Approval {
        std::fs::write(self.dir.join("request"), request).unwrap();
        let _ = std::fs::remove_file(self.dir.join("request.sig"));
        ssh_keygen(
            self.dir,
            &[
                "-Y", "sign", "-q", "-f", self.name, "-n", NAMESPACE, "request",
            ],
        );
        Approval {
            fmt: Format::Sshsig,
            by: by.to_owned(),
            sig: std::fs::read_to_string(self.dir.join("request.sig")).unwrap(),
        }
    }
}

fn approved(jws: &str, request: &str, approvals: &[Approval]) -> String {
    json!({"v": 1, "grant": jws, "request": URL_SAFE_NO_PAD.encode(request), "approvals": approvals}).to_string()
}

/// The last trust statement a host has taken.
struct Chain {
    claims: TrustClaims,
    hash: String,
}

impl Chain {
    /// What would come next, with a change.
    fn next(&self, change: &dyn Fn(&mut TrustClaims)) -> TrustClaims {
        let mut next = TrustClaims {
            trust_ver: self.claims.trust_ver + 1,
            prev: self.hash.clone(),
            iat: now(),
            carry: vec![],
            ..self.claims.clone()
        };
        change(&mut next);
        next
    }

    /// Delivers the next one and waits until it is in force.
    #[track_caller]
    fn step(&mut self, host: &Host, link: &mut Link, claims: TrustClaims, by: &[&Signer]) -> Value {
        let doc = sign::trust(&claims, by).unwrap();
        link.deliver(Kind::Trust, &doc);
        self.hash = sha256_b64(doc.as_bytes());
        self.claims = claims;
        let hash = self.hash.clone();
        host.wait_record("the trust statement", |r| {
            r["type"] == "trust" && r["detail"]["hash"] == hash.as_str()
        })
    }
}

fn stored(host: &Host, file: &str) -> Value {
    serde_json::from_str(&host.read(&format!("/var/lib/jit/{file}.json"))).unwrap()
}

#[track_caller]
fn lives(alice: &mut Shell) {
    alice.run("sudo -n id -u").ok().says("0");
}

#[test]
#[allow(clippy::too_many_lines)]
fn a_host_follows_its_root_keys_and_nobody_else() {
    let (host, mut alice, keys, real) = without_link();
    let (mut link, me, _) = Link::connect(&host);
    let like = grant_of(&real);
    let enrolment = stored(&host, "enrolment");
    let first = enrolment["trust"].as_str().unwrap().to_owned();
    let general: Value = serde_json::from_str(&first).unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(general["payload"].as_str().unwrap())
        .unwrap();
    let mut chain = Chain {
        claims: serde_json::from_slice(&payload).unwrap(),
        hash: sha256_b64(first.as_bytes()),
    };
    let stranger = Signer::generate().unwrap().0;
    // The shortest life that a statement may have is over, however quick this host was.
    while now() <= chain.claims.iat {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    // Rollback, freeze, fast-forward, and every mixture.
    let by = |signer: &Signer, change: &dyn Fn(&mut TrustClaims)| {
        sign::trust(&chain.next(change), &[signer]).unwrap()
    };
    let root = |change: &dyn Fn(&mut TrustClaims)| by(&keys.root, change);
    let good = root(&|_| ());
    let wrong: Vec<(&str, Kind, String, &str)> = [
        (
            "by a stranger",
            by(&stranger, &|_| ()),
            "too few of the present",
        ),
        (
            "by the grant key",
            by(&keys.grant, &|_| ()),
            "too few of the present",
        ),
        (
            "a stranger's own root",
            by(&stranger, &|c| {
                c.root.keys = vec![stranger.public().to_jwk()]
            }),
            "too few of the present",
        ),
        (
            "a version left out",
            root(&|c| c.trust_ver += 1),
            "missing before",
        ),
        (
            "the last version of all",
            root(&|c| c.trust_ver = u64::MAX),
            "missing before",
        ),
        (
            "the same version, other words",
            root(&|c| c.trust_ver -= 1),
            "not newer",
        ),
        (
            "after another one",
            root(&|c| c.prev = sha256_b64(b"x")),
            "does not follow",
        ),
        ("an epoch that leaps", root(&|c| c.epoch += 2), "leaps"),
        (
            "another issuer",
            root(&|c| c.iss.push('x')),
            "another issuer's",
        ),
        (
            "over",
            root(&|c| (c.iat, c.exp) = (chain.claims.iat, chain.claims.iat + 1)),
            "time is over",
        ),
        (
            "of tomorrow",
            root(&|c| c.iat += 86_400),
            "ahead of this host's clock",
        ),
        (
            "altered",
            altered(&good, good.len() - 9),
            "signature does not match",
        ),
        ("cut", good[..good.len() / 2].to_owned(), "not strict JSON"),
        (
            "a state",
            keys.state.sign(Typ::State, &json!({})).unwrap(),
            "not strict JSON",
        ),
    ]
    .map(|(name, doc, why)| (name, Kind::Trust, doc, why))
    .into();
    all_refused(&host, &mut link, &wrong);
    assert_eq!(stored(&host, "enrolment"), enrolment);

    // From here on two persons must approve the role.
    let dir = tempfile::tempdir().unwrap();
    let [bob, bobs_other, carol, alices] =
        ["bob", "bobs-other", "carol", "alices"].map(|n| Hand::new(dir.path(), n));
    let uid: u32 = host.sh("id -u alice").ok().stdout.trim().parse().unwrap();
    let domain = me.split('/').nth(2).unwrap().to_owned();
    let person_alice = Person {
        accounts: vec![Account {
            login: "alice".into(),
            uid,
            domain,
        }],
        ..alices.person("alice")
    };
    let mut person_bob = bob.person("bob");
    person_bob.keys.extend(bobs_other.person("bob").keys);
    let people = vec![person_alice, person_bob, carol.person("carol")];
    let rule = |c: &mut TrustClaims| {
        c.people.clone_from(&people);
        let two = Need {
            group: "ops".into(),
            count: 2,
        };
        c.rules.approval = [("admin".to_owned(), vec![two])].into();
    };
    let next = chain.next(&rule);
    chain.step(&host, &mut link, next, &[&keys.root]);

    // The stolen grant key mints nothing for it.
    let request = ask(&mut alice, &mut link, "60s");
    let auto = honest(&like, &request);
    let given = Grant {
        mode: Mode::Approved,
        ..auto.clone()
    };
    let sign_grant = |grant: &Grant| keys.grant.sign(Typ::Grant, grant).unwrap();
    let with = |approvals: &[Approval]| approved(&sign_grant(&given), &request, approvals);
    let (b, c) = (
        bob.approve("bob", &request),
        carol.approve("carol", &request),
    );
    let other = carol.approve("carol", &format!("{request}x"));
    let wrong: Vec<(&str, Kind, String, &str)> = [
        (
            "automatic",
            sign::bundle(&sign_grant(&auto), &request),
            "does not let this role be automatic",
        ),
        ("without approvals", with(&[]), "carries no approvals"),
        (
            "one of two",
            with(std::slice::from_ref(&b)),
            "2 of ops must approve, and only bob did",
        ),
        (
            "one twice",
            with(&[b.clone(), b.clone()]),
            "bob has approved twice",
        ),
        (
            "one with two keys",
            with(&[b.clone(), bobs_other.approve("bob", &request)]),
            "bob has approved twice",
        ),
        (
            "the requester",
            with(&[b.clone(), alices.approve("alice", &request)]),
            "alice has approved the own request",
        ),
        (
            "other bytes",
            with(&[b.clone(), other]),
            "signature does not match",
        ),
        (
            "under another's name",
            with(&[b.clone(), bobs_other.approve("carol", &request)]),
            "no such key",
        ),
    ]
    .map(|(name, bundle, why)| (name, Kind::Grant, bundle, why))
    .into();
    all_refused(&host, &mut link, &wrong);
    nothing_given(&host, &mut alice);
    link.deliver(Kind::Grant, &with(&[b, c]));
    in_force(&host, &given.jti);
    lives(&mut alice);
    let record = host.wait_record("the grant", |r| {
        r["type"] == "grant" && r["grant"] == given.jti.as_str()
    });
    assert_eq!(record["detail"]["approved_by"], json!(["bob", "carol"]));
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    let (mut link, ..) = Link::connect(&host);
    lives(&mut alice);

    // An approver is removed: what rests on his word ends, and nothing new can.
    let next = chain.next(&|c| c.people.retain(|p| p.id != "carol"));
    let record = chain.step(&host, &mut link, next, &[&keys.root]);
    assert_eq!(record["detail"]["ends"], json!([given.jti]));
    let end = host.wait_record("the end", |r| {
        r["type"] == "end" && r["grant"] == given.jti.as_str()
    });
    assert_eq!(end["detail"]["cause"], "untrusted");
    host.wait_for(
        "the proof",
        SOON,
        "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json",
    );
    nothing_given(&host, &mut alice);
    let replayed = [
        ("the one before", Kind::Trust, good, "not newer"),
        ("the first", Kind::Trust, first, "not newer"),
    ];
    all_refused(&host, &mut link, &replayed);

    // A state that knows a later trust statement is no fresh news, and the host asks for what it misses.
    let before = stored(&host, "state");
    let state = |epoch: u32, seq: u64, trust_ver: u64, rev: &(u64, String)| State {
        ver: 1,
        iss: like.iss.clone(),
        iat: now(),
        epoch,
        exp: now() + 120,
        state_seq: seq,
        rev_serial: rev.0,
        rev_head: rev.1.clone(),
        policy_ver: 1,
        trust_ver,
    };
    let (seq, serial) = (
        before["state_seq"].as_u64().unwrap(),
        before["rev_serial"].as_u64().unwrap(),
    );
    let rev = (serial, before["rev_head"].as_str().unwrap().to_owned());
    let ahead = state(like.epoch, seq + 1, 99, &rev);
    link.deliver(Kind::State, &keys.state.sign(Typ::State, &ahead).unwrap());
    assert!(matches!(link.down(), Down::Welcome { after: 0, .. }));
    let after = stored(&host, "state");
    assert_eq!(after["state_iat"], before["state_iat"]);
    assert_eq!(after["state_seq"], seq + 1);

    // A new epoch under new root keys: counters start again, all grants end but the one that is carried over.
    let next = chain.next(&|c| c.rules.approval.clear());
    chain.step(&host, &mut link, next, &[&keys.root]);
    let give = |link: &mut Link, alice: &mut Shell| {
        let request = ask(alice, link, "90s");
        let grant = honest(&like, &request);
        link.deliver(Kind::Grant, &sign::bundle(&sign_grant(&grant), &request));
        in_force(&host, &grant.jti);
        grant
    };
    let (stays, goes) = (give(&mut link, &mut alice), give(&mut link, &mut alice));
    // Parts of two truths, and a counter run up as far as it goes: it keeps honest states out until the new epoch.
    let ver = chain.claims.trust_ver;
    let said = |seq: u64, rev: &(u64, String)| {
        let state = state(like.epoch, seq, ver, rev);
        keys.state.sign(Typ::State, &state).unwrap()
    };
    let mixed = said(seq + 2, &(serial, sha256_b64(b"another chain")));
    all_refused(
        &host,
        &mut link,
        &[("mixed", Kind::State, mixed, "names another chain")],
    );
    link.deliver(Kind::State, &said(u64::MAX, &rev));
    let behind = [(
        "after a run",
        Kind::State,
        said(seq + 3, &rev),
        "older than",
    )];
    all_refused(&host, &mut link, &behind);
    assert_eq!(stored(&host, "state")["state_seq"], u64::MAX);
    let new_root = Signer::generate().unwrap().0;
    let next = chain.next(&|c| {
        c.epoch += 1;
        c.root.keys = vec![new_root.public().to_jwk()];
        c.carry = vec![stays.jti.clone()];
    });
    let half = sign::trust(&next, &[&new_root]).unwrap();
    let other_half = sign::trust(&next, &[&keys.root]).unwrap();
    let refused = [
        ("only new", Kind::Trust, half, "too few of the present"),
        ("only old", Kind::Trust, other_half, "too few of its own"),
    ];
    all_refused(&host, &mut link, &refused);
    let record = chain.step(&host, &mut link, next, &[&keys.root, &new_root]);
    assert_eq!(record["detail"]["ends"], json!([goes.jti]));
    host.wait_for(
        "the proof",
        SOON,
        &format!("! test -e /var/lib/jit/grants/{}.json", goes.jti),
    );
    alice
        .run("sudo -n id")
        .refused()
        .says("has not heard from the issuer");
    alice
        .run("jitctl elevate --reason x")
        .exits(5)
        .says("no new policy");
    let none = (0, sha256_b64(b""));
    let epoch = chain.claims.epoch;
    let fresh = |seq, rev: &(u64, String)| {
        keys.state
            .sign(Typ::State, &state(epoch, seq, chain.claims.trust_ver, rev))
            .unwrap()
    };
    let old = keys
        .state
        .sign(Typ::State, &state(like.epoch, seq + 9, 1, &none))
        .unwrap();
    let refused = [
        ("a state of before", Kind::State, old, "it is of epoch"),
        (
            "by the old root",
            Kind::Trust,
            sign::trust(&chain.next(&|_| ()), &[&keys.root]).unwrap(),
            "too few of the present",
        ),
    ];
    all_refused(&host, &mut link, &refused);
    link.deliver(Kind::State, &fresh(1, &none));
    let policy: Policy = claims(enrolment["policy"].as_str().unwrap());
    let policy = Policy {
        epoch,
        iat: now(),
        ..policy
    };
    link.deliver(
        Kind::Policy,
        &keys.policy.sign(Typ::Policy, &policy).unwrap(),
    );
    host.wait_record("the policy", |r| r["type"] == "policy");
    lives(&mut alice);
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    lives(&mut alice);

    // Without a link the rest comes as a file, by the same checks.
    let revocation = Revocation {
        ver: 1,
        iss: like.iss.clone(),
        iat: now(),
        epoch,
        serial: 1,
        prev: none.1.clone(),
        target: Target::Grant(stays.jti.clone()),
        reason: "brought in a file".into(),
        exp: now() + 7200,
    };
    let jws = keys.revocation.sign(Typ::Revocation, &revocation).unwrap();
    let head = (1, sha256_b64(jws.as_bytes()));
    let file = format!(
        "id: 7\nevent: revocation\ndata: {jws}\n\nevent: state\ndata: {}\n\nevent: state\ndata: {}\n\n",
        fresh(3, &head),
        fresh(2, &head)
    );
    host.write("/root/statements", &file);
    alice.run("jitctl import /dev/null").exits(3);
    let told = host.run(&["jitctl", "import", "/root/statements"]).exits(3);
    told.says("Taken: 2").says("older than");
    host.wait_record("the end", |r| {
        r["type"] == "end" && r["grant"] == stays.jti.as_str()
    });
    host.wait_for(
        "the proof",
        SOON,
        "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json",
    );
    nothing_given(&host, &mut alice);
    let again = host
        .run(&["jitctl", "import", "/root/statements", "--json"])
        .exits(3)
        .json();
    assert_eq!(
        (&again["taken"], &again["known"]),
        (&json!(0), &json!(1)),
        "{again}"
    );
    let worst: Vec<Value> = records(&host)
        .into_iter()
        .filter(|r| r["type"] == "alert")
        .collect();
    assert!(worst.is_empty(), "{worst:?}");
}
