//! Receivers of syslog: the journal's records as RFC 5424 messages over TCP, TLS or RELP.
//!
//! The journal is the spool and the agent keeps the place of each receiver in it; here is nothing but the connection.
//! What is on the wire: `docs/spec/siem.md`.

mod body;
pub mod config;
mod connection;
mod feed;
mod ocsf;
mod relp;
mod syslog;

pub use config::Receiver;
pub use feed::{Batch, run};
