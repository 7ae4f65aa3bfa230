//! `agent.sock`: what `jitctl` asks. The peer's uid, from the socket, is the identity; nothing in a message
//! can name another.

use crate::Text;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who am I, what do I have, how is jit.
    Status {
        /// Grants of every user; root only.
        all: bool,
    },
    /// Answered at once with `Submitted` or an error; the outcome is asked for with `Wait`.
    Elevate(Elevate),
    /// Answered when the request is decided and (if granted) in force or due later, or with `Pending` after `max_s` seconds.
    Wait { request: String, max_s: u32 },
    /// Give back one grant (`grant`), or all of the caller's live grants (`None`).
    /// Root may give back anyone's by id.
    Drop { grant: Option<String> },
    /// Root only: the host's identity for enrolment.
    #[serde(deserialize_with = "crate::no_members")]
    HostKey,
    /// Root only: take this issuer, trust and policy. Replaces nothing silently: see `replace`.
    Enrol {
        /// Trust statement (JWS general JSON).
        trust: String,
        /// `jit-enrol+jwt`.
        enrolment: String,
        /// `jit-policy+jwt`.
        policy: String,
        replace: bool,
    },
    /// Root only: the role table in force, for rules that know roles only.
    #[serde(deserialize_with = "crate::no_members")]
    Roles,
    /// Answered as `Elevate`; `Wait` then shows the same grant with its new end.
    Extend(Extend),
    /// Root only: prove the host key to an issuer that does not know it yet.
    ProveKey {
        /// The id this host is to have.
        host: String,
        /// The issuer's id.
        issuer: String,
        /// SHA-256 of the secret that the proof is for, base64url.
        secret_hash: String,
    },
    /// Use a break-glass code: answered with `Active` or an error.
    Breakglass(Breakglass),
    /// The journal's records about something of the caller's own; root's question about anything.
    Explain { subject: Subject },
    /// Root only: take one statement that came as a file, by the checks of the link's.
    Import {
        kind: crate::link::Kind,
        /// As the issuer's stream has it.
        blob: String,
    },
    /// Root only: journal so many records that say that nothing happened.
    Probe { count: u8 },
    /// Root only: how far each receiver of the journal is.
    #[serde(deserialize_with = "crate::no_members")]
    Receivers,
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// The record with this index.
    Index(u64),
    /// A grant or a request.
    Id(String),
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub index: u64,
    /// As stored: JSON.
    pub record: String,
}

/// A request for a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elevate {
    /// `None`: the default role of the policy.
    pub role: Option<String>,
    /// Seconds; `None`: the role's default.
    pub seconds: Option<u64>,
    pub reason: String,
    pub ticket: Option<String>,
    /// Unix seconds; `None`: now.
    pub start_at: Option<u64>,
    /// Ask for exactly this command instead of the role's whole list; argv with an absolute path first.
    pub command: Option<Vec<Text>>,
}

/// A right by a code that was made in advance. It goes to no issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakglass {
    pub code: Secret,
    /// Seconds; `None`: as long as the code gives.
    pub seconds: Option<u64>,
    pub reason: String,
    pub ticket: Option<String>,
}

/// What nobody may see in a log: `{:?}` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A request for a longer life of a live grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// `None`: the caller's only one.
    pub grant: Option<String>,
    /// Seconds from now; `None`: the role's default.
    pub seconds: Option<u64>,
    pub reason: String,
    pub ticket: Option<String>,
}

/// The answer: that of its request, or an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "re", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    Status(Status),
    Submitted {
        request: String,
        role: String,
    },
    Pending {
        request: String,
        /// For whom: approver groups, or the issuer itself.
        waiting_for: String,
    },
    Active {
        grant: Grant,
    },
    Dropped {
        grants: Vec<String>,
    },
    HostKey {
        host_id: String,
        host_name: String,
        /// Public key as a JWK (RFC 8037).
        jwk: String,
    },
    Enrolled {
        host: String,
    },
    KeyProof {
        /// `jit-hostauth+jwt`, purpose `enrol`.
        proof: String,
    },
    Imported {
        /// False: it was known already.
        new: bool,
    },
    Explained {
        records: Vec<Told>,
        /// Uses and refusals for which there was no room.
        left_out: u64,
        /// Parts of the journal could not be read as they were written.
        faulty: bool,
    },
    Probed {
        probes: Vec<Probe>,
    },
    Receivers {
        receivers: Vec<Receiver>,
    },
    Error(Error),
    Roles {
        roles: Vec<Role>,
    },
    /// To `Wait`: granted, and to start later.
    Scheduled {
        /// `seconds_left` is its whole life.
        grant: Grant,
        /// Unix seconds.
        starts_at: u64,
    },
}

/// A record that says that nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub index: u64,
    /// Its `detail.probe`, which nothing else has.
    pub id: String,
}

/// A receiver of the journal, as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    pub name: String,
    /// It has all records below.
    pub next: u64,
    /// Why it takes none, if the link says so.
    pub why: Option<String>,
}

/// One role, as far as a list of rules needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub name: String,
    /// It opens sudo.
    pub sudo: bool,
    /// Path and arguments of each command; `None`: all.
    pub commands: Option<Vec<Vec<String>>>,
}

/// `login` and `uid` are the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub login: String,
    pub uid: u32,
    pub eligible: bool,
    pub grants: Vec<Grant>,
    pub pending: Vec<Pending>,
    pub health: Health,
}

/// A live grant as shown to people. Times are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub id: String,
    pub request: String,
    pub login: String,
    pub uid: u32,
    pub role: String,
    pub doors: Vec<String>,
    pub groups: Vec<String>,
    /// `["ALL"]`, or one readable line for each command.
    pub commands: Vec<String>,
    /// `["ALL"]` or names.
    pub runas: Vec<String>,
    /// ≥ 1 while the grant lives.
    pub seconds_left: u64,
    /// Unix seconds, rounded down.
    pub ends_at: u64,
    pub reason: String,
    pub ticket: Option<String>,
}

/// A request that gives nothing yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    pub id: String,
    pub login: String,
    pub role: String,
    pub waiting_for: String,
    pub age_s: u64,
}

/// How well a part works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    Degraded,
    Down,
}

/// One part of the health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub level: Level,
    /// Why, when not `ok`; one sentence.
    pub note: Option<String>,
}

/// How each part of jit works, as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub agent: Part,
    pub link: Part,
    pub issuer: Part,
    pub clock: Part,
    pub log: Part,
}

/// Stable codes; `jitctl` maps each to one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Malformed input: exit 2.
    Usage,
    /// Exit 3.
    NotEligible,
    UnknownRole,
    TooLong,
    NotYours,
    NotRoot,
    Denied,
    /// Asked from inside a grant, or with another login uid.
    Nested,
    /// Exit 4.
    Pending,
    /// Exit 5: the issuer or the link cannot be reached, or the agent is not enrolled.
    Unreachable,
    /// Exit 6.
    NoGrant,
    /// Exit 1.
    Busy,
    Internal,
}

/// Says what happened, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// What to do next, when there is something.
    pub hint: Option<String>,
}
