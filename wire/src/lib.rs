//! Messages of the three local sockets, defined once for both ends.
//!
//! `gate.sock` serves the doors (sudo plugin, PAM module), `agent.sock` the command line, `link.sock` the
//! process that talks to the issuer. A message is one JSON document in a frame with a four-byte big-endian
//! length; each socket has its own cap, checked before a byte of the body is read or a buffer is made.
//!
//! This crate is linked into other people's processes: it starts no thread, installs no signal handler,
//! reads no environment, and its client never waits past the one absolute deadline it was given.
//! Beside the messages it holds what both plugins ask of the user database (`nss`), and the manifest by which
//! `/etc` is put back (`wiring`). Frames, connections and manifest are specified in `docs/spec/wire.md`.

pub mod budget;
pub mod cli;
pub mod client;
pub mod frame;
pub mod gate;
pub mod last_gate;
pub mod link;
pub mod nss;
pub mod sudo_rs;
mod sys;
mod text;
pub mod wiring;

pub use text::Text;

/// Version of every message on the three sockets; a frame of another version is refused.
pub const VERSION: u32 = 1;

/// For a message without members of its own: serde's `deny_unknown_fields` does not reach unit variants.
fn no_members<'de, D: serde::Deserializer<'de>>(rest: D) -> Result<(), D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let Nothing {} = serde::Deserialize::deserialize(rest)?;
    Ok(())
}

/// Where the sockets are (see `systemd/*.socket`).
pub mod paths {
    /// Command line; mode 0666, the peer's uid is the identity.
    pub const AGENT_SOCK: &str = "/run/jit/agent.sock";
    /// Doors; mode 0600 root, the peer asserts the user it acts for.
    pub const GATE_SOCK: &str = "/run/jit/gate.sock";
    /// Link; mode 0660 root:jit-link.
    pub const LINK_SOCK: &str = "/run/jit/link.sock";
}
