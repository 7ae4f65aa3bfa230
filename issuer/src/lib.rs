//! `jit-issuer`: decides requests and signs statements.
//!
//! A host's agent sends signed requests through its link; the policy decides; what is granted, revoked or changed
//! becomes a signed statement in one numbered log, which every host reads as a stream. A signed state every 15
//! seconds and after each revocation tells hosts how fresh their view is.
//!
//! The issuer never sends a command to a host and never learns a password. Hosts verify everything it says
//! themselves. Its keys are in its state directory, one for each use; its root key is only read by `init`.
//!
//! The calls are in `docs/spec/api.md`, the statements in `docs/spec/statements.md`, the policy in
//! `docs/spec/policy.md`.

mod approvals;
pub mod ask;
pub mod authority;
pub mod backup;
pub mod breakglass;
pub mod clock;
pub mod config;
pub mod error;
mod extends;
mod files;
mod hooks;
pub mod http;
mod hub;
pub mod init;
mod keys;
mod limits;
mod oidc;
pub mod out;
mod outgoing;
mod requests;
mod review;
mod rules;
pub mod serve;
mod stop;
mod store;
mod tail;
mod ticket;
pub mod trust;
mod witness;

pub use error::Error;
