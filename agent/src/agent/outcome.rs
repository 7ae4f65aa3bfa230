//! What becomes of a request, and who waits for it.

use super::elevate::error;
use super::{Agent, Outcome};
use crate::clock;
use crate::store::grants::Phase;
use crate::store::identity::Enrolled;
use crate::store::pending;
use journal::kind;
use statement::claims::Policy;
use statement::verify::Verified;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::cli::{Code, Error, Reply};
use wire::link::Answer;

/// How long the link may take to hand a request over.
const HAND_OVER: Duration = Duration::from_secs(10);

impl Agent {
    /// What the issuer said to the hand-over. The grant itself comes by the stream.
    pub(super) async fn follow(&self, id: String, answer: oneshot::Receiver<Answer>) {
        let answer = match tokio::time::timeout(HAND_OVER, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::Failed {
                why: "the link was lost".into(),
            },
            Err(_) => Answer::Failed {
                why: "the issuer did not answer in time".into(),
            },
        };
        match answer {
            Answer::Accepted => {}
            Answer::Pending { waiting_for } => {
                let saved = self.core.borrow_mut().pending.get_mut(&id).map(|p| {
                    p.waiting_for = waiting_for;
                    p.clone()
                });
                if let Some(p) = saved
                    && let Err(e) = pending::write(&p)
                {
                    self.alert(&e.to_string());
                }
            }
            Answer::Denied { detail } => self.close_request(&id, Outcome::Denied(detail)),
            Answer::Failed { why } => self.close_request(&id, Outcome::Failed(why)),
        }
        self.changed.notify_waiters();
    }

    /// A request that will get no grant any more: out of the table, journaled, kept for its waiter.
    pub(super) fn close_request(&self, id: &str, outcome: Outcome) {
        let Some(p) = self.core.borrow_mut().pending.remove(id) else {
            return;
        };
        if let Err(e) = pending::remove(id) {
            self.alert(&e.to_string());
        }
        let why = match &outcome {
            Outcome::Denied(d) => format!("the issuer denied it: {d}"),
            Outcome::Failed(f) | Outcome::Broken(f) | Outcome::OverBudget(f) => f.clone(),
            Outcome::Granted(g) => format!("granted as {g}"),
        };
        self.log.later(
            self.note(kind::REFUSED)
                .request(id)
                .role(p.role.as_str())
                .login(p.login.as_str())
                .uid(p.uid)
                .decision("deny")
                .reason(p.reason.as_str())
                .detail("what", "request")
                .detail("why", why),
        );
        self.core.borrow_mut().outcomes.put(id, (p.uid, outcome));
        self.changed.notify_waiters();
    }

    /// Requests nobody has answered in their time.
    pub fn close_old_requests(&self) {
        let Ok(now) = clock::now() else { return };
        let dead: Vec<String> = {
            let core = self.core.borrow();
            let time = core.state.mark.time(now);
            core.pending
                .values()
                .filter(|p| p.until_s <= time)
                .map(|p| p.id.clone())
                .collect()
        };
        for id in dead {
            self.close_request(&id, Outcome::Denied("nobody decided it in time".into()));
        }
    }

    /// Wait for the outcome of one's own request.
    ///
    /// # Errors
    /// Unknown or somebody else's request (not told apart), denied, failed.
    pub async fn wait(&self, uid: u32, id: &str, max_s: u32) -> Result<Reply, Error> {
        let deadline =
            tokio::time::Instant::now() + Duration::from_secs(u64::from(max_s.min(3600)));
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if let Some(result) = self.outcome(uid, id) {
                return result;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let core = self.core.borrow();
                let waiting_for = core
                    .pending
                    .get(id)
                    .map_or_else(|| "the host".into(), |p| p.waiting_for.clone());
                return Ok(Reply::Pending {
                    request: id.to_owned(),
                    waiting_for,
                });
            }
        }
    }

    fn outcome(&self, uid: u32, id: &str) -> Option<Result<Reply, Error>> {
        let now = clock::now().ok()?;
        let core = self.core.borrow();
        let unknown = || {
            Some(Err(error(
                Code::NotYours,
                format!("you have no request {id}"),
                None,
            )))
        };
        if let Some((owner, outcome)) = core.outcomes.get(id) {
            if *owner != uid && uid != 0 {
                return unknown();
            }
            return match outcome {
                Outcome::Granted(jti) => match core.grants.get(jti) {
                    Some(g) => Some(Ok(Reply::Active {
                        grant: super::status::show(g, &core.state, now),
                    })),
                    None => Some(Err(error(
                        Code::NoGrant,
                        format!("grant {jti} has ended already"),
                        None,
                    ))),
                },
                Outcome::Denied(why) => Some(Err(error(
                    Code::Denied,
                    format!("the request was denied: {why}"),
                    None,
                ))),
                Outcome::OverBudget(why) => Some(Err(error(Code::TooLong, why.as_str(), None))),
                Outcome::Failed(why) => Some(Err(unreachable(why))),
                Outcome::Broken(why) => Some(Err(error(
                    Code::Internal,
                    format!("what was granted could not be put in force: {why}"),
                    Some("root can see more with: journalctl -u jit-agent"),
                ))),
            };
        }
        let asked = |s: &&super::Stored| s.grant.request().id == id && s.file.uid == uid;
        let waits = |s: &&super::Stored| {
            let later = s.grant.request().not_before > core.state.mark.time(now);
            s.file.phase == Phase::Waiting && later
        };
        if let Some(s) = core.grants.values().find(asked).filter(waits) {
            return Some(Ok(Reply::Scheduled {
                grant: super::status::show(s, &core.state, now),
                starts_at: s.file.from_s,
            }));
        }
        match core.pending.get(id) {
            Some(p) if p.uid == uid || uid == 0 => None,
            // Taken from the table, not yet in force.
            None if core
                .grants
                .values()
                .any(|g| g.file.uid == uid && g.chain().any(|g| g.request().id == id)) =>
            {
                None
            }
            _ => unknown(),
        }
    }
}

impl Enrolled {
    /// # Errors
    /// What the user is told while there is none.
    pub(super) fn policy(&self) -> Result<&Verified<Policy>, Error> {
        self.policy.as_ref().ok_or_else(|| {
            unreachable("the policy's key is no longer trusted, and no new policy has come")
        })
    }
}

pub(super) fn unreachable(why: &str) -> Error {
    error(
        Code::Unreachable,
        format!("the issuer cannot be asked: {why}"),
        Some("see: jitctl status; root: systemctl status jit-link jit-issuer"),
    )
}
