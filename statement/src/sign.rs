//! Making statements: the issuer's keys, a host's own requests, tests.

use crate::breakglass::{self, Code};
use crate::claims::{Breakglass, Sealed, Typ};
use crate::keys::{Alg, PublicKey};
use crate::people::Approval;
pub use crate::ssh_signer::SshSigner;
use crate::trust::{TRUST_TYP, TrustClaims};
use crate::{digest, jws};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignError {
    /// The system gave no random bytes.
    Random,
    /// Not PKCS#8 of an Ed25519 or P-256 key.
    Key,
    /// Not a private SSH key that can be used; says why.
    SshKey(&'static str),
    /// The claims cannot be written as JSON.
    Json(String),
    /// Longer than this type may be.
    TooLarge { bytes: usize, limit: usize },
    /// The signature could not be made.
    Signature,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignError::Random => f.write_str("the system gave no random bytes"),
            SignError::Key => {
                f.write_str("the private key is not PKCS#8 of an Ed25519 or P-256 key")
            }
            SignError::SshKey(why) => f.write_str(why),
            SignError::Json(why) => write!(f, "the claims cannot be written as JSON: {why}"),
            SignError::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "the statement would be too large: {bytes} bytes, at most {limit}"
                )
            }
            SignError::Signature => f.write_str("the signature could not be made"),
        }
    }
}

impl std::error::Error for SignError {}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

/// A private key that signs statements. It shows only its public half.
pub struct Signer {
    pair: Pair,
    public: PublicKey,
    kid: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A new Ed25519 key and its PKCS#8 bytes, which are secret.
    pub fn generate() -> Result<(Signer, Vec<u8>), SignError> {
        Signer::generate_for(Alg::Ed25519)
    }

    /// A new key of the given algorithm and its PKCS#8 bytes, which are secret.
    pub fn generate_for(alg: Alg) -> Result<(Signer, Vec<u8>), SignError> {
        let random = SystemRandom::new();
        let pkcs8 = match alg {
            Alg::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
            Alg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        }
        .map_err(|_| SignError::Random)?;
        Ok((Signer::from_pkcs8(pkcs8.as_ref())?, pkcs8.as_ref().to_vec()))
    }

    /// From PKCS#8, as [`Signer::generate`] or `openssl genpkey` make it.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Signer, SignError> {
        // openssl writes version 1 without the public half; there is nothing to check it against then.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            let public = PublicKey::from_raw(Alg::Ed25519, pair.public_key().as_ref());
            return Ok(Signer {
                kid: public.kid(),
                pair: Pair::Ed25519(pair),
                public,
            });
        }
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            bytes,
            &SystemRandom::new(),
        )
        .map_err(|_| SignError::Key)?;
        let public = PublicKey::from_raw(Alg::Es256, pair.public_key().as_ref());
        Ok(Signer {
            kid: public.kid(),
            pair: Pair::Es256(pair),
            public,
        })
    }

    /// RFC 7638 thumbprint of the public key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    /// A compact JWS over `claims`. Limits of the claims are the verifier's: sign nothing you would not accept.
    pub fn sign(&self, typ: Typ, claims: &impl Serialize) -> Result<String, SignError> {
        let payload = serde_json::to_vec(claims).map_err(|e| SignError::Json(e.to_string()))?;
        let signing_input = format!(
            "{}.{}",
            self.header(typ.as_str())?,
            digest::encode(&payload)
        );
        let limit = jws::max_signing_input(typ);
        if signing_input.len() > limit {
            return Err(SignError::TooLarge {
                bytes: signing_input.len(),
                limit,
            });
        }
        let signature = self.raw(signing_input.as_bytes())?;
        Ok(format!("{signing_input}.{}", digest::encode(&signature)))
    }

    fn header(&self, typ: &str) -> Result<String, SignError> {
        let header = jws::Header {
            alg: self.public.alg().name().to_owned(),
            typ: typ.to_owned(),
            kid: self.kid.clone(),
        };
        let bytes = serde_json::to_vec(&header).map_err(|e| SignError::Json(e.to_string()))?;
        Ok(digest::encode(&bytes))
    }

    fn raw(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| SignError::Signature),
        }
    }
}

#[derive(PartialEq, Serialize, Deserialize)]
struct GeneralSignature {
    protected: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct General {
    payload: String,
    signatures: Vec<GeneralSignature>,
}

/// A trust statement signed by each of `signers`.
pub fn trust(claims: &TrustClaims, signers: &[&Signer]) -> Result<String, SignError> {
    general(claims, TRUST_TYP, signers)
}

/// What a new break-glass statement says.
#[derive(Clone, Debug)]
pub struct NewBreakglass<'a> {
    pub iss: &'a str,
    pub iat: u64,
    pub epoch: u32,
    /// ULID.
    pub id: &'a str,
    pub host: &'a str,
    pub exp: u64,
    pub right: &'a Sealed,
}

/// A break-glass statement signed by each of `signers`, and the code that opens it, which is nowhere else.
pub fn breakglass(
    new: &NewBreakglass<'_>,
    signers: &[&Signer],
) -> Result<(Code, String), SignError> {
    let code = Code::generate()?;
    let mut claims = Breakglass {
        ver: 1,
        iss: new.iss.to_owned(),
        iat: new.iat,
        epoch: new.epoch,
        id: new.id.to_owned(),
        host: new.host.to_owned(),
        exp: new.exp,
        sealed: String::new(),
    };
    claims.sealed = breakglass::seal(&claims, new.right, &code)?;
    let doc = general(&claims, Typ::Breakglass.as_str(), signers)?;
    Ok((code, doc))
}

/// The claims as JWS in general JSON, signed by each of `signers`.
fn general(claims: &impl Serialize, typ: &str, signers: &[&Signer]) -> Result<String, SignError> {
    let json = |e: serde_json::Error| SignError::Json(e.to_string());
    let payload = digest::encode(&serde_json::to_vec(claims).map_err(json)?);
    let signatures = signers
        .iter()
        .map(|signer| {
            let protected = signer.header(typ)?;
            let signature =
                digest::encode(&signer.raw(format!("{protected}.{payload}").as_bytes())?);
            Ok(GeneralSignature {
                protected,
                signature,
            })
        })
        .collect::<Result<Vec<_>, SignError>>()?;
    serde_json::to_string(&General {
        payload,
        signatures,
    })
    .map_err(json)
}

/// The same trust statement with one more signature, over the very bytes that the others signed.
pub fn cosign(doc: &str, signer: &Signer) -> Result<String, SignError> {
    cosign_as(TRUST_TYP, doc, signer)
}

/// The same break-glass statement with one more signature, over the very bytes that the others signed.
pub fn cosign_breakglass(doc: &str, signer: &Signer) -> Result<String, SignError> {
    cosign_as(Typ::Breakglass.as_str(), doc, signer)
}

fn cosign_as(typ: &str, doc: &str, signer: &Signer) -> Result<String, SignError> {
    let json = |e: serde_json::Error| SignError::Json(e.to_string());
    let mut general: General = serde_json::from_str(doc).map_err(json)?;
    let protected = signer.header(typ)?;
    let input = format!("{protected}.{}", general.payload);
    let signature = digest::encode(&signer.raw(input.as_bytes())?);
    let mine = GeneralSignature {
        protected,
        signature,
    };
    if !general.signatures.contains(&mine) {
        general.signatures.push(mine);
    }
    serde_json::to_string(&general).map_err(json)
}

/// One trust statement from copies that were signed apart; `None` when they do not say the same.
pub fn assemble(docs: &[String]) -> Option<String> {
    let mut all = docs
        .iter()
        .map(|d| serde_json::from_str::<General>(d).ok())
        .collect::<Option<Vec<_>>>()?
        .into_iter();
    let mut whole = all.next()?;
    for other in all {
        if other.payload != whole.payload {
            return None;
        }
        for one in other.signatures {
            if !whole.signatures.contains(&one) {
                whole.signatures.push(one);
            }
        }
    }
    serde_json::to_string(&whole).ok()
}

/// The grant and the request it answers, as hosts take them.
pub fn bundle(grant_jws: &str, request_jws: &str) -> String {
    approved(grant_jws, request_jws, &[])
}

/// The same with the approvals of the request.
pub fn approved(grant_jws: &str, request_jws: &str, approvals: &[Approval]) -> String {
    // Both are base64url and dots: nothing to escape.
    let request = digest::encode(request_jws.as_bytes());
    let approvals = serde_json::json!(approvals);
    format!(r#"{{"v":1,"grant":"{grant_jws}","request":"{request}","approvals":{approvals}}}"#)
}
