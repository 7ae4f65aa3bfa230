//! `jit-link`: the unprivileged carrier between the agent and its issuer.
//!
//! It connects to the agent's `link.sock`, learns for which host and from which position to read, opens the issuer's
//! stream and hands every event over as it came; requests go the other way and their answers back. What it carries
//! is opaque to it: it verifies nothing, parses no statement and decides nothing, so owning it gives delay and
//! never a right. It keeps no state: the agent says where to go on.
//!
//! To receivers of syslog it carries the journal's records, from the place in it that the agent keeps for each.
//!
//! Either side may be away. It comes back by itself, soon at first and then more slowly, and says what is wrong.
//!
//! Messages are in `docs/spec/wire.md`, the issuer's calls in `docs/spec/api.md`, syslog in
//! `docs/spec/siem.md`.

mod backoff;
mod carry;
pub mod config;
mod frames;
pub mod out;
pub mod receivers;
mod session;
mod words;

pub use backoff::Backoff;
pub use session::{Options, run};
