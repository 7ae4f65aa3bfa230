//! The root core of jit, shared by its two programs.
//!
//! `jit-agent` verifies statements, decides, acts and journals. `jit-end` is the one code that takes away; it needs
//! no agent. Neither has network code: this crate depends on no HTTP, TLS or resolver crate, and opens no socket
//! but `AF_UNIX`.
//!
//! `decide` is the only place where expiry is decided, `clock` the only file that reads a clock, `ending` the only
//! place where a right is taken away. Giving waits for the journal; taking away never waits.
//! The whole is described in `docs/architecture.md`, the boundaries in `docs/threat-model.md`.

pub mod agent;
mod backlog;
pub mod budget;
pub mod callers;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod decide;
pub mod effects;
pub mod ending;
pub mod events;
pub mod listen;
mod local;
pub mod metrics;
pub mod paths;
pub mod recall;
pub mod store;
pub mod supervise;
pub mod sys;
pub mod throttle;
pub mod unwire;
