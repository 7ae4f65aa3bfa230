//! After a start, a crash or a reboot: every stored grant is either wholly in force or on its way out.
//!
//! After a reboot unit and timer come back at once. Memberships are a right given anew: they come when the user is
//! surely eligible and the view of revocations is fresh, at once or as soon as that is so.

use super::activate::join_groups;
use super::{Agent, people};
use crate::clock;
use crate::deadline::Deadline;
use crate::decide;
use crate::paths;
use crate::recall::Recalled;
use crate::store::grants::{self, Cause, GrantFile, Phase};
use crate::store::pending;
use journal::kind;
use std::path::Path;
use std::rc::Rc;

impl Agent {
    /// Put every stored grant in order. Called before anything is served.
    pub async fn reconcile(self: &Rc<Self>) {
        self.collect_proofs().await;
        let all: Vec<String> = self.core.borrow().grants.keys().cloned().collect();
        for jti in all {
            let file = {
                let core = self.core.borrow();
                let stored = core.grants.get(&jti);
                stored
                    .filter(|_| !core.ending.contains(&jti))
                    .map(|s| s.file.clone())
            };
            let Some(file) = file else { continue };
            let verdict = match self.verdict(&file).await {
                Verdict::Rearm => match self.rearm(&file).await {
                    Ok(()) => Verdict::Keep,
                    Err(why) => {
                        self.alert(&format!(
                            "grant {} could not be put in force again: {why}",
                            file.jti
                        ));
                        Verdict::End(Cause::NotArmed)
                    }
                },
                other => other,
            };
            match verdict {
                Verdict::End(cause) => {
                    self.close(&file.jti, cause);
                    self.make_gone(&file.jti);
                }
                Verdict::Keep | Verdict::Rearm if file.phase == Phase::Waiting => {}
                Verdict::Keep | Verdict::Rearm => {
                    self.core.borrow_mut().owed.insert(file.jti.clone());
                }
            }
        }
        self.clear_timers();
        self.log.settle().await;
    }

    /// Look after the starts and ends of what was kept. Only where the process stays: one that goes in the middle of a start
    /// leaves a grant half given, which the next one ends.
    pub fn schedule_kept(self: &Rc<Self>) {
        let all: Vec<String> = self.core.borrow().grants.keys().cloned().collect();
        for jti in all {
            self.schedule(&jti);
        }
    }

    /// Let the journal speak against stored files that were put back from a copy.
    pub async fn recall(self: &Rc<Self>) {
        let from = {
            let core = self.core.borrow();
            let grants = core.grants.values().map(|s| s.file.journal_from);
            let pending = core.pending.values().map(|p| p.journal_from);
            grants.chain(pending).min()
        };
        let Some(from) = from else { return };
        let recalled = tokio::task::spawn_blocking(move || {
            let mut recalled = Recalled::default();
            // Its faults are found and told when the journal is opened.
            for entry in journal::read_from(Path::new(paths::JOURNAL_DIR), from).flatten() {
                recalled.hear(&entry.json);
            }
            recalled
        });
        let Ok(recalled) = recalled.await else { return };
        for jti in &recalled.ended {
            if self.close(jti, Cause::EndedBefore) {
                self.make_gone(jti);
            }
        }
        let answered: Vec<String> = {
            let mut core = self.core.borrow_mut();
            for jti in &recalled.used {
                if core.is_for_one_use(jti)
                    && let Some(stored) = core.grants.get_mut(jti)
                {
                    stored.file.used = true;
                }
            }
            let put_back = |id: &&String| core.pending.contains_key(*id);
            recalled.answered.iter().filter(put_back).cloned().collect()
        };
        for id in answered {
            self.core.borrow_mut().pending.remove(&id);
            if let Err(e) = pending::remove(&id) {
                self.alert(&e.to_string());
            }
        }
    }

    async fn verdict(self: &Rc<Self>, file: &GrantFile) -> Verdict {
        let Ok(now) = clock::now() else {
            return Verdict::End(Cause::NotArmed);
        };
        let (time_s, revoked, stands, made_s) = {
            let core = self.core.borrow();
            let (Some(e), Some(s)) = (&core.enrolled, core.grants.get(&file.jti)) else {
                return Verdict::End(Cause::NotArmed);
            };
            let mut held = core.state.revoked.iter();
            let revoked = held.any(|r| s.revoked_by(r, &e.me));
            // What nobody has looked at is looked at before it starts.
            let stands = s
                .epoch()
                .is_none_or(|epoch| core.state.stands(epoch, &file.jti));
            let made_s = s.made_s().unwrap_or(0);
            (core.state.mark.time(now), revoked, stands, made_s)
        };
        let same_boot = file.boot_id == self.boot_id;
        if revoked {
            return Verdict::End(Cause::Revoked);
        }
        if !stands {
            return Verdict::End(Cause::Untrusted);
        }
        if time_s >= file.until_s || (same_boot && now.boot_ns >= file.until_boot_ns) {
            return Verdict::End(Cause::Deadline);
        }
        match file.phase {
            Phase::Waiting => Verdict::Keep,
            Phase::Arming | Phase::Ending => Verdict::End(Cause::NotArmed),
            // Made while the clock was ahead: its end lies nobody knows how far away.
            Phase::Active if !same_boot && super::accept::is_ahead(made_s, time_s) => {
                Verdict::End(Cause::NotArmed)
            }
            Phase::Active if people::lost(&file.login, file.uid).await => {
                Verdict::End(Cause::NotEligible)
            }
            Phase::Active if !same_boot => Verdict::Rearm,
            Phase::Active => match self.both_loaded(file).await {
                Ok(true) => Verdict::Keep,
                Ok(false) => Verdict::End(Cause::UnitStopped),
                Err(why) => {
                    self.alert(&why);
                    Verdict::End(Cause::NotArmed)
                }
            },
        }
    }

    /// Are unit and timer there?
    async fn both_loaded(self: &Rc<Self>, file: &GrantFile) -> Result<bool, String> {
        self.complete_extension(file).await?;
        let units = self.units().await?;
        let service = units
            .is_loaded(&paths::unit(&file.jti))
            .await
            .map_err(|e| e.to_string())?;
        let timer = units
            .is_loaded(&paths::timer(&file.jti, file.timers))
            .await
            .map_err(|e| e.to_string())?;
        // One whose first process has ended is being stopped.
        Ok(service && timer && self.watch_unit(&file.jti).await.is_ok())
    }

    /// After a reboot: the same end on the new boot's clock, its timer and its unit.
    async fn rearm(self: &Rc<Self>, file: &GrantFile) -> Result<(), String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let old = Deadline {
            wall_s: file.until_s,
            boot_ns: file.until_boot_ns,
        };
        let until = {
            let core = self.core.borrow();
            let time_s = core.state.mark.time(now);
            old.in_new_boot(&file.boot_id, core.state.seen.as_ref(), time_s, now)
        };
        let file = GrantFile {
            boot_id: self.boot_id.clone(),
            until_boot_ns: until.boot_ns,
            ..file.clone()
        };
        let record = self
            .record(kind::GRANT, now)
            .grant(file.jti.as_str())
            .role(file.role.as_str())
            .login(file.login.as_str())
            .uid(file.uid)
            .decision("allow")
            .detail("again", "after a reboot")
            .detail("ends", file.until_s);
        let receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        grants::write(&file).map_err(|e| e.to_string())?;
        if let Some(stored) = self.core.borrow_mut().grants.get_mut(&file.jti) {
            stored.file = file.clone();
        }
        self.start_units(&file, &receipt).await
    }

    /// Give the memberships that a reboot took, where nothing speaks against it any more.
    pub async fn give_owed(self: &Rc<Self>) {
        let owed: Vec<String> = self.core.borrow().owed.iter().cloned().collect();
        for jti in owed {
            let Some(file) = self.may_be_given(&jti) else {
                continue;
            };
            if people::eligible(&file.login, file.uid).await != Ok(true) {
                continue;
            }
            // Whoever ends it meanwhile leaves the taking away to us.
            if self.may_be_given(&jti).is_none()
                || !self.core.borrow_mut().arming.insert(jti.clone())
            {
                continue;
            }
            // A ceiling that cannot be read names no group.
            let ceiling = self.ceiling().unwrap_or_default();
            let joined = join_groups(&file, ceiling).await;
            let live = || {
                let core = self.core.borrow();
                let found = core.grants.get(&jti);
                found.is_some_and(|s| s.file.phase == Phase::Active)
            };
            let given = joined.is_ok() && live();
            let early = !given && self.outlast_end(&jti).await;
            {
                let mut core = self.core.borrow_mut();
                core.arming.remove(&jti);
                core.owed.remove(&jti);
            }
            // Whoever waits for the end of all starts.
            self.changed.notify_waiters();
            if let (Err(why), true) = (&joined, live()) {
                let cause = self.cause_now(&jti, Cause::NotArmed);
                if cause == Cause::NotArmed {
                    self.alert(&format!(
                        "grant {jti} could not be put in force again: {why}"
                    ));
                }
                self.close(&jti, cause);
            }
            if !given {
                self.make_gone_again(&jti, early);
            }
        }
    }

    /// An owed grant that is in force, with a fresh view of revocations.
    fn may_be_given(&self, jti: &str) -> Option<GrantFile> {
        let mut core = self.core.borrow_mut();
        let Some(phase) = core.grants.get(jti).map(|s| s.file.phase) else {
            core.owed.remove(jti);
            return None;
        };
        if phase != Phase::Active {
            core.owed.remove(jti);
            return None;
        }
        let stored = core.grants.get(jti)?;
        let max_stale_s = self.ceiling().ok()?.max_stale_s;
        let now = clock::now().ok()?;
        let fresh = decide::stale(&stored.view()?, &core.state, max_stale_s, now).is_none();
        (fresh && !stored.deadline().passed(&core.state, now)).then(|| stored.file.clone())
    }
}

enum Verdict {
    Keep,
    Rearm,
    End(Cause),
}
