//! The only file that makes, syncs or renames anything. Every function returns only when its promise holds.

use crate::sys;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::fstatvfs;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes a directory (mode 0700) and those above it, if missing.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
        DirBuilder::new().mode(0o700).create(dir)?;
        return sync_dir(parent);
    }
    DirBuilder::new().mode(0o700).create(dir)
}

/// Syncs the names in a directory.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A new file that only grows. Exclusive: whoever could have opened it before us would keep a descriptor that
/// the append-only flag does not stop.
pub fn create_log(path: &Path) -> io::Result<File> {
    append_options().create_new(true).mode(0o600).open(path)
}

/// An existing file of ours, to go on appending.
pub fn open_log(path: &Path) -> io::Result<File> {
    append_options().open(path)
}

fn append_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    options
}

/// A nameless file in `dir`, to try something on. `None` where the file system has no such files.
pub fn nameless(dir: &Path) -> Option<File> {
    append_options()
        .mode(0o600)
        .custom_flags(nix::libc::O_TMPFILE)
        .open(dir)
        .ok()
}

/// Reserves room up to `length` bytes without changing the file's size, which an append-only file allows.
/// File systems that cannot reserve go without. Where there is not all of it nothing is taken: a call that fails keeps what
/// it has got (ext4), and others need that room.
pub fn reserve(file: &File, length: u64) -> io::Result<()> {
    let (disk, held) = (fstatvfs(file)?, file.metadata()?.blocks() * 512);
    let free = disk.blocks_free().saturating_mul(disk.fragment_size());
    if disk.blocks() > 0 && free < length.saturating_sub(held) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let length = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        Ok(()) | Err(nix::Error::EOPNOTSUPP | nix::Error::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One write, whose write-out begins at once; `meanwhile` runs while the disk works; then one sync of the data.
/// After an error the file must not be used again: the kernel may have
/// marked pages that never reached the disk as clean (Rebello et al., USENIX ATC 2020).
pub fn append(mut file: &File, bytes: &[u8], meanwhile: impl FnOnce()) -> io::Result<()> {
    file.write_all(bytes)?;
    let begun = sys::begin_write_out(file);
    meanwhile();
    file.sync_data()?;
    begun
}

/// The same for the first bytes of a new file, whose name is made durable too.
pub fn append_first(mut file: &File, bytes: &[u8], dir: &Path) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_dir(dir)
}

/// Replaces a small file as a whole: after a crash it is the old or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&name, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// A file of its own beside the log, such as a tile of an export; the folders above it are made. Not synced: it can
/// be made again.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}
