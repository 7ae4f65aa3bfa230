//! `sudo su -` makes pam_systemd open a session scope outside the grant's unit. This watches logind and moves such
//! sessions back; `jit-end` finds them too, without us.

use crate::agent::Agent;
use crate::callers::grant_of;
use crate::effects::processes;
use crate::paths;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use zbus::{Connection, ObjectPath, OwnedObjectPath, proxy};

const RECONNECT: Duration = Duration::from_secs(5);
/// How long systemd may take to put a leader into its scope.
const SCOPE_PATIENCE: Duration = Duration::from_secs(3);
const SCOPE_STEP: Duration = Duration::from_millis(20);
/// Rounds of moving: each catches what was forked during the one before.
const ROUNDS: usize = 32;

#[proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Logins {
    #[zbus(signal)]
    fn session_new(&self, session_id: &str, object_path: ObjectPath<'_>) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.login1.Session",
    default_service = "org.freedesktop.login1"
)]
trait Session {
    #[zbus(property(emits_changed_signal = "const"))]
    fn leader(&self) -> zbus::Result<u32>;
}

/// Watch for ever. A lost bus is connected to again.
pub async fn watch(agent: Rc<Agent>) {
    loop {
        // The end of a watch and its failure are handled alike: what escapes meanwhile is found by `jit-end`.
        let _ = watch_once(&agent).await;
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn watch_once(agent: &Rc<Agent>) -> zbus::Result<()> {
    use futures_util::StreamExt;
    let bus = Connection::system().await?;
    let logins = LoginsProxy::new(&bus).await?;
    let mut sessions = logins.receive_session_new().await?;
    while let Some(signal) = sessions.next().await {
        let args = signal.args()?;
        let path: OwnedObjectPath = args.object_path.to_owned().into();
        let session = SessionProxy::builder(&bus).path(path).build().await?;
        // A session that is gone again has nothing to move.
        if let Ok(leader) = session.leader().await {
            let agent = agent.clone();
            let id = args.session_id.to_owned();
            tokio::task::spawn_local(async move { follow(&agent, &id, leader).await });
        }
    }
    Ok(())
}

/// logind tells of a session before systemd has moved its leader into the scope, and answers pam_systemd only after that:
/// wait for both, then bring back. A scope emptied earlier would be gone before the answer, and `su` would wait for
/// it in vain.
async fn follow(agent: &Rc<Agent>, id: &str, leader: u32) {
    let until = tokio::time::Instant::now() + SCOPE_PATIENCE;
    while let Ok(process) = processes::read(leader) {
        let Some(grant) = grant_of(&process) else {
            return;
        };
        if let Some(scope) = session_scope(&process.cgroup).filter(|_| is_open(id)) {
            bring_back(agent, &grant, &scope);
            return;
        }
        if tokio::time::Instant::now() >= until {
            return;
        }
        tokio::time::sleep(SCOPE_STEP).await;
    }
}

/// Has logind answered the caller? It saves the name of the session's FIFO just before (v252 to v257).
fn is_open(id: &str) -> bool {
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let text = std::fs::read_to_string(Path::new("/run/systemd/sessions").join(id));
    plain && text.is_ok_and(|t| t.lines().any(|l| l.starts_with("FIFO=")))
}

/// The directory of a session's scope, if the cgroup path is in one.
fn session_scope(cgroup: &str) -> Option<PathBuf> {
    let path = cgroup.strip_prefix('/')?;
    let scope = path
        .split('/')
        .position(|part| part.starts_with("session-") && part.ends_with(".scope"))?;
    let parts: Vec<&str> = path.split('/').take(scope + 1).collect();
    Some(Path::new(paths::CGROUP_ROOT).join(parts.join("/")))
}

/// Move everything in the scope into the grant's unit.
fn bring_back(agent: &Rc<Agent>, grant: &str, from: &Path) {
    let to = paths::cgroup(grant);
    let mut moved = Vec::new();
    for _ in 0..ROUNDS {
        let pids = processes::in_cgroup(from);
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            if processes::move_into(pid, &to).is_ok() {
                moved.push(pid);
            }
        }
    }
    moved.sort_unstable();
    moved.dedup();
    if !moved.is_empty() {
        let record = agent.note(journal::kind::ESCAPE).grant(grant);
        agent.log.later(record.detail("moved_back", moved));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_scope_is_emptied() {
        let got = session_scope("/user.slice/user-0.slice/session-c1.scope");
        assert_eq!(
            got,
            Some(PathBuf::from(
                "/sys/fs/cgroup/user.slice/user-0.slice/session-c1.scope"
            ))
        );
        assert_eq!(
            session_scope("/user.slice/user-0.slice/session-c1.scope/sub"),
            got
        );
        assert_eq!(session_scope("/system.slice/cron.service"), None);
        assert_eq!(session_scope("/"), None);
    }
}
