//! What `jitctl setup` changed in `/etc`, so that it can be put back byte for byte.
//!
//! Setup fills the directory first and changes `/etc` last; `jit-end --unwire` reads it, and needs nothing
//! else. For each file the directory holds `N.orig`, the bytes found there (absent if there was no file), and
//! `N.ours`, the bytes written. Comparing bytes needs no hash.

use crate::Text;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Manifest and backups; mode 0700, root.
pub const DIR: &str = "/var/lib/jit/wiring";
/// Name of the manifest in it.
pub const MANIFEST: &str = "manifest.json";
/// Lies there while a setup waits to be confirmed, and names the time of its revert. As long as it does,
/// `jit-setup-revert.service` unwires: its timer starts it then, and each boot does.
pub const UNCONFIRMED: &str = "unconfirmed";
/// The doors that setup wires, each by a command of its own and each undone by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `jitctl setup sudo`
    Sudo,
    /// `jitctl setup pam`: su.
    Pam,
}

impl Part {
    /// The door that a file of the wiring belongs to.
    #[must_use]
    pub fn of(path: &[u8]) -> Part {
        if SU_FILES.iter().any(|su| su.as_bytes() == path) {
            Part::Pam
        } else {
            Part::Sudo
        }
    }

    /// As commands write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::Sudo => "sudo",
            Part::Pam => "pam",
        }
    }

    /// The program that is wired.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Part::Sudo => "sudo",
            Part::Pam => "su",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Part> {
        [Part::Sudo, Part::Pam]
            .into_iter()
            .find(|p| p.name() == name)
    }
}

/// PAM services of su.
pub const SU_FILES: [&str; 2] = ["/etc/pam.d/su", "/etc/pam.d/su-l"];

/// What an unconfirmed setup would put back: the second line of its mark. `None`: everything.
#[must_use]
pub fn unconfirmed_part(mark: &str) -> Option<Part> {
    Part::parse(mark.lines().nth(1)?.trim())
}

/// Templates of the packages.
pub const TEMPLATES: &str = "/usr/lib/jit/wiring";
/// What writes beside a file of the wiring: the file to come, and one that its judge looks at. A program that died may have left
/// them; undo removes them.
#[must_use]
pub fn temporary(target: &Path) -> PathBuf {
    beside(target, ".jit-new")
}

/// See [`temporary`].
#[must_use]
pub fn trial(target: &Path) -> PathBuf {
    beside(target, ".jit-check")
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(suffix);
    target.with_file_name(name)
}

/// A sudo that read the wired `/etc/sudo.conf` just before it was put back opens the files named there within this
/// time. Whoever unwires waits so long before the next file goes, or that sudo would fail.
pub const IN_FLIGHT: Duration = Duration::from_secs(1);
/// The manifest's format.
pub const VERSION: u32 = 1;

/// The files in the order they were written; undo goes from the last to the first. `/etc/sudo.conf` is written
/// last, when all that it names is in place, and so is put back first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub version: u32,
    pub files: Vec<File>,
}

/// One file in `/etc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute.
    pub path: Text,
    /// A file was there; else undo removes ours.
    pub existed_before: bool,
    /// First part of the names of the two copies.
    pub backup: u32,
    /// Permission bits (0o7777), owner and group that undo gives back; those of ours if there was no file.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Why a manifest is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WiringError {
    Malformed(String),
    Version(u32),
    /// Not an absolute path without `.` and `..`.
    Path(Text),
    /// Two entries with one path or one backup.
    Twice(Text),
}

impl fmt::Display for WiringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WiringError::Malformed(why) => write!(f, "the wiring manifest is malformed: {why}"),
            WiringError::Version(found) => write!(
                f,
                "the wiring manifest has version {found}; this program knows version {VERSION}"
            ),
            WiringError::Path(path) => {
                write!(f, "the wiring manifest names \"{path}\", no plain path")
            }
            WiringError::Twice(path) => write!(f, "the wiring manifest names \"{path}\" twice"),
        }
    }
}

impl std::error::Error for WiringError {}

impl Manifest {
    pub fn parse(json: &[u8]) -> Result<Manifest, WiringError> {
        let manifest: Manifest = serde_json::from_slice(json)
            .map_err(|why| WiringError::Malformed(Text::from(why.to_string()).to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes of the manifest file.
    pub fn to_json(&self) -> Result<Vec<u8>, WiringError> {
        self.check()?;
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|why| WiringError::Malformed(why.to_string()))?;
        json.push(b'\n');
        Ok(json)
    }

    fn check(&self) -> Result<(), WiringError> {
        if self.version != VERSION {
            return Err(WiringError::Version(self.version));
        }
        for (at, file) in self.files.iter().enumerate() {
            if !is_plain(file.path.as_bytes()) {
                return Err(WiringError::Path(file.path.clone()));
            }
            let same = |other: &File| other.path == file.path || other.backup == file.backup;
            if self.files[..at].iter().any(same) {
                return Err(WiringError::Twice(file.path.clone()));
            }
        }
        Ok(())
    }
}

/// Absolute, and each part a name.
fn is_plain(path: &[u8]) -> bool {
    let parts = Path::new(OsStr::from_bytes(path)).components();
    let rebuilt: PathBuf = parts
        .clone()
        .filter(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        .collect();
    path.starts_with(b"/")
        && path.len() > 1
        && !path.contains(&0)
        && rebuilt.as_os_str().as_bytes() == path
}

impl File {
    /// Where it is, below `root` (`/`, or the tree that `setup --root` works on).
    pub fn target(&self, root: &Path) -> PathBuf {
        let path = Path::new(OsStr::from_bytes(self.path.as_bytes()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Name of the copy of what was there.
    pub fn original(&self) -> String {
        format!("{}.orig", self.backup)
    }

    /// Name of the copy of what setup wrote.
    pub fn ours(&self) -> String {
        format!("{}.ours", self.backup)
    }
}

/// What undo does with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It is as it was before setup.
    Nothing,
    /// It is as setup wrote it: put the original back, or remove it if there was none.
    PutBack,
    /// Somebody changed it since: keep a copy, say so, then put back.
    KeepCopyAndPutBack,
}

/// Compares the bytes of the file now, before setup, and as setup wrote it; `None` where there is no file.
pub fn undo(now: Option<&[u8]>, original: Option<&[u8]>, ours: &[u8]) -> Undo {
    if now == original {
        Undo::Nothing
    } else if now.is_none_or(|bytes| bytes == ours) {
        Undo::PutBack
    } else {
        Undo::KeepCopyAndPutBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, backup: u32) -> File {
        File {
            path: Text::from(path),
            existed_before: true,
            backup,
            mode: 0o644,
            uid: 0,
            gid: 0,
        }
    }

    fn manifest(files: Vec<File>) -> Manifest {
        Manifest {
            version: VERSION,
            files,
        }
    }

    #[test]
    fn a_manifest_survives_its_file() {
        let manifest = manifest(vec![
            file("/etc/pam.d/sudo-jit", 0),
            file("/etc/sudo.conf", 1),
        ]);
        let json = manifest.to_json().unwrap();
        assert_eq!(Manifest::parse(&json), Ok(manifest));
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused() {
        for path in [
            "",
            "/",
            "etc/sudo.conf",
            "/etc/../root/x",
            "/etc//sudo.conf",
            "/etc/./sudo.conf",
            "/etc/pam.d/",
            "/etc/a\0b",
        ] {
            let manifest = manifest(vec![file(path, 0)]);
            assert!(
                matches!(manifest.to_json(), Err(WiringError::Path(_))),
                "{path:?}"
            );
            let json = serde_json::to_vec(&manifest).unwrap();
            assert!(
                matches!(Manifest::parse(&json), Err(WiringError::Path(_))),
                "{path:?}"
            );
        }
    }

    #[test]
    fn each_file_belongs_to_one_door_and_a_mark_names_one_or_all() {
        assert_eq!(Part::of(b"/etc/pam.d/su-l"), Part::Pam);
        for path in ["/etc/pam.d/sudo", "/etc/sudo.conf", "/etc/pam.d/sudo-jit"] {
            assert_eq!(Part::of(path.as_bytes()), Part::Sudo, "{path}");
        }
        let time = "2026-01-01T00:00:00Z\n";
        assert_eq!(unconfirmed_part(time), None);
        assert_eq!(unconfirmed_part(&format!("{time}pam\n")), Some(Part::Pam));
    }

    #[test]
    fn two_files_never_share_a_path_or_a_backup() {
        for files in [
            vec![file("/etc/a", 0), file("/etc/a", 1)],
            vec![file("/etc/a", 0), file("/etc/b", 0)],
        ] {
            assert!(matches!(
                manifest(files).to_json(),
                Err(WiringError::Twice(_))
            ));
        }
    }

    #[test]
    fn another_version_or_more_members_are_refused() {
        assert_eq!(
            Manifest::parse(br#"{"version":2,"files":[]}"#),
            Err(WiringError::Version(2))
        );
        assert!(matches!(
            Manifest::parse(br#"{"version":1,"files":[],"x":1}"#),
            Err(WiringError::Malformed(_))
        ));
    }

    #[test]
    fn a_target_stays_below_the_root() {
        assert_eq!(
            file("/etc/sudo.conf", 0).target(Path::new("/tree")),
            Path::new("/tree/etc/sudo.conf")
        );
    }

    #[test]
    fn undo_never_loses_a_change_and_never_repeats_itself() {
        let (orig, ours, other) = (Some(&b"orig"[..]), b"ours", Some(&b"other"[..]));
        assert_eq!(undo(orig, orig, ours), Undo::Nothing);
        assert_eq!(undo(None, None, ours), Undo::Nothing);
        assert_eq!(undo(Some(ours), orig, ours), Undo::PutBack);
        assert_eq!(undo(Some(ours), None, ours), Undo::PutBack);
        assert_eq!(undo(None, orig, ours), Undo::PutBack);
        assert_eq!(undo(other, orig, ours), Undo::KeepCopyAndPutBack);
        assert_eq!(undo(other, None, ours), Undo::KeepCopyAndPutBack);
    }
}
