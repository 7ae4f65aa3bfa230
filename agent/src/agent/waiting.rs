//! Grants whose start lies ahead. After a start of the agent they are looked at behind its back: thousands of signatures
//! keep nobody waiting who has a grant in force. What is not looked at yet, or no longer believed, never starts: each is
//! verified anew when its time has come.

use super::stored::Whole;
use super::{Agent, Core, Stored, accept, people};
use crate::clock;
use crate::deadline::Deadline;
use crate::store::grants::{self, Cause, Phase};
use crate::store::state::State;
use crate::supervise;
use statement::claims::Revocation;
use statement::verify::HostIdentity;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the wait for the next start may overlook a suspend or a set clock.
const STEP: Duration = Duration::from_secs(5);
/// Between two questions to a name service that could not say.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Grants that were looked at and are still to be put by.
const AHEAD: usize = 64;

impl Core {
    /// A grant that was put by, with all that it says.
    ///
    /// # Errors
    /// It is not believed any more.
    pub(super) fn again(&self, stored: &Stored) -> Result<Stored, String> {
        let enrolled = self.enrolled.as_ref().ok_or("this host is not enrolled")?;
        Stored::again(&stored.file, enrolled)
    }

    /// Is it a grant for one use (`once`)?
    pub(super) fn is_for_one_use(&self, jti: &str) -> bool {
        let Some(stored) = self.grants.get(jti) else {
            return false;
        };
        match stored.whole() {
            Some(whole) => whole.is_for_one_use(),
            // What is not believed does not start either.
            None => self
                .again(stored)
                .is_ok_and(|s| s.whole().is_some_and(Whole::is_for_one_use)),
        }
    }

    /// Learn what an unread grant says, as far as it is believed: for the record of its end.
    pub(super) fn look_at(&mut self, jti: &str) {
        let unread = self.grants.get(jti).filter(|s| s.is_unread());
        if let Some(Ok(mut read)) = unread.map(|s| self.again(s)) {
            read.put_by();
            self.grants.insert(jti.to_owned(), read);
        }
    }

    fn speaks_against(&self, stored: &Stored) -> Option<Cause> {
        let Some(enrolled) = &self.enrolled else {
            return Some(Cause::NotArmed);
        };
        let unheard = self.unheard.iter().flatten();
        speaks_against(stored, &enrolled.me, &self.state, unheard)
    }
}

/// Why this verified grant may not stay. `unheard`: revocations that came while nobody had looked at it, also those that
/// the state has forgotten since.
pub(super) fn speaks_against<'a>(
    stored: &Stored,
    me: &HostIdentity,
    state: &'a State,
    unheard: impl Iterator<Item = &'a Revocation>,
) -> Option<Cause> {
    let mut revoked = state.revoked.iter().chain(unheard);
    if revoked.any(|r| stored.revoked_by(r, me)) {
        return Some(Cause::Revoked);
    }
    let epoch = stored.epoch();
    let stands = epoch.is_some_and(|epoch| state.stands(epoch, &stored.file.jti));
    (!stands).then_some(Cause::Untrusted)
}

impl Agent {
    /// Look at every grant that nobody has looked at since the start, one after the other on another processor.
    pub async fn look_at_waiting(self: Rc<Self>) {
        let unread: Vec<String> = {
            let core = self.core.borrow();
            let unread = core.grants.values().filter(|s| s.is_unread());
            unread.map(|s| s.file.jti.clone()).collect()
        };
        let enrolled = self.core.borrow().enrolled.clone();
        let (tx, mut looked) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            for id in unread {
                let stored = supervise::load_one(&id, enrolled.as_ref()).map(|mut stored| {
                    stored.put_by();
                    stored
                });
                if tx.blocking_send((id, stored)).is_err() {
                    return;
                }
            }
        });
        while let Some((id, stored)) = looked.recv().await {
            // Its start or its end has come meanwhile.
            let still = self
                .core
                .borrow()
                .grants
                .get(&id)
                .is_some_and(|s| s.is_unread() && s.file.phase == Phase::Waiting);
            if still {
                self.put_by(&id, stored);
            }
        }
        let mut core = self.core.borrow_mut();
        let waits = |s: &Stored| s.is_unread() && s.file.phase == Phase::Waiting;
        if !core.grants.values().any(waits) {
            core.unheard = None;
        }
    }

    fn put_by(self: &Rc<Self>, id: &str, stored: Result<Stored, String>) {
        let against = match &stored {
            Ok(stored) => self.core.borrow().speaks_against(stored),
            Err(why) => {
                self.not_believed(id, why);
                return;
            }
        };
        if let Ok(mut stored) = stored {
            let mut core = self.core.borrow_mut();
            // The journal may know of a use that the file does not.
            stored.file.used |= core.grants.get(id).is_some_and(|s| s.file.used);
            core.grants.insert(id.to_owned(), stored);
        }
        if let Some(cause) = against {
            self.finish(id, cause);
        }
    }

    fn not_believed(self: &Rc<Self>, id: &str, why: &str) {
        self.alert(&format!(
            "stored grant {id} is not believed and is taken away: {why}"
        ));
        self.finish(id, Cause::NotArmed);
    }

    /// Put a grant by until its start, unless that has come.
    pub(super) fn start_later(self: &Rc<Self>, jti: &str) {
        let mut core = self.core.borrow_mut();
        let mark = core.state.mark;
        if let Some(stored) = core.grants.get_mut(jti) {
            let due = clock::now().is_ok_and(|now| mark.until(stored.file.from_s, now).is_zero());
            if due && stored.whole().is_some() {
                drop(core);
                return self.spawn_start(jti);
            }
            stored.put_by();
        }
        self.to_start.notify_one();
    }

    /// Start each grant when its time has come.
    pub async fn start_waiting(self: Rc<Self>) {
        loop {
            let (due, wait) = self.due();
            for id in due {
                self.wake(&id);
                tokio::task::yield_now().await;
            }
            let _ = tokio::time::timeout(wait, self.to_start.notified()).await;
        }
    }

    /// Grants whose time has come, and how long it is until the next one's.
    fn due(&self) -> (Vec<String>, Duration) {
        let (mut due, mut wait) = (Vec::new(), STEP);
        let Ok(now) = clock::now() else {
            return (due, wait);
        };
        let core = self.core.borrow();
        for stored in core.grants.values() {
            // A whole one is being started.
            if stored.file.phase != Phase::Waiting || stored.whole().is_some() {
                continue;
            }
            let left = core.state.mark.until(stored.file.from_s, now);
            if left.is_zero() {
                due.push(stored.file.jti.clone());
            } else {
                wait = wait.min(left);
            }
        }
        (due, wait)
    }

    /// Verify a grant that was put by, and start it.
    fn wake(self: &Rc<Self>, id: &str) {
        let again = {
            let core = self.core.borrow();
            let Some(stored) = core.grants.get(id) else {
                return;
            };
            core.again(stored)
                .map(|whole| (core.speaks_against(&whole), whole))
        };
        match again {
            Ok((None, whole)) => {
                self.core.borrow_mut().grants.insert(id.to_owned(), whole);
                self.spawn_start(id);
            }
            Ok((Some(cause), _)) => self.finish(id, cause),
            Err(why) => self.not_believed(id, &why),
        }
    }

    fn spawn_start(self: &Rc<Self>, id: &str) {
        let (agent, id) = (self.clone(), id.to_owned());
        tokio::task::spawn_local(async move { agent.start(&id).await });
    }

    async fn start(self: &Rc<Self>, jti: &str) {
        // Before it is written that it begins: what has no turn before a stop is started by the next agent.
        let _turn = loop {
            let turn = self.starts.acquire().await;
            match self.may_start(jti).await {
                Some(true) => break turn,
                Some(false) => return,
                None => {
                    // Others go first.
                    drop(turn);
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        };
        if self.stopping.get() {
            return;
        }
        let ready = {
            let mut core = self.core.borrow_mut();
            let time = clock::now().map(|n| (core.state.mark.time(n), n));
            match (core.grants.get_mut(jti), time) {
                (Some(Stored { file, .. }), Ok((time_s, now))) if file.phase == Phase::Waiting => {
                    file.phase = Phase::Arming;
                    file.boot_id.clone_from(&self.boot_id);
                    file.until_boot_ns = Deadline::from_now(file.until_s, time_s, now).boot_ns;
                    Some(file.clone())
                }
                _ => None,
            }
        };
        if let Some(file) = ready {
            match grants::write(&file) {
                // Room for it is taken when it begins, not while thousands wait for their start.
                Ok(()) => Box::pin(self.activate_now(jti)).await,
                Err(e) => {
                    self.alert(&e.to_string());
                    self.finish(jti, Cause::NotArmed);
                }
            }
        }
    }

    /// Much may have changed since a grant was taken: its user must be eligible and the host must still allow it. Ends
    /// what may not start. `None` when the name service cannot say.
    async fn may_start(self: &Rc<Self>, jti: &str) -> Option<bool> {
        let (login, uid) = {
            let core = self.core.borrow();
            let Some((stored, whole)) = core.grants.get(jti).and_then(|s| Some((s, s.whole()?)))
            else {
                return Some(false);
            };
            let over = clock::now().is_ok_and(|n| stored.deadline().passed(&core.state, n));
            let allowed = self.ceiling();
            let time_s = clock::now().map_or(u64::MAX, |n| core.state.mark.time(n));
            let allowed = allowed.and_then(|c| accept::within(&whole.grant, &c, time_s));
            let (login, uid) = (stored.file.login.clone(), stored.file.uid);
            drop(core);
            if over {
                self.finish(jti, Cause::Deadline);
                return Some(false);
            }
            if let Err(why) = allowed {
                self.alert(&format!("grant {jti} is not started: {why}"));
                self.finish(jti, Cause::NotArmed);
                return Some(false);
            }
            (login, uid)
        };
        let eligible = people::eligible(&login, uid).await.ok();
        if eligible == Some(false) {
            self.finish(jti, Cause::NotEligible);
        }
        eligible
    }
}
