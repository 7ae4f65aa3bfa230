//! Files that would give a group of the grant after its end: the user's own, of that group, with the setgid bit, made or
//! changed while the grant lived. Whoever may run such a file runs with the group.
//!
//! Looked for on local file systems only, each once, and only for so long: a server that hangs or a disk without end must
//! not hold up the proof. What was not seen is said. Nothing is followed: directories are opened name by name, and the
//! bit is taken from the very file that was looked at. See docs/adr/0011-setgid-files.md.

use super::mounts;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, chmod, fstat,
    openat, openat2, statat, statx,
};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// For the whole search, after everything else has ended.
const BUDGET: Duration = Duration::from_secs(5);
/// Directories within each other; each holds a descriptor.
const DEPTH: usize = 200;
/// Files, and places not seen, that are told by name.
const NAMED: usize = 100;
/// Where everybody may write, looked at first: the search may be cut short.
const FIRST: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
const SETGID: u32 = 0o2000;

/// Which files.
#[derive(Clone, Debug)]
pub struct Search {
    /// Their owner: nobody else's file can have been made so without root.
    pub uid: u32,
    pub gids: HashSet<u32>,
    /// Unix seconds; a file whose inode has not changed since then is older than the membership.
    pub since_s: u64,
    /// Take the bit away, or only say where it is.
    pub strip: bool,
    pub home: Option<PathBuf>,
}

/// What came of it; paths with unusual bytes escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub stripped: BTreeSet<String>,
    pub left: BTreeSet<String>,
    /// Places that were not looked at, and why.
    pub unseen: BTreeSet<String>,
}

/// Search all local file systems. Never longer than the budget and a moment, whatever a file system does: the thread
/// that hangs in it is left behind.
pub async fn search(what: Search) -> Found {
    let (tell, told) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new()
        .name("setgid".into())
        .spawn(move || drop(tell.send(everywhere(&what, Instant::now() + BUDGET))));
    let unseen = |why: &str| Found {
        unseen: BTreeSet::from([format!("everything: {why}")]),
        ..Found::default()
    };
    if let Err(e) = started {
        return unseen(&e.to_string());
    }
    match tokio::time::timeout(BUDGET + Duration::from_millis(500), told).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => unseen("the search broke off"),
        Err(_) => unseen("a file system does not answer"),
    }
}

fn everywhere(what: &Search, until: Instant) -> Found {
    let mut walk = Walk {
        what,
        until,
        found: Found::default(),
    };
    let table = match std::fs::read_to_string("/proc/self/mountinfo") {
        Ok(t) => mounts::parse(&t),
        Err(e) => {
            walk.unseen(Path::new("everything"), &e);
            return walk.found;
        }
    };
    let visible = |m: &mounts::Mount| mount_of(&m.at) == Some(m.id);
    let local = mounts::local(&table, visible);
    let run = format!("/run/user/{}", what.uid);
    let first = FIRST.map(Path::new).into_iter().chain([run.as_ref()]);
    for start in what.home.as_deref().into_iter().chain(first) {
        // Only where a search of all would come to as well: a home on a server is not waited for.
        let above = table.iter().filter(|m| start.starts_with(&m.at));
        if let Some(m) = above.max_by_key(|m| m.at.as_os_str().len())
            && local.iter().any(|l| l.id == m.id)
            && let Ok(rest) = start.strip_prefix(&m.at)
        {
            walk.tree(&m.at, rest);
        }
    }
    for m in local {
        walk.tree(&m.at, Path::new(""));
    }
    walk.found
}

/// The number of the mount that a path leads to now.
fn mount_of(path: &Path) -> Option<u64> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    let seen = statx(CWD, path, flags, StatxFlags::MNT_ID).ok()?;
    StatxFlags::from_bits_retain(seen.stx_mask)
        .contains(StatxFlags::MNT_ID)
        .then_some(seen.stx_mnt_id)
}

struct Walk<'a> {
    what: &'a Search,
    until: Instant,
    found: Found,
}

impl Walk<'_> {
    fn unseen(&mut self, path: &Path, why: &dyn std::fmt::Display) {
        if self.found.unseen.len() < NAMED {
            let place = shown(path);
            self.found.unseen.insert(format!("{place}: {why}"));
        }
    }

    /// Everything below `mount/rest`, in this one mount.
    fn tree(&mut self, mount: &Path, rest: &Path) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = match rustix::fs::open(mount, flags, Mode::empty()) {
            Ok(fd) => fd,
            // A single file may be mounted too.
            Err(Errno::NOTDIR) => {
                if let Ok(name) = CString::new(mount.as_os_str().as_bytes()) {
                    look(self.what, &mut self.found, CWD, &name, mount);
                }
                return;
            }
            Err(e) => return self.unseen(mount, &e),
        };
        let start = if rest.as_os_str().is_empty() {
            Ok(top)
        } else {
            enter(&top, rest)
        };
        let mut level = match start.and_then(Dir::new) {
            Ok(dir) => vec![(mount.join(rest), dir)],
            // No such place, or not in this mount.
            Err(_) => return,
        };
        loop {
            let depth = level.len();
            let Some((path, dir)) = level.last_mut() else {
                return;
            };
            if Instant::now() >= self.until {
                let path = path.clone();
                return self.unseen(&path, &"no time was left for this and what follows");
            }
            let entry = match dir.next() {
                Some(Ok(entry)) => entry,
                end => {
                    let done = level.pop();
                    if let (Some((path, _)), Some(Err(e))) = (done, end) {
                        self.unseen(&path, &e);
                    }
                    continue;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let here = path.join(os(name));
            let Ok(at) = dir.fd() else { continue };
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
                kind = statat(at, name, flags)
                    .map_or(kind, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            match kind {
                FileType::RegularFile => look(self.what, &mut self.found, at, name, &here),
                FileType::Directory if depth >= DEPTH => self.unseen(&here, &"too deep"),
                FileType::Directory => match enter(&at, os(name)).and_then(Dir::new) {
                    Ok(dir) => level.push((here, dir)),
                    // Another mount, gone, or no directory any more.
                    Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(e) => self.unseen(&here, &e),
                },
                _ => {}
            }
        }
    }
}

fn os(name: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// A directory below `dir`, in the same mount and through no link.
fn enter(dir: &impl AsFd, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(dir, name, flags, Mode::empty(), how) {
        // Where systemd's RestrictSUIDSGID= holds: it cannot look into this call's arguments. So it is for the agent, which
        // ends a grant itself where systemd does not answer.
        Err(Errno::NOSYS) => enter_stepwise(dir, name, flags),
        opened => opened,
    }
}

/// The same without `openat2`: each name opened by itself, and held against the mount of the directory before it.
fn enter_stepwise(dir: &impl AsFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut here = openat(dir, c".", flags, Mode::empty())?;
    let mount = mount_of_open(&here)?;
    for part in name.components() {
        let Component::Normal(part) = part else {
            return Err(Errno::XDEV);
        };
        here = openat(&here, part, flags, Mode::empty())?;
        if mount_of_open(&here)? != mount {
            return Err(Errno::XDEV);
        }
    }
    Ok(here)
}

fn mount_of_open(dir: &OwnedFd) -> Result<u64, Errno> {
    let seen = statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let known = StatxFlags::from_bits_retain(seen.stx_mask).contains(StatxFlags::MNT_ID);
    known.then_some(seen.stx_mnt_id).ok_or(Errno::NOSYS)
}

fn look(what: &Search, found: &mut Found, dir: impl AsFd, name: &CStr, here: &Path) {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(stat) = statat(&dir, name, flags) else {
        return;
    };
    if !is_it(what, &stat) {
        return;
    }
    let done = what.strip && strip(what, &dir, name).is_ok();
    let list = if done {
        &mut found.stripped
    } else {
        &mut found.left
    };
    if list.len() < NAMED {
        list.insert(shown(here));
    }
}

fn is_it(what: &Search, stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_mode & SETGID != 0
        && stat.st_uid == what.uid
        && what.gids.contains(&stat.st_gid)
        && u64::try_from(stat.st_ctime).is_ok_and(|changed| changed >= what.since_s)
}

/// Through a descriptor that opens nothing: the file's owner may hold a lease on it, which would make an open wait.
fn strip(what: &Search, dir: impl AsFd, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&dir, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if !is_it(what, &stat) {
        // It has become another file: nothing of that one is changed.
        return Ok(());
    }
    let kept = Mode::from_raw_mode(stat.st_mode & 0o7777 & !SETGID);
    chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), kept)?;
    if fstat(&file)?.st_mode & SETGID == 0 {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

fn shown(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn here(dir: &Path) -> Search {
        let seen = fs::metadata(dir).unwrap();
        Search {
            uid: seen.uid(),
            gids: HashSet::from([seen.gid()]),
            since_s: u64::try_from(seen.ctime()).unwrap(),
            strip: true,
            home: None,
        }
    }

    fn run(what: &Search, dir: &Path, until: Instant) -> Found {
        let mut walk = Walk {
            what,
            until,
            found: Found::default(),
        };
        walk.tree(dir, Path::new(""));
        walk.found
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn make(path: &Path, mode: u32) {
        fs::write(path, "x").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(mode_of(path), mode, "{}", path.display());
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(found: &BTreeSet<String>, dir: &Path) -> Vec<String> {
        let start = format!("{}/", dir.display());
        found.iter().map(|p| p.replace(&start, "")).collect()
    }

    #[test]
    fn both_ways_into_a_directory_stay_in_the_mount_and_follow_nothing() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = fs::File::open("/").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("a", dir.path().join("link")).unwrap();
        let top = fs::File::open(dir.path()).unwrap();
        let stepwise = |from: &fs::File, name: &str| {
            let opened = enter_stepwise(from, name.as_ref(), flags);
            assert_eq!(
                enter(from, name.as_ref()).err().is_some(),
                opened.is_err(),
                "{name}"
            );
            opened.map(drop)
        };
        assert_eq!(stepwise(&top, "a/b"), Ok(()));
        assert_eq!(stepwise(&root, "proc"), Err(Errno::XDEV));
        assert_eq!(stepwise(&top, ".."), Err(Errno::XDEV));
        assert_eq!(stepwise(&top, "link/b"), Err(Errno::NOTDIR));
        assert_eq!(stepwise(&top, "absent"), Err(Errno::NOENT));
    }

    #[test]
    fn the_bit_is_taken_from_what_fits_and_from_nothing_else() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        make(&at("a/b/kept"), 0o2755);
        make(&at("both"), 0o6711);
        make(&at("without"), 0o755);
        make(&other.path().join("behind"), 0o2755);
        symlink(other.path(), at("link")).unwrap();
        symlink(other.path().join("behind"), at("filelink")).unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o2755)).unwrap();
        let what = here(dir.path());

        let told = run(
            &Search {
                strip: false,
                ..what.clone()
            },
            dir.path(),
            later(),
        );
        assert_eq!(names(&told.left, dir.path()), ["a/b/kept", "both"]);
        assert_eq!(mode_of(&at("both")), 0o6711);
        for nothing in [
            Search {
                uid: what.uid + 1,
                ..what.clone()
            },
            Search {
                gids: HashSet::from([u32::MAX - 1]),
                ..what.clone()
            },
            Search {
                since_s: what.since_s + 1_000_000,
                ..what.clone()
            },
        ] {
            assert_eq!(run(&nothing, dir.path(), later()), Found::default());
        }

        let found = run(&what, dir.path(), later());
        assert_eq!(names(&found.stripped, dir.path()), ["a/b/kept", "both"]);
        assert!(
            found.left.is_empty() && found.unseen.is_empty(),
            "{found:?}"
        );
        assert_eq!(
            (mode_of(&at("a/b/kept")), mode_of(&at("both"))),
            (0o755, 0o4711)
        );
        assert_eq!(mode_of(&at("a")), 0o2755);
        assert_eq!(mode_of(&other.path().join("behind")), 0o2755);
    }

    #[test]
    fn what_was_not_seen_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let what = here(dir.path());
        let found = run(&what, dir.path(), Instant::now());
        assert_eq!(found.unseen.len(), 1, "{found:?}");
        let mut deep = dir.path().to_owned();
        deep.extend(vec!["d"; DEPTH + 5]);
        fs::create_dir_all(&deep).unwrap();
        make(&deep.join("kept"), 0o2755);
        let found = run(&what, dir.path(), later());
        assert!(found.stripped.is_empty());
        assert!(found.unseen.iter().next().unwrap().ends_with("too deep"));
    }
}
