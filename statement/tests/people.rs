//! People's signatures: stock `ssh-keygen` is the judge, both ways; and whose word fills which place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use proptest::prelude::*;
use statement::people::{Approver, Need, met};
use statement::sshsig::{NAMESPACE, SshKey, SshSig};
use statement::trust::{verify_first, verify_next};
use statement::{sign, verify_grant};
use std::path::Path;
use std::process::{Command, Stdio};
use world::people::*;
use world::*;

fn ssh_keygen(dir: &Path, args: &[&str], input: Option<&Path>) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.current_dir(dir).args(args);
    let stdin = input.map_or(Stdio::null(), |p| std::fs::File::open(p).unwrap().into());
    let out = command.stdin(stdin).output();
    let out = out.unwrap_or_else(|e| panic!("ssh-keygen: {e}; this test needs it installed"));
    out.status.success()
}

/// The verdict of `ssh-keygen -Y verify`.
fn judged(dir: &Path, key: &str, signature: &str, message: &[u8]) -> bool {
    let allowed = format!("somebody namespaces=\"{NAMESPACE}\" {key}\n");
    std::fs::write(dir.join("allowed"), allowed).unwrap();
    std::fs::write(dir.join("sig"), signature).unwrap();
    std::fs::write(dir.join("message"), message).unwrap();
    let args = [
        "-Y", "verify", "-f", "allowed", "-I", "somebody", "-n", NAMESPACE, "-s", "sig",
    ];
    ssh_keygen(dir, &args, Some(&dir.join("message")))
}

fn ours(key: &str, signature: &str, message: &[u8]) -> bool {
    let parsed = SshSig::parse(signature);
    parsed.is_ok_and(|s| {
        s.key() == &SshKey::parse(key).unwrap() && s.verify(NAMESPACE, message).is_ok()
    })
}

#[test]
fn we_read_what_ssh_keygen_signs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256")] {
        let args = ["-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f", kind];
        assert!(ssh_keygen(dir, &args, None));
        let public = std::fs::read_to_string(dir.join(format!("{kind}.pub"))).unwrap();
        let public = public.trim();
        for hash in ["sha256", "sha512"] {
            // Numbers of ECDSA signatures are shorter now and then.
            for n in 0..16u8 {
                std::fs::write(dir.join("m"), [n]).unwrap();
                let _ = std::fs::remove_file(dir.join("m.sig"));
                let option = format!("hashalg={hash}");
                let args = [
                    "-Y", "sign", "-q", "-O", &option, "-f", kind, "-n", NAMESPACE, "m",
                ];
                assert!(ssh_keygen(dir, &args, None));
                let signature = std::fs::read_to_string(dir.join("m.sig")).unwrap();
                assert!(ours(public, &signature, &[n]), "{signature}");
                assert!(!ours(public, &signature, &[n, n]));
            }
        }
    }
}

/// Signatures of tokens are made here from their specification, and judged by `ssh-keygen` as well as by us.
#[test]
fn ssh_keygen_and_we_agree() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let keys = [
        Ssh::seeded(42),
        Ssh::on_token(Key::seeded(44)),
        Ssh {
            key: Key::es256(),
            token: false,
            flags: 1,
        },
        Ssh::on_token(Key::es256()),
    ];
    for key in &keys {
        let public = key.public();
        let both = |signature: &str, message: &[u8], expected: bool| {
            assert_eq!(
                judged(dir, &public, signature, message),
                expected,
                "{public}"
            );
            assert_eq!(ours(&public, signature, message), expected, "{public}");
        };
        let good = key.sign(NAMESPACE, b"message");
        both(&good, b"message", true);
        both(&good, b"Message", false);
        both(&key.sign("file", b"message"), b"message", false);
        let short = armour(&key.sign_blob(NAMESPACE, "sha256", b"message"));
        both(&short, b"message", true);
        both(&keys[0].sign("git", b"message"), b"message", false);
        let mut blob = key.sign_blob(NAMESPACE, "sha512", b"message");
        let last = blob.len() - 20;
        blob[last] ^= 1;
        both(&armour(&blob), b"message", false);
        blob.push(0);
        both(&armour(&blob), b"message", false);
    }
    // Stricter than ssh-keygen, which leaves the touch to its caller.
    let untouched = Ssh {
        flags: 0,
        ..Ssh::on_token(Key::seeded(44))
    };
    let signature = untouched.sign(NAMESPACE, b"message");
    assert!(!ours(&untouched.public(), &signature, b"message"));
}

#[test]
fn a_removed_approver_counts_no_more() {
    let world = World::new();
    let bundle = world.dba(&Hands::new().two());
    let doc = world.trust();
    let first = verify_first(&doc, &statement::digest::sha256_b64(doc.as_bytes())).unwrap();
    let verified = verify_grant(&bundle, &first.ring(), &world.me()).unwrap();
    let who: Vec<&str> = verified
        .approvers()
        .iter()
        .map(|a| a.person.as_str())
        .collect();
    assert_eq!(who, ["bob", "carol"]);
    assert!(verified.approvers().iter().all(|a| a.until == T0 + 86_400));

    let follows = |change: &dyn Fn(&mut statement::trust::TrustClaims)| {
        let mut claims = world.trust_claims();
        (claims.trust_ver, claims.prev) = (2, first.hash().to_owned());
        change(&mut claims);
        let by = [&world.roots[0].signer, &world.roots[1].signer];
        let doc = sign::trust(&claims, &by).unwrap();
        let ring = verify_next(&first, &doc).unwrap().ring();
        verify_grant(&bundle, &ring, &world.me()).map(drop)
    };
    assert_eq!(follows(&|_| ()), Ok(()));
    let says = |change: &dyn Fn(&mut statement::trust::TrustClaims)| {
        follows(change).unwrap_err().to_string()
    };
    let removed = says(&|c| c.people.retain(|p| p.id != "carol"));
    assert!(removed.contains("\"carol\" has no such key"), "{removed}");
    let moved = says(&|c| c.people[2].groups.retain(|g| g != "ops"));
    assert!(moved.contains("only bob, carol did"), "{moved}");
    let stricter = says(&|c| c.rules.approval.get_mut("dba").unwrap()[0].count = 3);
    assert!(stricter.contains("3 of ops must approve"), "{stricter}");
    let unpinned = says(&|c| {
        c.keys.remove(0);
    });
    assert!(unpinned.contains("unknown key"), "{unpinned}");
}

/// The ring of the next trust statement, as `change` makes it.
fn ring_of(
    world: &World,
    change: &dyn Fn(&mut statement::trust::TrustClaims),
) -> Result<statement::keys::KeyRing, statement::Refused> {
    let mut claims = world.trust_claims();
    change(&mut claims);
    let by = [&world.roots[0].signer, &world.roots[1].signer];
    let doc = sign::trust(&claims, &by).unwrap();
    verify_first(&doc, &statement::digest::sha256_b64(doc.as_bytes())).map(|t| t.ring())
}

#[test]
fn an_own_approval_counts_by_the_rule_of_the_root_keys_alone() {
    let (world, hands) = (World::new(), Hands::new());
    let may = |roles: &[&str]| {
        let roles: Vec<String> = roles.iter().map(|r| (*r).to_owned()).collect();
        ring_of(&world, &|c| c.rules.self_approval = roles.clone())
    };
    let (alice, bob) = (("alice", &hands.alice), ("bob", &hands.bob));
    let verified = |bundle: &str, ring: &statement::keys::KeyRing| {
        verify_grant(bundle, ring, &world.me()).map_err(|e| e.to_string())
    };
    let allowed = may(&["dba"]).unwrap();
    let given = verified(&world.dba(&[alice, bob]), &allowed).unwrap();
    assert_eq!(given.self_approver(), Some("alice"));
    let given = verified(&world.dba(&[bob, ("carol", &hands.carol)]), &allowed).unwrap();
    assert_eq!(given.self_approver(), None);
    // Persons are counted as ever: the requester is one, under each name and with each key.
    let why = verified(&world.dba(&[alice]), &allowed).unwrap_err();
    assert!(why.contains("only alice did"), "{why}");
    let why = verified(&world.dba(&[alice, alice]), &allowed).unwrap_err();
    assert!(why.contains("alice has approved twice"), "{why}");
    // No rule, and the rule of another role.
    for other in [&[][..], &["root-all"]] {
        let why = verified(&world.dba(&[alice, bob]), &may(other).unwrap()).unwrap_err();
        assert!(why.contains("alice has approved the own request"), "{why}");
    }
    // The issuer asks the same of each approval as it comes.
    let (asked, _) = asked("dba");
    let request = world
        .host
        .signer
        .sign(statement::claims::Typ::Request, &asked)
        .unwrap();
    let own = approval("alice", &hands.alice, request.as_bytes());
    let who = ("alice", 1000, HOST);
    assert!(
        allowed
            .approver(&own, &request, "dba", who, T0)
            .unwrap()
            .own
    );
    assert_eq!(allowed.self_approver(&asked).unwrap().id, "alice");
    let none = may(&[]).unwrap();
    assert!(none.approver(&own, &request, "dba", who, T0).is_err());
    assert!(none.self_approver(&asked).is_none());
    // Only a role that people must approve can have such a rule, and once.
    for wrong in [&["admin"][..], &["dba", "dba"]] {
        let why = may(wrong).unwrap_err().to_string();
        assert!(why.contains("rules.self_approval"), "{why}");
    }
    // One that was signed before there was such a rule reads as one that has none.
    let doc = world.trust();
    assert!(!String::from_utf8_lossy(&payload(&doc)).contains("self_approval"));
}

/// What a trust statement's signatures are over.
fn payload(doc: &str) -> Vec<u8> {
    let doc: serde_json::Value = serde_json::from_str(doc).unwrap();
    statement::digest::decode(doc["payload"].as_str().unwrap()).unwrap()
}

/// Every way to give persons to places, tried one after the other.
fn by_trying(places: &[String], free: &[Approver]) -> bool {
    let Some((place, rest)) = places.split_first() else {
        return true;
    };
    (0..free.len()).any(|n| {
        let mut others = free.to_vec();
        let one = others.remove(n);
        one.groups.contains(place) && by_trying(rest, &others)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_person_fills_one_place(
        counts in prop::collection::vec(1..3u32, 1..4),
        groups in prop::collection::vec(prop::collection::vec(0..3usize, 0..3), 0..6),
    ) {
        let name = |n: usize| ["a", "b", "c"][n].to_owned();
        let needs: Vec<Need> =
            counts.iter().enumerate().map(|(n, count)| Need { group: name(n), count: *count }).collect();
        let approvers: Vec<Approver> = groups.iter().enumerate().map(|(n, g)| Approver {
            person: n.to_string(), groups: g.iter().map(|g| name(*g)).collect(), until: 0, own: false,
        }).collect();
        let places: Vec<String> =
            needs.iter().flat_map(|n| (0..n.count).map(|_| n.group.clone())).collect();
        prop_assert_eq!(met(&needs, &approvers).is_ok(), by_trying(&places, &approvers));
    }

    /// Whoever approves, for whichever role: a grant counts its requester if and only if the root keys let that role, and
    /// even so needs as many persons as ever.
    #[test]
    fn nobody_approves_for_himself_unless_the_role_says_so(
        who in prop::sample::subsequence(vec!["alice", "bob", "carol"], 1..4), role in 0..2usize, rule in 0..4usize,
    ) {
        let (world, hands) = (World::new(), Hands::new());
        let role = ["dba", "root-all"][role];
        let rules = [vec![], vec!["dba"], vec!["root-all"], vec!["dba", "root-all"]][rule].clone();
        let own: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
        let ring = ring_of(&world, &|c| c.rules.self_approval = own.clone()).unwrap();
        let (asked, given) = asked(role);
        let key = |who: &str| match who {
            "alice" => &hands.alice,
            "bob" => &hands.bob,
            _ => &hands.carol,
        };
        let bundle = world.approved(&asked, &given, &|r| who.iter().map(|w| approval(w, key(w), r)).collect());
        let needs_carol = role == "root-all";
        let enough = who.len() >= 2 && (!needs_carol || who.contains(&"carol"));
        let counts = !who.contains(&"alice") || rules.contains(&role);
        prop_assert_eq!(verify_grant(&bundle, &ring, &world.me()).is_ok(), enough && counts);
    }

    /// 2,000 signatures with up to five changes each: nothing panics, nothing is believed.
    #[test]
    fn a_changed_signature_is_refused(
        seed in 0..4usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0..60usize,
    ) {
        let keys = [
            Ssh::seeded(42), Ssh::on_token(Key::seeded(44)), Ssh { key: Key::es256(), token: false, flags: 1 },
            Ssh::on_token(Key::es256()),
        ];
        let key = &keys[seed];
        let mut blob = key.sign_blob(NAMESPACE, "sha512", b"message");
        let good = blob.clone();
        for (at, value) in &changes {
            blob[at.index(good.len())] = *value;
        }
        if cut < 20 {
            blob.truncate(good.len() - cut);
        }
        if blob != good {
            // Flags and counter of a token are signed too, so no byte is free to change.
            prop_assert!(!ours(&key.public(), &armour(&blob), b"message"));
        }
        prop_assert!(SshKey::parse(&String::from_utf8_lossy(&blob)).is_err());
    }

    #[test]
    fn garbage_is_no_signature(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
        prop_assert!(SshSig::parse(&armour(&bytes)).is_err());
        prop_assert!(SshSig::parse(&armour(&[b"SSHSIG\0\0\0\x01", &bytes[..]].concat())).is_err());
        prop_assert!(SshSig::parse(&text).is_err());
        prop_assert!(SshKey::parse(&text).is_err());
    }
}

/// Else an old date makes those count whose keys have ended since.
#[test]
fn a_grant_that_is_dated_before_its_request_is_refused() {
    let (world, hands) = (World::new(), Hands::new());
    let (mut asked, given) = asked("root-all");
    (asked.iat, asked.approve_until) = (T0 + 300, T0 + 900);
    let dated = |iat: u64| {
        let given = statement::claims::Grant {
            iat,
            nbf: iat,
            exp: iat + 900,
            ..given.clone()
        };
        let bundle = world.approved(&asked, &given, &|request| {
            let by = |(who, key)| approval(who, key, request);
            hands.two().map(by).into()
        });
        let verified = verify_grant(&bundle, &world.ring(), &world.me());
        verified.map(|_| ()).map_err(|e| e.to_string())
    };
    let why = dated(T0 + 179).unwrap_err();
    assert!(why.contains("dated before its request"), "{why}");
    // The clocks of a host and its issuer may be so far apart.
    assert_eq!(dated(T0 + 180), Ok(()));
}
