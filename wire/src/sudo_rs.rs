//! Where sudo-rs lies. It loads no plugin: after PAM nobody is asked, so PAM is its last gate.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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

/// Does sudo-rs run this process? The kernel says what it executes: whoever started it cannot make that up. Without
/// `/proc` the answer is no.
pub fn runs_this_process() -> bool {
    std::fs::read_link("/proc/self/exe").is_ok_and(|exe| at(&put_in_place(&exe)).is_some())
}

/// The name under which a program was started that an upgrade has replaced since.
fn put_in_place(exe: &Path) -> std::borrow::Cow<'_, Path> {
    match exe.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => Path::new(OsStr::from_bytes(before)).into(),
        None => exe.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_places_are_sudo_rs() {
        for (path, is) in [
            ("/usr/lib/cargo/bin/sudo", true),
            ("/usr/lib/cargo/bin/sudo (deleted)", true),
            ("/usr/bin/sudo", false),
            ("/home/alice/usr/lib/cargo/bin/sudo", false),
            ("/usr/lib/cargo/bin/su", false),
            ("usr/lib/cargo/bin/sudo", false),
        ] {
            assert_eq!(at(&put_in_place(Path::new(path))).is_some(), is, "{path}");
        }
        assert!(!runs_this_process());
    }
}
