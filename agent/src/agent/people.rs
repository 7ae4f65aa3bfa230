//! Who asks: the name service's word at this call, and what the kernel says of the asking process.

use super::elevate::error;
use super::{Agent, Core};
use crate::callers::{self, Peer};
use crate::effects::{groups, processes};
use std::time::Duration;
use wire::cli::{Code, Error};

/// Open requests and live grants one uid may have.
const OPEN_PER_UID: usize = 32;
const NSS_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at whether somebody is still eligible.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Who may ask for grants: members of this group.
const GROUP: &str = wire::nss::ELIGIBLE_GROUP;

/// Is the login (still of this uid) in `jit-eligible` by the name service, now? A service that hangs is doubt.
pub async fn eligible(login: &str, uid: u32) -> Result<bool, String> {
    let login = login.to_owned();
    let ask = tokio::task::spawn_blocking(move || {
        let same = groups::uid_of(&login)? == Some(uid);
        let member = same && (groups::lists(GROUP, &login)? || groups::is_member(&login, GROUP)?);
        Ok::<_, groups::GroupError>(member)
    });
    match tokio::time::timeout(NSS_TIMEOUT, ask).await {
        Ok(Ok(answer)) => answer.map_err(|e| e.to_string()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("the name service does not answer".into()),
    }
}

/// Is he surely eligible no more? Asked twice: a single "no" may come from a name service that could not look.
pub(super) async fn lost(login: &str, uid: u32) -> bool {
    if eligible(login, uid).await != Ok(false) {
        return false;
    }
    tokio::time::sleep(ASK_AGAIN).await;
    eligible(login, uid).await == Ok(false)
}

/// The login of a uid by the name service.
pub(super) async fn login_of(uid: u32) -> Result<String, Error> {
    let ask = tokio::task::spawn_blocking(move || groups::login_of(uid));
    let doubt = |e: String| {
        error(
            Code::Internal,
            format!("the name service failed: {e}"),
            None,
        )
    };
    match tokio::time::timeout(NSS_TIMEOUT, ask).await {
        Ok(Ok(Ok(Some(login)))) => Ok(login),
        Ok(Ok(Ok(None))) => Err(error(
            Code::NotEligible,
            format!("uid {uid} has no login on this host"),
            None,
        )),
        Ok(Ok(Err(e))) => Err(doubt(e.to_string())),
        Ok(Err(e)) => Err(doubt(e.to_string())),
        Err(_) => Err(doubt("no answer".into())),
    }
}

/// With the audit system's login uid and session of a process.
pub(super) fn with_session(mut record: journal::Record, pid: u32) -> journal::Record {
    record.auid = processes::login_uid(pid);
    record.session = processes::audit_session(pid);
    record
}

impl Core {
    /// Has this user room for one more request or grant?
    ///
    /// # Errors
    /// What he is told.
    pub(super) fn has_room(&self, uid: u32) -> Result<(), Error> {
        let pending = self.pending.values().filter(|p| p.uid == uid).count();
        let grants = self.grants.of(uid).count();
        let open = pending + grants;
        if open >= OPEN_PER_UID {
            return Err(error(
                Code::Busy,
                format!("you have {open} requests and grants already"),
                Some("see: jitctl status; give back with: jitctl drop ID"),
            ));
        }
        Ok(())
    }
}

impl Agent {
    /// May this person ask, from where he asks?
    ///
    /// # Errors
    /// What he is told.
    pub(super) async fn check_person(&self, peer: &Peer, login: &str) -> Result<(), Error> {
        let ended = |_| error(Code::Internal, "the asking process has ended", None);
        let process = peer.process.read().map_err(ended)?;
        if let Some(id) = callers::grant_of(&process) {
            return Err(error(
                Code::Nested,
                format!("this was asked from inside grant {id}"),
                Some("ask from your own shell, not from one started by sudo"),
            ));
        }
        if let Some(auid) = processes::login_uid(process.pid)
            && auid != peer.uid
        {
            return Err(error(
                Code::Nested,
                format!("you logged in as uid {auid} and ask as uid {}", peer.uid),
                Some("log in as the account that shall be elevated"),
            ));
        }
        if !groups::is_plain_name(login) {
            return Err(error(
                Code::NotEligible,
                format!("the login {login:?} has characters no grant can name"),
                None,
            ));
        }
        match eligible(login, peer.uid).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(error(
                    Code::NotEligible,
                    format!("{login} is not in the group {GROUP} on this host"),
                    Some(&format!(
                        "an administrator can add you: usermod -aG {GROUP} {login}"
                    )),
                ));
            }
            Err(e) => {
                return Err(error(
                    Code::Internal,
                    format!("whether you are eligible cannot be told: {e}"),
                    None,
                ));
            }
        }
        self.core.borrow().has_room(peer.uid)
    }
}
