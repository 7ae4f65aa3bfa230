//! Requests that people sign elsewhere: stock `ssh-keygen` signs them and judges them, and everything that is not exactly
//! one of a person for his own account on this host is refused, whoever holds the grant key.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use proptest::prelude::*;
use serde_json::{Value, json};
use statement::asked::{NAMESPACE, is_persons, once, sealed, to_sign};
use statement::claims::{Grant, Mode, Request, Typ};
use statement::digest::sha256_b64;
use statement::keys::KeyRing;
use statement::sign::{self, SignError, SshSigner};
use statement::sshsig::{SshKey, SshSig};
use statement::trust::{TrustClaims, verify_first, verify_next};
use statement::{
    Refused, unverified_request, verify_grant, verify_persons_request, verify_request,
};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use world::people::*;
use world::*;

/// Alice's own, for her account on this host.
fn asked() -> Request {
    Request {
        iss: "alice".to_owned(),
        ..request()
    }
}

fn by(key: &Ssh, request: &Request) -> String {
    let input = to_sign(request, &SshKey::parse(&key.public()).unwrap()).unwrap();
    sealed(&input, &key.sign(NAMESPACE, input.as_bytes()))
}

/// The issuer's grant for it.
fn bundle(world: &World, request: &str, grant: &Grant) -> String {
    let grant = Grant {
        req_hash: sha256_b64(request.as_bytes()),
        ..grant.clone()
    };
    let grant = world.grant.signer.sign(Typ::Grant, &grant).unwrap();
    sign::bundle(&grant, request)
}

fn taken(world: &World, request: &str) -> Result<(), String> {
    verify_grant(
        &bundle(world, request, &grant()),
        &world.ring(),
        &world.me(),
    )
    .map(drop)
    .map_err(|e| e.to_string())
}

#[test]
fn a_persons_own_request_is_taken_and_says_whose_it_is() {
    let (world, hands) = (World::new(), Hands::new());
    let request = by(&hands.alice, &asked());
    assert!(is_persons(&request));
    assert_eq!(unverified_request(&request).unwrap(), asked());
    let grant = verify_grant(
        &bundle(&world, &request, &grant()),
        &world.ring(),
        &world.me(),
    );
    let grant = grant.unwrap();
    let asker = grant.asked_by().unwrap();
    assert_eq!((asker.person.as_str(), asker.until), ("alice", T0 + 86_400));
    assert_eq!(grant.request_kid(), hands.alice.key.kid());
    assert_eq!(grant.request_once(), once(&request));
    // A host's own is nobody's.
    let own = verify_grant(
        &world.bundle(&world::grant(), &world::request()),
        &world.ring(),
        &world.me(),
    );
    assert_eq!(own.unwrap().asked_by(), None);
    assert!(!is_persons(
        &world
            .host
            .signer
            .sign(Typ::Request, &world::request())
            .unwrap()
    ));
}

#[test]
fn nobody_else_and_nothing_else_is_believed() {
    let (world, hands) = (World::new(), Hands::new());
    let says = |request: &str, why: &str| {
        let said = taken(&world, request).unwrap_err();
        assert!(said.contains(why), "{said:?} for {why:?}");
    };
    says(&by(&hands.nobody, &asked()), "knows nobody with this key");
    says(&by(&hands.bob, &asked()), "names another person");
    let as_bob = Request {
        iss: "bob".to_owned(),
        ..asked()
    };
    says(&by(&hands.bob, &as_bob), "not to bob");
    says(&by(&hands.alice, &as_bob), "names another person");
    // Carol is known and has no account anywhere.
    says(
        &by(
            &hands.carol,
            &Request {
                iss: "carol".to_owned(),
                ..asked()
            },
        ),
        "not to carol",
    );
    // Dave's key ended when it all began.
    says(
        &by(
            &hands.dave,
            &Request {
                iss: "dave".to_owned(),
                ..asked()
            },
        ),
        "not valid at that time",
    );
    let early = Request {
        iat: T0 - 86_401,
        approve_until: T0 + 600,
        ..asked()
    };
    says(&by(&hands.alice, &early), "not valid at that time");
    let elsewhere = Request {
        aud: vec![OTHER_HOST.to_owned()],
        ..asked()
    };
    says(&by(&hands.alice, &elsewhere), "other hosts");
    let both = Request {
        aud: vec![HOST.to_owned(), OTHER_HOST.to_owned()],
        ..asked()
    };
    says(&by(&hands.alice, &both), "more than this one");
    let group = Request {
        aud: vec![GROUP.to_owned()],
        ..asked()
    };
    says(&by(&hands.alice, &group), "other hosts");
    says(
        &by(
            &hands.alice,
            &Request {
                extends: Some(JTI.to_owned()),
                ..asked()
            },
        ),
        "extends a grant",
    );
    says(
        &by(
            &hands.alice,
            &Request {
                sub: "local:0@x".to_owned(),
                ..asked()
            },
        ),
        "subject",
    );
    let uid = with(&asked(), "/authorization_details/0/uid", json!(1002));
    let uid: Request =
        serde_json::from_value(with(&uid, "/sub", json!(format!("local:1002@{HOST}")))).unwrap();
    says(&by(&hands.alice, &uid), "not to alice");
    // A host's key is no person's, and a person's no host's.
    let input = to_sign(&asked(), &SshKey::parse(&hands.alice.public()).unwrap()).unwrap();
    let approval = hands
        .alice
        .sign(statement::sshsig::NAMESPACE, input.as_bytes());
    says(&sealed(&input, &approval), "made for another purpose");
    says(
        &sealed(&input, &hands.bob.sign(NAMESPACE, input.as_bytes())),
        "another key",
    );
    says(
        &sealed(&input, &hands.alice.sign(NAMESPACE, b"something else")),
        "does not match",
    );
    let jws = hands
        .alice
        .key
        .over(Typ::Request, &serde_json::to_string(&asked()).unwrap());
    says(&jws, "unknown key");
    let request = by(&hands.alice, &asked());
    let key = &world.host.signer.public();
    assert!(matches!(
        verify_request(&request, key),
        Err(Refused::Alg { .. })
    ));
    // Not for the host next door, though the same person has the account there.
    let next = verify_persons_request(&request, &world.ring(), OTHER_HOST, T0);
    assert!(matches!(next, Err(Refused::Person { .. })));
    // Its grant may not be wider, as with any other.
    let longer = Grant {
        exp: T0 + 902,
        ..grant()
    };
    let wider = verify_grant(
        &bundle(&world, &request, &longer),
        &world.ring(),
        &world.me(),
    );
    assert!(matches!(wider, Err(Refused::Wider { .. })), "{wider:?}");
    assert_eq!(taken(&world, &request), Ok(()));
}

#[test]
fn a_removed_person_key_or_account_counts_no_more() {
    let (world, hands) = (World::new(), Hands::new());
    let bundle = bundle(&world, &by(&hands.alice, &asked()), &grant());
    let doc = world.trust();
    let first = verify_first(&doc, &sha256_b64(doc.as_bytes())).unwrap();
    let follows = |change: &dyn Fn(&mut TrustClaims)| {
        let mut claims = world.trust_claims();
        (claims.trust_ver, claims.prev) = (2, first.hash().to_owned());
        change(&mut claims);
        let signers = [&world.roots[0].signer, &world.roots[1].signer];
        let ring = verify_next(&first, &sign::trust(&claims, &signers).unwrap())
            .unwrap()
            .ring();
        verify_grant(&bundle, &ring, &world.me()).is_ok()
    };
    assert!(follows(&|_| ()));
    assert!(!follows(&|c| c.people.retain(|p| p.id != "alice")));
    assert!(!follows(&|c| c.people[0].keys.clear()));
    assert!(!follows(&|c| c.people[0].accounts.clear()));
    assert!(!follows(&|c| c.people[0].keys[0].exp = T0 + 1));
    // The account changes hands.
    assert!(!follows(&|c| {
        let account = c.people[0].accounts.remove(0);
        c.people[1].accounts.push(account);
    }));
}

#[test]
fn approvals_of_a_persons_request_are_over_the_same_bytes() {
    let (world, hands) = (World::new(), Hands::new());
    let (dba, given) = world::people::asked("dba");
    let request = by(
        &hands.alice,
        &Request {
            iss: "alice".to_owned(),
            ..dba
        },
    );
    let with = |who: &[(&str, &Ssh)]| {
        let given = Grant {
            req_hash: sha256_b64(request.as_bytes()),
            ..given.clone()
        };
        let jws = world.grant.signer.sign(Typ::Grant, &given).unwrap();
        let approvals: Vec<_> = who
            .iter()
            .map(|(n, k)| approval(n, k, request.as_bytes()))
            .collect();
        verify_grant(
            &sign::approved(&jws, &request, &approvals),
            &world.ring(),
            &world.me(),
        )
        .map(|g| g.approvers().len())
        .map_err(|e| e.to_string())
    };
    assert_eq!(with(&hands.two()), Ok(2));
    assert!(
        with(&[("bob", &hands.bob)])
            .unwrap_err()
            .contains("only bob did")
    );
    let own = with(&[("bob", &hands.bob), ("alice", &hands.alice)]);
    assert!(own.unwrap_err().contains("approved the own request"));
    // The thief of the grant key cannot do without them.
    let auto = Grant {
        mode: Mode::Auto,
        req_hash: sha256_b64(request.as_bytes()),
        ..given.clone()
    };
    let jws = world.grant.signer.sign(Typ::Grant, &auto).unwrap();
    assert!(verify_grant(&sign::bundle(&jws, &request), &world.ring(), &world.me()).is_err());
}

/// An ECDSA signature has a twin. It verifies, and makes the request no new one.
#[test]
fn a_twin_of_the_signature_is_the_same_request() {
    let hands = Hands::new();
    let ecdsa = Ssh {
        key: Key::es256(),
        token: false,
        flags: 1,
    };
    let a = by(&ecdsa, &asked());
    let b = by(&ecdsa, &asked());
    assert_ne!(a, b, "ECDSA signs with a new random number each time");
    assert_eq!(once(&a), once(&b));
    assert_ne!(once(&a), once(&by(&hands.alice, &asked())));
    let other = Request {
        nonce: b64([8; 16]),
        ..asked()
    };
    assert_ne!(once(&a), once(&by(&ecdsa, &other)));
}

fn ssh_keygen(dir: &std::path::Path, args: &[&str], input: &str) -> (bool, String) {
    std::fs::write(dir.join("in"), input).unwrap();
    let stdin = Stdio::from(std::fs::File::open(dir.join("in")).unwrap());
    let out = Command::new("ssh-keygen")
        .current_dir(dir)
        .args(args)
        .stdin(stdin)
        .output();
    let out = out.unwrap_or_else(|e| panic!("ssh-keygen: {e}; this test needs it installed"));
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned(),
    )
}

/// Key files of stock `ssh-keygen` sign for us as it does itself, and it judges what they sign.
#[test]
fn key_files_sign_as_ssh_keygen_does() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for kind in ["ed25519", "ecdsa"] {
        let make = [
            "-q",
            "-t",
            kind,
            "-b",
            "256",
            "-N",
            "",
            "-C",
            "of a machine",
            "-f",
            kind,
        ];
        assert!(ssh_keygen(dir, &make, "").0);
        let public = std::fs::read_to_string(dir.join(format!("{kind}.pub"))).unwrap();
        let public: Vec<&str> = public.split_whitespace().take(2).collect();
        let text = std::fs::read_to_string(dir.join(kind)).unwrap();
        let signer = SshSigner::from_openssh(&text).unwrap();
        assert_eq!(signer.key().text(), public.join(" "));
        assert!(!format!("{signer:?}").contains("PRIVATE"));
        let input = to_sign(&asked(), signer.key()).unwrap();
        for _ in 0..16 {
            // Numbers of ECDSA signatures are shorter now and then.
            let sig = signer.sign(NAMESPACE, input.as_bytes()).unwrap();
            assert!(
                SshSig::parse(&sig)
                    .unwrap()
                    .verify(NAMESPACE, input.as_bytes())
                    .is_ok()
            );
            std::fs::write(dir.join("sig"), &sig).unwrap();
            std::fs::write(dir.join("allowed"), format!("ci {}\n", public.join(" "))).unwrap();
            let judge = [
                "-Y", "verify", "-f", "allowed", "-I", "ci", "-n", NAMESPACE, "-s", "sig",
            ];
            assert!(ssh_keygen(dir, &judge, &input).0, "{sig}");
            assert!(!ssh_keygen(dir, &judge, &format!("{input}x")).0);
        }
        // What it signs, we read: the same form.
        let sign = ["-Y", "sign", "-q", "-f", kind, "-n", NAMESPACE];
        let (good, sig) = ssh_keygen(dir, &sign, &input);
        assert!(good);
        assert_eq!(unverified_request(&sealed(&input, &sig)).unwrap(), asked());
    }
    let locked = [
        "-q", "-t", "ed25519", "-N", "secret", "-C", "", "-f", "locked",
    ];
    assert!(ssh_keygen(dir, &locked, "").0);
    let refused = |text: &str| match SshSigner::from_openssh(text) {
        Err(SignError::SshKey(why)) => why,
        other => panic!("{other:?}"),
    };
    let text = std::fs::read_to_string(dir.join("locked")).unwrap();
    assert!(refused(&text).contains("passphrase"));
    let rsa = [
        "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f", "rsa",
    ];
    assert!(ssh_keygen(dir, &rsa, "").0);
    let text = std::fs::read_to_string(dir.join("rsa")).unwrap();
    assert!(refused(&text).contains("Ed25519 or ECDSA"));
    assert!(
        refused("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----")
            .contains("not a private key")
    );
}

#[test]
fn what_no_host_would_take_is_not_signed() {
    let key = SshKey::parse(&Hands::new().alice.public()).unwrap();
    let long = Request {
        dur: 43_201,
        ..asked()
    };
    assert!(matches!(to_sign(&long, &key), Err(Refused::Limit { .. })));
    let wide = asked();
    let many: Vec<String> = (0..32)
        .map(|n| format!("/{n}{}", "x".repeat(900)))
        .collect();
    let wide: Request = serde_json::from_value(with(
        &wide,
        "/authorization_details/0/sudoedit",
        json!(many),
    ))
    .unwrap();
    assert!(matches!(
        to_sign(&wide, &key),
        Err(Refused::TooLarge { .. })
    ));
}

/// Made once: the properties below ask thousands of times.
static MADE: LazyLock<(KeyRing, String)> =
    LazyLock::new(|| (World::new().ring(), by(&Hands::new().alice, &asked())));

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any change of any character: refused, or the same request by another signature of the same key.
    #[test]
    fn an_altered_request_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]", kind in 0..3usize, cut in 0..40usize) {
        let (ring, good) = &*MADE;
        let mut text = good.clone();
        let at = at.index(good.len());
        match kind {
            0 => text.replace_range(at..=at, &to),
            1 => text.insert_str(at, &to),
            _ => text.truncate(good.len() - cut),
        }
        if text != *good && let Ok((request, _)) = verify_persons_request(&text, ring, HOST, T0) {
            prop_assert_eq!(once(&text), once(good));
            prop_assert_eq!(&*request, &asked());
        }
    }

    #[test]
    fn garbage_is_nobodys_request(text in "\\PC{0,300}", header in 0..2usize) {
        let head = ["", "eyJhbGciOiJzc2hzaWciLCJ0eXAiOiJqaXQtcmVxdWVzdCtqd3QiLCJraWQiOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUEifQ."][header];
        let text = format!("{head}{text}");
        prop_assert!(verify_persons_request(&text, &MADE.0, HOST, T0).is_err());
        prop_assert!(unverified_request(&text).is_err());
    }

    /// What one member of the claims says decides: each spoiled one is refused or changes nothing that counts.
    #[test]
    fn claims_that_are_not_the_persons_are_refused(member in 0..4usize, text in "[a-z0-9:@/.]{1,40}") {
        let hands = Hands::new();
        let name = ["/iss", "/sub", "/aud/0", "/authorization_details/0/login"][member];
        let spoiled: Value = with(&asked(), name, json!(text));
        let spoiled: Request = serde_json::from_value(spoiled).unwrap();
        prop_assume!(spoiled != asked());
        if let Ok(input) = to_sign(&spoiled, &SshKey::parse(&hands.alice.public()).unwrap()) {
            let request = sealed(&input, &hands.alice.sign(NAMESPACE, input.as_bytes()));
            prop_assert!(verify_persons_request(&request, &MADE.0, HOST, T0).is_err());
        }
    }
}
