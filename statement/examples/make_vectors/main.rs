//! Writes `tests/vectors/*.json`: statements with the verdict each must get.
//!
//!     cargo run -p statement --example make_vectors
//!
//! The verdicts are written here by hand and are never taken from the verifier. `says` is a part of the sentence
//! of the refusal, so that a case cannot be refused for another reason than its own. Everything but the ES256
//! signatures comes out the same each time. Inputs too big for a file are in
//! `tests/properties.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a tool for developers: stops at the first fault"
)]

#[path = "../../tests/world/mod.rs"]
mod world;

mod asked;
mod form;
mod grants;
mod json;
mod others;
mod people;
mod spoiled;

use serde_json::{Value, json};
use statement::digest::sha256_b64;
use std::path::Path;
use world::{GROUP, HOST, World};

/// Cases of one kind of statement.
#[derive(Default)]
struct Cases(Vec<Value>);

impl Cases {
    fn accept(&mut self, name: &str, input: impl Into<String>) {
        self.0
            .push(json!({"name": name, "expect": "accepted", "input": input.into()}));
    }

    fn refuse(&mut self, name: &str, expect: &str, says: &str, input: impl Into<String>) {
        let input: String = input.into();
        self.0
            .push(json!({"name": name, "expect": expect, "says": says, "input": input}));
    }

    fn write(self, dir: &Path, file: &str) {
        let text = serde_json::to_string_pretty(&self.0).unwrap() + "\n";
        std::fs::write(dir.join(file), text).unwrap();
    }
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let world = World::new();
    let trust = world.trust();
    let about = json!({
        "trust": trust, "pin": sha256_b64(trust.as_bytes()), "host": HOST, "groups": [GROUP],
        "host_jwk": world.host.signer.public().to_jwk(),
    });
    let about = serde_json::to_string_pretty(&about).unwrap() + "\n";
    std::fs::write(dir.join("world.json"), about).unwrap();

    let mut cases = Cases::default();
    grants::accepted(&mut cases, &world);
    form::headers(&mut cases, &world);
    form::encodings(&mut cases, &world);
    form::bundles(&mut cases, &world);
    json::claims(&mut cases, &world);
    spoiled::grants(&mut cases, &world);
    asked::keys(&mut cases, &world);
    asked::requests(&mut cases, &world);
    asked::wider(&mut cases, &world);
    cases.write(&dir, "grant.json");

    let mut cases = Cases::default();
    people::approved(&mut cases, &world);
    cases.write(&dir, "approved.json");
    people::next(&world).write(&dir, "trust-next.json");

    others::revocations(&world).write(&dir, "revocation.json");
    others::states(&world).write(&dir, "state.json");
    others::policies(&world).write(&dir, "policy.json");
    others::enrolments(&world).write(&dir, "enrol.json");
    others::requests(&world).write(&dir, "request.json");
    others::trusts(&world).write(&dir, "trust.json");
}
