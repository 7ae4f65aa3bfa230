//! Others read what we sign, and we read what others sign: stock `openssl`, and two JOSE libraries from PyPI in a
//! virtual environment below the target directory. A missing `openssl` or `python3` is a failure, never a skip.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use serde::Deserialize;
use serde_json::{Value, json};
use statement::claims::{Jwk, Typ};
use statement::keys::{Alg, PublicKey};
use statement::sign::Signer;
use statement::{verify_request, verify_state};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use world::*;

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let shown = format!("{command:?}");
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{shown}: {e}; this test needs it installed"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{shown}: {}: {said}", out.status);
    out.stdout
}

fn openssl(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(args);
    command
}

/// SubjectPublicKeyInfo (RFC 8410 §4, RFC 5480 §2) of a JWK.
fn spki(key: &PublicKey) -> Vec<u8> {
    let Jwk { x, y, .. } = key.to_jwk();
    let (prefix, point) = match y {
        None => ("302a300506032b6570032100", unb64(&x)),
        Some(y) => {
            let prefix = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
            (prefix, [unb64(&x), unb64(&y)].concat())
        }
    };
    [hex(prefix), point].concat()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

/// ECDSA-Sig-Value (RFC 3279 §2.2.3) of the two numbers that JOSE sets side by side.
fn der(fixed: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let start = bytes
            .iter()
            .position(|b| *b != 0)
            .unwrap_or(bytes.len() - 1);
        let mut bytes = bytes[start..].to_vec();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let body = [number(&fixed[..32]), number(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

fn openssl_accepts(dir: &Path, key: &PublicKey, input: &str, signature: &[u8]) -> bool {
    let signature = if key.alg() == Alg::Es256 {
        der(signature)
    } else {
        signature.to_vec()
    };
    for (name, bytes) in [
        ("pub", &spki(key)[..]),
        ("input", input.as_bytes()),
        ("sig", &signature),
    ] {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let mut args = vec![
        "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "pub", "-rawin",
    ];
    if key.alg() == Alg::Es256 {
        args.extend(["-digest", "sha256"]);
    }
    args.extend(["-in", "input", "-sigfile", "sig"]);
    let out = openssl(dir, &args)
        .output()
        .unwrap_or_else(|e| panic!("openssl: {e}; this test needs it"));
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    let verdict = out.status.success();
    let expected = if verdict {
        "Verified Successfully"
    } else {
        "Verification Failure"
    };
    assert!(
        said.contains(expected),
        "openssl says neither yes nor no: {said}"
    );
    verdict
}

#[test]
fn openssl_reads_what_we_sign() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    for key in [&world.grant, &world.es256] {
        for n in 0..4 {
            let jws = key
                .signer
                .sign(Typ::Grant, &statement::claims::Grant { seq: n, ..grant() })
                .unwrap();
            let (input, signature) = jws.rsplit_once('.').unwrap();
            let (key, signature) = (key.signer.public(), unb64(signature));
            assert!(openssl_accepts(dir.path(), &key, input, &signature));
            assert!(!openssl_accepts(dir.path(), &key, &input[1..], &signature));
        }
    }
}

#[test]
fn openssl_reads_what_root_keys_sign() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let doc: Value = serde_json::from_str(&world.trust()).unwrap();
    for (key, one) in world
        .roots
        .iter()
        .zip(doc["signatures"].as_array().unwrap())
    {
        let part = |of: &Value, name: &str| of[name].as_str().unwrap().to_owned();
        let input = format!("{}.{}", part(one, "protected"), part(&doc, "payload"));
        let (key, signature) = (key.signer.public(), unb64(&part(one, "signature")));
        assert!(openssl_accepts(dir.path(), &key, &input, &signature));
        assert!(!openssl_accepts(dir.path(), &key, &input[1..], &signature));
    }
}

#[test]
fn we_read_what_openssl_signs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(&mut openssl(
        dir,
        &[
            "genpkey",
            "-algorithm",
            "ed25519",
            "-outform",
            "DER",
            "-out",
            "key",
        ],
    ));
    // The same key loads as a signer, so its public half needs no parser of our own.
    let signer = Signer::from_pkcs8(&std::fs::read(dir.join("key")).unwrap()).unwrap();
    let header = json!({"alg": "EdDSA", "typ": "jit-request+jwt", "kid": signer.kid()});
    let input = format!(
        "{}.{}",
        b64(header.to_string()),
        b64(tree(&request()).to_string())
    );
    std::fs::write(dir.join("input"), &input).unwrap();
    let sign = [
        "pkeyutl", "-sign", "-keyform", "DER", "-inkey", "key", "-rawin", "-in", "input", "-out",
        "sig",
    ];
    run(&mut openssl(dir, &sign));
    let jws = format!("{input}.{}", b64(std::fs::read(dir.join("sig")).unwrap()));
    assert_eq!(*verify_request(&jws, &signer.public()).unwrap(), request());
}

#[derive(Deserialize)]
struct Made {
    by: String,
    jwk: Jwk,
    jws: String,
}

#[derive(Deserialize)]
struct Answer {
    joserfc: Vec<Option<Value>>,
    general: Vec<Option<Value>>,
    pyjwt: Vec<Option<Value>>,
    thumbprints: BTreeMap<String, String>,
    made: Vec<Made>,
}

/// Python of a virtual environment that holds exactly the pinned libraries. Made once; needs PyPI then.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jose-oracle");
    let list = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/oracles/requirements.txt"
    );
    let (wanted, stamp) = (std::fs::read(list).unwrap(), venv.join("installed.txt"));
    let python = venv.join("bin/python");
    if std::fs::read(&stamp).is_ok_and(|have| have == wanted) {
        return python;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv));
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        list,
    ]));
    std::fs::write(stamp, wanted).unwrap();
    python
}

#[test]
fn joserfc_and_pyjwt_read_what_we_sign_and_we_what_they_sign() {
    let world = World::new();
    let [one, two, _] = &world.roots[..] else {
        panic!("three root keys")
    };
    let keys = [&world.grant, &world.es256, &world.state, one, two];
    let jwks: BTreeMap<&str, Jwk> = keys
        .iter()
        .map(|k| (k.kid(), k.signer.public().to_jwk()))
        .collect();
    let good = [
        world.grant.signer.sign(Typ::Grant, &grant()).unwrap(),
        world.es256.signer.sign(Typ::Grant, &grant()).unwrap(),
        world.state.signer.sign(Typ::State, &state()).unwrap(),
    ];
    let claims = [tree(&grant()), tree(&grant()), tree(&state())];
    // The same with a signature that belongs to other bytes.
    let bad = good.iter().map(|jws| {
        let (input, signature) = jws.rsplit_once('.').unwrap();
        let mut signature = unb64(signature);
        signature[7] ^= 1;
        format!("{input}.{}", b64(signature))
    });
    let statements: Vec<String> = good.iter().cloned().chain(bad).collect();
    let trust = world.trust();
    let mut bad: Value = serde_json::from_str(&trust).unwrap();
    bad["signatures"][1]["signature"] = json!(b64([1; 64]));
    let bad_trust = bad.to_string();
    let asked = json!({"jwks": jwks, "statements": statements, "general": [trust, bad_trust], "claims": state(), "typ": "jit-state+jwt"});

    let mut child = Command::new(python())
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/oracles/jose.py"
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(asked.to_string().as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "the oracle failed: {}", out.status);
    let answer: Answer = serde_json::from_slice(&out.stdout).unwrap();

    let expected: Vec<Option<Value>> = claims
        .into_iter()
        .map(Some)
        .chain([None, None, None])
        .collect();
    assert_eq!(answer.joserfc, expected);
    assert_eq!(answer.pyjwt, expected);
    for (kid, thumbprint) in &answer.thumbprints {
        assert_eq!(kid, thumbprint);
    }
    assert_eq!(answer.thumbprints.len(), 5);
    assert_eq!(answer.general, [Some(tree(&world.trust_claims())), None]);

    assert_eq!(answer.made.len(), 5);
    for made in answer.made {
        let key = PublicKey::from_jwk(&made.jwk).unwrap();
        let ring = world.ring_with(&key, statement::trust::Use::State);
        assert_eq!(
            *verify_state(&made.jws, &ring).unwrap(),
            state(),
            "by {}",
            made.by
        );
        let input = made.jws.rsplit_once('.').unwrap().0;
        assert!(verify_state(&format!("{input}.{}", b64([1; 64])), &ring).is_err());
    }
}
