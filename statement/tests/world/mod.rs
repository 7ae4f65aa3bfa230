//! A small world for tests: an issuer, its root keys, two hosts and a stranger, all with fixed keys, and ways to
//! write statements that no honest signer would.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, reason = "test code")]

pub mod ask;
pub mod people;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::{Value, json};
use statement::HostIdentity;
use statement::claims::{
    Enrol, Grant, Mode, Policy, PolicyRef, Request, Revocation, State, Target, Typ,
};
use statement::detail::{All, AllOr, Auth, DETAIL_TYPE, Detail, Door, OnEnd, Record};
use statement::digest::sha256_b64;
use statement::keys::{Alg, KeyRing, PublicKey};
use statement::role::Role;
use statement::sign::{self, Signer};
use statement::trust::{Root, Rules, TrustClaims, TrustKey, Use, verify_first};

/// When everything here happens, Unix seconds.
pub const T0: u64 = 1_800_000_000;
pub const ISS: &str = "spiffe://local.test/issuer/main";
pub const HOST: &str = "spiffe://local.test/host/a1";
pub const OTHER_HOST: &str = "spiffe://local.test/host/b2";
pub const GROUP: &str = "spiffe://local.test/group/all";
pub const SUB: &str = "local:1000@spiffe://local.test/host/a1";
pub const JTI: &str = "01KDG7T0000123456789ABCDEF";
pub const REQUEST_ID: &str = "01KDG7T0000123456789ABCDEG";

/// P-256 has no key made from a seed in `ring`, so this one was made once. It protects nothing.
const ES256_PKCS8: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1lydOVZWPiyuzHFatMQ8WkYXwvckjHReuKRvvC7QrwahRANCAARLE-XuUjmw4IvTEgmAW55M3RmAQwzDd2_QIPEIcCnLgURCCw852fXMJtOEEvQZE3SkA7OxiH_YM8wVv-7BFkHB";

/// A key whose private half everybody may know.
pub struct Key {
    pub signer: Signer,
    pkcs8: Vec<u8>,
}

impl Key {
    /// Ed25519 from a seed of one repeated byte.
    pub fn seeded(seed: u8) -> Key {
        // PKCS#8 version 1 of RFC 8410 §7: fixed bytes, then the seed.
        let mut pkcs8 = vec![
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        pkcs8.extend([seed; 32]);
        Key {
            signer: Signer::from_pkcs8(&pkcs8).unwrap(),
            pkcs8,
        }
    }

    pub fn es256() -> Key {
        let pkcs8 = unb64(ES256_PKCS8);
        Key {
            signer: Signer::from_pkcs8(&pkcs8).unwrap(),
            pkcs8,
        }
    }

    pub fn kid(&self) -> &str {
        self.signer.kid()
    }

    /// Signs any bytes.
    pub fn raw(&self, message: &[u8]) -> Vec<u8> {
        match self.signer.public().alg() {
            Alg::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8)
                .unwrap()
                .sign(message)
                .as_ref()
                .to_vec(),
            Alg::Es256 => {
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &self.pkcs8,
                    &random,
                )
                .unwrap();
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
        }
    }

    /// A compact JWS over any header and any payload.
    pub fn jws(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = b64(self.raw(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The right header for `typ`.
    pub fn header(&self, typ: &str) -> String {
        json!({"alg": self.signer.public().alg().name(), "typ": typ, "kid": self.kid()}).to_string()
    }

    /// A compact JWS with the right header over any payload.
    pub fn over(&self, typ: Typ, payload: &str) -> String {
        self.jws(&self.header(typ.as_str()), payload)
    }
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Everybody.
pub struct World {
    pub roots: Vec<Key>,
    pub grant: Key,
    pub revocation: Key,
    pub state: Key,
    pub enrol: Key,
    pub policy: Key,
    /// Could sign grants until [`T0`].
    pub old: Key,
    /// May sign grants from an hour after [`T0`].
    pub coming: Key,
    /// Signs grants with ES256.
    pub es256: Key,
    pub host: Key,
    pub other_host: Key,
    pub stranger: Key,
}

impl World {
    pub fn new() -> World {
        World {
            roots: vec![Key::seeded(1), Key::seeded(2), Key::seeded(3)],
            grant: Key::seeded(11),
            revocation: Key::seeded(12),
            state: Key::seeded(13),
            enrol: Key::seeded(14),
            policy: Key::seeded(15),
            old: Key::seeded(16),
            coming: Key::seeded(17),
            es256: Key::es256(),
            host: Key::seeded(21),
            other_host: Key::seeded(22),
            stranger: Key::seeded(31),
        }
    }

    pub fn trust_claims(&self) -> TrustClaims {
        let key = |key: &Key, one: Use, nbf: u64, exp: u64| TrustKey {
            jwk: key.signer.public().to_jwk(),
            alg: key.signer.public().alg().name().to_owned(),
            uses: vec![one],
            nbf,
            exp,
        };
        let (from, until) = (T0 - 86_400, T0 + 86_400 * 30);
        TrustClaims {
            ver: 1,
            iss: ISS.to_owned(),
            iat: T0 - 86_400,
            trust_ver: 1,
            epoch: 1,
            exp: T0 + 86_400 * 300,
            prev: sha256_b64(b""),
            keys: vec![
                key(&self.grant, Use::Grant, from, until),
                key(&self.es256, Use::Grant, from, until),
                key(&self.old, Use::Grant, from, T0),
                key(&self.coming, Use::Grant, T0 + 3600, until),
                key(&self.revocation, Use::Revocation, from, until),
                key(&self.state, Use::State, from, until),
                key(&self.enrol, Use::Enrol, from, until),
                key(&self.policy, Use::Policy, from, until),
            ],
            root: Root {
                keys: self
                    .roots
                    .iter()
                    .map(|k| k.signer.public().to_jwk())
                    .collect(),
                threshold: 2,
            },
            rules: Rules {
                automatic: AllOr::List(vec!["admin".into(), "restart-web".into()]),
                approval: people::needs()
                    .map(|(role, needs)| (role.to_owned(), needs))
                    .into(),
                self_approval: vec![],
            },
            people: people::people(),
            carry: vec![],
        }
    }

    /// Signed by two of the three root keys.
    pub fn trust(&self) -> String {
        sign::trust(
            &self.trust_claims(),
            &[&self.roots[0].signer, &self.roots[1].signer],
        )
        .unwrap()
    }

    pub fn ring(&self) -> KeyRing {
        let doc = self.trust();
        verify_first(&doc, &sha256_b64(doc.as_bytes()))
            .unwrap()
            .ring()
    }

    /// The ring with one more key.
    pub fn ring_with(&self, key: &PublicKey, one: Use) -> KeyRing {
        let mut claims = self.trust_claims();
        claims.keys.push(TrustKey {
            jwk: key.to_jwk(),
            alg: key.alg().name().to_owned(),
            uses: vec![one],
            nbf: T0,
            exp: T0 + 1,
        });
        let doc = sign::trust(&claims, &[&self.roots[0].signer, &self.roots[1].signer]).unwrap();
        verify_first(&doc, &sha256_b64(doc.as_bytes()))
            .unwrap()
            .ring()
    }

    pub fn me(&self) -> HostIdentity {
        HostIdentity {
            host: HOST.to_owned(),
            groups: vec![GROUP.to_owned()],
            key: self.host.signer.public(),
        }
    }

    pub fn bundle(&self, grant: &Grant, request: &Request) -> String {
        let request = self.host.signer.sign(Typ::Request, request).unwrap();
        let grant = Grant {
            req_hash: sha256_b64(request.as_bytes()),
            ..grant.clone()
        };
        sign::bundle(
            &self.grant.signer.sign(Typ::Grant, &grant).unwrap(),
            &request,
        )
    }
}

/// What the sample policy's role `admin` gives.
pub fn role() -> Role {
    Role {
        doors: vec![Door::Sudo],
        groups: vec![],
        runas: AllOr::All(All::All),
        commands: AllOr::All(All::All),
        shell: true,
        sudoedit: vec![],
        cwd: vec![],
        env: vec![],
        tty: false,
        once: false,
        auth: Auth::None,
        record: Record::None,
        on_end: OnEnd::Kill,
        unlock: vec![],
        witnessed: None,
        default_s: 900,
        max_s: 3600,
        max_stale_s: 300,
    }
}

pub fn detail() -> Detail {
    role().expand("admin", "alice", 1000)
}

/// A detail that allows nothing but what a test adds.
pub fn bare() -> Detail {
    Detail {
        kind: DETAIL_TYPE.to_owned(),
        doors: vec![Door::Sudo],
        groups: vec![],
        runas: AllOr::List(vec!["root".into()]),
        commands: AllOr::List(vec![]),
        shell: false,
        ..detail()
    }
}

pub fn request() -> Request {
    Request {
        ver: 1,
        iss: HOST.to_owned(),
        iat: T0,
        id: REQUEST_ID.to_owned(),
        nonce: b64([7; 16]),
        sub: SUB.to_owned(),
        aud: vec![HOST.to_owned()],
        role: "admin".to_owned(),
        policy_ver: 1,
        authorization_details: vec![detail()],
        not_before: 0,
        dur: 900,
        approve_until: T0 + 600,
        reason: "look at the disk".to_owned(),
        ticket: None,
        extends: None,
    }
}

/// Answers [`request`]; `req_hash` is filled in when the bundle is made.
pub fn grant() -> Grant {
    let asked = request();
    Grant {
        ver: 1,
        iss: ISS.to_owned(),
        iat: T0 + 1,
        epoch: 1,
        aud: asked.aud,
        jti: JTI.to_owned(),
        seq: 1,
        sub: asked.sub,
        nbf: T0 + 1,
        exp: T0 + 901,
        max_stale: 300,
        role: asked.role,
        authorization_details: asked.authorization_details,
        req_hash: sha256_b64(b""),
        mode: Mode::Auto,
        policy: PolicyRef {
            digest: sha256_b64(b"policy"),
            rule: "approve[0]".to_owned(),
        },
        reason: asked.reason,
        ticket: asked.ticket,
        extends: None,
    }
}

pub fn revocation() -> Revocation {
    Revocation {
        ver: 1,
        iss: ISS.to_owned(),
        iat: T0,
        epoch: 1,
        serial: 1,
        prev: sha256_b64(b""),
        target: Target::Grant(JTI.to_owned()),
        reason: "no longer needed".to_owned(),
        exp: T0 + 7200,
    }
}

pub fn state() -> State {
    State {
        ver: 1,
        iss: ISS.to_owned(),
        iat: T0,
        epoch: 1,
        exp: T0 + 120,
        state_seq: 9,
        rev_serial: 0,
        rev_head: sha256_b64(b""),
        policy_ver: 1,
        trust_ver: 1,
    }
}

pub fn enrol(world: &World) -> Enrol {
    Enrol {
        ver: 1,
        iss: ISS.to_owned(),
        iat: T0,
        epoch: 1,
        host: HOST.to_owned(),
        groups: vec![GROUP.to_owned()],
        labels: [("os".to_owned(), "debian".to_owned())].into(),
        jwk: world.host.signer.public().to_jwk(),
        trust: sha256_b64(world.trust().as_bytes()),
    }
}

pub fn policy() -> Policy {
    Policy {
        ver: 1,
        iss: ISS.to_owned(),
        iat: T0,
        epoch: 1,
        policy_ver: 1,
        digest: sha256_b64(b"policy"),
        commit: None,
        default_role: "admin".to_owned(),
        roles: [("admin".to_owned(), role())].into(),
    }
}

/// The claims as a tree that a test can spoil.
pub fn tree(claims: &impl serde::Serialize) -> Value {
    serde_json::to_value(claims).unwrap()
}

/// `claims` with the value at the JSON pointer's place replaced, or added.
pub fn with(claims: &impl serde::Serialize, pointer: &str, value: Value) -> Value {
    let mut tree = tree(claims);
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    match tree.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[member.parse::<usize>().unwrap()] = value,
        object => object[member] = value,
    }
    tree
}

/// `claims` without a member.
pub fn without(claims: &impl serde::Serialize, member: &str) -> Value {
    let mut tree = tree(claims);
    tree.as_object_mut().unwrap().remove(member).unwrap();
    tree
}
