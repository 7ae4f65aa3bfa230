//! Ten thousand statements that are nearly right, by a fixed seed: each is refused, none makes the verifiers panic. They
//! are the statements of `vectors/` with one to three places spoiled.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use serde_json::Value;
use statement::breakglass::{verify_breakglass, verify_kept};
use statement::digest::sha256_b64;
use statement::trust::{verify_first, verify_next};
use statement::{
    verify_enrol, verify_grant, verify_host_auth, verify_persons_request, verify_policy,
    verify_request, verify_revocation, verify_state,
};
use std::fs;
use std::path::Path;
use world::*;

const STATEMENTS: usize = 10_000;

/// xorshift64*: the same run everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).unwrap() % sides
    }
}

/// Every string of the vectors that is long enough to be a statement.
fn good() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        if let Ok(value) = serde_json::from_str(&fs::read_to_string(file).unwrap()) {
            strings(&value, &mut found);
        }
    }
    found
}

/// One that a person signed elsewhere.
fn persons(n: u8) -> String {
    use statement::asked::{NAMESPACE, sealed, to_sign};
    let asked = statement::claims::Request {
        iss: "alice".to_owned(),
        nonce: b64([n; 16]),
        ..request()
    };
    let alice = people::Hands::new().alice;
    let key = statement::sshsig::SshKey::parse(&alice.public()).unwrap();
    let input = to_sign(&asked, &key).unwrap();
    sealed(&input, &alice.sign(NAMESPACE, input.as_bytes()))
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if (200..16_384).contains(&text.len()) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|v| strings(v, found)),
        Value::Object(map) => map.values().for_each(|v| strings(v, found)),
        _ => {}
    }
}

fn spoil(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len());
        match dice.roll(6) {
            0 => bytes[at] ^= 1 << dice.roll(7),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"\"{}[],:.0Az-_\\\n\x01"[dice.roll(16)]),
            3 => bytes.truncate(at.max(1)),
            4 => {
                let doubled = bytes[at..].to_vec();
                bytes.extend_from_slice(&doubled);
            }
            _ => {
                let other = dice.roll(bytes.len());
                bytes.swap(at, other);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn ten_thousand_spoiled_statements_are_refused_by_every_verifier() {
    let world = World::new();
    let (me, ring, doc) = (world.me(), world.ring(), world.trust());
    let trust = verify_first(&doc, &sha256_b64(doc.as_bytes())).unwrap();
    let pin = sha256_b64(b"another");
    let mut good = good();
    good.extend((0..20).map(persons));
    assert!(good.len() > 300, "{} statements to spoil", good.len());
    let mut dice = Dice(0x6a69_7420_3230_3236);
    let (mut refused, mut unlike) = (0usize, 0usize);
    while refused < STATEMENTS {
        let whole = &good[dice.roll(good.len())];
        let text = spoil(whole, &mut dice);
        if text == *whole {
            continue;
        }
        unlike += 1;
        let key = &me.key;
        let taken = [
            verify_grant(&text, &ring, &me).is_ok(),
            verify_revocation(&text, &ring).is_ok(),
            verify_state(&text, &ring).is_ok(),
            verify_policy(&text, &ring).is_ok(),
            verify_enrol(&text, &ring).is_ok(),
            verify_request(&text, key).is_ok(),
            verify_persons_request(&text, &ring, HOST, T0).is_ok(),
            verify_host_auth(&text, key).is_ok(),
            verify_first(&text, &pin).is_ok(),
            verify_next(&trust, &text).is_ok(),
            verify_breakglass(&text, &trust, &me).is_ok(),
            verify_kept(&text, &trust, &me).is_ok(),
        ];
        // The only change that may pass is one that JSON does not count: a blank between two members of a bundle.
        let tree = |text: &str| serde_json::from_str::<Value>(text).ok();
        let same = tree(whole).is_some() && tree(whole) == tree(&text);
        if taken.contains(&true) {
            assert!(same, "taken: {text}");
        } else {
            refused += 1;
        }
    }
    assert!(unlike - refused < 20, "{} were taken", unlike - refused);
}
