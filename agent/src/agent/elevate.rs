//! From `jitctl elevate` to a signed request on its way.

use super::outcome::unreachable;
use super::people::{login_of, with_session};
use super::{Agent, Outcome, random};
use crate::callers::Peer;
use crate::clock::{self, Now};
use crate::store::pending::{self, Pending};
use journal::kind;
use statement::claims::{Request, Typ};
use std::rc::Rc;
use tokio::sync::oneshot;
use wire::cli::{Code, Elevate, Error, Reply};
use wire::link::{Answer, Down};

pub(super) fn error(code: Code, message: impl Into<String>, hint: Option<&str>) -> Error {
    Error {
        code,
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}

impl Agent {
    /// Make, keep, journal and hand over a request. Every refusal is journaled.
    ///
    /// # Errors
    /// What the user is told.
    pub async fn elevate(self: &Rc<Self>, peer: &Peer, ask: Elevate) -> Result<Reply, Error> {
        self.ask_for(peer, &ask.reason, ask.ticket.as_deref(), |login, fresh| {
            self.claims(login, peer.uid, &ask, fresh)
        })
        .await
    }

    /// What every request has in common; `claims` says what is asked for, from the login and what is fresh about it: an
    /// id, a nonce and the time.
    ///
    /// # Errors
    /// What the user is told.
    pub(super) async fn ask_for(
        self: &Rc<Self>,
        peer: &Peer,
        reason: &str,
        ticket: Option<&str>,
        claims: impl FnOnce(&str, (String, String, Now)) -> Result<Request, Error>,
    ) -> Result<Reply, Error> {
        let login = login_of(peer.uid).await?;
        let result = async {
            check_text(reason, ticket)?;
            self.check_person(peer, &login).await?;
            if let Some(trouble) = self.witness_trouble() {
                return Err(error(Code::Denied, trouble, None));
            }
            let internal = |e: String| error(Code::Internal, e, None);
            let now = clock::now().map_err(|e| internal(e.to_string()))?;
            let id = statement::id::ulid(now.wall_ms, random().map_err(internal)?);
            let nonce: [u8; 16] = random().map_err(internal)?;
            let claims = claims(&login, (id, base64(&nonce), now))?;
            self.submit(peer, &login, claims, now).await
        }
        .await;
        if let Err(e) = &result {
            let record = self
                .note(kind::REFUSED)
                .login(login.as_str())
                .uid(peer.uid)
                .decision("deny")
                .reason(clip(reason))
                .detail("what", "request")
                .detail("why", e.message.clone());
            self.refuse(peer.uid, with_session(record, peer.process.facts.pid));
        }
        result
    }

    async fn submit(
        self: &Rc<Self>,
        peer: &Peer,
        login: &str,
        claims: Request,
        now: Now,
    ) -> Result<Reply, Error> {
        let id = claims.id.clone();
        let jws = self
            .signer
            .sign(Typ::Request, &claims)
            .map_err(|e| error(Code::Internal, e.to_string(), None))?;
        let pending = Pending {
            v: 1,
            id: id.clone(),
            hash: statement::digest::sha256_b64(jws.as_bytes()),
            login: login.to_owned(),
            uid: peer.uid,
            role: claims.role.clone(),
            reason: claims.reason.clone(),
            ticket: claims.ticket.clone(),
            created_s: now.wall_s(),
            until_s: claims.approve_until,
            waiting_for: "the issuer".into(),
            request: jws.clone(),
            journal_from: self.log.next_index(),
        };
        pending::write(&pending).map_err(|e| no_right(&e))?;
        let mut record = self
            .record(kind::REQUEST, now)
            .request(id.as_str())
            .role(claims.role.as_str())
            .login(login)
            .uid(peer.uid)
            .reason(claims.reason.as_str())
            .detail("seconds", claims.dur)
            .detail("hash", pending.hash.clone());
        if let Some(t) = &claims.ticket {
            record = record.ticket(t.as_str());
        }
        if let Some(jti) = &claims.extends {
            record = record.detail("extends", jti.clone());
        }
        if let Err(e) = self
            .log
            .append(with_session(record, peer.process.facts.pid))
            .await
        {
            let _ = pending::remove(&id);
            return Err(no_right(&e));
        }
        let role = claims.role.clone();
        self.core.borrow_mut().pending.insert(id.clone(), pending);
        let sent = self.hand_over(jws);
        let Some(answer) = sent else {
            self.close_request(
                &id,
                Outcome::Failed("the link to the issuer is not running".into()),
            );
            return Err(unreachable("the link to the issuer is not running"));
        };
        let agent = self.clone();
        let request = id.clone();
        tokio::task::spawn_local(async move { agent.follow(request, answer).await });
        Ok(Reply::Submitted { request: id, role })
    }
}

impl Agent {
    /// Gives a request to the link; the answer comes from the issuer. `None`: there is no link.
    pub(super) fn hand_over(&self, jws: String) -> Option<oneshot::Receiver<Answer>> {
        let mut core = self.core.borrow_mut();
        let number = core.link.next;
        core.link.next += 1;
        let (tx, rx) = oneshot::channel();
        let sent = core.link.tx.as_ref().is_some_and(|link| {
            link.send(Down::Submit {
                id: number,
                request: jws,
            })
            .is_ok()
        });
        if sent {
            core.link.answers.insert(number, tx);
        }
        sent.then_some(rx)
    }
}

/// The limits that every statement's reason and ticket keep.
pub(super) fn check_text(reason: &str, ticket: Option<&str>) -> Result<(), Error> {
    let usage = |e: &dyn std::fmt::Display| error(Code::Usage, e.to_string(), None);
    statement::limits::reason(reason).map_err(|e| usage(&e))?;
    ticket
        .map_or(Ok(()), statement::limits::ticket)
        .map_err(|e| usage(&e))
}

/// What must be kept before anything is given cannot be kept.
fn no_right(why: &dyn std::fmt::Display) -> Error {
    error(
        Code::Internal,
        format!("no right can be given: {why}"),
        Some("root can see why with: journalctl -u jit-agent"),
    )
}

/// A reason as it may be journaled even when it was refused for its length.
pub(super) fn clip(reason: &str) -> String {
    reason.chars().take(512).collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
