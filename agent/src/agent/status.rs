//! What `jitctl status` shows, and the other answers that change nothing but what is the caller's own.

use super::elevate::error;
use super::stored::Whole;
use super::{Agent, Stored};
use crate::clock::{self, Now};
use crate::decide::door_name;
use crate::store::grants::{Cause, Phase};
use crate::store::state::State;
use statement::detail::AllOr;
use std::rc::Rc;
use wire::cli::{Code, Error, Grant, Health, Level, Part, Pending, Reply, Status};

/// A heartbeat comes every 15 s; one missing is a note.
pub(super) const LATE_S: u64 = 40;

/// A grant for people.
pub(super) fn show(stored: &Stored, whole: &Whole, state: &State, now: Now) -> Grant {
    let claims = whole.grant.claims();
    let details = &claims.authorization_details;
    let all_or = |list: &AllOr<String>| match list {
        AllOr::All(_) => vec!["ALL".to_owned()],
        AllOr::List(l) => l.clone(),
    };
    let mut doors: Vec<String> = details
        .iter()
        .flat_map(|d| &d.doors)
        .map(|d| door_name(*d).to_owned())
        .collect();
    doors.sort();
    doors.dedup();
    Grant {
        id: claims.jti.clone(),
        request: stored.file.request.clone(),
        login: stored.file.login.clone(),
        uid: stored.file.uid,
        role: claims.role.clone(),
        doors,
        groups: stored.file.groups.clone(),
        commands: details.iter().flat_map(|d| commands(&d.commands)).collect(),
        runas: details.iter().flat_map(|d| all_or(&d.runas)).collect(),
        seconds_left: match stored.file.phase {
            // Before it starts, its whole life.
            Phase::Waiting => stored.file.until_s.saturating_sub(stored.file.from_s),
            _ => stored.deadline().left_s(state, now),
        }
        .max(1),
        ends_at: stored.deadline().wall_s,
        reason: claims.reason.clone(),
        ticket: claims.ticket.clone(),
    }
}

/// One readable line for each command.
pub(super) fn commands(list: &AllOr<statement::detail::Command>) -> Vec<String> {
    match list {
        AllOr::All(_) => vec!["ALL".to_owned()],
        AllOr::List(l) => l
            .iter()
            .map(|c| {
                std::iter::once(c.path.as_str())
                    .chain(c.args.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect(),
    }
}

impl Agent {
    /// # Errors
    /// When the clock or the name service cannot say who and when.
    pub async fn status(&self, uid: u32, all: bool) -> Result<Reply, Error> {
        let login = match super::people::login_of(uid).await {
            Ok(login) => login,
            // Root's own status works with a broken name service.
            Err(_) if uid == 0 => "root".to_owned(),
            Err(e) => return Err(e),
        };
        let eligible = uid != 0 && super::people::eligible(&login, uid).await.unwrap_or(false);
        let now = clock::now().map_err(|e| error(Code::Internal, e.to_string(), None))?;
        let core = self.core.borrow();
        let grants = core
            .grants
            .values()
            .filter(|s| all || s.file.uid == uid)
            .filter(|s| s.file.phase == Phase::Active && !s.deadline().passed(&core.state, now))
            .filter_map(|s| Some(show(s, s.whole()?, &core.state, now)))
            .collect();
        let waiting = core
            .grants
            .values()
            .filter(|s| {
                matches!(s.file.phase, Phase::Waiting | Phase::Arming) && (all || s.file.uid == uid)
            })
            .map(|s| Pending {
                id: s.file.request.clone(),
                login: s.file.login.clone(),
                role: s.file.role.clone(),
                waiting_for: if s.file.phase == Phase::Waiting {
                    let left = s.file.from_s.saturating_sub(core.state.mark.time(now));
                    format!("its start in {}", super::say::duration(left.max(1)))
                } else {
                    "this host".into()
                },
                age_s: s
                    .made_s()
                    .map_or(0, |made_s| now.wall_s().saturating_sub(made_s)),
            });
        let pending = core
            .pending
            .values()
            .filter(|p| all || p.uid == uid)
            .map(|p| Pending {
                id: p.id.clone(),
                login: p.login.clone(),
                role: p.role.clone(),
                waiting_for: p.waiting_for.clone(),
                age_s: now.wall_s().saturating_sub(p.created_s),
            })
            .chain(waiting)
            .collect();
        Ok(Reply::Status(Status {
            login,
            uid,
            eligible,
            grants,
            pending,
            health: self.health(&core, now),
        }))
    }

    /// What is this user's own, as far as a change of it is worth a word: grants with their ends, and what waits.
    #[must_use]
    pub fn seen(&self, uid: u32) -> Vec<String> {
        let core = self.core.borrow();
        let grants = core.grants.of(uid);
        let grants = grants.map(|s| {
            let (file, until_s) = (&s.file, s.deadline().wall_s);
            format!("{} {:?} {until_s}", file.jti, file.phase)
        });
        let waiting = core.pending.values().filter(|p| p.uid == uid);
        let waiting = waiting.map(|p| format!("{} {}", p.id, p.waiting_for));
        grants.chain(waiting).collect()
    }

    fn health(&self, core: &super::Core, now: Now) -> Health {
        let part = |level, note: Option<&str>| Part {
            level,
            note: note.map(str::to_owned),
        };
        let ok = || part(Level::Ok, None);
        let agent = match (self.ceiling(), &core.enrolled) {
            (Err(why), _) => part(Level::Down, Some(&why)),
            (Ok(_), Some(_)) => ok(),
            (Ok(_), None) => part(
                Level::Degraded,
                Some("this host is not enrolled with an issuer"),
            ),
        };
        let behind = self.receivers_note();
        let link = match core.link.tx {
            Some(_) if behind.is_some() => part(Level::Degraded, behind.as_deref()),
            Some(_) => ok(),
            None => part(Level::Down, Some("jit-link is not connected")),
        };
        let issuer = match (core.link.connected, core.state.age_s(now)) {
            (true, Some(age)) if age <= LATE_S => ok(),
            (true, _) => part(Level::Degraded, Some("no heartbeat yet, or it is late")),
            (false, _) => part(
                Level::Down,
                Some(
                    core.link
                        .note
                        .as_deref()
                        .unwrap_or("the issuer's stream is not open"),
                ),
            ),
        };
        let drift = core.state.mark.time(now).saturating_sub(now.wall_s());
        let clock = if drift > 120 {
            part(
                Level::Degraded,
                Some("the wall clock is behind the time known to have passed"),
            )
        } else {
            ok()
        };
        let log = match (self.log.trouble(), self.witness_note()) {
            (Some(why), _) => part(Level::Down, Some(&why)),
            (None, Some(why)) => part(Level::Degraded, Some(&why)),
            (None, None) => ok(),
        };
        Health {
            agent,
            link,
            issuer,
            clock,
            log,
        }
    }

    /// Give back one grant, or all of one's own; or take back a request that has none yet.
    ///
    /// # Errors
    /// Nothing live, or another's.
    pub async fn give_back(self: &Rc<Self>, uid: u32, id: Option<&str>) -> Result<Reply, Error> {
        let (cause, id) = match id {
            None => (Cause::Dropped, None),
            Some(id) => {
                if let Some(withdrawn) = self.withdraw(uid, id) {
                    return withdrawn;
                }
                let owner = {
                    let core = self.core.borrow();
                    core.grants
                        .values()
                        .find(|s| s.is_called(id) || s.was_asked_as(id))
                        .filter(|s| s.file.phase != Phase::Ending)
                        .map(|s| (s.file.uid, s.file.jti.clone()))
                };
                match owner {
                    None => {
                        return Err(error(
                            Code::NoGrant,
                            format!("there is no live grant {id}"),
                            None,
                        ));
                    }
                    Some((owner, jti)) if owner == uid => (Cause::Dropped, Some(jti)),
                    Some((_, jti)) if uid == 0 => (Cause::DroppedByRoot, Some(jti)),
                    Some(_) => {
                        return Err(error(
                            Code::NotYours,
                            format!("grant {id} is not yours"),
                            None,
                        ));
                    }
                }
            }
        };
        let ended = self.finish_all(cause, |file| match &id {
            Some(id) => file.jti == *id,
            None => file.uid == uid,
        });
        if ended.is_empty() {
            return Err(error(Code::NoGrant, "you have no live grant", None));
        }
        self.wait_gone(&ended).await;
        Ok(Reply::Dropped { grants: ended })
    }

    /// Until the kernel shows them gone, or for as long as processes that ignore TERM may take.
    async fn wait_gone(&self, ids: &[String]) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(4);
        let all_gone = || {
            let core = self.core.borrow();
            ids.iter()
                .all(|id| core.gone.contains(id) || !core.grants.contains_key(id))
        };
        // What takes longer is said by the proof.
        let enough = || self.stopping.get() || all_gone();
        self.changed_until(deadline, enough).await;
    }
}
