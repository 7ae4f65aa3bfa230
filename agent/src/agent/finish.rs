//! The end of a grant as the agent sees it: the right is gone in memory at once, `jit-end` takes the rest away, and
//! its proof is journaled. Taking away waits for nothing.

use super::{Agent, people};
use crate::clock;
use crate::effects::processes;
use crate::ending::{self, Proof, memberships};
use crate::paths;
use crate::store::grants::{self, Cause, Phase};
use journal::kind;
use std::collections::HashSet;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

/// After this without a proof the end is asked for again, and said aloud.
const PROOF_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for proofs while nothing tells of them.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long systemd may take to accept the job; then `jit-end` is run without it.
const BUS_PATIENCE: Duration = Duration::from_millis(400);

impl Agent {
    /// End a grant: close it, take it away, and see to it that the proof comes. A grant that is just being put in force
    /// is taken away by the one who does that, when he is out of it.
    pub(super) fn finish(self: &Rc<Self>, jti: &str, cause: Cause) {
        if self.close(jti, cause) && !self.core.borrow().arming.contains(jti) {
            self.make_gone(jti);
        }
    }

    /// Take away, and again until the proof is journaled and the grant's file gone; also of a grant that is known by its
    /// file or its unit alone. On its own: nobody waits for a bus that hangs.
    pub fn make_gone(self: &Rc<Self>, jti: &str) {
        let agent = self.clone();
        let id = jti.to_owned();
        {
            let mut core = self.core.borrow_mut();
            core.ending.insert(id.clone());
            core.unasked.insert(id.clone());
        }
        tokio::task::spawn_local(async move {
            loop {
                agent.take_away(&id).await;
                agent.core.borrow_mut().unasked.remove(&id);
                agent.changed.notify_waiters();
                let until = tokio::time::Instant::now() + PROOF_PATIENCE;
                if agent.changed_until(until, || agent.is_past(&id)).await {
                    break;
                }
                agent.collect_proofs().await;
                if agent.is_past(&id) {
                    break;
                }
                agent.alert_as(
                    "unproven",
                    &format!("the end of grant {id} is not proven yet; it is tried again"),
                );
            }
            agent.core.borrow_mut().ending.remove(&id);
            agent.changed.notify_waiters();
        });
    }

    /// Nothing of it is stored any more, and no process is in its unit.
    fn is_past(&self, jti: &str) -> bool {
        !self.core.borrow().grants.contains_key(jti)
            && !grants::path(jti).exists()
            && processes::in_cgroup(&paths::cgroup(jti)).is_empty()
    }

    /// Wait until something changed that makes `done` true; false when it is not by `until`.
    pub(super) async fn changed_until(
        &self,
        until: tokio::time::Instant,
        done: impl Fn() -> bool,
    ) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if done() {
                return true;
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }

    /// Wait, within limits, for an end that runs already while the grant is put in force, and drop what it proved: that was
    /// not yet true. Returns whether there was one, for [`Self::make_gone_again`].
    pub(super) async fn outlast_end(&self, jti: &str) -> bool {
        if !memberships::is_ending(jti) {
            return false;
        }
        let until = tokio::time::Instant::now() + PROOF_PATIENCE;
        let runs = || {
            let proven = ending::read_proof(jti).ok().flatten();
            !proven.is_some_and(|p| p.done)
        };
        while runs() && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let _ = crate::effects::files::remove(&ending::proof_path(jti));
        true
    }

    /// [`Self::make_gone`], also where an end came too early and its proof was dropped: until systemd has done with that one
    /// it runs no other, so this one is run here.
    pub(super) fn make_gone_again(self: &Rc<Self>, jti: &str, early: bool) {
        self.make_gone(jti);
        if early {
            self.run_jit_end(jti, "the end before it came too early");
        }
    }

    /// Wait, within limits, until everything that was being ended has ended: for a process that ends soon itself.
    pub async fn wait_ended(self: &Rc<Self>) {
        let until = tokio::time::Instant::now() + PROOF_PATIENCE;
        while !self.core.borrow().ending.is_empty() && tokio::time::Instant::now() < until {
            self.collect_proofs().await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A grant whose end has come by whatever sign: by its own deadline if that has passed, else for this cause.
    pub(super) fn cause_now(&self, jti: &str, otherwise: Cause) -> Cause {
        let core = self.core.borrow();
        let passed = core
            .grants
            .get(jti)
            .is_some_and(|s| clock::now().is_ok_and(|now| s.deadline().passed(&core.state, now)));
        if passed { Cause::Deadline } else { otherwise }
    }

    /// From now on the grant gives nothing. Returns whether it was this call that closed it.
    pub(super) fn close(&self, jti: &str, cause: Cause) -> bool {
        let mut core = self.core.borrow_mut();
        core.look_at(jti);
        let Some(stored) = core.grants.get_mut(jti) else {
            return false;
        };
        if stored.file.phase == Phase::Ending {
            return false;
        }
        let was_given = stored.file.phase == Phase::Active;
        stored.file.phase = Phase::Ending;
        stored.file.cause = Some(cause);
        let file = stored.file.clone();
        let record = self
            .note(kind::END)
            .grant(jti)
            .request(file.request.as_str())
            .role(file.role.as_str())
            .login(file.login.as_str())
            .uid(file.uid)
            .reason(stored.reason())
            .detail("cause", serde_json::to_value(cause).unwrap_or_default());
        let held = core.count(&file);
        let record = record
            .detail("from", held.from_s)
            .detail("until", held.until_s);
        if let Ok(now) = clock::now() {
            let time_s = core.state.mark.time(now);
            core.ended.insert(file.uid, (jti.to_owned(), cause, time_s));
        }
        drop(core);
        self.log.later(record);
        if !was_given {
            self.tell_of(jti, Some(&cause.to_string()));
        }
        self.changed.notify_waiters();
        Self::tell_end(&file, cause);
        true
    }

    /// Have `jit-end` run, by systemd or by ourselves; then keep the cause, which no right hangs on.
    pub(super) async fn take_away(&self, jti: &str) {
        let timers = self
            .core
            .borrow()
            .grants
            .get(jti)
            .map_or(1, |s| s.file.timers);
        let ask = async {
            let units = self.units().await?;
            let asked = units.start_end(jti, timers).await;
            asked.map_err(|e| e.to_string())
        };
        let asked = match tokio::time::timeout(BUS_PATIENCE, ask).await {
            Ok(result) => result,
            Err(_) => Err("systemd does not answer".to_owned()),
        };
        if let Err(why) = asked {
            self.lost_units();
            self.run_jit_end(jti, &why);
        }
        let file = self.core.borrow().grants.get(jti).map(|s| s.file.clone());
        if let Some(file) = file
            && let Err(e) = grants::write(&file)
        {
            self.alert(&e.to_string());
        }
    }

    fn run_jit_end(&self, jti: &str, why: &str) {
        let spawned = std::process::Command::new(paths::JIT_END)
            .arg(jti)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match spawned {
            // Reaped by a thread of its own; its proof is what counts. Without the thread it stays a zombie.
            Ok(mut child) => drop(
                std::thread::Builder::new()
                    .name("reaper".into())
                    .spawn(move || child.wait()),
            ),
            Err(e) => self.alert(&format!("grant {jti} could not be ended: {why}; {e}")),
        }
    }

    /// Journal what `jit-end` left, then forget the grant. A proof that cannot be journaled stays where it is.
    pub async fn collect_proofs(self: &Rc<Self>) {
        let ids = crate::effects::files::json_names(std::path::Path::new(paths::ENDED_DIR))
            .unwrap_or_default();
        for id in ids {
            match ending::read_proof(&id) {
                // Whoever puts it in force has not come out of it yet: his own end follows.
                Ok(Some(_)) if self.core.borrow().arming.contains(&id) => {}
                Ok(Some(proof)) if proof.done && proof.jti == id => self.collect(&proof).await,
                // Left by a run that was cut short after another had told of the end.
                Ok(Some(_)) if self.is_over(&id) => forget_marks(&id),
                Ok(Some(proof)) if proof.gone() => {
                    self.core.borrow_mut().gone.insert(id);
                    self.changed.notify_waiters();
                }
                Ok(_) => {}
                Err(e) => self.alert(&e.to_string()),
            }
        }
    }

    /// Nothing of this grant is known any more: its end was journaled.
    fn is_over(&self, id: &str) -> bool {
        let core = self.core.borrow();
        !core.grants.contains_key(id) && !core.ending.contains(id) && !grants::path(id).exists()
    }

    async fn collect(self: &Rc<Self>, proof: &Proof) {
        let id = &proof.jti;
        if !proof.timers_gone {
            self.clear_timers();
        }
        let request = self
            .core
            .borrow()
            .grants
            .get(id)
            .map(|s| s.file.request.clone());
        if self.is_over(id) {
            // A second run of the same end; the first was journaled.
            forget_marks(id);
            return;
        }
        let mut record = self.note(kind::PROOF).grant(id.as_str());
        if let Some(request) = request {
            self.close(id, self.cause_now(id, Cause::UnitStopped));
            record = record.request(request);
        }
        record = record
            .login(proof.login.as_str())
            .uid(proof.uid)
            .decision(if proof.complete() {
                "proven"
            } else {
                "unproven"
            })
            .detail("memberships_gone", proof.memberships_gone)
            .detail("cgroup_empty", proof.cgroup_empty)
            .detail("timers_gone", proof.timers_gone)
            .detail("started_ms", proof.started_ms)
            .detail("finished_ms", proof.finished_ms);
        for (name, list) in [
            ("ended_outside", &proof.ended_outside),
            ("carry_tag", &proof.carry_tag),
            ("left", &proof.left),
        ] {
            if !list.is_empty() {
                record = record.detail(name, list.clone());
            }
        }
        for (name, list) in [
            ("kept_for_others", &proof.kept_for_others),
            ("setgid_stripped", &proof.setgid_stripped),
            ("setgid_left", &proof.setgid_left),
            ("setgid_unseen", &proof.setgid_unseen),
            ("errors", &proof.errors),
            ("notes", &proof.notes),
        ] {
            if !list.is_empty() {
                record = record.detail(name, list.clone());
            }
        }
        if !proof.complete() {
            self.alert_as(
                "unproven",
                &format!("the end of grant {id} is not proven: see its proof record"),
            );
        }
        if self.log.append(record).await.is_err() {
            return;
        }
        forget_marks(id);
        if !proof.gone() {
            // Its file says what is still to be taken away; the loop of its end tries again.
            return;
        }
        if let Err(e) = grants::remove(id) {
            self.alert(&e.to_string());
        }
        {
            let mut core = self.core.borrow_mut();
            core.grants.remove(id);
            core.gone.remove(id);
            // Of two runs of the same end, the first that proves it is journaled.
            core.ending.remove(id);
        }
        self.changed.notify_waiters();
    }

    /// End the grants of everyone who is no longer eligible. Doubt ends nothing: it only refuses new uses.
    pub async fn check_eligibility(self: &Rc<Self>) {
        let people: HashSet<(String, u32)> = {
            let core = self.core.borrow();
            core.grants
                .values()
                .filter(|s| matches!(s.file.phase, Phase::Active | Phase::Arming | Phase::Waiting))
                .map(|s| (s.file.login.clone(), s.file.uid))
                .collect()
        };
        for (login, uid) in people {
            if people::lost(&login, uid).await {
                self.finish_all(Cause::NotEligible, |file| {
                    file.login == login && file.uid == uid
                });
            }
        }
    }

    /// End every grant the filter names; returns their ids.
    pub(super) fn finish_all(
        self: &Rc<Self>,
        cause: Cause,
        filter: impl Fn(&grants::GrantFile) -> bool,
    ) -> Vec<String> {
        let ids: Vec<String> = {
            let core = self.core.borrow();
            core.grants
                .values()
                .filter(|s| s.file.phase != Phase::Ending && filter(&s.file))
                .map(|s| s.file.jti.clone())
                .collect()
        };
        for id in &ids {
            self.finish(id, cause);
        }
        ids
    }
}

/// The proof is journaled: what stood for it may go.
fn forget_marks(id: &str) {
    for path in [
        ending::proof_path(id),
        std::path::Path::new(paths::ENDING_DIR).join(id),
    ] {
        // A file that stays is looked at again, and found known.
        let _ = crate::effects::files::remove(&path);
    }
}
