//! Trees that are dear to make and good for many tests: made once under a lock, then only read.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::project;

/// Versions of a tree that nobody has used for this long are removed.
const KEEP: Duration = Duration::from_secs(3 * 24 * 3600);

/// One finished tree. While this value lives, nobody removes it.
pub(crate) struct Cached {
    path: PathBuf,
    /// Held for its shared lock.
    _lock: File,
}

impl Cached {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A short name for the inputs of a tree.
pub(crate) fn key(inputs: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    inputs.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The tree `KIND-KEY`. Where it is missing, `make` fills a path of its own, which is renamed into place when done,
/// so a run that dies leaves nothing that looks finished. Others wait for it meanwhile.
#[track_caller]
pub(crate) fn get(kind: &str, key: &str, make: impl FnOnce(&Path)) -> Cached {
    let dir = project::cache();
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    let path = dir.join(format!("{kind}-{key}"));
    let lock = open(&lock_of(&path));
    // Shared first: this very thread may hold the same tree for another host.
    lock.lock_shared().expect("the shared lock of the tree");
    if !path.exists() {
        lock.lock().expect("the lock of the tree");
        if !path.exists() {
            let part = dir.join(format!("{kind}-{key}.part"));
            remove(&part);
            make(&part);
            fs::rename(&part, &path).expect("the finished tree in its place");
        }
        lock.lock_shared().expect("the shared lock of the tree");
    }
    // The time of last use, for `prune`.
    lock.set_modified(SystemTime::now())
        .expect("the time of use");
    prune(&dir, kind, &path);
    Cached { path, _lock: lock }
}

/// Removes other versions of this kind that are unused and old.
fn prune(dir: &Path, kind: &str, keep: &Path) {
    for entry in fs::read_dir(dir).expect("the cache").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(&format!("{kind}-")) else {
            continue;
        };
        if path == keep || rest.contains('.') || rest.contains('-') {
            continue;
        }
        let lock = open(&lock_of(&path));
        let used = lock
            .metadata()
            .and_then(|m| m.modified())
            .expect("the time of use");
        if used.elapsed().unwrap_or_default() > KEEP && lock.try_lock().is_ok() {
            // The lock file stays: someone may be waiting for it.
            remove(&path);
        }
    }
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// Opens a lock file, which is made if needed.
pub(crate) fn open(path: &Path) -> File {
    File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()))
}

/// Removes a file or a tree, also one that holds append-only files; nothing there is fine.
pub(crate) fn remove(path: &Path) {
    let once = || {
        if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    };
    match once() {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            // chattr complains about links and devices on its way, which have no flags.
            let shown = format!("chattr -R -f -i -a {}", path.display());
            let mut chattr = std::process::Command::new("chattr");
            chattr.args(["-R", "-f", "-i", "-a"]).arg(path);
            crate::command::run(&mut chattr, &shown, Duration::from_secs(60));
            once().unwrap_or_else(|e| panic!("cannot remove {}: {e}", path.display()));
        }
        other => other.unwrap_or_else(|e| panic!("cannot remove {}: {e}", path.display())),
    }
}
