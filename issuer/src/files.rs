//! Files of the state directory: secret ones are made exclusively, with mode 0600, and are on the disk before
//! anything relies on them.

use crate::error::Error;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

/// Makes a directory with mode 0700 unless it is there; refuses one that others own or may enter.
///
/// # Errors
/// [`Error::File`], [`Error::Exposed`].
pub fn private_dir(dir: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::file(dir)(e)),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir).map_err(Error::file(dir))?;
    if !meta.is_dir() {
        return Err(Error::file(dir)(io::ErrorKind::NotADirectory.into()));
    }
    own(dir, &meta)
}

/// Only we own it and only we may read it. A key made by root for root would leave the service without keys.
fn own(path: &Path, meta: &fs::Metadata) -> Result<(), Error> {
    let exposed = |why| {
        Err(Error::Exposed {
            path: path.to_owned(),
            why,
        })
    };
    let me = geteuid().as_raw();
    if meta.uid() != me {
        return exposed(format!(
            "belongs to uid {}, but this is uid {me}: run as the user who owns it (jit-issuer)",
            meta.uid()
        ));
    }
    if meta.mode() & 0o077 != 0 {
        return exposed(format!(
            "has mode {:04o}: others must not have any access to it",
            meta.mode() & 0o7777
        ));
    }
    Ok(())
}

/// Makes a file that must not exist, mode 0600, synced.
///
/// # Errors
/// [`Error::File`].
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(Error::file(path))
}

/// Reads a secret file; refuses one that others own or may read.
///
/// # Errors
/// [`Error::File`], [`Error::Exposed`].
pub fn read_secret(path: &Path, cap: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    own(path, &file.metadata().map_err(Error::file(path))?)?;
    let mut bytes = Vec::new();
    file.take(cap)
        .read_to_end(&mut bytes)
        .map_err(Error::file(path))?;
    Ok(bytes)
}

/// Reads a text of at most `cap` bytes.
///
/// # Errors
/// [`Error::File`], also for a longer file.
pub fn read_text(path: &Path, cap: usize) -> Result<String, Error> {
    let read = || {
        let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
        let mut text = String::new();
        File::open(path)?.take(limit).read_to_string(&mut text)?;
        if text.len() > cap {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(text)
    };
    read().map_err(Error::file(path))
}

/// Renames into place; both names lie in `dir`.
///
/// # Errors
/// [`Error::File`].
pub fn publish(dir: &Path, from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::file(to))?;
    sync_dir(dir)
}

/// Makes names in a directory durable.
///
/// # Errors
/// [`Error::File`].
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(Error::file(dir))
}

/// Held while a process works on the state.
pub struct Lock {
    _file: Flock<File>,
}

/// One issuer a state directory: two would hand out the same numbers.
///
/// # Errors
/// [`Error::InUse`], [`Error::File`].
pub fn lock(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Error::file(&path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Lock { _file: held }),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(Error::InUse(dir.to_owned())),
        Err((_, e)) => Err(Error::file(&path)(e.into())),
    }
}

/// Refuses a file that just anybody may read. It may be root's, with a group that lets us in.
///
/// # Errors
/// [`Error::File`], [`Error::Exposed`].
pub fn not_for_others(path: &Path) -> Result<(), Error> {
    let meta = fs::metadata(path).map_err(Error::file(path))?;
    if meta.mode() & 0o007 == 0 {
        return Ok(());
    }
    Err(Error::Exposed {
        path: path.to_owned(),
        why: format!(
            "has mode {:04o}: others must not have any access to it",
            meta.mode() & 0o7777
        ),
    })
}
