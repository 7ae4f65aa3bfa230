//! What every command is given.

use crate::agent::Agent;
use crate::exit::Code;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Clone, Debug)]
pub struct Context {
    pub out: Output,
    pub agent: Agent,
}

/// # Errors
/// Exit 3 unless this process is root.
pub fn need_root(what: &str) -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(
            Failure::new(Code::NotRoot, format!("Only root may {what}."))
                .hint("Run it as root, or with sudo."),
        )
    }
}
