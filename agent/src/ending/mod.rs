//! The one code that takes away: what `jit-end GRANT` does. Idempotent; needs no agent, and where systemd does not
//! answer it ends processes by itself.
//!
//! Order: freeze the unit → memberships off → who runs with the grant outside it (before parents die) → stop the unit,
//! without waiting → end the others → wait until the kernel shows an empty cgroup → sudo's tickets → processes that
//! kept a group → files that would give it → timers → the proof, left for the journal.

pub(crate) mod memberships;
mod mounts;
mod outside;
mod setgid;
mod sweep;

use crate::clock;
use crate::effects::units::Units;
use crate::effects::{files, groups, processes};
use crate::paths;
use crate::store::StoreError;
use crate::store::grants::{self, GrantFile};
use outside::Outside;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sweep::Frozen;

/// TERM to KILL for what has left the unit, and for the unit when systemd does not answer.
const GRACE: Duration = Duration::from_millis(1500);
/// After this the whole cgroup is killed by the kernel, whatever systemd is doing.
const PATIENCE: Duration = Duration::from_millis(2500);
const STEP: Duration = Duration::from_millis(10);
/// Rounds of waiting for an empty unit.
const DRAINS: usize = 2;
/// When what is still there is asked again. util-linux's su answers the first TERM by sleeping two seconds, and the second by
/// ending.
const AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// What systemd has for an answer before the ending goes on without it.
const BUS_PATIENCE: Duration = Duration::from_millis(500);
/// `jit-end`: the right is gone, and something is to be read about how. Nothing would be better after another run.
pub const GONE_WITH_FAULTS: u8 = 1;
/// `jit-end`: the right is not shown to be gone. systemd runs it again. `EX_TEMPFAIL` of sysexits.h(3head).
pub const NOT_GONE: u8 = 75;
/// What `--post` may take: systemd waits for it while it stops the unit.
const POST_BUDGET: Duration = Duration::from_millis(200);

/// What was done and what the kernel shows. `/var/lib/jit/ended/<jti>.json`; journaled by the agent, then removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// Format, 1.
    pub v: u32,
    pub jti: String,
    /// False while the ending runs: a reader must wait.
    pub done: bool,
    pub login: String,
    pub uid: u32,
    /// Unix milliseconds.
    pub started_ms: u64,
    pub finished_ms: u64,
    /// No drop-in of this grant is left (memberships another live grant needs are not counted).
    pub memberships_gone: bool,
    /// Memberships kept because another live grant gives them too.
    pub kept_for_others: Vec<String>,
    /// The grant's cgroup is empty or gone.
    pub cgroup_empty: bool,
    /// Processes outside the unit that were ended: descendants and what kept a group.
    pub ended_outside: Vec<u32>,
    /// Processes of the user that carry the role's own group `jit-<role>` and nothing else of the grant. That group gives
    /// nothing by itself: they are counted, not ended (ADR 4).
    pub carry_tag: Vec<u32>,
    /// Processes that keep a group of the grant and are only reported (`on_end = "report"`), or would not die.
    pub left: Vec<u32>,
    /// systemd confirmed that no timer of the grant is left. One that is left ends nothing more than has ended.
    pub timers_gone: bool,
    /// What leaves it open whether all is gone, one sentence each.
    pub errors: Vec<String>,
    /// What went wrong on the way and leaves nothing open: the kernel shows the end, whoever was slow to help with it.
    pub notes: Vec<String>,
    /// Files whose setgid bit would have given a group of the grant to whoever runs them; it was taken away.
    pub setgid_stripped: Vec<String>,
    /// Such files that still have it (`on_end = "report"`, or it could not be taken away).
    pub setgid_left: Vec<String>,
    /// Places that were not searched for such files, each with why. Says nothing against the end of the right itself.
    pub setgid_unseen: Vec<String>,
}

impl Proof {
    /// Right, membership and everything in the grant's unit are gone; processes outside may still be dying.
    #[must_use]
    pub fn gone(&self) -> bool {
        self.memberships_gone && self.cgroup_empty
    }

    /// The exit status of a run that came this far.
    #[must_use]
    pub fn status(&self) -> u8 {
        match (self.gone(), self.complete()) {
            (false, _) => NOT_GONE,
            (true, false) => GONE_WITH_FAULTS,
            (true, true) => 0,
        }
    }

    /// Is the right shown to be gone?
    #[must_use]
    pub fn complete(&self) -> bool {
        self.done
            && self.memberships_gone
            && self.cgroup_empty
            && self.left.is_empty()
            && self.setgid_left.is_empty()
            && self.errors.is_empty()
    }

    fn doubt(&mut self, what: &str, e: &dyn std::fmt::Display) {
        self.errors.push(format!("{what}: {e}"));
    }

    fn note(&mut self, what: &str, e: &dyn std::fmt::Display) {
        self.notes.push(format!("{what}: {e}"));
    }
}

/// Where a proof is left.
#[must_use]
pub fn proof_path(jti: &str) -> PathBuf {
    Path::new(paths::ENDED_DIR).join(format!("{jti}.json"))
}

/// Read a proof.
///
/// # Errors
/// Unreadable or damaged.
pub fn read_proof(jti: &str) -> Result<Option<Proof>, StoreError> {
    crate::store::load(&proof_path(jti))
}

/// End a grant whatever its state. Never fails: what could not be done stands in the proof, and the rest is done
/// all the same.
pub async fn end(jti: &str) -> Proof {
    let mut proof = Proof {
        v: 1,
        jti: jti.to_owned(),
        started_ms: wall_ms(),
        ..Proof::default()
    };
    let cgroup = paths::cgroup(jti);
    // Nothing runs with the grant any more from here on, however long it takes to look around.
    let own = processes::read(std::process::id()).map(|p| p.cgroup);
    let inside = own.is_ok_and(|c| crate::callers::grant_in(&c).as_deref() == Some(jti));
    let frozen = (!inside).then(|| Frozen::freeze(cgroup.clone()));
    if let Err(e) = memberships::mark(jti) {
        proof.doubt("mark", &e);
    }
    let file = match grants::read(jti) {
        Ok(f) => f,
        Err(e) => {
            proof.doubt("grant file", &e);
            None
        }
    };
    if let Some(f) = &file {
        proof.login.clone_from(&f.login);
        proof.uid = f.uid;
    }
    let since_s = memberships::off(file.as_ref(), &mut proof).await;
    kill_stopped(&cgroup);
    let mut outside = Outside::find(&cgroup);
    // Before systemd is asked, because it thaws a unit before it sends its own TERM: one that waits already is taken before
    // anything else.
    terminate_inside(&cgroup);
    let units = stop_unit(jti, &mut proof).await;
    outside.terminate();
    drop(frozen);
    // A call that was being let in when this began may come in behind the look that found nothing.
    for _ in 0..DRAINS {
        drain(&cgroup, &mut outside, units.is_some()).await;
        proof.cgroup_empty = processes::in_cgroup(&cgroup).is_empty();
        if proof.cgroup_empty {
            break;
        }
    }
    (proof.ended_outside, proof.left) = outside.result();
    if let Some(f) = &file {
        remove_tickets(f, &mut proof);
        // What matters is gone: whoever waits for that is told now.
        leave(&mut proof);
        sweep::groups(f, since_s, &mut proof).await;
    }
    if let Some(units) = &units {
        let newest = file.as_ref().map_or(1, |f| f.timers.max(1));
        proof.timers_gone = true;
        for n in 1..=newest {
            let timer = paths::timer(jti, n);
            let stop = tokio::time::timeout(BUS_PATIENCE, units.stop(&timer)).await;
            if let Err(e) = stop.map_or_else(
                |_| Err("systemd does not answer".to_owned()),
                |r| r.map_err(|e| e.to_string()),
            ) {
                proof.timers_gone = false;
                proof.note("timer", &e);
            }
        }
    }
    proof.finished_ms = wall_ms();
    proof.done = true;
    leave(&mut proof);
    proof
}

/// What systemd runs when the grant's unit has stopped for whatever reason: memberships off at once, the rest by the
/// grant's end unit. Never waits long.
pub async fn post(jti: &str) {
    let file = grants::read(jti).ok().flatten();
    if let Some(f) = &file {
        let _held = memberships::lock(memberships::LOCK_PATIENCE).await;
        let needed = memberships::needed(jti);
        for group in &f.groups {
            if !needed.contains(&(f.login.clone(), group.clone())) {
                // What fails here is tried again by the end unit, and noted there.
                let _ = groups::remove(&f.login, group);
            }
        }
    }
    let newest = file.map_or(1, |f| f.timers.max(1));
    let start = async {
        let bus = zbus::Connection::system().await?;
        let units = Units::connect(&bus)
            .await
            .map_err(|e| zbus::Error::Failure(e.to_string()))?;
        // While the end is being moved, the newest timer may not be there yet.
        for n in (1..=newest).rev().take(2) {
            if units.start_end(jti, n).await.is_ok() {
                break;
            }
        }
        Ok(())
    };
    let _: Result<zbus::Result<()>, _> = tokio::time::timeout(POST_BUDGET, start).await;
}

/// Ids of all grants that are not shown to be gone: stored ones, and units that have no file any more.
#[must_use]
pub fn all_known() -> Vec<String> {
    let mut ids: HashSet<String> = grants::list().unwrap_or_default().into_iter().collect();
    if let Ok(dir) = std::fs::read_dir(Path::new(paths::CGROUP_ROOT).join(paths::SLICE)) {
        for entry in dir.flatten() {
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|n| n.strip_prefix("jit-"))
                .and_then(|n| n.strip_suffix(".service"));
            if let Some(id) = id.filter(|i| statement::id::is_ulid(i)) {
                ids.insert(id.to_owned());
            }
        }
    }
    let mut ids: Vec<String> = ids.into_iter().collect();
    ids.sort();
    ids
}

/// Ask systemd to stop the unit; `None` when it does not answer.
async fn stop_unit(jti: &str, proof: &mut Proof) -> Option<Units> {
    let ask = async {
        let bus = zbus::Connection::system()
            .await
            .map_err(|e| e.to_string())?;
        let units = Units::connect(&bus).await.map_err(|e| e.to_string())?;
        units
            .stop(&paths::unit(jti))
            .await
            .map_err(|e| e.to_string())?;
        Ok::<_, String>(units)
    };
    match tokio::time::timeout(BUS_PATIENCE, ask).await {
        Ok(Ok(units)) => Some(units),
        Ok(Err(e)) => {
            proof.note("systemd", &e);
            None
        }
        Err(_) => {
            proof.note("systemd", &"no answer");
            None
        }
    }
}

/// Ask everything in the unit to end.
fn terminate_inside(cgroup: &Path) {
    for pid in processes::in_cgroup(cgroup) {
        if pid != std::process::id()
            && let Ok(p) = processes::Held::open(pid)
        {
            p.terminate();
        }
    }
}

/// Stopped processes are killed, not asked, and their children with them: to be asked they would have to be continued, and
/// a sudo that its user stopped between the yes and the exec would run its command first, or its monitor would.
fn kill_stopped(cgroup: &Path) {
    let all: Vec<_> = processes::in_cgroup(cgroup)
        .into_iter()
        .filter_map(|pid| processes::read(pid).ok())
        .collect();
    let stopped: HashSet<u32> = all.iter().filter(|p| p.stopped).map(|p| p.pid).collect();
    let children = processes::descendants(&all, &stopped);
    for pid in stopped.union(&children) {
        if let Ok(p) = processes::Held::open(*pid) {
            p.kill();
        }
    }
}

/// Wait until nothing is left; kill what outlasts its grace.
async fn drain(cgroup: &Path, outside: &mut Outside, by_systemd: bool) {
    let start = tokio::time::Instant::now();
    let patience = if by_systemd { PATIENCE } else { GRACE };
    let mut again = AGAIN.iter();
    let mut next = again.next();
    loop {
        outside.look_again(cgroup);
        if processes::in_cgroup(cgroup).is_empty() && outside.gone() {
            return;
        }
        let waited = start.elapsed();
        if next.is_some_and(|at| waited >= *at) {
            terminate_inside(cgroup);
            outside.terminate();
            next = again.next();
        }
        if waited >= GRACE {
            outside.kill();
        }
        if waited >= patience {
            // Kernel 5.14, cgroup v2: everything below, whatever it does.
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
        if waited >= PATIENCE + GRACE {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
}

/// sudo's timestamp records: by uid since sudo 1.9.15, by login before.
fn remove_tickets(file: &GrantFile, proof: &mut Proof) {
    if !groups::is_plain_name(&file.login) {
        return;
    }
    for dir in paths::SUDO_TICKETS {
        for name in [file.login.clone(), file.uid.to_string()] {
            if let Err(e) = files::remove(&Path::new(dir).join(name)) {
                proof.doubt("sudo ticket", &e);
            }
        }
    }
}

fn leave(proof: &mut Proof) {
    let saved = files::private_dir(Path::new(paths::ENDED_DIR))
        .map_err(|e| e.to_string())
        .and_then(|()| {
            crate::store::save(&proof_path(&proof.jti), proof).map_err(|e| e.to_string())
        });
    if let Err(e) = saved {
        // A full disk must not stop the ending; the agent finds the end by other signs and says so.
        proof.note("proof", &e);
    }
}

fn wall_ms() -> u64 {
    clock::now().map_or(0, |n| n.wall_ms)
}
