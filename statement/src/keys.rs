//! Public keys and the ring of pinned keys that a trust statement stands for.

use crate::claims::{Jwk, Request, Typ};
use crate::detail::{All, AllOr};
use crate::people::{self, Account, Approval, Approver, Need, People, Person};
use crate::sshsig::SshKey;
use crate::trust::Rules;
use crate::{Refused, digest};
use ring::signature::{self, UnparsedPublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Signature algorithm; a key has exactly one, whatever a header says (RFC 8725 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alg {
    /// Written as `EdDSA` (RFC 8037), read also as `Ed25519` (RFC 9864).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, 64 bytes (RFC 7518 §3.4).
    Es256,
}

impl Alg {
    /// The name we write into headers.
    pub fn name(self) -> &'static str {
        match self {
            Alg::Ed25519 => "EdDSA",
            Alg::Es256 => "ES256",
        }
    }

    /// Whether a header or key record may call this algorithm `name`.
    pub fn is_named(self, name: &str) -> bool {
        match self {
            Alg::Ed25519 => matches!(name, "EdDSA" | "Ed25519"),
            Alg::Es256 => name == "ES256",
        }
    }
}

/// Why a JWK is no key of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Only OKP/Ed25519 and EC/P-256 exist here.
    Kind { kty: String, crv: String },
    /// `y` with Ed25519, or none with P-256.
    Members,
    /// A coordinate is not 32 bytes of strict base64url.
    Coordinate,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Kind { kty, crv } => write!(f, "key type {kty:?} {crv:?} is not supported"),
            KeyError::Members => {
                f.write_str("the key has too few or too many coordinates for its type")
            }
            KeyError::Coordinate => {
                f.write_str("a coordinate of the key is not 32 bytes in base64url")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// A public key. The point itself is checked by the first verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    alg: Alg,
    /// Ed25519: 32 bytes. P-256: uncompressed point, 65 bytes.
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Takes exactly the two kinds of key of RFC 8037 (Ed25519) and RFC 7518 §6.2 (P-256).
    pub fn from_jwk(jwk: &Jwk) -> Result<PublicKey, KeyError> {
        let x = coordinate(&jwk.x)?;
        match (jwk.kty.as_str(), jwk.crv.as_str(), &jwk.y) {
            ("OKP", "Ed25519", None) => Ok(PublicKey {
                alg: Alg::Ed25519,
                bytes: x,
            }),
            ("EC", "P-256", Some(y)) => {
                let bytes = [&[4u8][..], &x, &coordinate(y)?].concat();
                Ok(PublicKey {
                    alg: Alg::Es256,
                    bytes,
                })
            }
            ("OKP", "Ed25519", Some(_)) | ("EC", "P-256", None) => Err(KeyError::Members),
            (kty, crv, _) => Err(KeyError::Kind {
                kty: kty.to_owned(),
                crv: crv.to_owned(),
            }),
        }
    }

    /// From bytes whose length fits the algorithm.
    pub(crate) fn from_raw(alg: Alg, bytes: &[u8]) -> PublicKey {
        PublicKey {
            alg,
            bytes: bytes.to_vec(),
        }
    }

    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// Its bytes, if it is an Ed25519 key.
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        match self.alg {
            Alg::Ed25519 => self.bytes.as_slice().try_into().ok(),
            Alg::Es256 => None,
        }
    }

    pub fn to_jwk(&self) -> Jwk {
        match self.alg {
            Alg::Ed25519 => Jwk {
                kty: "OKP".into(),
                crv: "Ed25519".into(),
                x: digest::encode(&self.bytes),
                y: None,
            },
            Alg::Es256 => Jwk {
                kty: "EC".into(),
                crv: "P-256".into(),
                x: digest::encode(&self.bytes[1..33]),
                y: Some(digest::encode(&self.bytes[33..])),
            },
        }
    }

    /// RFC 7638 thumbprint, SHA-256: required members only, in lexicographic order, no whitespace.
    pub fn kid(&self) -> String {
        let Jwk { kty, crv, x, y } = self.to_jwk();
        // Every value is base64url or a constant, so nothing needs escaping.
        let canonical = match y {
            None => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
            Some(y) => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
        };
        digest::sha256_b64(canonical.as_bytes())
    }

    /// True if `signature` (64 bytes) over `message` is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let alg: &'static dyn signature::VerificationAlgorithm = match self.alg {
            Alg::Ed25519 => &signature::ED25519,
            Alg::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        };
        UnparsedPublicKey::new(alg, &self.bytes)
            .verify(message, signature)
            .is_ok()
    }
}

fn coordinate(text: &str) -> Result<Vec<u8>, KeyError> {
    digest::decode(text)
        .filter(|b| b.len() == 32)
        .ok_or(KeyError::Coordinate)
}

/// A pinned key: what it may sign and when it could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub kid: String,
    pub key: PublicKey,
    /// Types of statement it may sign.
    pub typs: BTreeSet<Typ>,
    /// Unix seconds, compared with a statement's `iat`: `nbf <= iat < exp`.
    pub nbf: u64,
    pub exp: u64,
}

/// A pinned key that cosigns heads of journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessRecord {
    pub kid: String,
    /// Ed25519.
    pub public: [u8; 32],
    /// Unix seconds, compared with a cosignature's time: `nbf <= time < exp`.
    pub nbf: u64,
    pub exp: u64,
}

/// The keys of one trust statement, and what that statement says about grants. Made only by
/// [`crate::trust::VerifiedTrust::ring`].
#[derive(Clone, Debug)]
pub struct KeyRing {
    pub(crate) iss: String,
    pub(crate) rules: Rules,
    pub(crate) people: People,
    pub(crate) records: BTreeMap<String, KeyRecord>,
    pub(crate) witnesses: Vec<WitnessRecord>,
}

impl KeyRing {
    /// The record of `kid`, if it may sign `typ`. Its times are the caller's to compare.
    pub fn find(&self, kid: &str, typ: Typ) -> Option<&KeyRecord> {
        self.get(kid).filter(|r| r.typs.contains(&typ))
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&KeyRecord> {
        self.records.get(kid)
    }

    /// The pinned issuer.
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// Keys that cosign heads of journals; none: the issuer is no witness.
    pub fn witnesses(&self) -> &[WitnessRecord] {
        &self.witnesses
    }

    /// What cosignatures of this issuer are called: the name of a C2SP key.
    pub fn witness_name(&self) -> String {
        let domain = self.iss.trim_start_matches("spiffe://");
        format!("{}/witness", domain.trim_end_matches("/issuer"))
    }

    /// Whether the root keys let this role be granted without people's approvals. A role that needs approvals never is.
    pub fn may_be_automatic(&self, role: &str) -> bool {
        self.needs(role).is_none()
            && match &self.rules.automatic {
                AllOr::All(All::All) => true,
                AllOr::List(roles) => roles.iter().any(|r| r == role),
            }
    }

    /// Who has this account on that host, if the root keys say so.
    pub fn person_of(&self, login: &str, uid: u32, host: &str) -> Option<&Person> {
        self.people.of_account(login, uid, host)
    }

    /// The person of this id, if the root keys know one.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.get(id)
    }

    /// Whose key this is, if it is valid at that time.
    pub fn person_with(&self, key: &SshKey, at: u64) -> Option<&Person> {
        let (person, nbf, exp) = self.people.of_key(key)?;
        (nbf <= at && at < exp).then_some(person)
    }

    /// Until when what the person's key of this id signs may count, if it is a person's key.
    pub fn persons_key_until(&self, kid: &str) -> Option<u64> {
        self.people.until_of_kid(kid)
    }

    /// The accounts that the root keys give to a person in the trust domain of that host.
    pub fn accounts_of(&self, person: &Person, host: &str) -> Vec<Account> {
        let domain = people::trust_domain(host);
        let there = |a: &&Account| Some(a.domain.as_str()) == domain;
        person.accounts.iter().filter(there).cloned().collect()
    }

    /// Whose approval of a request for that role of that account this is, checked as hosts check it for a grant that is
    /// made at `at`.
    ///
    /// # Errors
    /// [`Refused::Approval`], also when nobody is known to have the account; [`Refused::Sshsig`].
    pub fn approver(
        &self,
        approval: &Approval,
        request: &str,
        role: &str,
        (login, uid, host): (&str, u32, &str),
        at: u64,
    ) -> Result<Approver, Refused> {
        let requester = self
            .person_of(login, uid, host)
            .ok_or_else(people::unknown_requester)?;
        people::one(approval, at, request.as_bytes(), self, (role, requester))
    }

    /// Whether the root keys let whoever asks for this role be one of those who approve it.
    pub fn own_approval_counts(&self, role: &str) -> bool {
        self.rules.self_approval.iter().any(|r| r == role)
    }

    /// The person whose own approval of this request would count.
    pub fn self_approver(&self, request: &Request) -> Option<&Person> {
        let first = request.authorization_details.first()?;
        let host = request.aud.first()?;
        self.person_of(&first.login, first.uid, host)
            .filter(|_| self.own_approval_counts(&request.role))
    }

    /// Who must approve a grant of this role, if the root keys say so.
    pub fn needs(&self, role: &str) -> Option<&[Need]> {
        self.rules.approval.get(role).map(Vec::as_slice)
    }
}
