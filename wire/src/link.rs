//! `link.sock`: one connection, messages both ways. What the link carries is opaque to it: statements come
//! signed by the issuer, requests signed by the host. Owning the link gives delay, never a right.

use serde::{Deserialize, Serialize};

/// What an opaque blob claims to be; the agent verifies it as that and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Grant bundle, JSON.
    Grant,
    /// `jit-revocation+jwt`
    Revocation,
    /// `jit-state+jwt`
    State,
    /// `jit-policy+jwt`
    Policy,
    /// JWS general JSON.
    Trust,
    /// JWS general JSON: a right for an emergency, sealed.
    Breakglass,
}

/// From link to agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "up", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Up {
    /// First message.
    Hello { version: u32, name: String },
    /// The issuer's stream is open.
    #[serde(deserialize_with = "crate::no_members")]
    Connected,
    /// It is not; `why` is one sentence.
    Disconnected { why: String },
    /// A statement from the stream. `n` is the position in the issuer's log; `None` for a heartbeat.
    Statement {
        n: Option<u64>,
        kind: Kind,
        blob: String,
    },
    /// What became of a `Submit`.
    Answer { id: u64, answer: Answer },
    /// The issuer wants this host's word for a call that reads its log; answered with `Word`.
    Word { id: u64 },
    /// The next records for this receiver, please; answered with `Records` once there are some. `again`: a new connection to
    /// it was made, so begin where it surely has everything before. Takes the place of an earlier question for it.
    Records {
        receiver: String,
        id: u64,
        again: bool,
    },
    /// The receiver has every record below `next`.
    Stored { receiver: String, next: u64 },
    /// What the witness said to a `Witness`.
    Witnessed { id: u64, said: Said },
    /// Nothing can be handed to the receiver; `why` is one sentence.
    Failing { receiver: String, why: String },
}

/// What the witness of the journal said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Said {
    /// In the words of C2SP tlog-witness: an HTTP status and its body.
    Answer { status: u16, body: String },
    /// It was not reached.
    Failed { why: String },
}

/// What became of a submitted request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Taken; the grant comes by the stream.
    #[serde(deserialize_with = "crate::no_members")]
    Accepted,
    /// Taken; people must approve.
    Pending { waiting_for: String },
    /// The issuer says no. `detail` is for the user.
    Denied { detail: String },
    /// Not delivered.
    Failed { why: String },
}

/// From agent to link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "down", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Down {
    /// First answer: read the stream from after this position, as this host.
    Welcome {
        version: u32,
        host: String,
        after: u64,
    },
    /// The host is not enrolled yet: stay connected, a `Welcome` follows.
    #[serde(deserialize_with = "crate::no_members")]
    NotEnrolled,
    /// Deliver this request (compact JWS).
    Submit { id: u64, request: String },
    /// For one call to the issuer (`jit-hostauth+jwt`).
    Word { id: u64, word: String },
    /// Tell the issuer how far this host is: these bytes, with the host's word for them. Nobody waits for it.
    Receipt { body: String, word: String },
    /// Tell the issuer that a request is taken back, in the same way. The host has crossed it out already.
    Withdraw { body: String, word: String },
    /// Hand this head of the journal (a body of C2SP `add-checkpoint`) to the witness, as this host's.
    Witness { id: u64, host: String, body: String },
    /// Durable records for a receiver, in order; none when only a checkpoint is due.
    Records {
        receiver: String,
        /// Of the question.
        id: u64,
        /// Name of the host, for people.
        host: String,
        /// Name of the log; with a record's index it names the record in the whole world.
        origin: String,
        records: Vec<Entry>,
        checkpoint: Option<Checkpoint>,
    },
}

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub index: u64,
    /// As stored: JSON.
    pub record: String,
}

/// How long the log is, in the agent's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// JSON.
    pub body: String,
    /// The host's word for it (`jit-hostauth+jwt`); none before the host is enrolled.
    pub word: Option<String>,
}
