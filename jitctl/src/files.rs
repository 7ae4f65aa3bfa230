//! Files of the host: read without following links, written whole or not at all. The only file that writes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A configuration file larger than this is not read.
const MAX: u64 = 1 << 20;

/// Where paths begin and who owns what is made; `/` and root but in tests.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
    pub uid: u32,
    pub gid: u32,
}

impl Default for Place {
    fn default() -> Place {
        Place {
            root: PathBuf::from("/"),
            uid: 0,
            gid: 0,
        }
    }
}

impl Place {
    /// `path` is absolute.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    #[cfg(test)]
    pub fn below(root: &Path) -> Place {
        Place {
            root: root.to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }
}

/// Permission bits and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `0o7777` of it.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub owner: Owner,
}

impl Content {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A regular file, whole; `None` if there is nothing by that name.
///
/// # Errors
/// A sentence without the full stop: a link or other thing, too large, unreadable.
pub fn read(path: &Path) -> Result<Option<Content>, String> {
    read_up_to(path, MAX)
}

/// The same with another limit, in bytes.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(path: &Path, max: u64) -> Result<Option<Content>, String> {
    let said = |what: &str| format!("{} {what}", path.display());
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match file {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) => {
            return Err(said("is a symbolic link"));
        }
        Err(e) => return Err(said(&format!("cannot be read: {e}"))),
    };
    let meta = file
        .metadata()
        .map_err(|e| said(&format!("cannot be read: {e}")))?;
    if !meta.is_file() {
        return Err(said("is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| said(&format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > max {
        return Err(said("is too large"));
    }
    Ok(Some(Content {
        bytes,
        owner: Owner {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        },
    }))
}

/// All of it under this name, durable, or the name as it was: a temporary file beside it, synced, renamed.
///
/// # Errors
/// A sentence without the full stop.
pub fn write(path: &Path, content: &Content) -> Result<(), String> {
    let said = |e: std::io::Error| format!("{} cannot be written: {e}", path.display());
    let (Some(dir), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} is no file name", path.display()));
    };
    // Nothing reads it: pam and sudo open files by their names.
    let temporary = wire::wiring::temporary(path);
    // One left by a run that died.
    remove(&temporary)?;
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&content.bytes)?;
        fchown(&file, Some(content.owner.uid), Some(content.owner.gid))?;
        file.set_permissions(fs::Permissions::from_mode(content.owner.mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    written.map_err(|e| {
        // The error that matters is the first.
        let _ = fs::remove_file(&temporary);
        said(e)
    })
}

/// Gone, durably; also when it was not there.
///
/// # Errors
/// A sentence without the full stop.
pub fn remove(path: &Path) -> Result<(), String> {
    let removed = match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other,
    };
    removed
        .and_then(|()| match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        })
        .map_err(|e| format!("{} cannot be removed: {e}", path.display()))
}

/// The directory and those above it; new ones get `mode`.
///
/// # Errors
/// A sentence without the full stop.
pub fn make_dir(path: &Path, mode: u32) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| format!("{} cannot be made: {e}", path.display()))
}

/// Sorted names in a directory; none if it cannot be read.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The first of the path and the directories above it that someone other than root can change.
pub fn loose(path: &Path, root_uid: u32) -> Option<PathBuf> {
    path.ancestors()
        .find(|p| {
            fs::metadata(p).is_ok_and(|m| {
                let writable = m.mode() & 0o022 != 0 && !(m.is_dir() && m.mode() & 0o1000 != 0);
                m.uid() != root_uid && m.uid() != 0 || writable
            })
        })
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8], mode: u32, place: &Place) -> Content {
        Content {
            bytes: bytes.to_vec(),
            owner: Owner {
                mode,
                uid: place.uid,
                gid: place.gid,
            },
        }
    }

    #[test]
    fn what_is_written_is_read_with_mode_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        let path = place.at("/x");
        assert_eq!(read(&path), Ok(None));
        for (bytes, mode) in [(&b"one"[..], 0o640), (b"two\xff", 0o440)] {
            let wanted = content(bytes, mode, &place);
            write(&path, &wanted).unwrap();
            assert_eq!(read(&path), Ok(Some(wanted)));
        }
        assert_eq!(names(dir.path()), ["x"]);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path), Ok(None));
    }

    #[test]
    fn a_leftover_of_a_run_that_died_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        fs::write(place.at("/.x.jit-new"), "half").unwrap();
        write(&place.at("/x"), &content(b"whole", 0o600, &place)).unwrap();
        assert_eq!(names(dir.path()), ["x"]);
    }

    #[test]
    fn links_directories_and_large_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        std::os::unix::fs::symlink("/etc/passwd", place.at("/link")).unwrap();
        assert!(
            read(&place.at("/link"))
                .unwrap_err()
                .contains("symbolic link")
        );
        assert!(read(dir.path()).unwrap_err().contains("not a file"));
        fs::write(place.at("/big"), [0; 11]).unwrap();
        assert!(
            read_up_to(&place.at("/big"), 10)
                .unwrap_err()
                .contains("too large")
        );
        assert!(read_up_to(&place.at("/big"), 11).is_ok());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        let path = place.at("/no-such-directory/x");
        assert!(write(&path, &content(b"", 0o600, &place)).is_err());
    }

    #[test]
    fn what_others_can_write_is_loose() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        let path = place.at("/x");
        write(&path, &content(b"", 0o644, &place)).unwrap();
        assert_eq!(loose(&path, place.uid), None);
        write(&path, &content(b"", 0o664, &place)).unwrap();
        assert_eq!(loose(&path, place.uid), Some(path));
    }
}
