//! What came from a grant and is no longer in its unit: descendants that were moved away (`su -` makes pam_systemd open a
//! session scope), and everything else in such a scope.

use crate::effects::processes::{self, Held, Process};
use crate::paths;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Processes outside the unit, held; looked for anew until no more turn up.
pub struct Outside {
    held: Vec<Held>,
    scopes: HashSet<String>,
}

impl Outside {
    /// Find them by ancestry, while the ancestors still live.
    pub fn find(cgroup: &Path) -> Self {
        let inside: HashSet<u32> = processes::in_cgroup(cgroup).into_iter().collect();
        let mut found = Self {
            held: Vec::new(),
            scopes: HashSet::new(),
        };
        if !inside.is_empty() {
            found.add(&inside, &inside);
        }
        found
    }

    /// Look again: children of what was found, and whatever else is in the scopes by now.
    pub fn look_again(&mut self, cgroup: &Path) {
        if self.held.is_empty() {
            return;
        }
        let inside: HashSet<u32> = processes::in_cgroup(cgroup).into_iter().collect();
        let known: HashSet<u32> = self.held.iter().map(|p| p.facts.pid).collect();
        self.add(&known, &inside);
    }

    fn add(&mut self, roots: &HashSet<u32>, inside: &HashSet<u32>) {
        let Ok(all) = processes::snapshot() else {
            return;
        };
        let mut pids = processes::descendants(&all, roots);
        let mut leaders: HashSet<u32> = pids.clone();
        leaders.extend(roots);
        for p in all.iter().filter(|p| pids.contains(&p.pid)) {
            if is_session_of(&p.cgroup, &leaders) {
                self.scopes.insert(p.cgroup.clone());
            }
        }
        let in_scope = |p: &&Process| self.scopes.contains(&p.cgroup);
        pids.extend(all.iter().filter(in_scope).map(|p| p.pid));
        let known: HashSet<u32> = self.held.iter().map(|p| p.facts.pid).collect();
        pids.retain(|p| !inside.contains(p) && !known.contains(p) && *p != std::process::id());
        self.held
            .extend(pids.into_iter().filter_map(|p| Held::open(p).ok()));
    }

    /// Ask all of them to end.
    pub fn terminate(&self) {
        self.held.iter().for_each(Held::terminate);
    }

    /// End all of them, the scopes as a whole.
    pub fn kill(&self) {
        for scope in &self.scopes {
            let dir: PathBuf = Path::new(paths::CGROUP_ROOT).join(scope.trim_start_matches('/'));
            // cgroup v2, kernel 5.14: also what is being forked right now.
            let _ = std::fs::write(dir.join("cgroup.kill"), "1");
        }
        self.held.iter().for_each(Held::kill);
    }

    /// Have all of them ended?
    pub fn gone(&self) -> bool {
        self.held.iter().all(|p| !p.alive())
    }

    /// Numbers of the ended, and of those that would not.
    pub fn result(&self) -> (Vec<u32>, Vec<u32>) {
        let (left, ended): (Vec<&Held>, Vec<&Held>) = self.held.iter().partition(|p| p.alive());
        let pids = |list: Vec<&Held>| list.iter().map(|p| p.facts.pid).collect();
        (pids(ended), pids(left))
    }
}

/// Is this cgroup a login session whose leader is one of `pids`? Someone's own session, into which root could have
/// moved a process, is not.
fn is_session_of(cgroup: &str, pids: &HashSet<u32>) -> bool {
    let id = cgroup
        .rsplit('/')
        .next()
        .and_then(|n| n.strip_prefix("session-"))
        .and_then(|n| n.strip_suffix(".scope"));
    let Some(id) = id.filter(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_alphanumeric()))
    else {
        return false;
    };
    let text = std::fs::read_to_string(Path::new("/run/systemd/sessions").join(id));
    text.unwrap_or_default()
        .lines()
        .find_map(|l| l.strip_prefix("LEADER="))
        .and_then(|l| l.trim().parse().ok())
        .is_some_and(|leader: u32| pids.contains(&leader))
}
