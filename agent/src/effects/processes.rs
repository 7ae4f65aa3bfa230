//! Processes: facts from `/proc`, moves into a grant's cgroup, and ending by pidfd, never by number alone.

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerPidfd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What `/proc` says of one process, read under a pidfd or in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub ppid: u32,
    /// Stopped by a signal or a tracer (state `T` or `t`).
    pub stopped: bool,
    /// Clock ticks since boot; with the pid it names one process.
    pub start: u64,
    /// Real uid.
    pub uid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Gids: real, effective, saved, filesystem, then supplementary.
    pub gids: Vec<u32>,
    /// Path in the unified hierarchy, e.g. `/jit.slice/jit-….service`.
    pub cgroup: String,
}

/// Whose process it is: all that most questions about one need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    /// Real uid.
    pub uid: u32,
    /// Effective uid.
    pub euid: u32,
    /// As [`Process::gids`].
    pub gids: Vec<u32>,
}

/// The process is gone, or `/proc` says something that cannot be.
#[derive(Debug)]
pub struct ProcError(String);

impl fmt::Display for ProcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProcError {}

fn gone(pid: u32, what: &str) -> ProcError {
    ProcError(format!("process {pid}: {what}"))
}

/// Read one process.
///
/// # Errors
/// When it is gone, or a file of it cannot be read or parsed.
pub fn read(pid: u32) -> Result<Process, ProcError> {
    let stat = stat_of(pid)?;
    let Owner {
        uid, euid, gids, ..
    } = owner_of(pid)?;
    let cgroup = cgroup_of(pid)?;
    Ok(Process {
        pid,
        ppid: stat.ppid,
        stopped: stat.stopped,
        start: stat.start,
        uid,
        euid,
        gids,
        cgroup,
    })
}

fn stat_of(pid: u32) -> Result<Stat, ProcError> {
    let stat = parsed(pid, "stat", parse_stat)?;
    stat.ok_or_else(|| gone(pid, "unreadable stat"))
}

fn owner_of(pid: u32) -> Result<Owner, ProcError> {
    let (uid, euid, gids) =
        parsed(pid, "status", parse_status)?.ok_or_else(|| gone(pid, "unreadable status"))?;
    Ok(Owner {
        pid,
        uid,
        euid,
        gids,
    })
}

fn cgroup_of(pid: u32) -> Result<String, ProcError> {
    let cgroup = parsed(pid, "cgroup", parse_cgroup)?;
    cgroup.ok_or_else(|| gone(pid, "not in the unified hierarchy"))
}

fn parsed<T>(pid: u32, name: &str, parse: impl Fn(&str) -> T) -> Result<T, ProcError> {
    let mut text = Vec::new();
    facts(pid, name, &mut text).map_err(|e| gone(pid, &format!("{name}: {e}")))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Room for each file of a process that is read at each call: with it the kernel gives the whole at once, where a reader
/// that feels its way makes ten calls.
const FACTS: usize = 4096;

/// Read a file of a process whole.
fn facts(pid: u32, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
    let mut file = fs::File::open(format!("/proc/{pid}/{name}"))?;
    into.clear();
    into.resize(FACTS, 0);
    let mut length = 0;
    loop {
        if length == into.len() {
            into.resize(2 * length, 0);
        }
        match file.read(&mut into[length..]) {
            Ok(more) => {
                length += more;
                // These files give all that there is room for.
                if length < into.len() {
                    break;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    into.truncate(length);
    Ok(())
}

/// When a process was started, in clock ticks since the kernel's boot.
///
/// # Errors
/// When it is gone or cannot be read.
pub fn start_of(pid: u32) -> Result<u64, ProcError> {
    stat_of(pid).map(|stat| stat.start)
}

struct Stat {
    stopped: bool,
    ppid: u32,
    start: u64,
}

/// From `/proc/PID/stat`. The name in parentheses may hold anything, so parsing starts after the last `)`.
fn parse_stat(stat: &str) -> Option<Stat> {
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        stopped: matches!(*fields.first()?, "T" | "t"),
        ppid: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn parse_status(status: &str) -> Option<(u32, u32, Vec<u32>)> {
    let line = |key: &str| status.lines().find_map(|l| l.strip_prefix(key));
    let numbers = |l: &str| {
        l.split_ascii_whitespace()
            .map(|n| n.parse().ok())
            .collect::<Option<Vec<u32>>>()
    };
    let uids = numbers(line("Uid:")?)?;
    let mut gids = numbers(line("Gid:")?)?;
    gids.extend(numbers(line("Groups:")?)?);
    Some((*uids.first()?, *uids.get(1)?, gids))
}

fn parse_cgroup(text: &str) -> Option<String> {
    text.lines()
        .find_map(|l| l.strip_prefix("0::"))
        .map(str::to_owned)
}

/// Most bytes of a command line that are taken.
const COMMAND_LINE: u64 = 1 << 20;

/// The words that a program was started with. They are its own memory, which nobody else may write in a set-uid program.
///
/// # Errors
/// When it is gone, has none, or they are too long to be kept.
pub fn command_line(pid: u32) -> Result<Vec<Vec<u8>>, ProcError> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|f| f.take(COMMAND_LINE + 1).read_to_end(&mut bytes))
        .map_err(|e| gone(pid, &format!("cmdline: {e}")))?;
    if bytes.len() as u64 > COMMAND_LINE {
        return Err(gone(pid, "its command line is too long"));
    }
    match bytes.strip_suffix(b"\0") {
        Some(words) => Ok(words.split(|b| *b == 0).map(<[u8]>::to_vec).collect()),
        None => Err(gone(pid, "it has no command line")),
    }
}

/// The login uid of the audit session; `None` when it was never set or the kernel keeps none.
#[must_use]
pub fn login_uid(pid: u32) -> Option<u32> {
    session_number(pid, "loginuid")
}

/// The audit session number; `None` when it was never set or the kernel keeps none.
#[must_use]
pub fn audit_session(pid: u32) -> Option<u32> {
    session_number(pid, "sessionid")
}

fn session_number(pid: u32, name: &str) -> Option<u32> {
    let mut text = Vec::new();
    facts(pid, name, &mut text).ok()?;
    let number = std::str::from_utf8(&text).ok()?.trim().parse();
    number.ok().filter(|&n| n != u32::MAX)
}

/// Every process there is now. One that ends meanwhile is left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn snapshot() -> io::Result<Vec<Process>> {
    let mut out = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|n| n.parse().ok())
            && let Ok(p) = read(pid)
        {
            out.push(p);
        }
    }
    Ok(out)
}

/// What could be read of a process before it ended, which it may have by now.
#[derive(Debug)]
pub struct Glimpse {
    pub pid: u32,
    /// As [`Process::cgroup`]; `None` when it had ended before that was read.
    pub cgroup: Option<String>,
}

/// How many numbers above the highest are tried: new processes get the next ones.
const NEXT: u32 = 64;

/// Every process of which `wanted(pid, real uid, gids)` holds, also those that end while the look is made: a process that lives for
/// a tenth of a millisecond, and forks its successor, is over before a list of all is read through. So one file is read of
/// each, the newest come first, and before them those that have come since: the numbers are tried upwards, faster than a
/// chain of forks climbs. Zombies are left out.
pub fn glimpses(wanted: impl Fn(u32, u32, &[u32]) -> bool) -> Vec<Glimpse> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let newest = pids.first().copied().unwrap_or(0);
    let mut out = Vec::new();
    for pid in (1..=NEXT).map(|n| newest.saturating_add(n)).chain(pids) {
        let Ok(status) = fs::read(format!("/proc/{pid}/status")) else {
            continue;
        };
        let status = String::from_utf8_lossy(&status);
        if is_zombie(&status) {
            continue;
        }
        let Some((uid, _, gids)) = parse_status(&status) else {
            continue;
        };
        if wanted(pid, uid, &gids) {
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"));
            out.push(Glimpse {
                pid,
                cgroup: cgroup.ok().and_then(|text| parse_cgroup(&text)),
            });
        }
    }
    out
}

fn is_zombie(status: &str) -> bool {
    status
        .lines()
        .find_map(|l| l.strip_prefix("State:"))
        .is_some_and(|l| l.trim_start().starts_with(['Z', 'X']))
}

/// All descendants of `roots` in the snapshot, the roots not included.
#[must_use]
pub fn descendants(all: &[Process], roots: &HashSet<u32>) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for p in all {
        children.entry(p.ppid).or_default().push(p.pid);
    }
    let mut found = HashSet::new();
    let mut todo: Vec<u32> = roots.iter().copied().collect();
    while let Some(pid) = todo.pop() {
        for &child in children.get(&pid).map_or(&[][..], Vec::as_slice) {
            if !roots.contains(&child) && found.insert(child) {
                todo.push(child);
            }
        }
    }
    found
}

/// Pids in a cgroup and everything below it. A cgroup that is gone holds none.
#[must_use]
pub fn in_cgroup(dir: &Path) -> Vec<u32> {
    let mut out: Vec<u32> = fs::read_to_string(dir.join("cgroup.procs"))
        .map(|t| {
            t.lines()
                .filter_map(|l| l.parse().ok())
                .filter(|&p| p != 0)
                .collect()
        })
        .unwrap_or_default();
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                out.extend(in_cgroup(&entry.path()));
            }
        }
    }
    out
}

/// Move a process into a cgroup. Costs one RCU grace period when none was just paid for.
///
/// # Errors
/// When the cgroup or the process is gone.
pub fn move_into(pid: u32, dir: &Path) -> io::Result<()> {
    fs::write(dir.join("cgroup.procs"), pid.to_string())
}

/// A process held by pidfd: its number cannot come to mean another one.
#[derive(Debug)]
pub struct Held {
    pub facts: Owner,
    fd: OwnedFd,
}

impl Held {
    /// Hold `pid`, and read under the hold whose it is.
    ///
    /// # Errors
    /// When it is gone.
    pub fn open(pid: u32) -> Result<Self, ProcError> {
        let raw = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| gone(pid, "not a process number"))?;
        let fd = pidfd_open(raw, PidfdFlags::empty()).map_err(|e| gone(pid, &e.to_string()))?;
        Self::hold(pid, fd)
    }

    /// Hold the process that connected this socket, whose number at that moment was `pid`. Since Linux 6.5 the kernel
    /// says which it was (`SO_PEERPIDFD`, unix(7)); before, one that took over the number of an ended one could pass for
    /// it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn peer(stream: &impl AsFd, pid: u32) -> Result<Self, ProcError> {
        match getsockopt(stream, PeerPidfd) {
            Ok(fd) => Self::hold(pid, fd),
            Err(Errno::ENOPROTOOPT) => Self::open(pid),
            Err(e) => Err(gone(pid, &e.to_string())),
        }
    }

    fn hold(pid: u32, fd: OwnedFd) -> Result<Self, ProcError> {
        let facts = owner_of(pid)?;
        let held = Self { facts, fd };
        held.still(())?;
        Ok(held)
    }

    /// Its number could have been reused before what is returned was read; a live pidfd rules that out.
    fn still<T>(&self, read: T) -> Result<T, ProcError> {
        match self.alive() {
            true => Ok(read),
            false => Err(gone(self.facts.pid, "it ended")),
        }
    }

    /// All there is to know of it now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn read(&self) -> Result<Process, ProcError> {
        self.still(read(self.facts.pid)?)
    }

    /// As [`Process::start`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn start(&self) -> Result<u64, ProcError> {
        self.still(start_of(self.facts.pid)?)
    }

    /// The cgroup it is in now, as [`Process::cgroup`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn cgroup(&self) -> Result<String, ProcError> {
        self.still(cgroup_of(self.facts.pid)?)
    }

    /// Has it not ended? A zombie counts as ended.
    #[must_use]
    pub fn alive(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A poll that does not wait is interrupted as well: the signal that stops the agent would make a caller of that moment a
        // dead one.
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&at_once)));
        matches!(ready, Ok(0))
    }

    /// Wait until it has ended.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn ended(self) -> io::Result<()> {
        // pidfd_open(2): readable when the process has terminated.
        crate::sys::readable(self.fd).await
    }

    /// Ask it to end: TERM, HUP for shells that ignore TERM, CONT so that a stopped one hears it.
    pub fn terminate(&self) {
        for signal in [Signal::TERM, Signal::HUP, Signal::CONT] {
            // It may have ended already, which is what is wanted.
            let _ = pidfd_send_signal(&self.fd, signal);
        }
    }

    /// End it.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.fd, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_stat_fields_is_not_believed() {
        let line = "7 (x) S 1 2) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.ppid, stat.start, stat.stopped), (42, 987_654, false));
        assert!(
            parse_stat(&line.replace(") S 42", ") T 42"))
                .unwrap()
                .stopped
        );
    }

    #[test]
    fn status_gives_real_and_effective_uid_and_all_gids() {
        let s = "Name:\tx\nUid:\t1001\t0\t0\t0\nGid:\t5\t6\t7\t8\nGroups:\t27 100 \n";
        assert_eq!(parse_status(s), Some((1001, 0, vec![5, 6, 7, 8, 27, 100])));
        assert_eq!(parse_status("Uid:\tx\nGid:\t1\nGroups:\n"), None);
    }

    #[test]
    fn a_signal_makes_no_living_process_a_dead_one() {
        use nix::sys::pthread::{pthread_kill, pthread_self};
        use nix::sys::signal::Signal;
        use std::sync::atomic::{AtomicBool, Ordering};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _handled = runtime.block_on(async {
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap()
        });
        let held = Held::open(std::process::id()).unwrap();
        let (this, over) = (pthread_self(), AtomicBool::new(false));
        let alive = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    pthread_kill(this, Signal::SIGUSR1).unwrap();
                }
            });
            let alive = (0..1_000_000).all(|_| held.alive());
            over.store(true, Ordering::Relaxed);
            alive
        });
        assert!(alive);
    }

    #[test]
    fn a_look_sees_who_has_just_come_and_no_zombie() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let id = child.id();
        let seen = || glimpses(|pid, _, _| pid == id).len();
        assert_eq!(seen(), 1);
        child.kill().unwrap();
        // Ended and not waited for.
        let mut stat = String::new();
        while !stat.contains(") Z ") {
            stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        }
        assert_eq!(seen(), 0);
        child.wait().unwrap();
    }

    #[test]
    fn descendants_are_found_through_generations_and_roots_are_left_out() {
        let p = |pid, ppid| Process {
            pid,
            ppid,
            stopped: false,
            start: 0,
            uid: 0,
            euid: 0,
            gids: vec![],
            cgroup: String::new(),
        };
        let all = [p(1, 0), p(10, 1), p(11, 10), p(12, 11), p(20, 1)];
        let got = descendants(&all, &HashSet::from([10]));
        assert_eq!(got, HashSet::from([11, 12]));
    }

    #[test]
    fn our_own_process_is_read_and_alive() {
        let held = Held::open(std::process::id()).unwrap();
        assert!(held.alive());
        assert_eq!(held.facts.pid, std::process::id());
    }

    #[test]
    fn a_reaped_child_is_not_held() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Held::open(pid).is_err());
    }
}
