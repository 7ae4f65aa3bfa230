//! A cgroup of its own for each host: without one, two hosts would share a root cgroup, and only with one can
//! everything a host ever started be killed at once.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

/// One cgroup in the v2 hierarchy and, where this machine still mounts systemd's v1 hierarchy, one there as well,
/// since `systemd-nspawn` makes groups in both.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    /// v2 first.
    pub(crate) paths: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes the cgroup of the host `name` below our own.
    #[track_caller]
    pub(crate) fn make(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let ours = fs::read_to_string("/proc/self/cgroup").expect("our cgroups");
        let mut paths = Vec::new();
        for (id, kind, option) in [
            ("0::", "cgroup2", ""),
            ("name=systemd:", "cgroup", "name=systemd"),
        ] {
            let Some(mount) = mount_point(&mounts, kind, option) else {
                continue;
            };
            let own = ours
                .lines()
                .find_map(|l| l.split_once(id).map(|(_, path)| path))
                .unwrap_or("/");
            let path = Path::new(mount)
                .join(own.trim_start_matches('/'))
                .join(format!("jit-tests.{name}"));
            fs::create_dir_all(&path)
                .unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
            paths.push(path);
        }
        assert!(
            !paths.is_empty(),
            "this machine has no cgroup v2 mount; the test hosts need one"
        );
        Self { paths }
    }

    /// Makes it again after [`Cgroup::kill`].
    #[track_caller]
    pub(crate) fn make_again(&self) {
        for path in &self.paths {
            fs::create_dir_all(path)
                .unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        }
    }

    /// Kills all that lives in it and removes it. Done twice it does nothing the second time.
    pub(crate) fn kill(&self) {
        let unified = &self.paths[0];
        // Gone already, or not made by a run that died early.
        if fs::write(unified.join("cgroup.kill"), "1").is_ok() {
            wait_empty(unified, Duration::from_secs(30));
        }
        for path in &self.paths {
            remove_groups(path);
        }
    }
}

/// Waits for the kernel's word that no process is left in `path` or below.
fn wait_empty(path: &Path, limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        let Ok(mut events) = File::open(path.join("cgroup.events")) else {
            return;
        };
        // A read arms the notification for the next change.
        let text = std::io::read_to_string(&mut events).unwrap_or_default();
        if !text.contains("populated 1") {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "processes survive in {}", path.display());
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        poll(
            &mut fds,
            u16::try_from(left.as_millis()).unwrap_or(u16::MAX),
        )
        .expect("news of the cgroup");
    }
}

fn remove_groups(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

/// Mount point of the hierarchy. A mountinfo line is `… MOUNTPOINT OPTIONS [TAGS] - TYPE SOURCE SUPEROPTIONS`
/// (proc_pid_mountinfo(5)).
fn mount_point<'a>(mounts: &'a str, kind: &str, option: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let fits = right.next() == Some(kind) && right.nth(1)?.contains(option);
        if fits { left.split(' ').nth(4) } else { None }
    })
}
