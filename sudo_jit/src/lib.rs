//! `sudo_jit.so`: the group, approval and audit plugins by which sudo asks the agent.
//!
//! G1 `group_plugin` switches the sudoers rule on while a grant lives, G3 `jit_approval` has every command
//! checked and recorded before it runs, G4 `jit_audit` looks at the deadline once more before the exec.
//! It lives inside sudo: it starts no thread and no child, sets no signal handler, reads no environment, writes
//! to no standard stream of its own, and keeps one static cell for the one call. Every doubt refuses a managed
//! user; root and unmanaged users never wait for the agent and are never refused.
//! All C is in the files `ffi*.rs`; the gates themselves are in `gates.rs`, without C, clock or socket.
//! The order of calls, the cell and every return code are in `docs/spec/sudo-plugin.md`.

mod call;
mod cell;
mod command;
mod ffi;
mod ffi_plugin;
mod ffi_read;
mod ffi_world;
mod gates;
mod say;
mod standing;
mod world;
