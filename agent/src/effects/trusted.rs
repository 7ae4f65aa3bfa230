//! Can anybody but root change what a path leads to? Asked before a limited grant's use is allowed: who can write to a
//! directory on the way, or put a link there, chooses what runs.
//!
//! The path is walked name by name with `O_PATH` descriptors, links are followed by hand, and every directory, link and
//! file on the way must belong to root and be writable by nobody else. Where that holds, only root can change the answer
//! between this look and the start of the command. An access list needs no look of its own: its mask is what the mode
//! shows as the group's rights (acl(5)).

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// As many links as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// And as many names in all, so that links cannot keep the walk busy.
const MOST_NAMES: usize = 4096;

/// Why a path is not to be relied on.
#[derive(Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// Owned or writable by somebody else.
    Changeable(PathBuf),
    Unseen(PathBuf, String),
    /// Not what it is listed as: a program, a file to edit, a directory.
    Other(PathBuf, &'static str),
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |p: &Path| p.as_os_str().as_bytes().escape_ascii().to_string();
        match self {
            Self::Changeable(p) => write!(f, "{} can be changed by others than root", shown(p)),
            Self::Unseen(p, why) => write!(f, "{} cannot be looked at: {why}", shown(p)),
            Self::Other(p, what) => write!(f, "{} is not {what}", shown(p)),
        }
    }
}

impl std::error::Error for Untrusted {}

/// A program: it and the whole way to it are root's.
///
/// # Errors
/// The first thing on the way that is not.
pub fn program(path: &Path) -> Result<(), Untrusted> {
    let (walked, last) = walk(path, &[0])?;
    match last {
        Some(stat) if kind(&stat) == FileType::RegularFile => owned(&walked, &stat, &[0]),
        Some(_) => Err(Untrusted::Other(walked, "a program")),
        None => Err(Untrusted::Unseen(walked, "no such file".to_owned())),
    }
}

/// A file to edit as `uid`: all directories on the way are root's or that account's, so that the file's name cannot be
/// made to mean another file. The file itself may be anybody's, and need not exist yet.
///
/// # Errors
/// The first thing on the way that is not.
pub fn edited(path: &Path, uid: u32) -> Result<(), Untrusted> {
    let (walked, last) = walk(path, &[0, uid])?;
    match last {
        Some(stat) if kind(&stat) != FileType::RegularFile => {
            Err(Untrusted::Other(walked, "a file to edit"))
        }
        _ => Ok(()),
    }
}

/// A directory to work in.
///
/// # Errors
/// The first thing on the way that is not root's.
pub fn directory(path: &Path) -> Result<(), Untrusted> {
    let (walked, last) = walk(path, &[0])?;
    match last {
        Some(stat) if kind(&stat) == FileType::Directory => owned(&walked, &stat, &[0]),
        Some(_) => Err(Untrusted::Other(walked, "a directory")),
        None => Err(Untrusted::Unseen(walked, "no such directory".to_owned())),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn owned(path: &Path, stat: &Stat, owners: &[u32]) -> Result<(), Untrusted> {
    let link = kind(stat) == FileType::Symlink;
    if owners.contains(&stat.st_uid) && (link || stat.st_mode & 0o022 == 0) {
        Ok(())
    } else {
        Err(Untrusted::Changeable(path.to_owned()))
    }
}

/// Walk to the end. Returns where that is, and what is there: `None` when only the last name is missing. All on the way
/// is `owned`; the end itself is for the caller to judge.
fn walk(path: &Path, owners: &[u32]) -> Result<(PathBuf, Option<Stat>), Untrusted> {
    let unseen = |at: &Path, e: Errno| Untrusted::Unseen(at.to_owned(), e.to_string());
    let Some(rest) = path.as_os_str().as_bytes().strip_prefix(b"/") else {
        return Err(Untrusted::Other(path.to_owned(), "an absolute path"));
    };
    let mut names: VecDeque<OsString> = parts(rest).collect();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Directories from the root to here, each with its path and what was seen of it.
    let root = rustix::fs::open("/", flags, Mode::empty()).map_err(|e| unseen("/".as_ref(), e))?;
    let stat = fstat(&root).map_err(|e| unseen("/".as_ref(), e))?;
    let mut way: Vec<(PathBuf, OwnedFd, Stat)> = vec![(PathBuf::from("/"), root, stat)];
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = names.pop_front() {
        steps += 1;
        if steps > MOST_NAMES {
            return Err(unseen(path, Errno::NAMETOOLONG));
        }
        if name == ".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let Some((here, dir, seen)) = way.last() else {
            return Err(unseen(path, Errno::NOENT));
        };
        if kind(seen) != FileType::Directory {
            return Err(unseen(here, Errno::NOTDIR));
        }
        // Before a name in it is believed.
        owned(here, seen, owners)?;
        let at = here.join(&name);
        let fd = match openat(dir.as_fd(), &name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) if names.is_empty() => return Ok((at, None)),
            Err(e) => return Err(unseen(&at, e)),
        };
        let stat = fstat(&fd).map_err(|e| unseen(&at, e))?;
        if kind(&stat) != FileType::Symlink {
            way.push((at, fd, stat));
            continue;
        }
        owned(&at, &stat, owners)?;
        links += 1;
        if links > MOST_LINKS {
            return Err(unseen(&at, Errno::LOOP));
        }
        let target = readlinkat(&fd, "", Vec::new()).map_err(|e| unseen(&at, e))?;
        let target = target.as_bytes();
        if target.first() == Some(&b'/') {
            way.truncate(1);
        }
        for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
            names.push_front(part);
        }
    }
    match way.pop() {
        Some((at, _, stat)) => Ok((at, Some(stat))),
        None => Err(unseen(path, Errno::NOENT)),
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = OsString> {
    path.split(|b| *b == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(|part| OsString::from_vec(part.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Its owner is whoever runs the tests: as root all of it is root's, but it lies below a directory of everybody.
    fn place() -> (tempfile::TempDir, u32) {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        (dir, uid)
    }

    #[test]
    fn programs_of_the_system_are_roots_to_the_end() {
        // Through a link where /bin is one.
        assert_eq!(program("/bin/sh".as_ref()), Ok(()));
        assert_eq!(directory("/usr/bin".as_ref()), Ok(()));
        assert_eq!(edited("/etc/passwd".as_ref(), 0), Ok(()));
        assert_eq!(edited("/etc/no-such-file-yet".as_ref(), 0), Ok(()));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let other = |path: &str, says: &str| {
            let why = program(path.as_ref()).unwrap_err().to_string();
            assert!(why.contains(says), "{path}: {why}");
        };
        other("/usr/bin", "is not a program");
        other("/dev/null", "is not a program");
        other("/usr/bin/no-such-program", "no such file");
        other("/usr/bin/sh/more", "cannot be looked at");
        other("usr/bin/env", "not an absolute path");
        other("", "not an absolute path");
        assert!(edited("/etc".as_ref(), 0).is_err());
        assert!(edited("/dev/null".as_ref(), 0).is_err());
        assert!(directory("/etc/passwd".as_ref()).is_err());
    }

    #[test]
    fn a_directory_of_everybody_on_the_way_is_named() {
        let (dir, uid) = place();
        let file = dir.path().join("tool");
        fs::write(&file, "x").unwrap();
        for mode in [0o755, 0o775, 0o757] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            // /tmp, sticky or not.
            let why = edited(&file, uid).unwrap_err().to_string();
            assert!(why.contains("can be changed by others than root"), "{why}");
        }
    }

    #[test]
    fn links_are_followed_and_loops_end() {
        let (dir, _) = place();
        let link = dir.path().join("a");
        symlink("b", &link).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(program(&link).is_err());
    }

    #[test]
    fn what_is_shown_is_one_harmless_line() {
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/usr/bin/\x1b[2J\n\xff"));
        let why = program(path).unwrap_err().to_string();
        assert!(why.is_ascii() && !why.contains(['\n', '\x1b']), "{why}");
    }
}
