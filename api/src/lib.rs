//! `/v1` of the issuer: its types and the client that the link, the command line and the issuer's tests share.
//!
//! One HTTP/1.1 connection a call, over a Unix socket or TLS (see [`Transport`]).
//! Statements pass through as opaque text: nothing here signs, verifies or looks into one. Every call has a
//! deadline and every answer a cap on its size. Nothing is retried; the caller knows whether that is safe.
//!
//! Events of the stream are written and read by [`sse`], for both ends. The spec is `docs/spec/api.md`.

mod client;
mod error;
pub mod sse;
pub mod ssh_agent;
mod tls;
pub mod token;
mod transport;
mod types;
pub mod web;
pub mod word;

pub use client::{Call, Client, Events, Said};
pub use error::Error;
pub use tls::{BadRoots, Identity, Roots};
pub use transport::{Address, BadUrl, Transport};
pub use types::{
    AcceptLog, AddBreakglass, AddedBreakglass, Approve, AskAs, AskFor, BackedUp, Decommission,
    Deny, Enrol, Enrolled, Event, GaveBack, GiveBack, Given, Health, HostAnswer, HostInfo,
    HostSays, Hosts, Join, Kind, Login, MadeToken, NewToken, PROBLEM_TYPE, Problem, Receipt,
    Rename, Revoke, Revoked, Seen, Standing, Status, Submit, Submitted, Trouble, TroubleKind,
    Waiting, WaitingList, Withdraw, Witnessed,
};

/// Paths of the calls.
pub mod path {
    pub const REQUESTS: &str = "/v1/requests";
    /// With `?id=`.
    pub const SHOW: &str = "/v1/requests/show";
    pub const APPROVE: &str = "/v1/requests/approve";
    pub const DENY: &str = "/v1/requests/deny";
    /// With `?host=`.
    pub const FOR: &str = "/v1/requests/for";
    pub const GIVE_BACK: &str = "/v1/requests/give-back";
    pub const WITHDRAW: &str = "/v1/requests/withdraw";
    pub const LOGIN: &str = "/v1/login";
    pub const STREAM: &str = "/v1/stream";
    pub const SYNC: &str = "/v1/sync";
    pub const REVOCATIONS: &str = "/v1/revocations";
    pub const ENROL: &str = "/v1/enrol";
    pub const ENROL_TOKENS: &str = "/v1/enrol-tokens";
    pub const HOSTS: &str = "/v1/hosts";
    pub const RENAME: &str = "/v1/hosts/rename";
    pub const DECOMMISSION: &str = "/v1/hosts/decommission";
    pub const ACCEPT_LOG: &str = "/v1/hosts/accept-log";
    /// With `?host=`; C2SP tlog-witness.
    pub const ADD_CHECKPOINT: &str = "/v1/witness/add-checkpoint";
    pub const RECEIPTS: &str = "/v1/receipts";
    pub const BREAKGLASS: &str = "/v1/breakglass";
    pub const BACKUP: &str = "/v1/backup";
    pub const HEALTHZ: &str = "/v1/healthz";
    pub const READYZ: &str = "/v1/readyz";
    pub const METRICS: &str = "/metrics";
    pub const OPENAPI: &str = "/v1/openapi.json";
}

/// Bytes of a request's or an answer's body; a trust statement and a role table fit with room.
pub const BODY_MAX: usize = 1024 * 1024;

/// Seconds between two `state` events of a stream.
pub const HEARTBEAT_S: u64 = 15;
