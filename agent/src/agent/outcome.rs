//! What becomes of a request, and who waits for it.

use super::elevate::error;
use super::{Agent, Outcome};
use crate::clock;
use crate::store::grants::Phase;
use crate::store::identity::Enrolled;
use crate::store::pending;
use journal::kind;
use statement::claims::{Policy, Purpose};
use statement::verify::Verified;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use wire::cli::{Code, Error, Reply};
use wire::link::{Answer, Down};

/// How long the link may take to hand a request over.
const HAND_OVER: Duration = Duration::from_secs(10);

/// Between two questions about an open request.
const ASK_AGAIN_NS: u64 = 5_000_000_000;
/// Questions at one tick: the link has room for others beside them.
const AT_ONCE: usize = 4;

async fn said(answer: oneshot::Receiver<Answer>) -> Answer {
    match tokio::time::timeout(HAND_OVER, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::Failed {
            why: "the link was lost".into(),
        },
        Err(_) => Answer::Failed {
            why: "the issuer did not answer in time".into(),
        },
    }
}

impl Agent {
    /// What the issuer said to the hand-over. The grant itself comes by the stream.
    pub(super) async fn follow(&self, id: String, answer: oneshot::Receiver<Answer>) {
        match said(answer).await {
            Answer::Accepted => {}
            Answer::Pending { waiting_for } => self.waits_for(&id, &waiting_for),
            Answer::Denied { detail } => self.close_request(&id, Outcome::Denied(detail)),
            Answer::Failed { why } => self.close_request(&id, Outcome::Failed(why)),
        }
        self.changed.notify_waiters();
    }

    /// The same for a request that waits for people: an issuer that is away for a while ends nothing.
    async fn follow_open(&self, id: String, answer: oneshot::Receiver<Answer>) {
        match said(answer).await {
            Answer::Accepted | Answer::Failed { .. } => return,
            Answer::Pending { waiting_for } => self.waits_for(&id, &waiting_for),
            Answer::Denied { detail } => self.close_request(&id, Outcome::Denied(detail)),
        }
        self.changed.notify_waiters();
    }

    fn waits_for(&self, id: &str, whom: &str) {
        // From elsewhere, for people.
        let whom: String = whom.chars().filter(|c| !c.is_control()).take(200).collect();
        let saved = {
            let mut core = self.core.borrow_mut();
            let open = core.pending.get_mut(id).filter(|p| p.waiting_for != whom);
            open.map(|p| {
                p.waiting_for = whom;
                p.clone()
            })
        };
        if let Some(p) = saved
            && let Err(e) = pending::write(&p)
        {
            self.alert(&e.to_string());
        }
    }

    /// Ask the issuer again what became of the requests that wait: it answers the same bytes with how they stand now. A
    /// grant comes by the stream and needs no asking; this brings denials, and for whom it waits.
    pub fn ask_about_open(self: &Rc<Self>) {
        let Ok(now) = clock::now() else { return };
        let due: Vec<(String, String)> = {
            let mut core = self.core.borrow_mut();
            let core = &mut *core;
            core.link
                .asked_ns
                .retain(|id, _| core.pending.contains_key(id));
            let mut due = Vec::new();
            for p in core.pending.values() {
                let last = core
                    .link
                    .asked_ns
                    .entry(p.id.clone())
                    .or_insert(now.boot_ns);
                if due.len() < AT_ONCE && now.boot_ns.saturating_sub(*last) >= ASK_AGAIN_NS {
                    *last = now.boot_ns;
                    due.push((p.id.clone(), p.request.clone()));
                }
            }
            due
        };
        for (id, request) in due {
            if let Some(answer) = self.hand_over(request) {
                let agent = self.clone();
                tokio::task::spawn_local(async move { agent.follow_open(id, answer).await });
            }
        }
    }

    /// Take a request back: crossed out here, so that whatever grant still answers it is refused; then the issuer is told.
    ///
    /// # Errors
    /// Another's.
    pub(super) fn withdraw(&self, uid: u32, id: &str) -> Option<Result<Reply, Error>> {
        let (owner, hash, names) = {
            let core = self.core.borrow();
            let p = core.pending.get(id)?;
            let e = core.enrolled.as_ref();
            let names = e.map(|e| (e.me.host.clone(), e.ring.iss().to_owned()));
            (p.uid, p.hash.clone(), names)
        };
        let by = match owner == uid {
            true => "its user withdrew it",
            false if uid == 0 => "root withdrew it",
            false => {
                let why = format!("request {id} is not yours");
                return Some(Err(error(Code::NotYours, why, None)));
            }
        };
        self.close_request(id, Outcome::Withdrawn(by));
        if let Some((host, issuer)) = names {
            let body = serde_json::json!({ "host": host, "request": hash }).to_string();
            let hash = statement::digest::sha256_b64(body.as_bytes());
            match self.word(host, issuer, Purpose::Withdraw, Some(hash)) {
                Ok(word) => {
                    if let Some(link) = &self.core.borrow().link.tx {
                        let _ = link.send(Down::Withdraw { body, word });
                    }
                }
                Err(why) => self.alert_rarely(&format!("the issuer was not told: {why}")),
            }
        }
        Some(Ok(Reply::Dropped {
            grants: vec![id.to_owned()],
        }))
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
            Outcome::Unfit(why) => format!("this host does not take the issuer's grant: {why}"),
            Outcome::Withdrawn(by) => (*by).to_owned(),
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

    /// Nobody waits any longer with this agent: who asks again asks the next one, and no start of a grant is begun.
    pub fn stop_waiting(&self) {
        self.stopping.set(true);
        self.changed.notify_waiters();
    }

    /// Wait until no start of a grant is under way: one that is cut off is taken for a crash, and its grant ended. And until each
    /// end is asked for: whoever was told that he gave something back shall not wait for the next agent, which may never come.
    pub async fn in_order(&self, until: tokio::time::Instant) {
        let done = || {
            let core = self.core.borrow();
            let begun = |s: &super::Stored| s.file.phase == Phase::Arming;
            core.arming.is_empty() && core.unasked.is_empty() && !core.grants.values().any(begun)
        };
        self.changed_until(until, done).await;
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
            if self.stopping.get() || tokio::time::timeout_at(deadline, changed).await.is_err() {
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

    /// What was asked for a later time, and is granted.
    fn scheduled(core: &super::Core, uid: u32, id: &str, now: clock::Now) -> Option<Reply> {
        let asked = |s: &&super::Stored| s.file.request == id && s.file.uid == uid;
        let stored = core.grants.values().find(asked)?;
        if stored.file.phase != Phase::Waiting {
            return None;
        }
        let again;
        let whole = match stored.whole() {
            Some(whole) => whole,
            None => {
                again = core.again(stored).ok()?;
                again.whole()?
            }
        };
        // Else it waits only until this host's clock has come as far as the issuer's.
        let later = whole.grant.request().not_before > core.state.mark.time(now);
        later.then(|| Reply::Scheduled {
            grant: super::status::show(stored, whole, &core.state, now),
            starts_at: stored.file.from_s,
        })
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
                Outcome::Granted(jti) => match core.grants.get(jti).map(|s| (s, s.whole())) {
                    Some((stored, Some(whole))) => Some(Ok(Reply::Active {
                        grant: super::status::show(stored, whole, &core.state, now),
                    })),
                    _ => Some(Err(ended(jti))),
                },
                Outcome::Denied(why) => Some(Err(error(
                    Code::Denied,
                    format!("the request was denied: {why}"),
                    None,
                ))),
                Outcome::Unfit(why) => Some(Err(error(
                    Code::Denied,
                    format!("the issuer granted it, but this host does not take the grant: {why}"),
                    Some("ask again; if it stays so, root can see more with: jitctl log show"),
                ))),
                Outcome::Withdrawn(by) => Some(Err(error(
                    Code::Denied,
                    format!("there is no such request any more: {by}"),
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
        if let Some(scheduled) = Self::scheduled(&core, uid, id, now) {
            return Some(Ok(scheduled));
        }
        match core.pending.get(id) {
            Some(p) if p.uid == uid || uid == 0 => None,
            Some(_) => unknown(),
            None => {
                let theirs = |s: &&super::Stored| s.file.uid == uid && s.was_asked_as(id);
                let Some(stored) = core.grants.values().find(theirs) else {
                    return unknown();
                };
                match stored.file.phase {
                    // Taken from the table, not yet in force.
                    Phase::Waiting | Phase::Arming => None,
                    // Its later end does not count yet.
                    Phase::Active if stored.whole()?.until.is_some() => None,
                    // The agent before this one gave it.
                    Phase::Active => Some(Ok(Reply::Active {
                        grant: super::status::show(stored, stored.whole()?, &core.state, now),
                    })),
                    Phase::Ending => Some(Err(ended(&stored.file.jti))),
                }
            }
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

fn ended(jti: &str) -> Error {
    error(
        Code::NoGrant,
        format!("grant {jti} has ended already"),
        None,
    )
}

pub(super) fn unreachable(why: &str) -> Error {
    error(
        Code::Unreachable,
        format!("the issuer cannot be asked: {why}"),
        Some("see: jitctl status; root: systemctl status jit-link jit-issuer"),
    )
}
