//! The trust statement: which keys may sign what, and what may be granted without people. Signed by several root
//! keys that live offline; JWS general JSON (RFC 7515 §7.2.1).

use crate::Refused;
use crate::claims::{Jwk, Typ};
use crate::detail::AllOr;
use crate::keys::{KeyRecord, KeyRing, PublicKey, WitnessRecord};
use crate::limits::Limits;
use crate::people::{Need, People, Person};
use crate::{digest, jws, strict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// `typ` of each signature's protected header.
pub const TRUST_TYP: &str = "jit-trust+json";

/// Largest trust statement, in bytes.
pub const MAX_TRUST: usize = 65536;
const MAX_SIGNATURES: usize = 32;

/// What an issuer's key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    Grant,
    Revocation,
    State,
    Enrol,
    Policy,
    /// Cosigns the heads of hosts' journals (C2SP tlog-cosignature): no statement, and Ed25519 only.
    Witness,
}

impl Use {
    /// The one type of statement this use allows; a witness signs none.
    pub fn typ(self) -> Option<Typ> {
        match self {
            Use::Grant => Some(Typ::Grant),
            Use::Revocation => Some(Typ::Revocation),
            Use::State => Some(Typ::State),
            Use::Enrol => Some(Typ::Enrol),
            Use::Policy => Some(Typ::Policy),
            Use::Witness => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustKey {
    pub jwk: Jwk,
    /// `EdDSA`, `Ed25519` or `ES256`; must fit the key.
    pub alg: String,
    /// Exactly one: a stolen key must be worth as little as possible.
    #[serde(rename = "use")]
    pub uses: Vec<Use>,
    /// Unix seconds: statements with `nbf <= iat < exp` may be signed by it.
    pub nbf: u64,
    pub exp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// 1..=16, each once.
    pub keys: Vec<Jwk>,
    /// 1..=number of keys.
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Roles that may be granted without people's approvals. Those in `approval` are never among them.
    pub automatic: AllOr<String>,
    /// For each role, who must approve: all needs together, each person for one place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approval: BTreeMap<String, Vec<Need>>,
    /// Roles of `approval` whose requester may be one of those who approve. Absent: nobody's own approval counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub self_approval: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustClaims {
    pub ver: u32,
    /// The issuer whose statements these keys sign.
    pub iss: String,
    pub iat: u64,
    /// The first is 1.
    pub trust_ver: u64,
    pub epoch: u32,
    /// ≤ `iat` + 400 days.
    pub exp: u64,
    /// SHA-256 of the previous trust statement's bytes, base64url; of the empty string for the first.
    pub prev: String,
    pub keys: Vec<TrustKey>,
    pub root: Root,
    pub rules: Rules,
    /// ≤ 512.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Person>,
    /// With a new epoch: ids of grants of the one before that live on. ≤ 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carry: Vec<String>,
}

/// A trust statement that its own root keys signed. Made only by [`verify_first`] and [`verify_next`].
#[derive(Clone, Debug)]
pub struct VerifiedTrust {
    claims: TrustClaims,
    ring: KeyRing,
    hash: String,
}

impl VerifiedTrust {
    fn new(claims: TrustClaims, hash: String) -> Result<VerifiedTrust, Refused> {
        let ring = ring(&claims)?;
        Ok(VerifiedTrust { claims, ring, hash })
    }

    pub fn claims(&self) -> &TrustClaims {
        &self.claims
    }

    /// The pinned keys.
    pub fn ring(&self) -> KeyRing {
        self.ring.clone()
    }

    /// SHA-256 of the document's bytes, base64url: the pin.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Takes the trust statement a host starts from: its bytes hash to `pin`, and enough of its own root keys signed
/// it. Its `exp` is the caller's to compare with a clock.
pub fn verify_first(doc: &str, pin: &str) -> Result<VerifiedTrust, Refused> {
    let (general, hash) = read(doc)?;
    if hash != pin {
        return refuse("it is not the one that was pinned");
    }
    // The signers' keys are in the payload, so it has to be read first: the pin vouches for these bytes.
    let claims = general.claims()?;
    claims.check()?;
    general.enough(&claims.root, "too few root keys signed it")?;
    VerifiedTrust::new(claims, hash)
}

/// Takes the trust statement that follows `old`, and no other: the next version, naming `old` by its hash, signed by
/// enough root keys of both (TUF 1.0.34 §5.3.4). Its `exp` is the caller's to compare with a clock.
pub fn verify_next(old: &VerifiedTrust, doc: &str) -> Result<VerifiedTrust, Refused> {
    let (general, hash) = read(doc)?;
    let before = &old.claims;
    // Nothing in it is read before the keys we know vouch for it.
    general.enough(&before.root, "too few of the present root keys signed it")?;
    let claims = general.claims()?;
    claims.check()?;
    if claims.iss != before.iss {
        return refuse("it is another issuer's");
    }
    if claims.trust_ver <= before.trust_ver {
        return refuse("it is not newer than the present one");
    }
    if claims.trust_ver != before.trust_ver + 1 {
        return refuse("versions are missing before it");
    }
    if claims.prev != old.hash {
        return refuse("it does not follow the present one");
    }
    if claims.epoch < before.epoch {
        return refuse("its epoch goes back");
    }
    // Epochs are few: one that leaps could use them up for ever.
    if claims.epoch > before.epoch.saturating_add(1) {
        return refuse("its epoch leaps");
    }
    if claims.epoch == before.epoch && !claims.carry.is_empty() {
        return refuse("it carries grants over, and there is no new epoch");
    }
    if claims.iat < before.iat {
        return refuse("it is dated before the present one");
    }
    general.enough(&claims.root, "too few of its own root keys signed it")?;
    VerifiedTrust::new(claims, hash)
}

/// What a trust statement, or a draft of one (its claims alone), says. Nobody's signature has been looked at: this is for
/// showing it to those who are to sign, never for acting on it.
pub fn unverified(text: &str) -> Result<TrustClaims, Refused> {
    let claims = match read(text) {
        Ok((general, _)) => general.claims()?,
        Err(_) => strict::parse("draft of a trust statement", text.as_bytes())?,
    };
    claims.check()?;
    ring(&claims)?;
    Ok(claims)
}

fn read(doc: &str) -> Result<(General, String), Refused> {
    let general = General::read("trust statement", doc, MAX_TRUST)?;
    Ok((general, digest::sha256_b64(doc.as_bytes())))
}

/// JWS in general JSON with signatures of root keys, as read: nobody's signature has been looked at.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct General {
    payload: String,
    signatures: Vec<GeneralSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GeneralSignature {
    protected: String,
    signature: String,
}

impl General {
    /// Takes the outer form apart.
    pub(crate) fn read(what: &'static str, doc: &str, limit: usize) -> Result<General, Refused> {
        if doc.len() > limit {
            return Err(Refused::TooLarge {
                what,
                bytes: doc.len(),
                limit,
            });
        }
        let general: General = strict::parse(what, doc.as_bytes())?;
        if general.signatures.is_empty() || general.signatures.len() > MAX_SIGNATURES {
            return refuse("it needs 1 to 32 signatures");
        }
        Ok(general)
    }

    fn claims(&self) -> Result<TrustClaims, Refused> {
        self.payload("trust claims")
    }

    /// What was signed. To be read after the signatures, unless a pin vouches for the bytes.
    pub(crate) fn payload<T: DeserializeOwned + Serialize>(
        &self,
        what: &'static str,
    ) -> Result<T, Refused> {
        let payload = digest::decode(&self.payload).ok_or(Refused::Encoding { what })?;
        strict::parse(what, &payload)
    }

    /// Refuses with `few` unless the threshold of these root keys signed.
    fn enough(&self, root: &Root, few: &str) -> Result<(), Refused> {
        self.signers(root, TRUST_TYP, few).map(drop)
    }

    /// The ids of the root keys that signed it as this type. Refuses with `few` when they are fewer than the threshold. One
    /// of them that signed wrongly spoils it all.
    pub(crate) fn signers(
        &self,
        root: &Root,
        typ: &'static str,
        few: &str,
    ) -> Result<BTreeSet<String>, Refused> {
        let keys = public_keys(&root.keys)?;
        let mut signed = BTreeSet::new();
        for one in &self.signatures {
            let header = jws::header(&one.protected, jws::Algs::Key)?;
            if header.typ != typ {
                return Err(Refused::Typ {
                    typ: header.typ,
                    expected: typ,
                });
            }
            // A statement that rotates root keys carries signatures of both sets: a stranger's does not count.
            let Some(key) = keys.get(&header.kid) else {
                continue;
            };
            let input = format!("{}.{}", one.protected, self.payload);
            jws::check_signature(key, &header.alg, &input, &jws::signature(&one.signature)?)?;
            // A set: each key counts once, however often it signed.
            signed.insert(header.kid);
        }
        if signed.len() < root.threshold as usize {
            return refuse(few);
        }
        Ok(signed)
    }
}

fn refuse<T>(why: &str) -> Result<T, Refused> {
    Err(Refused::Trust {
        why: why.to_owned(),
    })
}

fn public_keys(jwks: &[Jwk]) -> Result<BTreeMap<String, PublicKey>, Refused> {
    let mut keys = BTreeMap::new();
    for jwk in jwks {
        let key = PublicKey::from_jwk(jwk).map_err(|e| Refused::Trust { why: e.to_string() })?;
        if keys.insert(key.kid(), key).is_some() {
            return refuse("a key is listed twice");
        }
    }
    Ok(keys)
}

fn ring(claims: &TrustClaims) -> Result<KeyRing, Refused> {
    let (mut records, mut witnesses) = (BTreeMap::new(), Vec::new());
    for listed in &claims.keys {
        let key =
            PublicKey::from_jwk(&listed.jwk).map_err(|e| Refused::Trust { why: e.to_string() })?;
        if !key.alg().is_named(&listed.alg) {
            return Err(Refused::Alg {
                alg: listed.alg.clone(),
            });
        }
        let kid = key.kid();
        if listed.uses.contains(&Use::Witness) {
            let public = key.ed25519().ok_or_else(|| Refused::Trust {
                why: "the key of a witness is not Ed25519".to_owned(),
            })?;
            witnesses.push(WitnessRecord {
                kid: kid.clone(),
                public,
                nbf: listed.nbf,
                exp: listed.exp,
            });
        }
        let typs = listed.uses.iter().filter_map(|u| u.typ()).collect();
        let record = KeyRecord {
            kid: kid.clone(),
            key,
            typs,
            nbf: listed.nbf,
            exp: listed.exp,
        };
        if records.insert(kid, record).is_some() {
            return refuse("a key is listed twice");
        }
    }
    // A root key that also signs statements would have to be online.
    if public_keys(&claims.root.keys)?
        .keys()
        .any(|kid| records.contains_key(kid))
    {
        return refuse("a root key is also a signing key");
    }
    Ok(KeyRing {
        iss: claims.iss.clone(),
        rules: claims.rules.clone(),
        people: People::new(&claims.people)?,
        records,
        witnesses,
    })
}
