//! The place of one running host: its folder, its mount, its lock. What a dead run left is found by its free lock.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::cache::{open, remove};
use crate::cgroup::Cgroup;
use crate::project;

static COUNT: AtomicU32 = AtomicU32::new(0);
static REAP: Once = Once::new();

/// A folder with an overlay mount in it and a cgroup to it. Removed with all that runs in it on drop.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: Cgroup,
    /// Held for its lock, which tells other runs that we live.
    _lock: File,
}

impl Place {
    /// A folder and a cgroup, and no mount.
    #[track_caller]
    pub(crate) fn bare() -> Self {
        REAP.call_once(reap);
        let runs = project::cache().join("run");
        fs::create_dir_all(&runs).unwrap_or_else(|e| panic!("cannot make {}: {e}", runs.display()));
        let guard = open(&runs.join(".lock"));
        guard.lock().expect("the lock of all places");
        let (name, dir) = fresh(&runs);
        let lock = open(&dir.join("lock"));
        lock.lock().expect("the lock of the place");
        drop(guard);
        let cgroup = Cgroup::make(&name);
        let listed: Vec<String> = cgroup
            .paths
            .iter()
            .map(|p| p.display().to_string())
            .collect();
        fs::write(dir.join("cgroups"), listed.join("\n")).expect("the list of cgroups");
        Self {
            name,
            dir,
            cgroup,
            _lock: lock,
        }
    }

    /// Mounts `layers`, the uppermost first, under a fresh writable one.
    #[track_caller]
    pub(crate) fn new(layers: &[&Path]) -> Self {
        let place = Self::bare();
        for part in ["upper", "work", "merged"] {
            fs::create_dir(place.dir.join(part)).expect("the folders of the mount");
        }
        let lower: Vec<String> = layers.iter().map(|p| p.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            place.upper().display(),
            place.dir.join("work").display()
        );
        mount(
            Some("overlay"),
            &place.merged(),
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap_or_else(|e| panic!("cannot mount an overlay ({options}): {e}"));
        place
    }

    /// The tree as the host sees it.
    pub(crate) fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    /// What differs from the layers below.
    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    pub(crate) fn unmount(&self) {
        unmount(&self.merged());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let cleaned = panic::catch_unwind(AssertUnwindSafe(|| {
            self.cgroup.kill();
            self.unmount();
            remove(&self.dir);
        }));
        // A second panic during the first would end the whole run; the hook has shown it already.
        if let Err(cause) = cleaned
            && !thread::panicking()
        {
            panic::resume_unwind(cause);
        }
    }
}

/// Clears away what runs left that died: processes, mounts and folders. Places of living runs are locked.
pub fn reap() {
    let runs = project::cache().join("run");
    if !runs.exists() {
        return;
    }
    let guard = open(&runs.join(".lock"));
    guard.lock().expect("the lock of all places");
    for entry in fs::read_dir(&runs).expect("the places").flatten() {
        let dir = entry.path();
        if !dir.is_dir() || open(&dir.join("lock")).try_lock().is_err() {
            continue;
        }
        let listed = fs::read_to_string(dir.join("cgroups")).unwrap_or_default();
        let paths: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
        if !paths.is_empty() {
            Cgroup { paths }.kill();
        }
        unmount(&dir.join("merged"));
        remove(&dir);
    }
}

fn fresh(runs: &Path) -> (String, PathBuf) {
    loop {
        let name = format!(
            "jit-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = runs.join(&name);
        match fs::create_dir(&dir) {
            Ok(()) => return (name, dir),
            // Another namespace may use the same process ids.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => panic!("cannot make {}: {e}", dir.display()),
        }
    }
}

fn unmount(path: &Path) {
    // Not mounted is fine. Detached, it goes when the last dying process lets go of it.
    let _ = umount2(path, MntFlags::MNT_DETACH);
}
