//! `pam_jit.so`, gate G2: asks the agent whether the user at the door holds a live grant, and tells him if not.
//!
//! In auth a grant may stand for the password; without one there is no prompt, only our text. In account it can
//! refuse and nothing else. Root and users outside `jit-eligible` are passed at once, without the agent.
//!
//! It lives in sudo, su and sshd: it starts no thread and no child, reads no environment, writes to no
//! descriptor but the agent's socket, keeps nothing between two PAM transactions, and never waits past
//! `wire::budget`. Whatever goes wrong refuses a managed user, and nobody else.
//! How the stack must look is in `packaging/wiring/pam-sudo-jit`, the protocol in `docs/spec/wire.md`.

mod decide;
mod ffi;
