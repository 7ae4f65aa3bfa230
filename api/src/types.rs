//! Bodies of `/v1`. Unknown members are refused on both sides: a new member is a new version.

use serde::{Deserialize, Serialize};
use statement::claims::{Jwk, Target};
use statement::people::Approval;
use std::collections::BTreeMap;

/// `POST /v1/requests`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// `jit-request+jwt`, compact.
    pub request: String,
    /// Of the CI, or of the login, of a person who must show one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// Answer to [`Submit`]. The grant itself comes by the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// The request's own id.
    pub id: String,
    pub status: Status,
    /// One sentence for the user; empty when there is nothing to say.
    pub detail: String,
    /// Who must approve; only with `pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The grant of a person's request; a host hears of its own by the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Given>,
}

/// A grant, as far as whoever asked for it from elsewhere must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// ULID.
    pub id: String,
    /// Unix seconds.
    pub from: u64,
    /// Unix seconds.
    pub until: u64,
    /// What its host said of it; none: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_says: Option<HostSays>,
}

/// What became of a grant on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSays {
    /// It is in force there; false: it gives nothing.
    pub active: bool,
    /// Why not; one sentence without its end, at most 200 bytes.
    pub why: String,
}

/// Answer of `GET /v1/requests/for?host=`: what a person needs to make a request for that host. What he signs is his to
/// compare with what he meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskFor {
    /// `spiffe://…/host/…`
    pub host: String,
    pub host_name: String,
    /// Who the caller is, by the trust statement.
    pub person: String,
    /// The accounts that it gives him there.
    pub accounts: Vec<AskAs>,
    /// `jit-policy+jwt`: what each role stands for.
    pub policy: String,
}

/// An account of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskAs {
    pub login: String,
    pub uid: u32,
}

/// `POST /v1/requests/give-back`, with the word of the person who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveBack {
    /// Of a request that the person signed, or of its grant.
    pub id: String,
}

/// Answer to [`GiveBack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaveBack {
    /// The request's own id.
    pub id: String,
    /// The grant that was revoked; none: the request was open and is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Accepted,
    Pending,
    Denied,
}

/// Where a request that people must approve stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It waits.
    Open,
    /// Granted.
    Approved,
    Denied,
    /// Taken back by whoever asked.
    Withdrawn,
    /// Nobody decided it in its time.
    Expired,
}

/// A request as those see it who may approve it. Whoever shows it reads all but the name of the host and the standing from
/// the request's own bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    pub id: String,
    /// `jit-request+jwt`, compact: an approval signs exactly these bytes.
    pub request: String,
    /// What the issuer calls the host.
    pub host_name: String,
    pub standing: Standing,
    /// `1 of ops`; empty unless it is open.
    pub waiting_for: String,
    /// Why it is not open any more.
    pub detail: String,
    /// Unix seconds, by the issuer's clock.
    pub at: u64,
    /// Unix seconds; then it dies.
    pub until: u64,
    /// Those that were taken.
    pub approvals: Vec<Approval>,
    /// The person who asks, where the trust statement lets his own approval count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_approval: Option<String>,
}

/// Answer of `GET /v1/requests`: what is open and the caller may approve, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingList {
    pub requests: Vec<Waiting>,
}

/// `POST /v1/requests/approve`, answered by [`Submitted`]. The signature over the request's bytes says who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    pub id: String,
    /// Armoured SSH signature over the request's compact bytes; none: root's word on the issuer's box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// Of the login of a person whose key alone does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// Answer to `GET /v1/login`: the OpenID provider at which people log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub issuer: String,
    /// Name of `jitctl` there: a public client.
    pub client_id: String,
    /// `openid` among them.
    pub scopes: Vec<String>,
    /// Whose token the call came with, if it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

/// `POST /v1/requests/deny`, answered by [`Submitted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    pub id: String,
    /// As of a revocation; for whoever asked.
    pub reason: String,
}

/// `POST /v1/requests/withdraw`, with the host's word for exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// Id.
    pub host: String,
    /// SHA-256 of the request's compact bytes, base64url.
    pub request: String,
}

/// `POST /v1/revocations`. Targets are `grant`, `sub`, `host`, `kid` and `issued_before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    pub target: Target,
    /// 1..=256 bytes, no control characters.
    pub reason: String,
}

/// Answer to [`Revoke`]. A grant that is revoked already answers with its first serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    pub serial: u64,
}

/// `POST /v1/breakglass`: a statement that the root keys signed, to be brought to its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBreakglass {
    /// JWS general JSON.
    pub statement: String,
}

/// Answer to [`AddBreakglass`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedBreakglass {
    /// Its id: what revokes it.
    pub id: String,
    /// The host's name.
    pub host: String,
    /// False: it was there.
    pub new: bool,
}

/// `POST /v1/hosts`: root's word on the issuer's box. The same host again is answered again; another key replaces the
/// one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// `spiffe://<trust domain>/host/<id>`; the trust domain is the issuer's.
    pub host_id: String,
    /// Name for people.
    pub host_name: String,
    /// The host's public key.
    pub jwk: Jwk,
}

/// `POST /v1/enrol`: a host takes the place that a token keeps for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The token's secret.
    pub secret: String,
    /// The host's public key.
    pub jwk: Jwk,
    /// `jit-hostauth+jwt` of that key, purpose `enrol`, over the secret.
    pub proof: String,
}

/// `POST /v1/enrol-tokens`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Name of the host; its id is made of it.
    pub host: String,
    pub labels: BTreeMap<String, String>,
    /// Seconds, 1..=900.
    pub life_s: u64,
    /// The host may be known already; its new key takes the place of the old one.
    pub replace: bool,
}

/// Answer to [`NewToken`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeToken {
    /// For `jitctl enrol`; secret.
    pub token: String,
    /// Unix seconds.
    pub exp: u64,
}

/// Answer of `GET /v1/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// Serial of the newest revocation.
    pub rev_serial: u64,
    pub hosts: Vec<HostInfo>,
}

/// `POST /v1/receipts`: how far a host is. Its bytes are signed by the host, so the link cannot change them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Id.
    pub host: String,
    /// Newest revocation applied.
    pub rev_serial: u64,
    /// When, by the host's clock; Unix seconds.
    pub at: u64,
    /// Of the agent; at most 64 bytes.
    pub version: String,
    /// Entries of the host's journal.
    pub log_next: u64,
    /// Chain value of the last one, 64 hexadecimal digits: what the journal must still hold later.
    pub log_chain: String,
    /// What became here of requests that people made elsewhere; ≤ 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<HostAnswer>,
}

/// What became of one request on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAnswer {
    /// SHA-256 of its bytes, base64url.
    pub request: String,
    pub says: HostSays,
}

/// A host as the issuer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostInfo {
    /// `spiffe://…/host/…`
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub enrolled_at: u64,
    /// Unix seconds; since then it gets nothing new.
    pub decommissioned_at: Option<u64>,
    /// The newest receipt, and when it came.
    pub seen: Option<Seen>,
    /// What is witnessed of its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
}

/// The newest head of a host's journal that the issuer cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnessed {
    /// First line of its checkpoints: which log.
    pub origin: String,
    /// The host's first log is 1.
    pub generation: u64,
    /// Entries.
    pub size: u64,
    /// Unix seconds; when it last had new entries.
    pub grew_at: u64,
    /// For longer than a host may say nothing.
    pub silent: bool,
    pub trouble: Option<Trouble>,
    /// An administrator accepts that another log begins.
    pub accepts: bool,
    /// Beside trouble: the signed checkpoint that is known, with the issuer's cosignature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// What is wrong with what a host showed of its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    pub kind: TroubleKind,
    /// Unix seconds.
    pub at: u64,
    /// In words.
    pub what: String,
    /// The checkpoint that shows it, signed by the host.
    pub shown: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// Less than was witnessed, or another log.
    Rollback,
    /// As much or more, and something else.
    Fork,
}

impl TroubleKind {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Fork => "fork",
        }
    }
}

/// `POST /v1/hosts/accept-log`: the log of a host may begin anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptLog {
    /// Id or name.
    pub host: String,
    /// For the issuer's log.
    pub reason: String,
}

/// See [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Unix seconds, by the issuer's clock.
    pub at: u64,
    pub rev_serial: u64,
    pub version: String,
    pub log_next: u64,
    pub log_chain: String,
}

/// Answer of `POST /v1/backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUp {
    /// The copy, on the issuer's box.
    pub path: String,
}

/// `POST /v1/hosts/rename`. Its id stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// Id or name.
    pub host: String,
    pub name: String,
}

/// `POST /v1/hosts/decommission`: its grants are revoked, and it gets nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decommission {
    /// Id or name.
    pub host: String,
    /// As of a revocation.
    pub reason: String,
}

/// Answer to [`Enrol`] and [`Join`]: all that a host starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Trust statement, JWS general JSON, as text: its hash is over exactly these bytes.
    pub trust: String,
    /// `jit-enrol+jwt`
    pub enrolment: String,
    /// `jit-policy+jwt`
    pub policy: String,
}

/// `GET /v1/healthz`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// `"ok"`
    pub status: String,
    pub policy_ver: u64,
}

/// What an event of the stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Grant bundle, JSON.
    Grant,
    Revocation,
    Policy,
    Trust,
    /// A sealed right for an emergency, for one host.
    Breakglass,
    /// Heartbeat; not part of the numbered log.
    State,
}

impl Kind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revocation => "revocation",
            Self::Policy => "policy",
            Self::Trust => "trust",
            Self::Breakglass => "breakglass",
            Self::State => "state",
        }
    }

    /// The reverse of [`Kind::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Grant,
            Self::Revocation,
            Self::Policy,
            Self::Trust,
            Self::Breakglass,
            Self::State,
        ]
        .into_iter()
        .find(|k| k.name() == name)
    }
}

/// One event of `GET /v1/stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Position in the issuer's log; `None` for a heartbeat.
    pub id: Option<u64>,
    pub kind: Kind,
    /// The statement, opaque.
    pub data: String,
}

/// `Content-Type` of an error (RFC 9457).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Error body, RFC 9457. Not strict about members: others on the way (a proxy) may write one too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:jitctl:problem:<code>`, stable; `about:blank` when only the status speaks.
    #[serde(rename = "type", default = "blank")]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// One sentence for people.
    #[serde(default)]
    pub detail: String,
}

fn blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// The stable code at the end of `type`; empty for a foreign one.
    #[must_use]
    pub fn code(&self) -> &str {
        self.kind.strip_prefix("urn:jitctl:problem:").unwrap_or("")
    }
}
