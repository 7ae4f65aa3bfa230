//! Group membership by userdb drop-in: `/run/userdb/LOGIN:GROUP.membership` holding `{}` (systemd's JSON user
//! records; an empty file would mask instead). Nothing in /etc is edited, and a reboot takes all of it away.

use crate::paths::{LEDGER_DIR, USERDB_DIR};
use nix::unistd::{Gid, Group, User, getgrouplist};
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What emptying one cache may take.
const FLUSH: Duration = Duration::from_millis(500);

/// Descriptors a look-up needs at the most: a file, a directory, a socket, and some.
const SPARE: usize = 6;

/// Why a membership was not given. Nothing is left behind then.
#[derive(Debug)]
pub enum GroupError {
    NoSuchGroup(String),
    BadName(String),
    /// Written, but the name service does not show it (no `systemd` on nsswitch's `group` line?).
    NotSeen(String),
    Nss(String),
    Io(io::Error),
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup(g) => write!(
                f,
                "there is no group {g:?} on this host; run 'jitctl setup local'"
            ),
            Self::BadName(n) => write!(f, "the name {n:?} cannot be a file name"),
            Self::NotSeen(g) => write!(
                f,
                "the name service does not show the membership in {g:?}; 'systemd' must stand on the group line of /etc/nsswitch.conf"
            ),
            Self::Nss(e) => write!(f, "the name service failed: {e}"),
            Self::Io(e) => write!(f, "{USERDB_DIR}: {e}"),
        }
    }
}

impl std::error::Error for GroupError {}

impl From<io::Error> for GroupError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// A login or group that may stand in a drop-in's file name: no separator, no blank, no control character.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && !name.starts_with(['-', '.'])
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn drop_in(login: &str, group: &str) -> Result<PathBuf, GroupError> {
    for name in [login, group] {
        if !is_plain_name(name) {
            return Err(GroupError::BadName(name.to_owned()));
        }
    }
    Ok(Path::new(USERDB_DIR).join(format!("{login}:{group}.membership")))
}

/// Give the membership and see it in the name service. A membership the user already has by other means is not
/// ours: no drop-in is made and `false` is returned.
///
/// # Errors
/// Unknown group, unusable name, or a name service that does not show it; the drop-in is then taken back.
pub fn add(login: &str, group: &str) -> Result<bool, GroupError> {
    let path = drop_in(login, group)?;
    let gid = Group::from_name(group)
        .map_err(|e| GroupError::Nss(e.to_string()))?
        .ok_or_else(|| GroupError::NoSuchGroup(group.to_owned()))?
        .gid;
    if gids(login)?.contains(&gid) {
        return Ok(false);
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(USERDB_DIR)?;
    super::files::private_dir(Path::new(LEDGER_DIR))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(entry(login, group))?;
    let tmp = Path::new(USERDB_DIR).join(format!(".{login}:{group}.{}.new", std::process::id()));
    let mut f = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&tmp)?;
    f.write_all(b"{}\n")?;
    drop(f);
    std::fs::rename(&tmp, &path)?;
    // What comes of it shows at once.
    let _ = flush_caches();
    if gids(login)?.contains(&gid) {
        Ok(true)
    } else {
        remove(login, group)?;
        Err(GroupError::NotSeen(group.to_owned()))
    }
}

/// Take a membership of ours away; one that is not there is fine.
///
/// # Errors
/// When the drop-in is there and cannot be removed, or a cache does not forget it in time.
pub fn remove(login: &str, group: &str) -> Result<(), GroupError> {
    let path = drop_in(login, group)?;
    super::files::remove(&path)?;
    // A cache that was not emptied may show the membership for an hour: the entry stays, and the end is tried again.
    flush_caches()?;
    super::files::remove(&entry(login, group))?;
    Ok(())
}

/// A membership of ours, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Given {
    pub login: String,
    pub group: String,
}

/// Every membership we have given and not yet taken away, also across a crash.
///
/// # Errors
/// When the ledger cannot be read.
pub fn ledger() -> io::Result<Vec<Given>> {
    let entries = match std::fs::read_dir(LEDGER_DIR) {
        Ok(e) => e,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut out = Vec::new();
    for entry in entries {
        if let Some((login, group)) = entry?.file_name().to_str().and_then(|n| n.split_once(':')) {
            out.push(Given {
                login: login.to_owned(),
                group: group.to_owned(),
            });
        }
    }
    Ok(out)
}

/// Unix seconds at which the membership was first given, while it is in the ledger.
#[must_use]
pub fn given_since(given: &Given) -> Option<u64> {
    if drop_in(&given.login, &given.group).is_err() {
        return None;
    }
    let made = std::fs::symlink_metadata(entry(&given.login, &given.group))
        .and_then(|m| m.modified())
        .ok()?;
    let since = made.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

fn entry(login: &str, group: &str) -> PathBuf {
    Path::new(LEDGER_DIR).join(format!("{login}:{group}"))
}

/// Does the name service show `login` in `group` now?
///
/// # Errors
/// When it fails: the caller must treat that as doubt.
pub fn is_member(login: &str, group: &str) -> Result<bool, GroupError> {
    let Some(group) = Group::from_name(group).map_err(|e| GroupError::Nss(e.to_string()))? else {
        return Ok(false);
    };
    Ok(gids(login)?.contains(&group.gid))
}

/// Does the group's own list show `login` now? It costs one look at one file where [`is_member`] asks every source that
/// knows groups, systemd's first process among them. A user whom it does not show may be a member all the same.
///
/// # Errors
/// When the name service fails.
pub fn lists(group: &str, login: &str) -> Result<bool, GroupError> {
    let group = Group::from_name(group).map_err(|e| GroupError::Nss(e.to_string()))?;
    Ok(group.is_some_and(|g| g.mem.iter().any(|m| m == login)))
}

/// The uid that `login` has now.
///
/// # Errors
/// When the name service fails.
pub fn uid_of(login: &str) -> Result<Option<u32>, GroupError> {
    can_look()?;
    let user = User::from_name(login).map_err(|e| GroupError::Nss(e.to_string()))?;
    Ok(user.map(|u| u.uid.as_raw()))
}

/// The login that `uid` has now.
///
/// # Errors
/// When the name service fails.
pub fn login_of(uid: u32) -> Result<Option<String>, GroupError> {
    let user = User::from_uid(uid.into()).map_err(|e| GroupError::Nss(e.to_string()))?;
    Ok(user.map(|u| u.name))
}

/// The numeric id of a group, `None` when there is no such group.
///
/// # Errors
/// When the name service fails.
pub fn gid_of(group: &str) -> Result<Option<u32>, GroupError> {
    let found = Group::from_name(group).map_err(|e| GroupError::Nss(e.to_string()))?;
    Ok(found.map(|g| g.gid.as_raw()))
}

/// The home directory of a uid, where the name service knows one.
#[must_use]
pub fn home_of(uid: u32) -> Option<PathBuf> {
    let user = User::from_uid(uid.into()).ok().flatten()?;
    user.dir.is_absolute().then_some(user.dir)
}

/// A group of the first list that is one of the second by another name: they have the same number. The second are groups
/// of the system, so their numbers are those of `/etc/group`: a name service that cannot say whether there is a "docker"
/// must not stop a grant of something else.
///
/// # Errors
/// When the file cannot be read, or the name service fails: the caller must treat that as doubt.
pub fn twins<'a, 'b>(
    groups: impl Iterator<Item = &'a String>,
    others: &[&'b str],
) -> Result<Option<(&'a str, &'b str)>, GroupError> {
    let table = std::fs::read("/etc/group").map_err(|e| GroupError::Nss(e.to_string()))?;
    let numbers = numbers(&String::from_utf8_lossy(&table), others);
    for group in groups {
        if let Some(other) = gid_of(group)?.and_then(|gid| numbers.get(&gid)) {
            return Ok(Some((group, other)));
        }
    }
    Ok(None)
}

/// Numbers of the named groups in a table of the form of group(5).
fn numbers<'b>(table: &str, names: &[&'b str]) -> HashMap<u32, &'b str> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let known = names.iter().find(|n| **n == name)?;
        Some((fields.nth(1)?.parse().ok()?, *known))
    };
    table.lines().filter_map(line).collect()
}

/// Without a free descriptor the name service says "no" where it means "I could not look": that must be an error here.
fn can_look() -> Result<(), GroupError> {
    let open = |_| std::fs::File::open("/etc/passwd").map_err(|e| GroupError::Nss(e.to_string()));
    (0..SPARE)
        .map(open)
        .collect::<Result<Vec<_>, _>>()
        .map(drop)
}

/// Let the C library load every source of memberships now: one that it once fails to load it never tries again, and no grant
/// could be given until the agent is started anew. Nobody waits for it, as a source may be a server that does not answer.
pub fn load_sources() {
    let look = || drop(getgrouplist(c"root", Gid::from_raw(0)));
    // Without a thread the first grant's look loads them.
    let _ = std::thread::Builder::new()
        .name("groups".into())
        .spawn(look);
}

fn gids(login: &str) -> Result<Vec<Gid>, GroupError> {
    can_look()?;
    let user = User::from_name(login)
        .map_err(|e| GroupError::Nss(e.to_string()))?
        .ok_or_else(|| GroupError::Nss(format!("there is no user {login:?}")))?;
    let name = CString::new(login).map_err(|_| GroupError::BadName(login.to_owned()))?;
    getgrouplist(&name, user.gid).map_err(|e| GroupError::Nss(e.to_string()))
}

/// nscd keeps group answers for an hour and watches only /etc; sssd has a cache of its own. Where neither is
/// installed this does nothing.
///
/// # Errors
/// One of them did not answer in time. One that fails at once does not run, or says why in its own log.
fn flush_caches() -> io::Result<()> {
    let mut answered = Ok(());
    for (program, args) in [
        ("/usr/sbin/nscd", &["-i", "group"][..]),
        ("/usr/sbin/sss_cache", &["-G"][..]),
    ] {
        if Path::new(program).exists() {
            let started = Command::new(program)
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            if let Ok(child) = started {
                answered = wait_briefly(child, FLUSH).and(answered);
            }
        }
    }
    answered
}

/// Kills what does not end in time: a daemon that hangs must not hold up what else an ending does.
fn wait_briefly(mut child: Child, limit: Duration) -> io::Result<()> {
    let until = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for() {
        let start = Instant::now();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let late = wait_briefly(child, Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(30));
        let quick = Command::new("true").spawn().unwrap();
        wait_briefly(quick, Duration::from_secs(60)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn numbers_are_those_of_the_named_groups() {
        let table =
            "root:x:0:\nsudo:x:27:carol\nops:x:27:\nbad\nkvm:x:\nadm:x:-4:\nlong:x:4294967296:\n";
        let found = numbers(table, &["sudo", "root", "kvm", "adm", "long", "absent"]);
        assert_eq!(found, HashMap::from([(0, "root"), (27, "sudo")]));
    }

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bad in [
            "",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\nb",
            "-x",
            ".x",
            "a@b",
            "a\\b",
            &"x".repeat(33),
        ] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
        for good in ["alice", "jit-admin", "a.b", "systemd-journal", "x_1"] {
            assert!(is_plain_name(good), "{good:?}");
        }
    }
}
