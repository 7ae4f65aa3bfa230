//! All other types of statement.

use crate::world::*;
use crate::{Cases, spoiled};
use serde_json::{Value, json};
use statement::claims::{Revocation, Target, Typ};
use statement::sign;
use statement::trust::{TrustClaims, Use};

pub fn revocations(world: &World) -> Cases {
    let mut cases = Cases::default();
    let over = |claims: Value| world.revocation.over(Typ::Revocation, &claims.to_string());
    cases.accept("of a grant", over(tree(&revocation())));
    for target in [
        Target::Sub(SUB.into()),
        Target::Host(HOST.into()),
        Target::Kid(world.grant.kid().into()),
        Target::Approver("carol".into()),
        Target::IssuedBefore(T0),
    ] {
        let name = format!("{target:?}");
        cases.accept(
            &name,
            over(tree(&Revocation {
                target,
                ..revocation()
            })),
        );
    }
    spoiled::others(&mut cases, "revocation", &revocation(), over);
    let text = tree(&revocation()).to_string();
    let first = format!(r#""target":{{"grant":"{REQUEST_ID}","#);
    let twice = world
        .revocation
        .over(Typ::Revocation, &text.replace(r#""target":{"#, &first));
    cases.refuse("target twice", "json", "repeated member", twice);
    let by = |key: &Key| key.over(Typ::Revocation, &text);
    cases.refuse(
        "the grant key",
        "key-use",
        "may not sign jit-revocation+jwt",
        by(&world.grant),
    );
    cases.refuse(
        "stranger's key",
        "unknown-key",
        "unknown key",
        by(&world.stranger),
    );
    let typ = world.revocation.over(Typ::Grant, &text);
    cases.refuse("typ grant", "typ", "jit-revocation+jwt is expected", typ);
    cases
}

pub fn states(world: &World) -> Cases {
    let mut cases = Cases::default();
    let over = |claims: Value| world.state.over(Typ::State, &claims.to_string());
    cases.accept("plain", over(tree(&state())));
    spoiled::others(&mut cases, "state", &state(), over);
    let less = over(without(&state(), "rev_serial"));
    cases.refuse("counter missing", "json", "missing field", less);
    let text = tree(&state()).to_string();
    let other = world.revocation.over(Typ::State, &text);
    cases.refuse("the revocation key", "key-use", "may not sign", other);
    cases
}

pub fn policies(world: &World) -> Cases {
    let mut cases = Cases::default();
    let over = |claims: Value| world.policy.over(Typ::Policy, &claims.to_string());
    cases.accept("plain", over(tree(&policy())));
    let commit = json!("0123456789abcdef0123456789abcdef01234567");
    cases.accept("from git", over(with(&policy(), "/commit", commit)));
    spoiled::others(&mut cases, "policy", &policy(), over);
    let named = over(with(&policy(), "/roles/Web", tree(&role())));
    cases.refuse("role's name", "limit", "claim role", named);
    let text = tree(&policy()).to_string();
    let first = format!(r#""roles":{{"admin":{},"#, tree(&role()));
    let twice = world
        .policy
        .over(Typ::Policy, &text.replace(r#""roles":{"#, &first));
    cases.refuse("role twice", "json", "repeated member", twice);
    let other = world.grant.over(Typ::Policy, &text);
    cases.refuse("the grant key", "key-use", "may not sign", other);
    cases
}

pub fn enrolments(world: &World) -> Cases {
    let mut cases = Cases::default();
    let good = enrol(world);
    let over = |claims: Value| world.enrol.over(Typ::Enrol, &claims.to_string());
    cases.accept("plain", over(tree(&good)));
    spoiled::others(&mut cases, "enrol", &good, over);
    let text = tree(&good).to_string();
    let first = r#""labels":{"os":"other","#;
    let twice = world
        .enrol
        .over(Typ::Enrol, &text.replace(r#""labels":{"#, first));
    cases.refuse("label twice", "json", "repeated member", twice);
    let other = world.grant.over(Typ::Enrol, &text);
    cases.refuse("the grant key", "key-use", "may not sign", other);
    cases
}

pub fn requests(world: &World) -> Cases {
    let mut cases = Cases::default();
    let over = |claims: Value| world.host.over(Typ::Request, &claims.to_string());
    cases.accept("plain", over(tree(&request())));
    spoiled::others(&mut cases, "request", &request(), over);
    let text = tree(&request()).to_string();
    let other = world.other_host.over(Typ::Request, &text);
    cases.refuse("another key", "unknown-key", "unknown key", other);
    let typ = world.host.over(Typ::Grant, &text);
    cases.refuse("typ grant", "typ", "is expected", typ);
    cases
}

pub fn trusts(world: &World) -> Cases {
    let mut cases = Cases::default();
    let roots = &world.roots;
    let by = |claims: &TrustClaims, keys: &[&Key]| {
        sign::trust(claims, &keys.iter().map(|k| &k.signer).collect::<Vec<_>>()).unwrap()
    };
    let good = world.trust_claims();
    let two = by(&good, &[&roots[0], &roots[1]]);
    cases.accept("two of three", two.clone());
    cases.accept(
        "three of three",
        by(&good, &[&roots[2], &roots[0], &roots[1]]),
    );
    cases.accept(
        "a stranger besides",
        by(&good, &[&world.stranger, &roots[0], &roots[1]]),
    );
    cases.refuse("one of three", "trust", "too few", by(&good, &[&roots[0]]));
    cases.refuse(
        "one key twice",
        "trust",
        "too few",
        by(&good, &[&roots[0], &roots[0]]),
    );
    cases.refuse(
        "one and a stranger",
        "trust",
        "too few",
        by(&good, &[&roots[0], &world.stranger]),
    );
    cases.refuse(
        "one and a signing key",
        "trust",
        "too few",
        by(&good, &[&roots[0], &world.grant]),
    );
    cases.refuse("nobody", "trust", "1 to 32 signatures", by(&good, &[]));
    cases.refuse("data after", "json", "trailing", format!("{two}1"));
    cases.refuse(
        "unprotected header",
        "json",
        "unknown field",
        two.replacen(r#"{"protected""#, r#"{"header":{},"protected""#, 1),
    );
    cases.refuse(
        "flattened form",
        "json",
        "unknown field",
        two.replacen(r#"{"payload""#, r#"{"protected":"","payload""#, 1),
    );
    cases.refuse(
        "payload twice",
        "json",
        "repeated member",
        two.replacen(r#"{"payload""#, r#"{"payload":"","payload""#, 1),
    );

    let mut doc: Value = serde_json::from_str(&two).unwrap();
    let signature = doc["signatures"][0]["signature"].clone();
    doc["signatures"][1]["signature"] = signature;
    cases.refuse(
        "one signature bad",
        "signature",
        "does not match",
        doc.to_string(),
    );
    // A good grant's header and signature do not count as a root's.
    let mut doc: Value = serde_json::from_str(&two).unwrap();
    let protected = b64(roots[1].header("jit-grant+jwt"));
    let input = format!("{protected}.{}", doc["payload"].as_str().unwrap());
    doc["signatures"][1] =
        json!({"protected": protected, "signature": b64(roots[1].raw(input.as_bytes()))});
    cases.refuse(
        "typ grant",
        "typ",
        "jit-trust+json is expected",
        doc.to_string(),
    );

    let mut spoiled = |name: &str, expect: &str, says: &str, spoil: &dyn Fn(&mut TrustClaims)| {
        let mut claims = good.clone();
        spoil(&mut claims);
        cases.refuse(name, expect, says, by(&claims, &[&roots[0], &roots[1]]));
    };
    spoiled("root key listed twice", "trust", "listed twice", &|c| {
        c.root.keys[2] = c.root.keys[0].clone()
    });
    spoiled("signing key listed twice", "trust", "listed twice", &|c| {
        c.keys.push(c.keys[0].clone())
    });
    spoiled(
        "a root key signs grants",
        "trust",
        "also a signing key",
        &|c| c.keys[0].jwk = c.root.keys[0].clone(),
    );
    spoiled("threshold 0", "limit", "root.threshold", &|c| {
        c.root.threshold = 0
    });
    spoiled(
        "threshold above the keys",
        "limit",
        "root.threshold",
        &|c| c.root.threshold = 4,
    );
    spoiled("threshold 3, signed by 2", "trust", "too few", &|c| {
        c.root.threshold = 3
    });
    spoiled("key of another algorithm", "alg", "\"ES256\"", &|c| {
        c.keys[0].alg = "ES256".into()
    });
    spoiled("a use twice", "limit", "one use", &|c| {
        c.keys[0].uses = vec![Use::Grant; 2]
    });
    spoiled("a key with two uses", "limit", "one use", &|c| {
        c.keys[0].uses.push(Use::State)
    });
    spoiled("a key without use", "limit", "claim use", &|c| {
        c.keys[0].uses.clear()
    });
    spoiled(
        "a key that ends before it starts",
        "limit",
        "keys.exp",
        &|c| c.keys[0].exp = c.keys[0].nbf,
    );
    spoiled("401 days", "limit", "400 days", &|c| {
        c.exp = c.iat + 401 * 86_400
    });
    spoiled("trust_ver 0", "limit", "trust_ver", &|c| c.trust_ver = 0);
    spoiled("no keys", "limit", "claim keys", &|c| c.keys.clear());
    spoiled("no root keys", "limit", "root.keys", &|c| {
        c.root.keys.clear()
    });
    spoiled("ver 2", "limit", "claim ver", &|c| c.ver = 2);
    spoiled("y with Ed25519", "trust", "coordinates", &|c| {
        c.root.keys[2].y = Some(c.root.keys[2].x.clone())
    });
    cases
}
