//! Where sudo-rs lies. It loads no plugin: after PAM nobody is asked, so PAM is its last gate.

use std::path::Path;

/// One place of sudo-rs, links resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub sudo: &'static str,
    /// Its judge of rules.
    pub visudo: &'static str,
}

/// Debian and Ubuntu; its own build; Fedora and Arch. Elsewhere it is not known, gets nothing, and is not wired.
pub const PROGRAMS: [Program; 3] = [
    Program {
        sudo: "/usr/lib/cargo/bin/sudo",
        visudo: "/usr/lib/cargo/bin/visudo",
    },
    Program {
        sudo: "/usr/libexec/sudo-rs/sudo",
        visudo: "/usr/libexec/sudo-rs/visudo",
    },
    Program {
        sudo: "/usr/bin/sudo-rs",
        visudo: "/usr/bin/visudo-rs",
    },
];

/// The sudo-rs that this path is, links resolved.
pub fn at(program: &Path) -> Option<Program> {
    PROGRAMS.into_iter().find(|p| Path::new(p.sudo) == program)
}
