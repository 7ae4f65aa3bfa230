//! Taking memberships away, also those that a crash or a race left behind.

use super::{Proof, proof_path};
use crate::clock;
use crate::effects::groups::{self, Given};
use crate::paths;
use crate::store::grants::{self, GrantFile, Phase};
use nix::fcntl::{Flock, FlockArg};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// How long an ending waits for whoever gives or takes memberships: not for ever, as the marks alone nearly do.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(200);
const LOCK_STEP: Duration = Duration::from_millis(5);

/// Take every membership away that no live grant gives: this grant's, and any of ours that was left behind. Of two
/// grants that end together each has marked itself before it looks, so the second sees the first as gone.
///
/// Returns since when this grant's memberships were held, in Unix seconds: a grant before this one may have brought them.
pub async fn off(file: Option<&GrantFile>, proof: &mut Proof) -> u64 {
    let lock = lock(LOCK_PATIENCE).await;
    if let Err(e) = &lock {
        // The marks alone do: of two, the later to look sees the earlier one's.
        proof.note("lock", e);
    }
    let needed = needed(&proof.jti);
    if let Some(f) = file {
        let kept = |g: &&String| needed.contains(&(f.login.clone(), (*g).clone()));
        proof.kept_for_others = f.groups.iter().filter(kept).cloned().collect();
    }
    let mine: Vec<Given> = file
        .iter()
        .flat_map(|f| {
            let given = |g: &String| Given {
                login: f.login.clone(),
                group: g.clone(),
            };
            f.groups.iter().map(given)
        })
        .collect();
    let since = mine.iter().filter_map(groups::given_since);
    let since_s = since
        .chain(file.map(|f| f.from_s))
        .min()
        .unwrap_or_default();
    let ledger = groups::ledger();
    if let Err(e) = &ledger {
        proof.doubt("ledger of memberships", e);
    }
    let all: HashSet<Given> = mine.into_iter().chain(ledger.unwrap_or_default()).collect();
    proof.memberships_gone = true;
    for given in all {
        if needed.contains(&(given.login.clone(), given.group.clone())) {
            continue;
        }
        if let Err(e) = groups::remove(&given.login, &given.group) {
            proof.memberships_gone = false;
            proof.doubt("membership", &e);
        }
    }
    since_s
}

/// Login and group of everything that live grants give, this one left out.
pub fn needed(jti: &str) -> HashSet<(String, String)> {
    let Ok(now) = clock::now() else {
        return HashSet::new();
    };
    grants::list()
        .unwrap_or_default()
        .iter()
        .filter(|id| *id != jti && !is_ending(id))
        .filter_map(|id| grants::read(id).ok().flatten())
        .filter(|g| matches!(g.phase, Phase::Active | Phase::Arming))
        .filter(|g| now.wall_s() < g.until_s)
        .flat_map(|g| {
            let login = g.login;
            g.groups
                .into_iter()
                .map(move |group| (login.clone(), group))
        })
        .collect()
}

/// Say that this grant is ending, in memory's file system too: a full disk must not make two grants keep each other's
/// membership.
pub fn mark(jti: &str) -> std::io::Result<()> {
    crate::effects::files::private_dir(paths::ENDING_DIR.as_ref())?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(std::path::Path::new(paths::ENDING_DIR).join(jti))
        .map(drop)
}

/// Has an end of this grant begun, or left its proof?
#[must_use]
pub fn is_ending(jti: &str) -> bool {
    proof_path(jti).exists() || std::path::Path::new(paths::ENDING_DIR).join(jti).exists()
}

/// Nobody else gives or takes a membership while this is held: of two grants of the same group, one must not find a
/// membership that the other's ending is about to take. It lies where only root can open it: whoever can open a file can
/// hold its lock.
///
/// # Errors
/// Its file cannot be opened, or somebody holds it for longer than `patience`.
pub async fn lock(patience: Duration) -> Result<Flock<File>, String> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(paths::END_LOCK)
        .map_err(|e| e.to_string())?;
    let start = tokio::time::Instant::now();
    let mut file = file;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((f, nix::errno::Errno::EWOULDBLOCK)) if start.elapsed() < patience => {
                file = f;
                tokio::time::sleep(LOCK_STEP).await;
            }
            Err((_, e)) => return Err(e.to_string()),
        }
    }
}
