//! Every statement in `tests/vectors` gets the verdict written beside it. The files are made by
//! `examples/make_vectors.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use serde::Deserialize;
use statement::claims::Jwk;
use statement::digest::sha256_b64;
use statement::keys::{KeyRing, PublicKey};
use statement::{HostIdentity, Refused, trust, verify};

#[derive(Deserialize)]
struct Case {
    name: String,
    /// `accepted`, or [`Refused::code`].
    expect: String,
    /// Part of the refusal's sentence.
    #[serde(default)]
    says: String,
    input: String,
}

#[derive(Deserialize)]
struct About {
    trust: String,
    pin: String,
    host: String,
    groups: Vec<String>,
    host_jwk: Jwk,
}

fn about() -> (KeyRing, HostIdentity) {
    let about: About = serde_json::from_str(include_str!("vectors/world.json")).unwrap();
    let ring = trust::verify_first(&about.trust, &about.pin)
        .unwrap()
        .ring();
    let key = PublicKey::from_jwk(&about.host_jwk).unwrap();
    (
        ring,
        HostIdentity {
            host: about.host,
            groups: about.groups,
            key,
        },
    )
}

fn run(file: &str, at_least: usize, verdict: impl Fn(&str) -> Result<(), Refused>) {
    let cases: Vec<Case> = serde_json::from_str(file).unwrap();
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    assert!(
        cases.iter().any(|c| c.expect == "accepted"),
        "nothing is accepted"
    );
    let mut wrong = Vec::new();
    for Case {
        name,
        expect,
        says,
        input,
    } in &cases
    {
        assert_eq!(
            expect == "accepted",
            says.is_empty(),
            "{name}: a refusal has a sentence"
        );
        match verdict(input) {
            Ok(()) if expect == "accepted" => {}
            Ok(()) => wrong.push(format!("{name}: accepted, must be refused ({expect})")),
            Err(r) if r.code() == expect && r.to_string().contains(says.as_str()) => {}
            Err(r) => wrong.push(format!(
                "{name}: {} ({r}), must be {expect} ({says})",
                r.code()
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn grants() {
    let (ring, me) = about();
    run(include_str!("vectors/grant.json"), 280, |input| {
        verify::verify_grant(input, &ring, &me).map(drop)
    });
}

#[test]
fn approved_grants() {
    let (ring, me) = about();
    run(include_str!("vectors/approved.json"), 30, |input| {
        verify::verify_grant(input, &ring, &me).map(drop)
    });
}

#[test]
fn trust_statements_that_follow() {
    let about: About = serde_json::from_str(include_str!("vectors/world.json")).unwrap();
    let first = trust::verify_first(&about.trust, &about.pin).unwrap();
    run(include_str!("vectors/trust-next.json"), 28, |input| {
        trust::verify_next(&first, input).map(drop)
    });
}

#[test]
fn revocations() {
    let (ring, _) = about();
    run(include_str!("vectors/revocation.json"), 20, |input| {
        verify::verify_revocation(input, &ring).map(drop)
    });
}

#[test]
fn states() {
    let (ring, _) = about();
    run(include_str!("vectors/state.json"), 7, |input| {
        verify::verify_state(input, &ring).map(drop)
    });
}

#[test]
fn policies() {
    let (ring, _) = about();
    run(include_str!("vectors/policy.json"), 15, |input| {
        verify::verify_policy(input, &ring).map(drop)
    });
}

#[test]
fn enrolments() {
    let (ring, _) = about();
    run(include_str!("vectors/enrol.json"), 10, |input| {
        verify::verify_enrol(input, &ring).map(drop)
    });
}

#[test]
fn requests() {
    let (_, me) = about();
    run(include_str!("vectors/request.json"), 15, |input| {
        verify::verify_request(input, &me.key).map(drop)
    });
}

#[test]
fn trust_statements() {
    run(include_str!("vectors/trust.json"), 25, |input| {
        trust::verify_first(input, &sha256_b64(input.as_bytes())).map(drop)
    });
}

#[test]
fn a_trust_statement_other_than_the_pinned_one_is_refused() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("vectors/trust.json")).unwrap();
    let good: Vec<&Case> = cases.iter().filter(|c| c.expect == "accepted").collect();
    let refused =
        trust::verify_first(&good[0].input, &sha256_b64(good[1].input.as_bytes())).unwrap_err();
    assert!(refused.to_string().contains("pinned"), "{refused}");
}
