//! What keeps a group of the grant: processes of the user (a login or `newgrp` made while it lived), and his files that
//! would give it to whoever runs them.

use super::setgid::{self, Search};
use super::{Proof, memberships};
use crate::effects::{groups, processes};
use crate::paths;
use crate::store::grants::GrantFile;
use statement::detail::OnEnd;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(10);
/// TERM to KILL.
const GRACE: Duration = Duration::from_millis(500);
/// Between telling that the right is gone and the first TERM: among the holders may be the very `jitctl drop` that
/// waits to hear it.
const HEAR: Duration = Duration::from_millis(150);
/// Rounds of killing; each finds what was forked during the one before.
const ROUNDS: usize = 50;
/// Milliseconds that a cgroup may take to stand still.
const FREEZE_LOOKS: usize = 20;
/// Looks in a row that must find nothing before that is believed.
const LOOKS: usize = 20;

/// Count, report or end them. `since_s`: when the memberships were first given, Unix seconds.
pub async fn groups(file: &GrantFile, since_s: u64, proof: &mut Proof) {
    let tag = format!("jit-{}", file.role);
    let mut sought = Sought {
        jti: &file.jti,
        uid: file.uid,
        login: &file.login,
        groups: HashMap::new(),
    };
    let mut tags = HashSet::new();
    let ledger = groups::ledger();
    if let Err(e) = &ledger {
        proof.doubt("ledger of memberships", e);
    }
    // A grant that began during this ending gives what looks like a permanent membership.
    let ours: HashSet<String> = ledger
        .unwrap_or_default()
        .into_iter()
        .filter(|given| given.login == file.login)
        .map(|given| given.group)
        .collect();
    for group in &file.groups {
        if proof.kept_for_others.contains(group) {
            continue;
        }
        let gid = match groups::gid_of(group) {
            Ok(Some(gid)) => gid,
            Ok(None) => continue,
            Err(e) => {
                proof.doubt("name service", &e);
                continue;
            }
        };
        match groups::is_member(&file.login, group) {
            // A permanent membership is not ours, nor is what runs with it.
            Ok(true) if !ours.contains(group) => {}
            Ok(_) if *group == tag => drop(tags.insert(gid)),
            Ok(_) => drop(sought.groups.insert(gid, group)),
            Err(e) => proof.doubt("name service", &e),
        }
    }
    proof.carry_tag = pids(&holders(file.uid, &tags));
    if sought.groups.is_empty() {
        return;
    }
    if file.on_end == OnEnd::Report {
        proof.left.extend(pids(&sought.holders()));
    } else {
        end(&sought, proof).await;
    }
    let gids = sought.gids();
    let given_since = sought.groups.iter().filter(|(gid, _)| !gids.contains(gid));
    let given_since = given_since.map(|(_, group)| (*group).clone());
    proof.kept_for_others.extend(given_since);
    // After the processes: who still held the group could set the bit again. Also for a group that another grant gives by now,
    // which takes no file for its own that is older than it is.
    let search = Search {
        uid: file.uid,
        gids: sought.groups.keys().copied().collect(),
        since_s,
        strip: file.on_end == OnEnd::Kill,
        home: groups::home_of(file.uid),
    };
    let found = setgid::search(search).await;
    proof.setgid_stripped = found.stripped.into_iter().collect();
    proof.setgid_left = found.left.into_iter().collect();
    proof.setgid_unseen = found.unseen.into_iter().collect();
}

/// Whose processes are looked for, and by which groups.
struct Sought<'a> {
    jti: &'a str,
    uid: u32,
    login: &'a str,
    /// By gid.
    groups: HashMap<u32, &'a String>,
}

impl Sought<'_> {
    /// Those groups that no other grant gives by now: the user may have begun one since, and what runs by that is not ours
    /// to end. His next grant takes what an earlier one left when it ends itself.
    fn gids(&self) -> HashSet<u32> {
        let needed = memberships::needed(self.jti);
        let given = |group: &str| needed.contains(&(self.login.to_owned(), group.to_owned()));
        let free = self.groups.iter().filter(|(_, group)| !given(group));
        free.map(|(gid, _)| *gid).collect()
    }

    /// Processes of this user with one of these groups, also those that ended while they were looked at.
    fn holders(&self) -> Vec<processes::Glimpse> {
        let all: HashSet<u32> = self.groups.keys().copied().collect();
        let seen = holders(self.uid, &all);
        if seen.is_empty() {
            return seen;
        }
        let gids = self.gids();
        match gids == all {
            true => seen,
            false => holders(self.uid, &gids),
        }
    }

    /// Those of them that can still be held. A grant is on disk before it gives a group: asked after a process was
    /// opened, the answer counts for it.
    fn held(&self, seen: &[processes::Glimpse]) -> Vec<processes::Held> {
        let held: Vec<processes::Held> = seen
            .iter()
            .filter_map(|p| processes::Held::open(p.pid).ok())
            .collect();
        let gids = self.gids();
        let is_his =
            |p: &processes::Held| is_his(self.uid, &gids, p.facts.pid, p.facts.uid, &p.facts.gids);
        held.into_iter().filter(is_his).collect()
    }
}

/// End the processes that hold one of these groups.
async fn end(sought: &Sought<'_>, proof: &mut Proof) {
    if none_for_sure(sought).await {
        return;
    }
    tokio::time::sleep(HEAR).await;
    let found = sought.held(&sought.holders());
    proof
        .ended_outside
        .extend(found.iter().map(|p| p.facts.pid));
    found.iter().for_each(processes::Held::terminate);
    let start = tokio::time::Instant::now();
    while found.iter().any(processes::Held::alive) && start.elapsed() < GRACE {
        tokio::time::sleep(STEP).await;
    }
    kill_all(sought, proof).await;
    proof.ended_outside.sort_unstable();
    proof.ended_outside.dedup();
}

/// Kill until look after look finds none. Frozen, nothing forks faster than it is found: the user's sessions, and every
/// other cgroup in which a holder was seen (a job of `at`, of cron), stand still meanwhile. Never what we run in ourselves,
/// as when a package is removed from a session of his: nobody would thaw it.
async fn kill_all(sought: &Sought<'_>, proof: &mut Proof) {
    let root = Path::new(paths::CGROUP_ROOT);
    let own = processes::read(std::process::id()).map(|p| p.cgroup);
    let freeze = |dir: PathBuf| match &own {
        Ok(own) if !is_in(own, &dir) => Some(Frozen::freeze(dir)),
        _ => None,
    };
    let sessions = root.join(format!("user.slice/user-{}.slice", sought.uid));
    let mut frozen = HashMap::from([(sessions.clone(), freeze(sessions))]);
    for _ in 0..ROUNDS {
        let found = sought.holders();
        if found.is_empty() && none_for_sure(sought).await {
            return;
        }
        for seen in &found {
            let cgroup = seen.cgroup.as_deref().unwrap_or_default();
            let cgroup = cgroup.trim_start_matches('/');
            if !cgroup.is_empty() && !cgroup.contains("..") {
                let dir = root.join(cgroup);
                frozen.entry(dir.clone()).or_insert_with(|| freeze(dir));
            }
        }
        let held = sought.held(&found);
        proof.ended_outside.extend(held.iter().map(|p| p.facts.pid));
        held.iter().for_each(processes::Held::kill);
        tokio::time::sleep(STEP).await;
    }
    drop(frozen);
    proof.left.extend(pids(&sought.holders()));
    if !none_for_sure(sought).await {
        proof.doubt(
            "groups",
            &"processes come and go faster than they can be ended",
        );
    }
}

/// One look over /proc can miss what forks and exits while it is made; many in a row do not.
async fn none_for_sure(sought: &Sought<'_>) -> bool {
    for _ in 0..LOOKS {
        if !sought.holders().is_empty() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

/// Processes of this user with one of these gids, also those that ended while they were looked at.
fn holders(uid: u32, gids: &HashSet<u32>) -> Vec<processes::Glimpse> {
    if gids.is_empty() {
        return Vec::new();
    }
    processes::glimpses(|pid, of, has| is_his(uid, gids, pid, of, has))
}

/// By real uid, or by the login uid that processes cannot change.
fn is_his(uid: u32, gids: &HashSet<u32>, pid: u32, of: u32, has: &[u32]) -> bool {
    has.iter().any(|g| gids.contains(g))
        && (of == uid || (of != 0 && processes::login_uid(pid) == Some(uid)))
}

fn pids(list: &[processes::Glimpse]) -> Vec<u32> {
    list.iter().map(|p| p.pid).collect()
}

/// Is the cgroup `own`, as `/proc` names it, the directory `dir` or below it?
fn is_in(own: &str, dir: &Path) -> bool {
    let own = Path::new(paths::CGROUP_ROOT).join(own.trim_start_matches('/'));
    own.starts_with(dir)
}

/// A cgroup whose processes stand still until this is dropped. One that cannot be frozen runs on.
pub struct Frozen(PathBuf);

impl Frozen {
    pub fn freeze(cgroup: PathBuf) -> Self {
        // cgroup v2: killing a frozen process works. The kernel says when all of it stands still; a process deep in the
        // kernel may take longer, and is not waited for.
        if std::fs::write(cgroup.join("cgroup.freeze"), "1").is_ok() {
            for _ in 0..FREEZE_LOOKS {
                let events = std::fs::read_to_string(cgroup.join("cgroup.events"));
                if events.is_ok_and(|t| t.lines().any(|l| l == "frozen 1")) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Self(cgroup)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.freeze"), "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_run_in_is_known() {
        let dir = |name: &str| Path::new(paths::CGROUP_ROOT).join(name);
        let own = "/user.slice/user-1001.slice/session-3.scope";
        assert!(is_in(own, &dir("user.slice/user-1001.slice")));
        assert!(is_in(
            own,
            &dir("user.slice/user-1001.slice/session-3.scope")
        ));
        assert!(!is_in(own, &dir("user.slice/user-100.slice")));
        assert!(!is_in(own, &dir("system.slice/atd.service")));
        assert!(!is_in(
            "/system.slice/jit-agent.service",
            &dir("user.slice/user-1001.slice")
        ));
    }
}
