//! Claims of the signed statements, v1. Integers only; unknown and duplicate members are refused by the parser
//! in `jws`. Limits are checked by `limits` when a statement is verified.

use crate::detail::Detail;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `typ` values. Each key is pinned to the ones it may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Typ {
    #[serde(rename = "jit-request+jwt")]
    Request,
    #[serde(rename = "jit-grant+jwt")]
    Grant,
    #[serde(rename = "jit-revocation+jwt")]
    Revocation,
    #[serde(rename = "jit-state+jwt")]
    State,
    #[serde(rename = "jit-enrol+jwt")]
    Enrol,
    #[serde(rename = "jit-policy+jwt")]
    Policy,
    #[serde(rename = "jit-breakglass+jwt")]
    Breakglass,
    #[serde(rename = "jit-hostauth+jwt")]
    HostAuth,
}

/// The exact bytes that were asked with: signed by the host key (identity from peer credentials) or by the
/// person's own key. Approvals sign these bytes; `req_hash` is the SHA-256 of the compact JWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub ver: u32,
    /// Host id (`spiffe://…/host/…`), or the person's subject when signed by a person.
    pub iss: String,
    pub iat: u64,
    /// ULID, 26 characters.
    pub id: String,
    /// 16 random bytes, base64url.
    pub nonce: String,
    pub sub: String,
    /// Hosts; 1..=64.
    pub aud: Vec<String>,
    pub role: String,
    /// Version of the signed policy the role was expanded from.
    pub policy_ver: u64,
    /// 1..=8; all with the same login and uid.
    pub authorization_details: Vec<Detail>,
    /// Unix seconds; 0 = at once.
    pub not_before: u64,
    /// Seconds of life asked for; 1..=43200.
    pub dur: u64,
    /// Pending requests die here.
    pub approve_until: u64,
    /// 1..=512 bytes, no control characters.
    pub reason: String,
    /// ≤ 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// jti of the live grant this extends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Auto,
    Approved,
    /// By a break-glass code: on the host only. No issuer can say it, so no statement is read as it.
    #[serde(skip)]
    Breakglass,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    /// SHA-256 of the policy, base64url.
    pub digest: String,
    /// Rule that decided, for people.
    pub rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub ver: u32,
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// 1..=64 host or group ids, ≤ 256 bytes each; no wildcard.
    pub aud: Vec<String>,
    /// ULID.
    pub jti: String,
    /// Increasing within an epoch.
    pub seq: u64,
    pub sub: String,
    pub nbf: u64,
    /// `nbf < exp`, `exp - nbf ≤ 43200`, `nbf - iat ≤ 604800`.
    pub exp: u64,
    /// 0..=86400; the host takes the lower of this and its ceiling.
    pub max_stale: u32,
    pub role: String,
    pub authorization_details: Vec<Detail>,
    /// SHA-256 of the request's bytes, base64url, 43 characters.
    pub req_hash: String,
    pub mode: Mode,
    pub policy: PolicyRef,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
}

/// Exactly one target; irreversible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    Grant(String),
    Sub(String),
    Host(String),
    Kid(String),
    Approver(String),
    IssuedBefore(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub ver: u32,
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// Previous + 1, gapless within an epoch; the first is 1.
    pub serial: u64,
    /// SHA-256 of the previous revocation's compact bytes, base64url; of the empty string for the first.
    pub prev: String,
    pub target: Target,
    /// ≤ 256 bytes.
    pub reason: String,
    /// Latest end it can affect + 1 h.
    pub exp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub ver: u32,
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// `iat + 120`; applies at receipt only.
    pub exp: u64,
    /// Increasing within an epoch.
    pub state_seq: u64,
    pub rev_serial: u64,
    /// SHA-256 of the newest revocation's compact bytes, base64url; of the empty string when there is none.
    pub rev_head: String,
    pub policy_ver: u64,
    pub trust_ver: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    pub ver: u32,
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// `spiffe://<trust domain>/host/<id>`
    pub host: String,
    /// `spiffe://<trust domain>/group/<name>`
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The host's public key.
    pub jwk: Jwk,
    /// SHA-256 of the trust statement this host starts from, base64url.
    pub trust: String,
}

/// A host's word that it is calling, for one call: short-lived, addressed to one issuer, bound to what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAuth {
    pub ver: u32,
    /// Host id.
    pub iss: String,
    /// The issuer's id.
    pub aud: String,
    pub iat: u64,
    /// At most 60 s after `iat`.
    pub exp: u64,
    /// ULID; single use at the issuer.
    pub jti: String,
    pub purpose: Purpose,
    /// SHA-256 of what is handed in with it, base64url; with every purpose but `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a call of a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Read the log: stream or long poll.
    Read,
    /// Say how far it is.
    Receipt,
    /// Prove the key that is to be enrolled.
    Enrol,
    /// Take a request back.
    Withdraw,
}

/// A right for an emergency, made in advance: signed by the root keys (JWS general JSON), for one host and one use, sealed
/// under a code. What it gives is in [`Sealed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakglass {
    pub ver: u32,
    /// The issuer named by the trust statement of these root keys.
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// ULID; the id of the grant it becomes.
    pub id: String,
    /// `spiffe://<trust domain>/host/<id>`
    pub host: String,
    /// May be used before then. ≤ `iat` + 400 days.
    pub exp: u64,
    /// Base64url of the sealed [`Sealed`].
    pub sealed: String,
}

/// What the code of a break-glass statement opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Seconds from its use on; 1..=43200.
    pub dur: u64,
    /// Name of the role: `jit-<role>` is a group of the host.
    pub role: String,
    /// What it gives.
    pub right: crate::role::Role,
}

/// Public key, RFC 7517 and RFC 8037; no other members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    pub kty: String,
    pub crv: String,
    pub x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub ver: u32,
    pub iss: String,
    pub iat: u64,
    pub epoch: u32,
    /// Increasing.
    pub policy_ver: u64,
    /// SHA-256 of the whole policy archive, base64url.
    pub digest: String,
    /// Git commit, when it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub default_role: String,
    pub roles: BTreeMap<String, crate::role::Role>,
}

impl Typ {
    /// As written in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Typ::Request => "jit-request+jwt",
            Typ::Grant => "jit-grant+jwt",
            Typ::Revocation => "jit-revocation+jwt",
            Typ::State => "jit-state+jwt",
            Typ::Enrol => "jit-enrol+jwt",
            Typ::Policy => "jit-policy+jwt",
            Typ::Breakglass => "jit-breakglass+jwt",
            Typ::HostAuth => "jit-hostauth+jwt",
        }
    }
}
