//! Break-glass statements: who can make one, who can open one, and what it is worth then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use serde_json::Value;
use statement::breakglass::{
    Code, OpenBreakglass, VerifiedBreakglass, is_kept, verify_breakglass, verify_kept,
};
use statement::claims::{Mode, Request, Sealed, Typ};
use statement::digest::sha256_b64;
use statement::sign::{self, NewBreakglass, Signer};
use statement::trust::{TrustClaims, VerifiedTrust, verify_first};
use statement::{Refused, verify_grant};
use world::*;

const ID: &str = "01JABCDEFGHJKMNPQRSTVWXYZ0";

fn right() -> Sealed {
    Sealed {
        dur: 1800,
        role: "admin".to_owned(),
        right: role(),
    }
}

fn make(
    world: &World,
    change: impl FnOnce(&mut NewBreakglass<'_>),
    by: &[usize],
) -> (Code, String) {
    let right = right();
    let mut new = NewBreakglass {
        iss: ISS,
        iat: T0,
        epoch: 1,
        id: ID,
        host: HOST,
        exp: T0 + 86_400,
        right: &right,
    };
    change(&mut new);
    let by: Vec<&Signer> = by.iter().map(|n| &world.roots[*n].signer).collect();
    sign::breakglass(&new, &by).unwrap()
}

fn trust(world: &World, change: impl FnOnce(&mut TrustClaims)) -> VerifiedTrust {
    let mut claims = world.trust_claims();
    change(&mut claims);
    let coming = Key::seeded(44);
    let roots = world.roots.iter().chain([&coming]);
    let by: Vec<&Signer> = roots.map(|k| &k.signer).collect();
    let doc = sign::trust(&claims, &by).unwrap();
    verify_first(&doc, &sha256_b64(doc.as_bytes())).unwrap()
}

fn opened(world: &World, trust: &VerifiedTrust) -> OpenBreakglass {
    let (code, doc) = make(world, |_| (), &[0, 1]);
    let statement = verify_breakglass(&doc, trust, &world.me()).unwrap();
    statement.open(&code).unwrap().unwrap()
}

fn asked() -> Request {
    Request {
        id: ID.to_owned(),
        dur: 600,
        iat: T0 + 60,
        approve_until: T0 + 60,
        ..request()
    }
}

fn refusal(got: Result<VerifiedBreakglass, Refused>) -> String {
    got.unwrap_err().to_string()
}

/// A name, and what it does to a request.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Request));

#[test]
fn enough_root_keys_of_this_epoch_for_this_host_or_nothing() {
    let world = World::new();
    let (me, now) = (world.me(), trust(&world, |_| ()));
    assert_eq!(now.claims().root.threshold, 2);
    let (_, whole) = make(&world, |_| (), &[0, 1]);
    let statement = verify_breakglass(&whole, &now, &me).unwrap();
    assert_eq!(statement.claims().id, ID);
    let verify = |doc: &str| refusal(verify_breakglass(doc, &now, &me));
    let (_, half) = make(&world, |_| (), &[2]);
    assert!(verify(&half).contains("too few root keys"));
    // The same key twice counts once; one more key makes it whole.
    let (_, twice) = make(&world, |_| (), &[2, 2]);
    assert!(verify(&twice).contains("too few root keys"));
    let whole = sign::cosign_breakglass(&half, &world.roots[0].signer).unwrap();
    assert!(verify_breakglass(&whole, &now, &me).is_ok());
    // An issuer's key, and the root keys' word for something else.
    let stranger = sign::cosign_breakglass(&half, &world.grant.signer).unwrap();
    assert!(verify(&stranger).contains("too few root keys"));
    assert!(verify(&world.trust()).contains("jit-trust+json"));
    let (_, other) = make(&world, |n| n.host = "spiffe://corp/host/other", &[0, 1]);
    assert!(verify(&other).contains("other hosts"));
    let (_, other) = make(&world, |n| n.iss = "spiffe://other/issuer", &[0, 1]);
    assert!(verify(&other).contains("not the pinned issuer"));
    let (_, early) = make(&world, |n| n.epoch = 0, &[0, 1]);
    assert!(verify(&early).contains("epoch 0"));
    let next = trust(&world, |c| c.epoch = 2);
    assert!(refusal(verify_breakglass(&whole, &next, &me)).contains("epoch 1"));
    let rotated = trust(&world, |c| {
        c.root.keys = vec![Key::seeded(44).signer.public().to_jwk()];
        c.root.threshold = 1;
    });
    assert!(refusal(verify_breakglass(&whole, &rotated, &me)).contains("too few root keys"));
}

#[test]
fn only_its_own_code_opens_it_and_no_bit_can_be_changed() {
    let world = World::new();
    let (me, trust) = (world.me(), trust(&world, |_| ()));
    let (code, doc) = make(&world, |_| (), &[0, 1]);
    let (other, _) = make(&world, |_| (), &[0, 1]);
    let statement = verify_breakglass(&doc, &trust, &me).unwrap();
    assert!(statement.open(&other).unwrap().is_none());
    assert_eq!(*statement.open(&code).unwrap().unwrap().right(), right());
    assert!(!doc.contains(&code.written()) && !doc.contains("admin"));
    assert_eq!(format!("{code:?}"), "Code");
    // Signed anew by the root keys, and bound all the same to what stood in the clear.
    let mut parts: Value = serde_json::from_str(&doc).unwrap();
    let mut claims: Value =
        serde_json::from_slice(&unb64(parts["payload"].as_str().unwrap())).unwrap();
    claims["exp"] = (T0 + 86_401).into();
    parts["payload"] = b64(claims.to_string()).into();
    parts["signatures"] = Value::Array(Vec::new());
    let mut later = parts.to_string();
    for n in [0, 1] {
        later = sign::cosign_breakglass(&later, &world.roots[n].signer).unwrap();
    }
    let later = verify_breakglass(&later, &trust, &me).unwrap();
    assert!(later.open(&code).unwrap().is_none());
    for at in 0..doc.len() {
        let mut bytes = doc.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(text) = String::from_utf8(bytes) {
            assert!(verify_breakglass(&text, &trust, &me).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_code_survives_handwriting_and_no_typing_error() {
    let world = World::new();
    for _ in 0..20 {
        let (code, _) = make(&world, |_| (), &[0]);
        let written = code.written();
        assert_eq!(written.len(), 41);
        for typed in [
            written.clone(),
            written.to_lowercase() + "\n",
            written.replace('-', " "),
            written.replace('-', "").replace('0', "o").replace('1', "l"),
            format!("  {}", written.replace('1', "I")),
        ] {
            assert_eq!(Code::parse(&typed).unwrap(), code, "{typed}");
        }
        let plain = written.replace('-', "");
        for at in 0..plain.len() {
            let mut wrong = plain.clone().into_bytes();
            wrong[at] = if wrong[at] == b'2' { b'3' } else { b'2' };
            assert!(Code::parse(std::str::from_utf8(&wrong).unwrap()).is_err());
        }
    }
    let long = "0".repeat(10_000);
    for typed in [
        "",
        "\0",
        "AAAAA",
        "ÄÖÜ",
        &long,
        "U0000-00000-00000-00000-00000-00000-00000",
    ] {
        assert!(Code::parse(typed).is_err(), "{typed:?}");
    }
}

#[test]
fn used_it_is_a_grant_of_exactly_what_was_sealed() {
    let world = World::new();
    let (me, trust) = (world.me(), trust(&world, |_| ()));
    let open = opened(&world, &trust);
    let bundle_of =
        |asked: &Request, key: &Key| open.bundle(&key.signer.sign(Typ::Request, asked).unwrap());
    let bundle = bundle_of(&asked(), &world.host);
    let grant = verify_kept(&bundle, &trust, &me).unwrap();
    let claims = grant.claims();
    assert_eq!(claims.jti, ID);
    assert_eq!((claims.nbf, claims.exp), (T0 + 60, T0 + 660));
    assert_eq!(claims.mode, Mode::Breakglass);
    assert_eq!(claims.authorization_details, [detail()]);
    assert!(grant.approvers().is_empty());
    assert!(is_kept(&bundle) && !is_kept(&world.bundle(&world::grant(), &request())));
    // No issuer can bring one.
    assert!(verify_grant(&bundle, &world.ring(), &me).is_err());
    assert!(serde_json::to_string(&Mode::Breakglass).is_err());
    assert!(serde_json::from_str::<Mode>("\"breakglass\"").is_err());

    let wrong: [Change; 9] = [
        ("longer", &|r| r.dur = 1801),
        ("later than its time", &|r| {
            (r.iat, r.approve_until) = (T0 + 86_400, T0 + 86_400);
        }),
        ("another statement's", &|r| r.id = REQUEST_ID.to_owned()),
        ("another role", &|r| {
            r.role = "logs".to_owned();
            r.authorization_details = vec![role().expand("logs", "alice", 1000)];
        }),
        ("narrower", &|r| r.authorization_details[0].shell = false),
        ("wider", &|r| {
            r.authorization_details[0].groups.push("docker".to_owned())
        }),
        ("more accounts", &|r| {
            r.authorization_details.push(detail());
        }),
        ("more hosts", &|r| r.aud.push(GROUP.to_owned())),
        ("an extension", &|r| r.extends = Some(JTI.to_owned())),
    ];
    for (name, change) in wrong {
        let mut request = asked();
        change(&mut request);
        let got = verify_kept(&bundle_of(&request, &world.host), &trust, &me);
        assert_eq!(got.unwrap_err().code(), "wider", "{name}");
    }
    // The host's word alone, and the key of another statement.
    let by_stranger = bundle_of(&asked(), &world.grant);
    assert_eq!(
        verify_kept(&by_stranger, &trust, &me).unwrap_err().code(),
        "unknown-key"
    );
    let mut parts: Value = serde_json::from_str(&bundle).unwrap();
    parts["key"] = b64([7; 32]).into();
    let got = verify_kept(&parts.to_string(), &trust, &me);
    assert!(got.unwrap_err().to_string().contains("does not open"));
}
