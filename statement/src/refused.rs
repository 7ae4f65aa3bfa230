//! Why a statement was refused.

use std::fmt;

/// Every reason for which a statement is not believed. [`fmt::Display`] is the sentence for people and the
/// journal; [`Refused::code`] is stable and meant for tests and filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than its type may be; found before anything is decoded.
    TooLarge {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// Not the three parts, not strict base64url, not a signature of 64 bytes.
    Encoding { what: &'static str },
    /// Not strict JSON: syntax, a repeated or unknown member, a wrong type, a float, trailing data.
    Json { what: &'static str, why: String },
    /// `alg` is not one the key may use.
    Alg { alg: String },
    /// Another type of statement than the one expected here.
    Typ { typ: String, expected: &'static str },
    /// No pinned key has this id.
    UnknownKey { kid: String },
    /// The key is pinned, but not for this type.
    KeyUse { kid: String, typ: &'static str },
    /// The key was not valid when the statement says it was made.
    KeyTime { kid: String },
    /// The signature does not fit the bytes.
    Signature,
    /// A claim is outside its limits.
    Limit {
        member: &'static str,
        rule: &'static str,
    },
    /// Made by another issuer than the pinned one.
    Issuer { iss: String },
    /// Addressed to other hosts.
    Audience,
    /// The grant is not for these request bytes.
    RequestHash,
    /// The request was not made by this host.
    NotOurRequest,
    /// The grant gives more than was asked for.
    Wider { why: String },
    /// The grant needs approvals that it does not carry.
    Approval { why: String },
    /// A request that was signed by nobody who may ask for this account, or not for this host.
    Person { why: String },
    /// Not a well-formed SSH key or signature, or one that does not fit.
    Sshsig { why: &'static str },
    /// Not a break-glass code, or not one that opens this statement, or not what it gives.
    Breakglass { why: String },
    /// The trust statement is not the pinned one, or too few root keys signed it.
    Trust { why: String },
}

impl Refused {
    /// Stable, short name.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::TooLarge { .. } => "too-large",
            Refused::Encoding { .. } => "encoding",
            Refused::Json { .. } => "json",
            Refused::Alg { .. } => "alg",
            Refused::Typ { .. } => "typ",
            Refused::UnknownKey { .. } => "unknown-key",
            Refused::KeyUse { .. } => "key-use",
            Refused::KeyTime { .. } => "key-time",
            Refused::Signature => "signature",
            Refused::Limit { .. } => "limit",
            Refused::Issuer { .. } => "issuer",
            Refused::Audience => "audience",
            Refused::RequestHash => "request-hash",
            Refused::NotOurRequest => "not-our-request",
            Refused::Wider { .. } => "wider",
            Refused::Approval { .. } => "approval",
            Refused::Person { .. } => "person",
            Refused::Sshsig { .. } => "sshsig",
            Refused::Breakglass { .. } => "breakglass",
            Refused::Trust { .. } => "trust",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text from outside is quoted with {:?}: it must not be able to write lines or escapes into a log.
        match self {
            Refused::TooLarge { what, bytes, limit } => {
                write!(f, "the {what} is too large: {bytes} bytes, at most {limit}")
            }
            Refused::Encoding { what } => write!(f, "the {what} is not properly encoded"),
            Refused::Json { what, why } => write!(f, "the {what} is not strict JSON: {why:?}"),
            Refused::Alg { alg } => {
                write!(f, "signature algorithm {alg:?} is not allowed for this key")
            }
            Refused::Typ { typ, expected } => {
                write!(f, "statement type {typ:?} where {expected} is expected")
            }
            Refused::UnknownKey { kid } => write!(f, "signed by the unknown key {kid:?}"),
            Refused::KeyUse { kid, typ } => write!(f, "key {kid:?} may not sign {typ}"),
            Refused::KeyTime { kid } => {
                write!(f, "key {kid:?} was not valid at the time of the statement")
            }
            Refused::Signature => f.write_str("the signature does not match"),
            Refused::Limit { member, rule } => {
                write!(f, "claim {member} is outside its limits: {rule}")
            }
            Refused::Issuer { iss } => {
                write!(f, "issued by {iss:?}, which is not the pinned issuer")
            }
            Refused::Audience => f.write_str("addressed to other hosts"),
            Refused::RequestHash => f.write_str("the grant was given for another request"),
            Refused::NotOurRequest => f.write_str("the request was not made by this host"),
            Refused::Wider { why } => write!(f, "the grant is wider than its request: {why}"),
            Refused::Approval { why } => write!(f, "approval is missing: {why}"),
            Refused::Person { why } => {
                write!(f, "the person's request is not acceptable: {why:?}")
            }
            Refused::Sshsig { why } => write!(f, "SSH key or signature: {why}"),
            Refused::Breakglass { why } => {
                write!(f, "the break-glass statement is not acceptable: {why}")
            }
            Refused::Trust { why } => write!(f, "the trust statement is not acceptable: {why}"),
        }
    }
}

impl std::error::Error for Refused {}
