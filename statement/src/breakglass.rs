//! Break-glass: a right for an emergency, made in advance by the root keys, for one host and one use. The statement is
//! public to that host; what it gives is sealed under a code that is on paper alone.
//!
//! Code: 150 random bits in six groups of five characters (Crockford's base 32), and a seventh group that finds typing
//! errors. Key: HKDF-SHA-256 of the code, salted by the statement's id. Seal: ChaCha20-Poly1305 under that key, which seals
//! nothing else, bound to the claims in the clear. Whoever steals the statement would have to guess 150 bits.

use crate::claims::{Breakglass, Grant, Mode, PolicyRef, Request, Sealed, Typ};
use crate::limits::{Limits, MAX_STALE};
use crate::trust::{General, VerifiedTrust};
use crate::verify::{HostIdentity, MAX_BUNDLE, Verified, VerifiedGrant, verify_request};
use crate::{Refused, digest, id, strict};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest break-glass statement, in bytes.
pub const MAX_BREAKGLASS: usize = 16_384;
/// Characters of a code that are random, 5 bits each.
const SECRET: usize = 30;
/// Characters that find typing errors.
const CHECK: usize = 5;
/// Longest text that is looked at as a code.
const MAX_TYPED: usize = 128;
const KEY: usize = 32;
const INFO: &[u8] = b"jit-breakglass-v1";

/// A code, as its 30 random characters. Never printed by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; SECRET]);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

impl Code {
    /// A new one.
    #[cfg(feature = "sign")]
    pub(crate) fn generate() -> Result<Code, crate::sign::SignError> {
        let mut random = [0; SECRET];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
            .map_err(|_| crate::sign::SignError::Random)?;
        // 32 divides 256: each character is equally likely.
        Ok(Code(random.map(|b| id::ALPHABET[usize::from(b & 31)])))
    }

    /// As it was typed: in any case, with or without blanks and hyphens, O for 0 and I or L for 1.
    ///
    /// # Errors
    /// [`Refused::Breakglass`]: it has another length, other characters, or a typing error.
    pub fn parse(typed: &str) -> Result<Code, Refused> {
        let wrong = |why: &str| {
            Err(Refused::Breakglass {
                why: why.to_owned(),
            })
        };
        if typed.len() > MAX_TYPED {
            return wrong("a code has seven groups of five characters");
        }
        let mut plain = Vec::with_capacity(SECRET + CHECK);
        for c in typed.bytes().map(|b| b.to_ascii_uppercase()) {
            match c {
                b' ' | b'-' | b'\t' | b'\r' | b'\n' => {}
                b'O' => plain.push(b'0'),
                b'I' | b'L' => plain.push(b'1'),
                c if id::ALPHABET.contains(&c) => plain.push(c),
                _ => return wrong("a code has only letters (without U) and digits"),
            }
        }
        let (Some(secret), Some(check)) = (plain.first_chunk::<SECRET>(), plain.get(SECRET..))
        else {
            return wrong("a code has seven groups of five characters");
        };
        if check.len() != CHECK {
            return wrong("a code has seven groups of five characters");
        }
        if check != checksum(secret) {
            return wrong("the code has a typing error");
        }
        Ok(Code(*secret))
    }

    /// As it is written down.
    #[cfg(feature = "sign")]
    pub fn written(&self) -> String {
        let all: Vec<char> = self
            .0
            .iter()
            .chain(&checksum(&self.0))
            .map(|b| char::from(*b))
            .collect();
        let groups: Vec<String> = all.chunks(5).map(|group| group.iter().collect()).collect();
        groups.join("-")
    }

    /// The key that this code stands for with one statement.
    fn key(&self, id: &str) -> Result<[u8; KEY], Refused> {
        struct Len;
        impl KeyType for Len {
            fn len(&self) -> usize {
                KEY
            }
        }
        let mut key = [0; KEY];
        Salt::new(HKDF_SHA256, id.as_bytes())
            .extract(&self.0)
            .expand(&[INFO], Len)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(|_| unsealable())?;
        Ok(key)
    }
}

/// 25 bits of a hash that nothing else uses.
fn checksum(secret: &[u8; SECRET]) -> [u8; CHECK] {
    let mut input = b"jit-breakglass-check-v1".to_vec();
    input.extend_from_slice(secret);
    let hash = ring::digest::digest(&ring::digest::SHA256, &input);
    let bits = hash.as_ref().iter().take(4);
    let bits = bits.fold(0u32, |n, b| n << 8 | u32::from(*b)) >> 7;
    std::array::from_fn(|i| id::ALPHABET[(bits >> (5 * (CHECK - 1 - i)) & 31) as usize])
}

fn unsealable() -> Refused {
    Refused::Breakglass {
        why: "it cannot be sealed or opened".to_owned(),
    }
}

/// What the seal is bound to: all that is in the clear.
fn bound(claims: &Breakglass) -> Vec<u8> {
    let Breakglass {
        ver,
        iss,
        iat,
        epoch,
        id,
        host,
        exp,
        sealed: _,
    } = claims;
    // No part holds a line break: the limits of each see to it.
    format!("{ver}\n{iss}\n{iat}\n{epoch}\n{id}\n{host}\n{exp}").into_bytes()
}

/// The key is used for this one message, so its nonce may be fixed.
fn lock(key: &[u8; KEY]) -> Result<(LessSafeKey, Nonce), Refused> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| unsealable())?;
    Ok((
        LessSafeKey::new(key),
        Nonce::assume_unique_for_key([0; ring::aead::NONCE_LEN]),
    ))
}

/// Seals what a statement gives.
#[cfg(feature = "sign")]
pub(crate) fn seal(
    claims: &Breakglass,
    right: &Sealed,
    code: &Code,
) -> Result<String, crate::sign::SignError> {
    use crate::sign::SignError;
    let mut bytes = serde_json::to_vec(right).map_err(|e| SignError::Json(e.to_string()))?;
    let (key, nonce) = code
        .key(&claims.id)
        .and_then(|key| lock(&key))
        .map_err(|_| SignError::Key)?;
    key.seal_in_place_append_tag(nonce, Aad::from(bound(claims)), &mut bytes)
        .map_err(|_| SignError::Key)?;
    Ok(digest::encode(&bytes))
}

/// A break-glass statement for this host that enough root keys signed. What it gives nobody knows yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedBreakglass {
    claims: Breakglass,
    doc: String,
    kid: String,
}

impl VerifiedBreakglass {
    /// What stands in the clear.
    pub fn claims(&self) -> &Breakglass {
        &self.claims
    }

    /// The document as received.
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// Opens it, if the code is its own.
    ///
    /// # Errors
    /// What is sealed is outside its limits: then root signed nonsense.
    pub fn open(&self, code: &Code) -> Result<Option<OpenBreakglass>, Refused> {
        let key = code.key(&self.claims.id)?;
        let Some(bytes) = self.unsealed(&key) else {
            return Ok(None);
        };
        Ok(Some(OpenBreakglass {
            right: read_right(&bytes)?,
            key,
            statement: self.clone(),
        }))
    }

    fn unsealed(&self, key: &[u8; KEY]) -> Option<Vec<u8>> {
        let mut bytes = digest::decode(&self.claims.sealed)?;
        let (key, nonce) = lock(key).ok()?;
        let length = key
            .open_in_place(nonce, Aad::from(bound(&self.claims)), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(length);
        Some(bytes)
    }
}

fn read_right(bytes: &[u8]) -> Result<Sealed, Refused> {
    let right: Sealed = strict::parse("break-glass right", bytes)?;
    right.check()?;
    Ok(right)
}

/// A break-glass statement whose code was given.
#[derive(Clone)]
pub struct OpenBreakglass {
    right: Sealed,
    key: [u8; KEY],
    statement: VerifiedBreakglass,
}

impl fmt::Debug for OpenBreakglass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenBreakglass")
            .field(&self.statement.claims.id)
            .finish()
    }
}

/// What is kept of a use, to be verified anew: the statement, the key that opens it, and the host's own word for whom and
/// why. The key is worth nothing any more: the host never opens this statement again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u32,
    breakglass: String,
    key: String,
    /// The request's compact JWS, base64url once more.
    request: String,
}

impl OpenBreakglass {
    /// What it gives.
    pub fn right(&self) -> &Sealed {
        &self.right
    }

    /// The statement it was.
    pub fn statement(&self) -> &VerifiedBreakglass {
        &self.statement
    }

    /// To be kept together with the host's request (compact JWS), and taken by [`verify_kept`].
    pub fn bundle(&self, request_jws: &str) -> String {
        // All three are base64url or JSON that is escaped.
        serde_json::json!({
            "v": 1,
            "breakglass": self.statement.doc,
            "key": digest::encode(&self.key),
            "request": digest::encode(request_jws.as_bytes()),
        })
        .to_string()
    }
}

/// Takes a break-glass statement for this host: enough root keys of the trust statement signed it, in its epoch. Left to
/// the caller, because it needs clock and store: its `exp`, revocation, and that it was never used.
///
/// # Errors
/// [`Refused`].
pub fn verify_breakglass(
    doc: &str,
    trust: &VerifiedTrust,
    me: &HostIdentity,
) -> Result<VerifiedBreakglass, Refused> {
    let by_root = |e: Refused| match e {
        Refused::Trust { why } => Refused::Breakglass { why },
        other => other,
    };
    let general = General::read("break-glass statement", doc, MAX_BREAKGLASS).map_err(by_root)?;
    let (typ, few) = (Typ::Breakglass.as_str(), "too few root keys signed it");
    // Nothing in it is read before the keys vouch for it.
    let signers = general
        .signers(&trust.claims().root, typ, few)
        .map_err(by_root)?;
    let claims: Breakglass = general.payload("break-glass claims")?;
    claims.check()?;
    if claims.iss != trust.claims().iss {
        return Err(Refused::Issuer { iss: claims.iss });
    }
    if claims.epoch != trust.claims().epoch {
        return Err(Refused::Breakglass {
            why: format!("it is of epoch {}", claims.epoch),
        });
    }
    if claims.host != me.host {
        return Err(Refused::Audience);
    }
    Ok(VerifiedBreakglass {
        claims,
        doc: doc.to_owned(),
        kid: signers.into_iter().next().unwrap_or_default(),
    })
}

/// What a break-glass statement says in the clear. Nobody's signature has been looked at: this is for finding its host and
/// for showing it to those who are to sign, never for acting on it.
///
/// # Errors
/// [`Refused`].
pub fn unverified(doc: &str) -> Result<Breakglass, Refused> {
    let general = General::read("break-glass statement", doc, MAX_BREAKGLASS)?;
    let claims: Breakglass = general.payload("break-glass claims")?;
    claims.check()?;
    Ok(claims)
}

/// Is this what [`OpenBreakglass::bundle`] makes, and not a bundle of an issuer?
pub fn is_kept(bundle_json: &str) -> bool {
    strict::parse::<Kept>("break-glass bundle", bundle_json.as_bytes()).is_ok()
}

/// A used break-glass statement as a grant: the root keys signed it for this host, its key opens it, and the host's own
/// request asks for exactly what it gives, for no longer.
///
/// # Errors
/// [`Refused`].
pub fn verify_kept(
    bundle_json: &str,
    trust: &VerifiedTrust,
    me: &HostIdentity,
) -> Result<VerifiedGrant, Refused> {
    if bundle_json.len() > MAX_BUNDLE {
        return Err(Refused::TooLarge {
            what: "break-glass bundle",
            bytes: bundle_json.len(),
            limit: MAX_BUNDLE,
        });
    }
    let kept: Kept = strict::parse("break-glass bundle", bundle_json.as_bytes())?;
    let not_text = Refused::Encoding { what: "request" };
    let wrong = |why: &str| {
        Err(Refused::Breakglass {
            why: why.to_owned(),
        })
    };
    if kept.v != 1 {
        return wrong("v must be 1");
    }
    let statement = verify_breakglass(&kept.breakglass, trust, me)?;
    let key = digest::decode(&kept.key).and_then(|k| <[u8; KEY]>::try_from(k).ok());
    let Some(bytes) = key.and_then(|key| statement.unsealed(&key)) else {
        return wrong("its key does not open it");
    };
    let right = read_right(&bytes)?;
    let request_bytes = digest::decode(&kept.request).ok_or(not_text.clone())?;
    let request_jws = String::from_utf8(request_bytes).map_err(|_| not_text)?;
    let request = verify_request(&request_jws, &me.key)?;
    if request.iss != me.host {
        return Err(Refused::NotOurRequest);
    }
    within(&statement.claims, &right, &request, me)?;
    let grant = grant(
        &statement,
        &request,
        digest::sha256_b64(request_jws.as_bytes()),
    );
    Ok(VerifiedGrant::of_breakglass(
        Verified::of(grant, statement.doc, statement.kid),
        request,
        bundle_json.to_owned(),
    ))
}

/// The host asked for exactly this right, for one account, for no longer, before the statement's end.
fn within(
    claims: &Breakglass,
    right: &Sealed,
    request: &Request,
    me: &HostIdentity,
) -> Result<(), Refused> {
    let Some(first) = request.authorization_details.first() else {
        return Err(Refused::Wider {
            why: "nothing was asked for".to_owned(),
        });
    };
    let given = right.right.expand(&right.role, &first.login, first.uid);
    let same = request.id == claims.id
        && request.role == right.role
        && request.authorization_details == [given]
        && request.aud == [me.host.clone()]
        && request.dur <= right.dur
        && request.not_before == 0
        && request.extends.is_none()
        && request.iat < claims.exp;
    if same {
        Ok(())
    } else {
        Err(Refused::Wider {
            why: "its request asks for something else than the statement gives".to_owned(),
        })
    }
}

/// The grant it is from the moment of its use.
fn grant(statement: &VerifiedBreakglass, request: &Request, req_hash: String) -> Grant {
    let claims = &statement.claims;
    Grant {
        ver: 1,
        iss: claims.iss.clone(),
        iat: request.iat,
        epoch: claims.epoch,
        aud: request.aud.clone(),
        jti: claims.id.clone(),
        seq: 0,
        sub: request.sub.clone(),
        nbf: request.iat,
        exp: request.iat.saturating_add(request.dur),
        max_stale: MAX_STALE,
        role: request.role.clone(),
        authorization_details: request.authorization_details.clone(),
        req_hash,
        mode: Mode::Breakglass,
        policy: PolicyRef {
            digest: digest::sha256_b64(statement.doc.as_bytes()),
            rule: "break-glass".to_owned(),
        },
        reason: request.reason.clone(),
        ticket: request.ticket.clone(),
        extends: None,
    }
}
