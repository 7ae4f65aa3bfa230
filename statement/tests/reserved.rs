//! Groups of jit itself are no role's to give, whoever signs: `jit-eligible` is the right to ask, `jit-link` and
//! `jit-issuer` open sockets and keys, and `jit-<role>` is the mark of one role.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use serde_json::json;
use statement::claims::Typ;
use statement::{verify_grant, verify_policy, verify_request};
use world::*;

const OURS: [&str; 5] = ["active", "eligible", "issuer", "link", "managed"];

#[test]
fn no_policy_names_a_role_after_a_group_of_ours() {
    let world = World::new();
    let verify = |name: &str| {
        let mut claims = policy();
        claims.default_role = name.to_owned();
        claims.roles = [(name.to_owned(), role())].into();
        let jws = world.policy.signer.sign(Typ::Policy, &claims).unwrap();
        verify_policy(&jws, &world.ring())
            .map(drop)
            .map_err(|e| e.to_string())
    };
    for name in OURS {
        let why = verify(name).unwrap_err();
        assert!(why.contains("a group of jit itself"), "{name}: {why}");
    }
    for name in ["links", "eligible-too", "admin"] {
        assert_eq!(verify(name), Ok(()), "{name}");
    }
}

#[test]
fn no_role_of_a_policy_gives_a_group_of_ours() {
    let world = World::new();
    for group in [
        "jit-eligible",
        "jit-link",
        "jit-issuer",
        "jit-admin",
        "jit-",
    ] {
        let claims = with(&policy(), "/roles/admin/groups", json!([group]));
        let jws = world.policy.signer.sign(Typ::Policy, &claims).unwrap();
        assert!(verify_policy(&jws, &world.ring()).is_err(), "{group}");
    }
}

#[test]
fn a_request_and_its_grant_carry_the_mark_of_their_role_alone() {
    let world = World::new();
    let asked = |groups: &[&str]| {
        let mut claims = request();
        claims.authorization_details[0].groups = groups.iter().map(|g| (*g).to_owned()).collect();
        claims
    };
    let request_with = |groups: &[&str]| {
        let jws = world
            .host
            .signer
            .sign(Typ::Request, &asked(groups))
            .unwrap();
        verify_request(&jws, &world.host.signer.public()).is_ok()
    };
    let grant_with = |groups: &[&str]| {
        let mut claims = grant();
        claims.authorization_details = asked(groups).authorization_details;
        let bundle = world.bundle(&claims, &asked(groups));
        verify_grant(&bundle, &world.ring(), &world.me()).is_ok()
    };
    for good in [&[][..], &["jit-admin"], &["adm", "jit-admin"]] {
        assert!(request_with(good) && grant_with(good), "{good:?}");
    }
    for group in ["jit-eligible", "jit-link", "jit-issuer", "jit-logs", "jit-"] {
        let bad = ["jit-admin", group];
        assert!(!request_with(&bad) && !grant_with(&bad), "{group}");
    }
}
