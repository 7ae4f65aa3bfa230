//! Strict compact JWS (RFC 7515 §7.1) with the rules of RFC 8725 §3: size before decoding, exactly three header
//! members, the key fixes the algorithm, the signature covers the received bytes, claims are parsed only after it.

use crate::Refused;
use crate::claims::Typ;
use crate::keys::PublicKey;
use crate::{digest, strict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Both algorithms have signatures of 64 bytes.
pub const SIGNATURE_LEN: usize = 64;
const SIGNATURE_B64_LEN: usize = 86;

/// Largest signing input of each type, in bytes. Grants, revocations and states fit the 4096 bytes that a
/// remote signer takes in one call.
pub fn max_signing_input(typ: Typ) -> usize {
    match typ {
        Typ::Grant | Typ::Revocation | Typ::State | Typ::HostAuth => 4096,
        Typ::Request | Typ::Enrol | Typ::Breakglass => 8192,
        Typ::Policy => 65536,
    }
}

/// Exactly these three members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub alg: String,
    pub typ: String,
    pub kid: String,
}

/// A JWS whose outer form is right and whose signature nobody has looked at yet.
pub(crate) struct Unverified<'a> {
    pub header: Header,
    pub signing_input: &'a str,
    pub payload_b64: &'a str,
    pub signature: Vec<u8>,
}

/// Which algorithms a header may name: each form of statement knows its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algs {
    /// Those of a key that a host, an issuer or a root holds.
    Key,
    /// An SSH signature of a person: see [`crate::asked`].
    Person,
}

/// Takes the outer form apart. Nothing in the result is to be believed.
pub(crate) fn split(jws: &str, typ: Typ) -> Result<Unverified<'_>, Refused> {
    split_as(jws, typ, Algs::Key, SIGNATURE_B64_LEN)
}

/// The same, with at most so many characters in the last part.
pub(crate) fn split_as(
    jws: &str,
    typ: Typ,
    algs: Algs,
    signature_max: usize,
) -> Result<Unverified<'_>, Refused> {
    let limit = max_signing_input(typ) + 1 + signature_max;
    if jws.len() > limit {
        return Err(Refused::TooLarge {
            what: "statement",
            bytes: jws.len(),
            limit,
        });
    }
    let three_parts = || Refused::Encoding { what: "statement" };
    let (signing_input, signature_b64) = jws.rsplit_once('.').ok_or_else(three_parts)?;
    let (header_b64, payload_b64) = signing_input.split_once('.').ok_or_else(three_parts)?;
    if payload_b64.contains('.') {
        return Err(three_parts());
    }
    let header = header(header_b64, algs)?;
    if header.typ != typ.as_str() {
        return Err(Refused::Typ {
            typ: header.typ,
            expected: typ.as_str(),
        });
    }
    let signature = match algs {
        Algs::Key => signature(signature_b64)?,
        Algs::Person if signing_input.len() > max_signing_input(typ) => {
            return Err(Refused::TooLarge {
                what: "statement",
                bytes: signing_input.len(),
                limit: max_signing_input(typ),
            });
        }
        Algs::Person => {
            digest::decode(signature_b64).ok_or(Refused::Encoding { what: "signature" })?
        }
    };
    Ok(Unverified {
        header,
        signing_input,
        payload_b64,
        signature,
    })
}

/// Decodes and parses one protected header.
pub(crate) fn header(b64: &str, algs: Algs) -> Result<Header, Refused> {
    let bytes = digest::decode(b64).ok_or(Refused::Encoding { what: "header" })?;
    let header: Header = strict::parse("header", &bytes)?;
    let known = match algs {
        Algs::Key => matches!(header.alg.as_str(), "EdDSA" | "Ed25519" | "ES256"),
        Algs::Person => header.alg == crate::asked::ALG,
    };
    if !known {
        return Err(Refused::Alg { alg: header.alg });
    }
    if !digest::is_sha256_b64(&header.kid) {
        return Err(Refused::Encoding { what: "key id" });
    }
    Ok(header)
}

pub(crate) fn signature(b64: &str) -> Result<Vec<u8>, Refused> {
    digest::decode(b64)
        .filter(|s| s.len() == SIGNATURE_LEN)
        .ok_or(Refused::Encoding { what: "signature" })
}

impl Unverified<'_> {
    /// Checks the signature with `key` and only then reads the claims.
    pub(crate) fn claims<T: DeserializeOwned + Serialize>(
        &self,
        key: &PublicKey,
    ) -> Result<T, Refused> {
        check_signature(key, &self.header.alg, self.signing_input, &self.signature)?;
        self.unverified_claims()
    }

    /// Reads the claims of whoever it was: for showing, never for acting on.
    pub(crate) fn unverified_claims<T: DeserializeOwned + Serialize>(&self) -> Result<T, Refused> {
        let payload =
            digest::decode(self.payload_b64).ok_or(Refused::Encoding { what: "claims" })?;
        strict::parse("claims", &payload)
    }
}

/// The header may only repeat the algorithm that the key has.
pub(crate) fn check_signature(
    key: &PublicKey,
    alg: &str,
    input: &str,
    signature: &[u8],
) -> Result<(), Refused> {
    if !key.alg().is_named(alg) {
        return Err(Refused::Alg {
            alg: alg.to_owned(),
        });
    }
    if key.verifies(input.as_bytes(), signature) {
        Ok(())
    } else {
        Err(Refused::Signature)
    }
}
