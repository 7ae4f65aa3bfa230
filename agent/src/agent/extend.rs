//! A longer life for a live grant: a new signed grant that names it and gives exactly the same. Id, unit and processes
//! stay those of the first; only the end moves. The next timer runs before the last one is stopped, so PID 1 holds an
//! end at every moment.
//!
//! Order: verify → compare → persist → journal → timer n+1 → stop timer n → the new end counts. A crash in between is
//! completed at the next start, or the grant ends when it would have ended.

use super::activate::{UNITS_PATIENCE, with_approvers};
use super::elevate::error;
use super::outcome::unreachable;
use super::stored::Whole;
use super::{Agent, Outcome, Stored, say};
use crate::callers::Peer;
use crate::clock::{self, Now};
use crate::deadline::Deadline;
use crate::effects::units::TimerAt;
use crate::paths;
use crate::store::grants::{self, GrantFile, Phase};
use crate::store::pending;
use journal::kind;
use statement::claims::{Grant, Mode, Request};
use statement::verify::VerifiedGrant;
use std::path::Path;
use std::rc::Rc;
use wire::cli::{Code, Error, Extend, Reply};

/// Is `after` the next link behind `before`?
pub(super) fn continues(after: &Grant, before: &Grant) -> Result<(), String> {
    if after.extends.as_ref() != Some(&before.jti) {
        return Err("it does not extend the newest grant of its chain".into());
    }
    let same = after.authorization_details == before.authorization_details
        && after.role == before.role
        && after.sub == before.sub
        && after.epoch == before.epoch;
    if same {
        Ok(())
    } else {
        Err("it gives something else than the grant it extends".into())
    }
}

/// May `after` extend this live grant? `most_s`: how long a grant may last on this host, extensions included.
fn may_extend(after: &Grant, file: &GrantFile, whole: &Whole, most_s: u64) -> Result<(), String> {
    continues(after, whole.newest().claims())?;
    // It would go on without the view of revocations that every other grant needs.
    if whole.grant.claims().mode == Mode::Breakglass {
        return Err("a break-glass grant cannot be extended".into());
    }
    if after.nbf > after.iat {
        return Err("an extension starts at once".into());
    }
    if file.used {
        return Err("the grant was for one use, and was used".into());
    }
    if after.exp <= file.until_s {
        return Err("it ends no later than the grant it extends".into());
    }
    if after.exp - whole.grant.claims().nbf > most_s {
        return Err(format!(
            "with it the grant lasts longer than this host's ceiling of {most_s} s"
        ));
    }
    Ok(())
}

impl Agent {
    /// Ask for a longer life of one's own live grant. Every refusal is journaled.
    ///
    /// # Errors
    /// What the user is told.
    pub async fn extend(self: &Rc<Self>, peer: &Peer, ask: Extend) -> Result<Reply, Error> {
        self.ask_for(peer, &ask.reason, ask.ticket.as_deref(), |_, fresh| {
            self.extension(peer.uid, &ask, fresh)
        })
        .await
    }

    /// The claims of a request for an extension.
    fn extension(
        &self,
        uid: u32,
        ask: &Extend,
        (id, nonce, now): (String, String, Now),
    ) -> Result<Request, Error> {
        let core = self.core.borrow();
        let ceiling = self.usable_ceiling()?;
        let enrolled = core
            .enrolled
            .as_ref()
            .ok_or_else(|| unreachable("this host is not enrolled with an issuer"))?;
        let (stored, whole) = self.pick(&core, uid, ask.grant.as_deref(), now)?;
        let claims = whole.grant.claims();
        if claims.mode == Mode::Breakglass {
            return Err(error(
                Code::Denied,
                "a break-glass grant cannot be extended",
                Some("ask for a new grant with: jitctl elevate"),
            ));
        }
        let policy = enrolled.policy()?;
        let role = policy.roles.get(&claims.role).ok_or_else(|| {
            error(
                Code::UnknownRole,
                format!("there is no role {:?} any more", claims.role),
                None,
            )
        })?;
        let seconds = ask.seconds.unwrap_or(role.default_s);
        let most = role.max_s.min(ceiling.max_duration_s);
        if seconds > most {
            let most = say::duration(most);
            return Err(error(
                Code::TooLong,
                format!("role {} is given for at most {most} at a time", claims.role),
                Some(&format!("ask with: --for {most}")),
            ));
        }
        let time_s = core.state.mark.time(now);
        let end = time_s.saturating_add(seconds);
        let left = stored.deadline().left_s(&core.state, now);
        if end <= stored.deadline().wall_s {
            return Err(error(
                Code::Usage,
                format!("grant {} lasts {left} s more already", claims.jti),
                Some("--for counts from now; ask for longer than that"),
            ));
        }
        let last = claims.nbf.saturating_add(ceiling.max_duration_s);
        if end > last {
            return Err(error(
                Code::TooLong,
                format!(
                    "a grant lasts at most {} on this host, extensions included",
                    say::duration(ceiling.max_duration_s)
                ),
                Some(&match last.saturating_sub(time_s) {
                    more if more > left => format!("ask with: --for {more}s"),
                    _ => "ask for a new grant with: jitctl elevate".to_owned(),
                }),
            ));
        }
        let now_ends = stored.deadline().wall_s;
        self.check_budget(&core, uid, now_ends, end - now_ends)?;
        Ok(Request {
            ver: 1,
            iss: enrolled.me.host.clone(),
            iat: time_s,
            id,
            nonce,
            sub: claims.sub.clone(),
            aud: vec![enrolled.me.host.clone()],
            role: claims.role.clone(),
            policy_ver: policy.policy_ver,
            authorization_details: claims.authorization_details.clone(),
            not_before: 0,
            dur: seconds,
            approve_until: now.wall_s() + super::details::APPROVE_WITHIN_S,
            reason: ask.reason.clone(),
            ticket: ask.ticket.clone(),
            extends: Some(whole.newest().claims().jti.clone()),
        })
    }

    /// The live grant that is meant: the one named, or the only one.
    fn pick<'a>(
        &self,
        core: &'a super::Core,
        uid: u32,
        id: Option<&str>,
        now: Now,
    ) -> Result<(&'a Stored, &'a Whole), Error> {
        let live = |s: &'a Stored| {
            let lives = s.file.phase == Phase::Active && !s.deadline().passed(&core.state, now);
            s.whole().filter(|_| lives).map(|whole| (s, whole))
        };
        let Some(id) = id else {
            let mut mine = core
                .grants
                .values()
                .filter(|s| s.file.uid == uid)
                .filter_map(live);
            return match (mine.next(), mine.next()) {
                (Some(one), None) => Ok(one),
                (None, _) => Err(error(Code::NoGrant, "you have no live grant", None)),
                _ => Err(error(
                    Code::Usage,
                    "you have several live grants",
                    Some("name one; see: jitctl status"),
                )),
            };
        };
        let named = core.grants.values().find(|s| s.is_called(id));
        match named.and_then(live) {
            Some((s, whole)) if s.file.uid == uid => Ok((s, whole)),
            Some(_) => Err(error(
                Code::NotYours,
                format!("grant {id} is not yours"),
                None,
            )),
            None => Err(error(
                Code::NoGrant,
                format!("there is no live grant {id}"),
                None,
            )),
        }
    }

    /// A verified grant that answers our request and extends another. What it may not is told to the one who waits.
    ///
    /// # Errors
    /// One sentence; nothing has changed then.
    pub(super) fn take_extension(
        self: &Rc<Self>,
        grant: VerifiedGrant,
        request: &str,
        now: Now,
    ) -> Result<(), String> {
        let kept = self.keep_extension(grant, request, now);
        let (jti, uid) = kept.inspect_err(|why| {
            self.close_request(request, Outcome::Broken(why.clone()));
        })?;
        let agent = self.clone();
        let request = request.to_owned();
        tokio::task::spawn_local(async move { agent.prolong(&jti, &request, uid).await });
        Ok(())
    }

    /// Compare and persist. Until the new timer runs, the old end counts.
    fn keep_extension(
        &self,
        grant: VerifiedGrant,
        request: &str,
        now: Now,
    ) -> Result<(String, u32), String> {
        let most_s = self.ceiling()?.max_duration_s;
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let parent = grant.claims().extends.clone().unwrap_or_default();
        let time_s = core.state.mark.time(now);
        let before = core
            .grants
            .values()
            .filter_map(|s| Some((s, s.whole()?)))
            .find(|(_, whole)| whole.newest().claims().jti == parent)
            .filter(|(s, whole)| {
                s.file.phase == Phase::Active
                    && whole.until.is_none()
                    && !s.deadline().passed(&core.state, now)
            });
        let (stored, whole) = before.ok_or("the grant it extends does not live here any more")?;
        may_extend(grant.claims(), &stored.file, whole, most_s)?;
        let (before, end) = (stored.file.clone(), stored.deadline());
        let exp = grant.claims().exp;
        let more = exp - before.until_s;
        self.check_budget(core, before.uid, before.until_s, more)
            .map_err(|e| e.message)?;
        let stored = core.grants.get_mut(&before.jti);
        let (kept, whole) = stored
            .and_then(Stored::whole_mut)
            .ok_or("the grant it extends has just ended")?;
        let mut file = before.clone();
        file.until_s = exp;
        file.until_boot_ns = Deadline::from_now(exp, time_s, now).boot_ns;
        file.timers += 1;
        file.extensions.push(grant.bundle().to_owned());
        grants::write(&file).map_err(|e| e.to_string())?;
        if let Err(e) = pending::remove(request) {
            grants::write(&before).map_err(|e| e.to_string())?;
            return Err(e.to_string());
        }
        core.pending.remove(request);
        whole.until = Some(end);
        whole.later.push(grant);
        *kept = file;
        Ok((before.jti, before.uid))
    }

    /// Journal, change the timers, and let the new end count.
    async fn prolong(&self, jti: &str, request: &str, uid: u32) {
        let result = self.change_timers(jti).await;
        let mut core = self.core.borrow_mut();
        if let Some((file, whole)) = core.grants.get_mut(jti).and_then(Stored::whole_mut)
            && let (Err(_), Some(end)) = (&result, whole.until.take())
        {
            take_back(file, whole, end);
        }
        drop(core);
        let outcome = match &result {
            Ok(()) => Outcome::Granted(jti.to_owned()),
            Err(why) => {
                let record = self.note(kind::REFUSED).grant(jti).request(request);
                self.log.later(
                    record
                        .decision("deny")
                        .detail("what", "extension")
                        .detail("why", why.clone()),
                );
                Outcome::Broken(why.clone())
            }
        };
        self.core.borrow_mut().outcomes.put(request, (uid, outcome));
        if let Err(why) = self.keep_old_end(jti, &result) {
            self.alert(&why);
        }
        self.changed.notify_waiters();
    }

    /// An extension that failed is taken out of the file too. While the grant is ending its file is no longer ours.
    fn keep_old_end(&self, jti: &str, result: &Result<(), String>) -> Result<(), String> {
        let core = self.core.borrow();
        match core.grants.get(jti) {
            Some(s) if result.is_err() && s.file.phase == Phase::Active => {
                grants::write(&s.file).map_err(|e| e.to_string())
            }
            _ => Ok(()),
        }
    }

    async fn change_timers(&self, jti: &str) -> Result<(), String> {
        let details = {
            let core = self.core.borrow();
            let (_, whole) = core.grants.whole(jti).ok_or("it is gone")?;
            whole.newest().claims().authorization_details.clone()
        };
        let unseen = self.witness_before(&details, false).await?;
        self.still_extending(jti)?;
        let now = clock::now().map_err(|e| e.to_string())?;
        let (file, record) = {
            let core = self.core.borrow();
            let (file, whole) = core.grants.whole(jti).ok_or("it is gone")?;
            let newest = whole.newest();
            let claims = newest.claims();
            let mut record = self
                .record(kind::EXTEND, now)
                .grant(jti)
                .request(newest.request().id.as_str())
                .role(claims.role.as_str())
                .login(file.login.as_str())
                .uid(file.uid)
                .decision("allow")
                .reason(claims.reason.as_str())
                .detail("by", claims.jti.clone())
                .detail("ends", claims.exp)
                .detail("groups", file.groups.clone())
                .detail("policy", claims.policy.rule.clone())
                .detail("kid", newest.kid());
            record = with_approvers(record, newest);
            if let Some(t) = &claims.ticket {
                record = record.ticket(t.as_str());
            }
            if let Some(why) = unseen {
                record = record.detail("witness", why);
            }
            (file.clone(), record)
        };
        let receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        if let Some((_, whole)) = self.core.borrow().grants.whole(jti) {
            self.cry_own(jti, whole.newest());
        }
        self.witness_after(&receipt, &details, false).await?;
        self.still_extending(jti)?;
        self.start_next(&file).await?;
        let last = self.stop_last(&file).await;
        if let Err(why) = self.still_extending(jti) {
            // Its end has begun; what it does not know of is stopped here.
            if let Ok(units) = self.units().await {
                let _ = units.stop(&paths::timer(jti, file.timers)).await;
            }
            return Err(why);
        }
        // The new timer runs, so it may well be in force; at worst the old one ends it sooner.
        last.unwrap_or_else(|why| {
            self.alert(&format!(
                "grant {jti} is extended, and may still end at its former end: {why}"
            ));
        });
        Ok(())
    }

    async fn start_next(&self, file: &GrantFile) -> Result<(), String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let at = TimerAt {
            wall_s: file.until_s,
            boot_ns: file.until_boot_ns,
        };
        let units = self.units().await?;
        let start = units.start_timer(&file.jti, file.timers, at, now);
        match tokio::time::timeout(UNITS_PATIENCE, start).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => {
                self.lost_units();
                Err(e.to_string())
            }
            Err(_) => {
                self.lost_units();
                Err("systemd does not answer".into())
            }
        }
    }

    async fn stop_last(&self, file: &GrantFile) -> Result<(), String> {
        let units = self.units().await?;
        let name = paths::timer(&file.jti, file.timers - 1);
        match tokio::time::timeout(UNITS_PATIENCE, units.stop_and_wait(&name)).await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err("systemd does not answer".into()),
        }
    }

    /// Neither ended nor about to: the old end has not come, and nobody has begun to take the grant away.
    fn still_extending(&self, jti: &str) -> Result<(), String> {
        let core = self.core.borrow();
        let now = clock::now().map_err(|e| e.to_string())?;
        let lives = core.grants.get(jti).is_some_and(|s| {
            s.file.phase == Phase::Active && !s.deadline().passed(&core.state, now)
        });
        if lives && !Path::new(paths::ENDING_DIR).join(jti).exists() {
            Ok(())
        } else {
            Err("the grant ended before it was extended".into())
        }
    }

    /// After a crash: an extension that was stored and not yet in force is completed, if the grant still has a timer.
    ///
    /// # Errors
    /// When the journal or systemd fails: the grant has no certain end then.
    pub(super) async fn complete_extension(&self, file: &GrantFile) -> Result<(), String> {
        if file.timers < 2 || file.extensions.is_empty() {
            return Ok(());
        }
        let units = self.units().await?;
        let loaded = async |n| {
            let name = paths::timer(&file.jti, n);
            units.is_loaded(&name).await.map_err(|e| e.to_string())
        };
        let (newest, last) = (loaded(file.timers).await?, loaded(file.timers - 1).await?);
        if !newest && last {
            let record = self
                .note(kind::EXTEND)
                .grant(file.jti.as_str())
                .role(file.role.as_str())
                .login(file.login.as_str())
                .uid(file.uid)
                .decision("allow")
                .detail("again", "after a crash")
                .detail("ends", file.until_s)
                .detail("groups", file.groups.clone());
            let _receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
            self.start_next(file).await?;
        }
        if last {
            self.stop_last(file).await?;
        }
        Ok(())
    }
}

/// As if it had not been asked for.
fn take_back(file: &mut GrantFile, whole: &mut Whole, end: Deadline) {
    whole.later.pop();
    file.extensions.pop();
    file.timers -= 1;
    file.until_s = end.wall_s;
    file.until_boot_ns = end.boot_ns;
}
