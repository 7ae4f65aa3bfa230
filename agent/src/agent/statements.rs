//! What comes through the link: verify → compare → persist → journal → act. The link is not believed in anything:
//! each blob is verified as what it claims to be, and refusals are journaled.

use super::accept::{self, Against, Answers, Serial};
use super::activate::file_of;
use super::{Agent, Stored};
use crate::clock;
use crate::store::grants::{self, Cause, Phase};
use crate::store::{identity, pending};
use journal::kind;
use statement::claims::Target;
use statement::verify::{verify_grant, verify_policy, verify_revocation, verify_state};
use std::rc::Rc;
use wire::link::{Answer, Kind, Up};

/// Did a good statement bring anything?
pub(super) enum New {
    Yes,
    No,
}

impl Agent {
    /// One message of the link.
    /// Must run to its end: see `listen::link`.
    pub async fn from_link(self: &Rc<Self>, message: Up) {
        match message {
            Up::Hello { .. } => {}
            Up::Connected => {
                let mut core = self.core.borrow_mut();
                core.link.connected = true;
                core.link.connected_ns = clock::now().map_or(0, |n| n.boot_ns);
                core.link.note = None;
                self.show_head.notify_one();
            }
            Up::Disconnected { why } => {
                let mut core = self.core.borrow_mut();
                core.link.connected = false;
                core.link.note = Some(why.chars().filter(|c| !c.is_control()).take(200).collect());
            }
            Up::Answer { id, answer } => self.answered(id, answer),
            Up::Word { id } => self.word_for_link(id),
            Up::Records {
                receiver,
                id,
                again,
            } => self.records_for(receiver, id, again),
            Up::Stored { receiver, next } => self.stored_by(&receiver, next),
            Up::Witnessed { id, said } => self.witness_said(id, said),
            Up::Failing { receiver, why } => self.failing(&receiver, &why),
            Up::Statement { n, kind, blob } => {
                // A heartbeat has no place in the log.
                let n = n.filter(|_| kind != Kind::State);
                // The position is the link's word: it counts only beside a statement that brought something new.
                if let Ok(New::Yes) = self.take(kind, &blob).await {
                    self.advance(n);
                    self.send_receipt(kind == Kind::Revocation);
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// Take a statement, wherever it came from; a refusal is journaled. One after the other: what one changes, the next
    /// is compared with.
    pub(super) async fn take(self: &Rc<Self>, kind: Kind, blob: &str) -> Result<New, String> {
        let _one = self.taking.lock().await;
        let taken = match kind {
            Kind::Grant => self.take_grant(blob).await,
            Kind::Revocation => self.take_revocation(blob).await,
            Kind::State => self.take_state(blob),
            Kind::Policy => self.take_policy(blob).await,
            Kind::Trust => self.take_trust(blob).await,
            Kind::Breakglass => self.take_breakglass(blob).await,
        };
        if let Err(why) = &taken {
            self.refuse_statement(kind, blob, why.clone()).await;
        }
        taken
    }

    /// Journal a refusal. Waits for the disk: a link that raves waits with it, and nobody else does.
    async fn refuse_statement(&self, kind: Kind, blob: &str, why: String) {
        let record = self
            .note(kind::REFUSED)
            .decision("deny")
            .detail("what", serde_json::to_value(kind).unwrap_or_default())
            .detail("hash", statement::digest::sha256_b64(blob.as_bytes()))
            .detail("why", why);
        if self.log.append(record.clone()).await.is_err() {
            self.log.later(record);
        }
    }

    fn answered(&self, id: u64, answer: Answer) {
        let waiter = self.core.borrow_mut().link.answers.remove(&id);
        if let Some(waiter) = waiter {
            let _ = waiter.send(answer);
        }
    }

    /// Remember how far the stream was read. Losing this costs a replay that the counters refuse.
    fn advance(&self, n: Option<u64>) {
        if self.stopping.get() {
            // A grant before it may have been left to the next agent.
            return;
        }
        let mut core = self.core.borrow_mut();
        if let Some(n) = n.filter(|n| *n > core.state.stream_pos) {
            core.state.stream_pos = n;
            drop(core);
            if let Err(e) = self.save_state() {
                self.alert(&e);
            }
        }
    }

    async fn take_grant(self: &Rc<Self>, blob: &str) -> Result<New, String> {
        if self.stopping.get() {
            // Begun now, it would be cut off in the middle, and then ended. The next agent gets it: it has the stream read on
            // from where this one was when it was told to stop.
            return Ok(New::No);
        }
        let now = clock::now().map_err(|e| e.to_string())?;
        let (file, request) = {
            let mut core = self.core.borrow_mut();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            let grant =
                verify_grant(blob, &enrolled.ring, &enrolled.me).map_err(|e| e.to_string())?;
            let known = |jti: &str| core.grants.values().any(|s| s.is_called(jti));
            let ceiling = self.ceiling()?;
            let against = Against {
                state: &core.state,
                ceiling: &ceiling,
                me: &enrolled.me,
                pending: &core.pending,
                answered: core.answered.as_ref(),
                policy: enrolled.policy.as_deref(),
                known: &known,
                trust_exp: enrolled.trust.claims().exp,
                now,
            };
            let request = match accept::grant(&grant, &against) {
                Ok(Answers::Ours(pending)) => pending.id.clone(),
                Ok(Answers::Persons) => {
                    drop(core);
                    return self.take_persons(grant, now);
                }
                Err(why) => {
                    // Whoever waits here for nothing is told, and waits no longer.
                    let mut open = core.pending.values();
                    let open = open.find(|p| p.hash == grant.request_hash());
                    let vain = open.map(|p| p.id.clone());
                    let vain = vain.filter(|_| accept::never(&grant, &against).is_err());
                    // What was answered before was told then: the same again, as after a stream that is read anew, is no news.
                    let told = core
                        .answered
                        .as_ref()
                        .is_some_and(|a| a.contains_key(&grant.request_once()));
                    drop(core);
                    if !told {
                        self.tell(&grant, Some(&why));
                    }
                    if let Some(id) = vain {
                        self.close_request(&id, super::Outcome::Unfit(why.clone()));
                    }
                    return Err(why);
                }
            };
            if grant.claims().extends.is_some() {
                drop(core);
                self.take_extension(grant, &request, now)?;
                return Ok(New::Yes);
            }
            let whole = grant.claims().exp - grant.claims().nbf;
            let uid = core.pending.get(&request).map_or(u32::MAX, |p| p.uid);
            // Others may have been granted since it was asked for.
            if let Err(over) = self.check_budget(&core, uid, grant.claims().nbf, whole) {
                drop(core);
                self.close_request(&request, super::Outcome::OverBudget(over.message.clone()));
                return Err(over.message);
            }
            // The issuer's word on the time is the least that has passed.
            let time_s = core.state.mark.time(now).max(grant.claims().iat);
            let file = file_of(&grant, &self.boot_id, self.log.next_index(), time_s, now);
            // The request is used up before anything else can look at it.
            core.pending.remove(&request);
            core.grants
                .insert(file.jti.clone(), Stored::new(file.clone(), grant));
            (file, request)
        };
        let kept = grants::write(&file)
            .and_then(|()| pending::remove(&request))
            .map_err(|e| e.to_string());
        if let Err(e) = kept {
            let _ = grants::remove(&file.jti);
            let mut core = self.core.borrow_mut();
            core.grants.remove(&file.jti);
            core.outcomes
                .put(&request, (file.uid, super::Outcome::Broken(e.clone())));
            return Err(e);
        }
        if file.phase == Phase::Waiting {
            self.schedule(&file.jti);
        } else {
            // On its own: the next statement, which may be this grant's revocation, must not wait for it.
            let agent = self.clone();
            tokio::task::spawn_local(async move { agent.activate(&file.jti).await });
        }
        Ok(New::Yes)
    }

    /// Taking away never waits: act, then persist and record.
    async fn take_revocation(self: &Rc<Self>, blob: &str) -> Result<New, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let (rev, hash, ends) = {
            let mut core = self.core.borrow_mut();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            let rev = verify_revocation(blob, &enrolled.ring).map_err(|e| e.to_string())?;
            match accept::revocation(&rev, &core.state)? {
                Serial::Old => return Ok(New::No),
                Serial::Gap => {
                    let host = enrolled.me.host.clone();
                    core.link.read_again(host, now);
                    return Err(format!("one is missing before serial {}", rev.serial));
                }
                Serial::Next => {}
            }
            let me = enrolled.me.clone();
            let (claims, hash) = ((*rev).clone(), rev.hash());
            let ends: Vec<String> = core
                .grants
                .values()
                .filter(|s| s.revoked_by(&claims, &me))
                .map(|s| s.file.jti.clone())
                .collect();
            if let Some(unheard) = &mut core.unheard {
                unheard.push(claims.clone());
            }
            let time = core.state.mark.time(now);
            core.state.rev_serial = claims.serial;
            core.state.rev_head.clone_from(&hash);
            core.state.keep(claims.clone(), time);
            (claims, hash, ends)
        };
        for id in &ends {
            self.finish(id, Cause::Revoked);
        }
        if let Target::Grant(id) = &rev.target {
            self.revoke_code(id);
        }
        self.log.later(
            self.record(kind::REVOCATION, now)
                .reason(rev.reason.as_str())
                .detail("serial", rev.serial)
                .detail("hash", hash)
                .detail(
                    "target",
                    serde_json::to_value(&rev.target).unwrap_or_default(),
                )
                .detail("ends", ends),
        );
        // It took effect whatever the disk says; the next state that is saved carries it.
        if let Err(e) = self.save_state() {
            self.alert(&e);
        }
        Ok(New::Yes)
    }

    fn take_state(self: &Rc<Self>, blob: &str) -> Result<New, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        {
            let mut core = self.core.borrow_mut();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            let s = verify_state(blob, &enrolled.ring).map_err(|e| e.to_string())?;
            accept::state(&s, &core.state, now)?;
            let newer_trust = s.trust_ver > enrolled.trust.claims().trust_ver;
            let newer_policy = s.policy_ver > enrolled.policy.as_ref().map_or(0, |p| p.policy_ver);
            if s.rev_serial > core.state.rev_serial || newer_trust || newer_policy {
                // What a state counts comes before it: something did not reach us.
                let host = enrolled.me.host.clone();
                core.link.read_again(host, now);
            }
            // Keys may have been removed by a trust statement we have not seen: this is no news to rest a use on, and
            // what we had before it goes stale.
            core.state.hear(&s, !newer_trust, now);
        }
        // The issuer's word on the time may be later than what this host thought.
        self.check_deadlines(now);
        self.save_state().map(|()| New::Yes)
    }

    async fn take_policy(&self, blob: &str) -> Result<New, String> {
        let (file, policy) = {
            let core = self.core.borrow();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            let policy = verify_policy(blob, &enrolled.ring).map_err(|e| e.to_string())?;
            if policy.epoch != core.state.epoch {
                return Err(format!("it is of epoch {}", policy.epoch));
            }
            let ours = enrolled.policy.as_ref();
            if let Some(ours) = ours.filter(|ours| policy.policy_ver <= ours.policy_ver) {
                // What came with the enrolment comes by the stream too.
                return if policy.hash() == ours.hash() {
                    Ok(New::No)
                } else {
                    Err("it is older than ours".into())
                };
            }
            let file = identity::EnrolmentFile {
                policy: blob.to_owned(),
                ..enrolled.file.clone()
            };
            (file, policy)
        };
        identity::write(&file).map_err(|e| e.to_string())?;
        let roles: Vec<String> = policy.roles.keys().cloned().collect();
        let record = self
            .note(kind::POLICY)
            .detail("version", policy.policy_ver)
            .detail("roles", roles);
        let _receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        if let Some(enrolled) = &mut self.core.borrow_mut().enrolled {
            enrolled.file = file;
            enrolled.policy = Some(policy);
        }
        Ok(New::Yes)
    }
}
