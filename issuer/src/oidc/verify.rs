//! A token's form and signature, with `jsonwebtoken`; the signatures themselves with ring, as everywhere here. RS256 and
//! ES256, which is what the CIs sign with, and nothing else.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, TokenData, Validation, dangerous, decode,
    decode_header,
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

/// Lets the library verify; whoever comes second changes nothing.
pub fn install() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::RS256 | Algorithm::ES256 => Ok(Box::new(Ring {
                algorithm: *algorithm,
                key: key.clone(),
            })),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        // For making keys into JWKs, which nobody does here.
        key_utils: KeyUtils::new_unimplemented(),
    };
    let _ = RING.install_default();
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, text: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let good = match (self.algorithm, self.key.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        good.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The key that a token names.
///
/// # Errors
/// It names none, or is no token.
pub fn kid(token: &str) -> Result<String, String> {
    let header = decode_header(token).map_err(said)?;
    header.kid.ok_or_else(|| "it names no key".to_owned())
}

/// Nothing of it is believed.
///
/// # Errors
/// It is no token.
pub fn unverified_issuer(token: &str) -> Result<String, String> {
    let claims: Map<String, Value> = dangerous::insecure_decode_claims(token).map_err(said)?;
    let issuer = claims.get("iss").and_then(Value::as_str);
    issuer
        .map(str::to_owned)
        .ok_or_else(|| "it names no issuer".to_owned())
}

/// What a key of the issuer signed for this audience. Times are the caller's to look at: he has the clock.
///
/// # Errors
/// Why it is not believed.
pub fn claims(
    token: &str,
    key: &Jwk,
    issuer: &str,
    audience: &str,
) -> Result<Map<String, Value>, String> {
    if !signs(key) {
        return Err("its key is not for signatures".to_owned());
    }
    let key = DecodingKey::from_jwk(key).map_err(said)?;
    let family = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { .. } => Algorithm::RS256,
        DecodingKeyKind::SecretOrDer(_) => Algorithm::ES256,
    };
    let mut asks = Validation::new(family);
    asks.set_issuer(&[issuer]);
    asks.set_audience(&[audience]);
    asks.set_required_spec_claims(&["iss", "aud", "exp"]);
    asks.validate_exp = false;
    let TokenData { claims, .. } =
        decode::<Map<String, Value>>(token, &key, &asks).map_err(said)?;
    // One that is for others as well could be theirs to use here.
    let alone = match claims.get("aud") {
        Some(Value::String(_)) => true,
        Some(Value::Array(all)) => all.len() == 1,
        _ => false,
    };
    if !alone || claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err("it is not for us alone".to_owned());
    }
    Ok(claims)
}

fn signs(key: &Jwk) -> bool {
    let of = &key.common;
    let usage = of.public_key_use.as_ref();
    usage.is_none_or(|u| *u == PublicKeyUse::Signature)
        && of
            .key_operations
            .as_ref()
            .is_none_or(|all| all.contains(&KeyOperations::Verify))
}

fn said(e: Error) -> String {
    match e.kind() {
        ErrorKind::InvalidAudience => "it is for somebody else".to_owned(),
        ErrorKind::InvalidSignature => "its signature is wrong".to_owned(),
        ErrorKind::InvalidAlgorithm => {
            "it is not signed with RS256 or ES256, or not as its key signs".to_owned()
        }
        _ => format!("it cannot be read ({e})"),
    }
}
