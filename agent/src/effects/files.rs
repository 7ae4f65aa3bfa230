//! Small state files: written whole or not at all, root only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Largest state file that is read; more is damage or an attack.
const MAX_FILE: u64 = 1 << 20;

/// Replace `path` with `bytes`: temporary file, fsync, rename, fsync of the directory.
///
/// # Errors
/// Any step's; the old content is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("a file without a directory"))?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("a path without a name"))?;
    let mut tmp_name = std::ffi::OsString::from(".");
    tmp_name.push(name);
    // Two endings of one grant may write at the same time.
    tmp_name.push(format!(".{}.new", std::process::id()));
    let tmp = dir.join(tmp_name);
    let mut f = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&tmp)?;
    f.write_all(bytes)?;
    f.sync_all()?;
    std::fs::rename(&tmp, path)?;
    sync_dir(dir)
}

/// Replace a file that everyone may read and that need not outlive the host: temporary file and rename, without a sync.
///
/// # Errors
/// Any step's; the old content is then still there.
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("new");
    // Of ours alone: the directory is root's. What a crash left goes first, so that the mode is ours, too.
    remove(&tmp)?;
    let mut f = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&tmp)?;
    // Whatever the umask is.
    f.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    f.write_all(bytes)?;
    std::fs::rename(&tmp, path)
}

/// Remove a file; one that is already gone is fine.
///
/// # Errors
/// Any other failure.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Make renames and unlinks in `dir` durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Read a state file of ours; `None` when there is none.
///
/// # Errors
/// Unreadable, a symbolic link, or larger than 1 MiB.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let f = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut out = Vec::new();
    f.take(MAX_FILE + 1).read_to_end(&mut out)?;
    if out.len() as u64 > MAX_FILE {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(Some(out))
}

/// Make a directory only root may enter, when it is not there.
///
/// # Errors
/// When it can be neither made nor found.
pub fn private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Names in `dir` that end in `.json`, without it; an absent directory holds none.
///
/// # Errors
/// When the directory cannot be read.
pub fn json_names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(e) => e,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut out = Vec::new();
    for entry in entries {
        if let Some(stem) = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.strip_suffix(".json"))
            && !stem.starts_with('.')
        {
            out.push(stem.to_owned());
        }
    }
    out.sort();
    Ok(out)
}
