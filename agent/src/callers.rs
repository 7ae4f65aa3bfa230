//! Who may call what: peer credentials, one table, default deny, and caps for each uid.

use crate::effects::processes::{self, Held, Process};
use crate::paths;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use tokio::net::UnixStream;

/// Connections of one uid to `agent.sock` that are served at the same time.
pub const CLI_PER_UID: usize = 16;
/// And to `gate.sock`, counted by the real uid: a shell loop may well start this many `sudo` at once.
pub const GATE_PER_UID: usize = 128;
/// Calls of one uid over the message bus that are served at the same time.
pub const DBUS_PER_UID: usize = 4;
/// Of root, on any.
const FOR_ROOT: usize = 512;

/// The kernel's word on the other end of a socket.
#[derive(Debug)]
pub struct Peer {
    pub uid: u32,
    /// Held by pidfd from the moment of the connection's acceptance.
    pub process: Held,
}

/// Operations of `agent.sock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Status,
    StatusAll,
    Elevate,
    Extend,
    Wait,
    DropOwn,
    HostKey,
    Enrol,
    Roles,
    ProveKey,
    Import,
    Breakglass,
    Explain,
    Probe,
    Receivers,
}

/// The table. Ownership of the thing named (a request, a grant) is checked beside it, where the thing is.
#[must_use]
pub fn may(uid: u32, op: Op) -> bool {
    match op {
        Op::Status
        | Op::Wait
        | Op::DropOwn
        | Op::Elevate
        | Op::Extend
        | Op::Breakglass
        | Op::Explain => uid != NOBODY,
        Op::StatusAll
        | Op::HostKey
        | Op::Enrol
        | Op::Roles
        | Op::ProveKey
        | Op::Import
        | Op::Probe
        | Op::Receivers => uid == 0,
    }
}

/// What the kernel shows for a uid that this user namespace does not map.
pub const NOBODY: u32 = 65_534;

/// The peer cannot be identified; it is not served.
#[derive(Debug)]
pub struct Unidentified(String);

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the caller cannot be identified: {}", self.0)
    }
}

impl std::error::Error for Unidentified {}

/// Identify the peer, before a byte of it is read.
///
/// # Errors
/// Credentials missing, or the process is gone already.
pub fn identify(stream: &UnixStream) -> Result<Peer, Unidentified> {
    let cred = stream
        .peer_cred()
        .map_err(|e| Unidentified(e.to_string()))?;
    let pid = cred
        .pid()
        .and_then(|p| u32::try_from(p).ok())
        .ok_or_else(|| Unidentified("no process number".into()))?;
    let process = Held::peer(stream, pid).map_err(|e| Unidentified(e.to_string()))?;
    // Where the kernel does not say which process it was: a number reused since the connection would belong to a process of other credentials or a later start; the
    // effective uid at connect time must still be among the uids of what is held now.
    if ![process.facts.uid, process.facts.euid].contains(&cred.uid()) {
        return Err(Unidentified("the process that connected is gone".into()));
    }
    Ok(Peer {
        uid: cred.uid(),
        process,
    })
}

/// Is this process inside some grant's unit, itself or by an ancestor?
#[must_use]
pub fn grant_of(process: &Process) -> Option<String> {
    let mut current = process.clone();
    for _ in 0..4096 {
        if let Some(id) = grant_in(&current.cgroup) {
            return Some(id);
        }
        if current.ppid <= 1 {
            return None;
        }
        current = processes::read(current.ppid).ok()?;
    }
    None
}

/// The grant whose unit this cgroup path is in.
#[must_use]
pub fn grant_in(cgroup: &str) -> Option<String> {
    let rest = cgroup
        .strip_prefix('/')?
        .strip_prefix(paths::SLICE)?
        .strip_prefix("/jit-")?;
    let (id, _) = rest.split_once(".service")?;
    statement::id::is_ulid(id).then(|| id.to_owned())
}

/// Caps on what one uid can keep busy.
#[derive(Clone)]
pub struct Limits {
    per_uid: usize,
    counts: Rc<RefCell<HashMap<u32, usize>>>,
}

/// One served connection; ends the count when dropped.
pub struct Slot {
    limits: Limits,
    uid: u32,
}

impl Limits {
    /// So many at once for each uid but root.
    #[must_use]
    pub fn new(per_uid: usize) -> Self {
        Self {
            per_uid,
            counts: Rc::default(),
        }
    }

    /// `None` when this uid has too many already.
    #[must_use]
    pub fn enter(&self, uid: u32) -> Option<Slot> {
        let cap = if uid == 0 { FOR_ROOT } else { self.per_uid };
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(uid).or_default();
        if *count >= cap {
            return None;
        }
        *count += 1;
        Some(Slot {
            limits: self.clone(),
            uid,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.borrow_mut();
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_enrols_sees_all_and_reads_the_host_key() {
        for op in [
            Op::StatusAll,
            Op::HostKey,
            Op::Enrol,
            Op::Roles,
            Op::ProveKey,
            Op::Import,
            Op::Probe,
            Op::Receivers,
        ] {
            assert!(may(0, op));
            assert!(!may(1000, op));
            assert!(!may(NOBODY, op));
        }
    }

    #[test]
    fn an_unmapped_uid_may_nothing() {
        for op in [
            Op::Status,
            Op::Elevate,
            Op::Extend,
            Op::Breakglass,
            Op::Wait,
            Op::DropOwn,
            Op::Explain,
        ] {
            assert!(may(1000, op));
            assert!(!may(NOBODY, op));
        }
    }

    #[test]
    fn a_uid_cannot_take_more_than_its_share() {
        let limits = Limits::new(4);
        let slots: Vec<Slot> = (0..4).filter_map(|_| limits.enter(1000)).collect();
        assert_eq!(slots.len(), 4);
        assert!(limits.enter(1000).is_none());
        assert!(limits.enter(1001).is_some());
        drop(slots);
        assert!(limits.enter(1000).is_some());
    }

    #[test]
    fn only_our_own_units_name_a_grant() {
        let id = "01JABCDEFGHJKMNPQRSTVWXYZ0";
        assert_eq!(
            grant_in(&format!("/jit.slice/jit-{id}.service")),
            Some(id.into())
        );
        assert_eq!(
            grant_in(&format!("/jit.slice/jit-{id}.service/sub")),
            Some(id.into())
        );
        assert_eq!(grant_in(&format!("/user.slice/jit-{id}.service")), None);
        assert_eq!(grant_in("/jit.slice/jit-x.service"), None);
        assert_eq!(grant_in("/jit.slice"), None);
    }
}
