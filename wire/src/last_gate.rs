//! Programs behind whose PAM no gate stands: what PAM says there is the use itself.

use crate::sudo_rs;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where `su` lies, links resolved: merged `/usr`, and before.
const SU: [&str; 2] = ["/usr/bin/su", "/bin/su"];

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    SudoRs,
    Su,
}

impl Program {
    /// Is this one of its PAM services?
    #[must_use]
    pub fn serves(self, service: &[u8]) -> bool {
        match self {
            Program::SudoRs => matches!(service, b"sudo" | b"sudo-i"),
            Program::Su => matches!(service, b"su" | b"su-l"),
        }
    }
}

/// The one that runs this process. The kernel says what it executes: whoever started it cannot make that up. Without
/// `/proc` the answer is none.
#[must_use]
pub fn of_this_process() -> Option<Program> {
    const EXE: &str = "/proc/self/exe";
    let program = at(&put_in_place(&std::fs::read_link(EXE).ok()?))?;
    // The file itself, whatever lies under its name by now.
    let file = std::fs::metadata(EXE).ok()?;
    (file.uid() == 0 && file.mode() & 0o4022 == 0o4000).then_some(program)
}

/// By the path, links resolved.
fn at(program: &Path) -> Option<Program> {
    if sudo_rs::at(program).is_some() {
        Some(Program::SudoRs)
    } else {
        SU.into_iter()
            .any(|su| Path::new(su) == program)
            .then_some(Program::Su)
    }
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
    fn only_the_known_places_count() {
        for (path, is) in [
            ("/usr/lib/cargo/bin/sudo", Some(Program::SudoRs)),
            ("/usr/lib/cargo/bin/sudo (deleted)", Some(Program::SudoRs)),
            ("/usr/bin/su", Some(Program::Su)),
            ("/bin/su (deleted)", Some(Program::Su)),
            ("/usr/bin/sudo", None),
            ("/usr/sbin/runuser", None),
            ("/home/alice/usr/bin/su", None),
            ("/home/alice/usr/lib/cargo/bin/sudo", None),
            ("/usr/lib/cargo/bin/su", None),
            ("usr/bin/su", None),
        ] {
            assert_eq!(at(&put_in_place(Path::new(path))), is, "{path}");
        }
        assert_eq!(of_this_process(), None);
    }

    #[test]
    fn each_has_its_own_services() {
        assert!(Program::SudoRs.serves(b"sudo-i") && !Program::SudoRs.serves(b"su"));
        assert!(Program::Su.serves(b"su-l") && !Program::Su.serves(b"sudo"));
        assert!(!Program::SudoRs.serves(b"sudo-jit") && !Program::Su.serves(b"runuser"));
    }
}
