//! Requests that people sign elsewhere (`jitctl elevate --host`). They come with the grant that answers them; what the agent
//! does for a request of its own before it leaves, is done here when the grant has come.

use super::activate::file_of;
use super::statements::New;
use super::{Agent, Link, Stored};
use crate::clock::Now;
use crate::effects::groups;
use crate::store::answered;
use crate::store::grants::{self, GrantFile, Phase};
use journal::kind;
use statement::verify::VerifiedGrant;
use std::rc::Rc;

/// Answers in one receipt; the bytes of each reason; answers that wait for a receipt.
const AT_ONCE: usize = 16;
const WHY_MAX: usize = 200;
const WAITING: usize = 64;

/// What became of a request.
pub struct Told {
    /// SHA-256 of its bytes, base64url.
    request: String,
    /// Why it gives nothing; none: it is in force.
    why: Option<String>,
}

impl Link {
    /// What the next receipt says.
    pub(super) fn answers(&mut self) -> Vec<serde_json::Value> {
        let some = self.tell.len().min(AT_ONCE);
        let told = self.tell.drain(..some);
        told.map(|t| {
            serde_json::json!({ "request": t.request, "says": {
                "active": t.why.is_none(), "why": t.why.unwrap_or_default(),
            }})
        })
        .collect()
    }
}

/// Seconds that an answer is remembered beyond the last moment at which its request could be answered: a clock mark that was
/// ahead, and is put right by a new epoch, must not bring it back.
const KEPT_S: u64 = 86_400;

impl Agent {
    /// Takes a grant that was compared with everything here. Its request is used up, durably, before the grant is kept; both
    /// are journaled; then it starts as one that was asked for a later time does, when its user is eligible at that moment.
    ///
    /// # Errors
    /// One sentence; nothing was given then.
    pub(super) fn take_persons(
        self: &Rc<Self>,
        grant: VerifiedGrant,
        now: Now,
    ) -> Result<New, String> {
        let told = grant.clone();
        self.keep_persons(grant, now)
            .inspect_err(|why| self.tell(&told, Some(why)))
    }

    fn keep_persons(self: &Rc<Self>, grant: VerifiedGrant, now: Now) -> Result<New, String> {
        let (file, once, record) = {
            let core = self.core.borrow();
            let claims = grant.claims();
            let time_s = core.state.mark.time(now).max(claims.iat);
            let file = GrantFile {
                phase: Phase::Waiting,
                ..file_of(&grant, &self.boot_id, self.log.next_index(), time_s, now)
            };
            if !groups::is_plain_name(&file.login) {
                return Err(format!(
                    "the login {:?} has characters no grant can name",
                    file.login
                ));
            }
            core.has_room(file.uid).map_err(|e| e.message)?;
            self.check_budget(&core, file.uid, claims.nbf, claims.exp - claims.nbf)
                .map_err(|e| e.message)?;
            let request = grant.request();
            let mut record = self
                .record(kind::REQUEST, now)
                .request(request.id.as_str())
                .role(request.role.as_str())
                .login(file.login.as_str())
                .uid(file.uid)
                .reason(request.reason.as_str())
                .detail("seconds", request.dur)
                .detail("hash", grant.request_hash())
                .detail("asked_kid", grant.request_kid());
            if let Some(asker) = grant.asked_by() {
                record = record.detail("asked_by", asker.person.as_str());
            }
            if let Some(t) = &request.ticket {
                record = record.ticket(t.as_str());
            }
            (file, grant.request_once(), record)
        };
        let until_s = grant.request().approve_until.saturating_add(KEPT_S);
        answered::write(&once, until_s).map_err(|e| e.to_string())?;
        if let Some(answered) = &mut self.core.borrow_mut().answered {
            answered.insert(once, until_s);
        }
        if let Err(e) = grants::write(&file) {
            let _ = grants::remove(&file.jti);
            return Err(e.to_string());
        }
        self.log.later(record);
        let jti = file.jti.clone();
        self.core
            .borrow_mut()
            .grants
            .insert(jti.clone(), Stored::new(file, grant));
        // On its own: the next statement, which may be this grant's revocation, must not wait for it.
        self.schedule(&jti);
        Ok(New::Yes)
    }

    /// Lets whoever asked from elsewhere know what became of it: nothing rests on it. A host's own requests need none of this.
    pub(super) fn tell(&self, grant: &VerifiedGrant, why: Option<&str>) {
        if grant.asked_by().is_none() {
            return;
        }
        self.tell_asker(grant.request_hash().to_owned(), why);
    }

    fn tell_asker(&self, request: String, why: Option<&str>) {
        let why = why.map(|why| {
            let mut short: String = why.chars().filter(|c| !c.is_control()).collect();
            while short.len() > WHY_MAX {
                short.pop();
            }
            short
        });
        {
            let mut core = self.core.borrow_mut();
            core.link.tell.push_back(Told { request, why });
            if core.link.tell.len() > WAITING {
                core.link.tell.pop_front();
            }
        }
        self.send_receipt(true);
    }

    /// The same of a stored grant.
    pub(super) fn tell_of(&self, jti: &str, why: Option<&str>) {
        let request = {
            let core = self.core.borrow();
            let stored = core.grants.get(jti);
            stored.and_then(|s| s.elsewhere().map(str::to_owned))
        };
        if let Some(request) = request {
            self.tell_asker(request, why);
        }
    }

    /// What was answered before this start. While it cannot be read, no request of a person is taken.
    pub fn load_answered(&self) {
        match answered::load_all() {
            Ok(all) => self.core.borrow_mut().answered = Some(all),
            Err(e) => self.alert(&e.to_string()),
        }
    }

    /// Forget requests that are too old to be answered.
    pub fn forget_answered(&self) {
        let Ok(now) = crate::clock::now() else { return };
        let mut core = self.core.borrow_mut();
        let time = core.state.mark.time(now);
        let Some(answered) = &mut core.answered else {
            return;
        };
        let old: Vec<String> = answered
            .iter()
            .filter(|(_, until)| **until <= time)
            .map(|(once, _)| once.clone())
            .collect();
        answered.retain(|_, until| *until > time);
        drop(core);
        for once in old {
            if let Err(e) = answered::remove(&once) {
                self.alert_rarely(&e.to_string());
            }
        }
    }
}
