//! Real Debian hosts for the tests, booted with systemd as PID 1.
//!
//! A [`Host`] is a directory tree under an overlay mount, booted by `systemd-nspawn`: scopes, timers, logind,
//! journald and append-only files behave as on metal, and a boot takes about two seconds. Hosts share this
//! machine's kernel and clock, so what needs a clock of its own or a real power cut runs in a [`Guest`] instead,
//! a virtual machine under software emulation.
//!
//! Never: sets this machine's clock, reaches a network, touches the product's code from inside. The programs come
//! from the built packages and are driven as people drive them.
//!
//! Spec: docs/spec/tests.md. Everything here needs root; a missing tool or right fails with a sentence.
// A failed step here is a failed test: there is no caller that could go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bench;
pub mod bystanders;
mod cache;
pub mod carrier;
mod cgroup;
pub mod command;
pub mod count;
pub mod dialogue;
pub mod grants;
pub mod guest;
pub mod host;
pub mod net;
mod nspawn;
mod overlay;
pub mod project;
mod records;
pub mod seed;
pub mod shell;
pub mod tree;
pub mod witnessed;

pub use carrier::Carrier;
pub use command::Output;
pub use dialogue::Dialogue;
pub use guest::Guest;
pub use host::Host;
pub use overlay::reap;
pub use shell::Shell;
pub use tree::Release;
