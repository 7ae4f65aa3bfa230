//! Break-glass: a code that the root keys' holders made in advance gives its user one grant when nobody can be asked. It
//! needs neither issuer nor link nor a fresh view of revocations, and it cannot go unnoticed.
//!
//! Order of a use: eligible → rate → the code opens a statement that the root keys signed for this host → the journal knows
//! of no use of it → **used, made durable** → journaled, with a `Receipt` → kept → in force, as every grant.

use super::activate::file_of;
use super::elevate::{base64, check_text, clip, error};
use super::people::{login_of, with_session};
use super::statements::New;
use super::{Agent, Core, Stored, accept, random, say};
use crate::callers::Peer;
use crate::clock::{self, Now};
use crate::effects::terminals;
use crate::paths;
use crate::store::codes::{self, CodeFile, Fate};
use crate::store::grants;
use crate::store::identity::Enrolled;
use journal::kind;
use statement::breakglass::{
    Code as Typed, OpenBreakglass, VerifiedBreakglass, verify_breakglass, verify_kept,
};
use statement::claims::{Request, Target, Typ};
use statement::verify::VerifiedGrant;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use wire::cli::{Breakglass, Code, Error, Reply};

/// Statements of one host that are kept, used ones too.
const KEPT: usize = 256;
/// Seconds for which one is remembered after its time.
const REMEMBERED_S: u64 = 2 * 86_400;
/// Seconds for which whoever used one waits until it is in force.
const WAIT_S: u32 = 10;
/// Tries of one uid: so many at once, then one every half minute. The code cannot be guessed at any rate; this keeps the
/// alarm from being drowned.
const TRIES: u64 = 5;
const TRY_EVERY_NS: u64 = 30_000_000_000;
/// Uids whose tries are remembered.
const UIDS: usize = 4096;

/// Tries of codes: by uid, the `CLOCK_BOOTTIME` nanoseconds at which all are his again.
#[derive(Default)]
pub struct Tries(HashMap<u32, u64>);

impl Tries {
    /// One more try.
    ///
    /// # Errors
    /// Seconds until there is one again.
    fn take(&mut self, uid: u32, boot_ns: u64) -> Result<(), u64> {
        if self.0.len() >= UIDS {
            self.0.retain(|_, full| *full > boot_ns);
        }
        let full = self.0.entry(uid).or_insert(boot_ns);
        let after = (*full).max(boot_ns) + TRY_EVERY_NS;
        let over = after.saturating_sub(boot_ns + TRIES * TRY_EVERY_NS);
        if over > 0 {
            return Err(over.div_ceil(1_000_000_000));
        }
        *full = after;
        Ok(())
    }
}

/// Why nothing was given, and whether that was said aloud already.
struct No {
    error: Error,
    loud: bool,
}

impl From<Error> for No {
    fn from(error: Error) -> Self {
        Self { error, loud: false }
    }
}

fn internal(why: impl std::fmt::Display) -> Error {
    error(
        Code::Internal,
        format!("no right can be given: {why}"),
        Some("root can see why with: journalctl -u jit-agent"),
    )
}

impl Agent {
    /// What is stored of them, at the start.
    pub fn load_codes(&self) {
        let Ok(now) = clock::now() else { return };
        let (good, bad) = match codes::load_all() {
            Ok(all) => all,
            Err(e) => return self.alert(&e.to_string()),
        };
        for e in bad {
            self.alert(&format!("a break-glass statement cannot be used: {e}"));
        }
        let mut core = self.core.borrow_mut();
        let time = core.state.mark.time(now);
        for code in good {
            if code.until_s.saturating_add(REMEMBERED_S) < time {
                if let Err(e) = codes::remove(&code.id) {
                    self.alert(&e.to_string());
                }
            } else {
                core.codes.insert(code.id.clone(), code);
            }
        }
    }

    /// One came. Only what the root keys signed for this host is kept.
    pub(super) async fn take_breakglass(&self, blob: &str) -> Result<New, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let file = {
            let core = self.core.borrow();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            let statement = believed(blob, enrolled)?;
            let claims = statement.claims();
            if core.codes.contains_key(&claims.id) {
                return Ok(New::No);
            }
            if claims.exp <= core.state.mark.time(now) {
                return Err("its time is over".into());
            }
            if is_revoked(&core, &claims.id) {
                return Err("it was revoked".into());
            }
            if claims.iat < core.state.closed_before {
                return Err("it was made before revocations that this host no longer holds".into());
            }
            if core.codes.len() >= KEPT {
                return Err(format!("this host keeps {KEPT} of them already"));
            }
            CodeFile {
                v: 1,
                id: claims.id.clone(),
                until_s: claims.exp,
                fate: Fate::Ready,
                statement: blob.to_owned(),
            }
        };
        codes::write(&file).map_err(|e| e.to_string())?;
        let record = self
            .record(kind::BREAKGLASS, now)
            .grant(file.id.as_str())
            .decision("received")
            .detail("until", file.until_s);
        let _receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        let mut core = self.core.borrow_mut();
        core.codes.entry(file.id.clone()).or_insert(file);
        Ok(New::Yes)
    }

    /// A revocation names it: it opens nothing from now on, whatever the disk says.
    pub(super) fn revoke_code(&self, id: &str) {
        let file = {
            let mut core = self.core.borrow_mut();
            let Some(code) = core.codes.get_mut(id).filter(|c| c.fate == Fate::Ready) else {
                return;
            };
            code.fate = Fate::Revoked;
            code.clone()
        };
        if let Err(e) = codes::write(&file) {
            self.alert(&e.to_string());
        }
    }

    /// Use a code. Every refusal is journaled, a wrong code loudly.
    ///
    /// # Errors
    /// What the user is told.
    pub async fn breakglass(self: &Rc<Self>, peer: &Peer, ask: Breakglass) -> Result<Reply, Error> {
        let login = login_of(peer.uid).await?;
        match self.break_glass(peer, &login, &ask).await {
            Ok(id) => self.wait(peer.uid, &id, WAIT_S).await,
            Err(No { error, loud }) => {
                if !loud {
                    let record = self
                        .note(kind::REFUSED)
                        .login(login.as_str())
                        .uid(peer.uid)
                        .decision("deny")
                        .reason(clip(&ask.reason))
                        .detail("what", "breakglass")
                        .detail("why", error.message.clone());
                    self.refuse(peer.uid, with_session(record, peer.process.facts.pid));
                }
                Err(error)
            }
        }
    }

    /// The id of the grant that is being put in force.
    async fn break_glass(
        self: &Rc<Self>,
        peer: &Peer,
        login: &str,
        ask: &Breakglass,
    ) -> Result<String, No> {
        check_text(&ask.reason, ask.ticket.as_deref())?;
        let typed =
            Typed::parse(&ask.code.0).map_err(|e| error(Code::Usage, e.to_string(), None))?;
        self.check_person(peer, login).await?;
        let now = clock::now().map_err(internal)?;
        let tried = self.core.borrow_mut().tries.take(peer.uid, now.boot_ns);
        if let Err(wait_s) = tried {
            return Err(error(
                Code::Busy,
                format!("too many codes were tried; wait {wait_s} s"),
                None,
            )
            .into());
        }
        let _one = self.breaking.lock().await;
        let Some(open) = self.opened_by(&typed)? else {
            return Err(self.wrong_code(peer, login, ask).await);
        };
        let id = open.statement().claims().id.clone();
        if used_before(&id).await? {
            self.alert(&format!(
                "break-glass statement {id} was used before, and its file did not say so: it was put back"
            ));
            self.spend(&id)?;
            return Err(error(Code::Denied, "this code was used before", None).into());
        }
        let grant = self.ask_with(peer, login, ask, &open)?;
        if let Some(why) = self.log.trouble() {
            // Nothing could be given, and the code would be gone.
            return Err(internal(why).into());
        }
        self.spend(&id)?;
        self.say_aloud(peer, login, ask, &grant).await?;
        self.keep(&grant, login, peer.uid)?;
        let agent = self.clone();
        let jti = id.clone();
        // Others' starts do not hold up an emergency.
        tokio::task::spawn_local(async move { agent.activate_now(&jti).await });
        Ok(id)
    }

    /// The one statement that this code opens and that may be used now.
    fn opened_by(&self, typed: &Typed) -> Result<Option<OpenBreakglass>, Error> {
        let now = clock::now().map_err(internal)?;
        let core = self.core.borrow();
        let Some(enrolled) = &core.enrolled else {
            return Err(error(Code::Denied, "this host is not enrolled", None));
        };
        for code in core.codes.values() {
            // One of a former epoch, former root keys or a former enrolment is like none.
            let Ok(statement) = believed(&code.statement, enrolled) else {
                continue;
            };
            let Some(open) = statement.open(typed).map_err(internal)? else {
                continue;
            };
            let time = core.state.mark.time(now);
            let denied = |why: &str| Err(error(Code::Denied, why, None));
            return match code.fate {
                Fate::Used => denied("this code was used before"),
                Fate::Revoked => denied("this code was revoked"),
                Fate::Ready if is_revoked(&core, &code.id) => denied("this code was revoked"),
                Fate::Ready if statement.claims().exp <= time => {
                    denied("the time of this code is over")
                }
                Fate::Ready if enrolled.trust.claims().exp <= time => denied(
                    "this host's trust statement has ended; the root keys must sign a new one",
                ),
                Fate::Ready => Ok(Some(open)),
            };
        }
        Ok(None)
    }

    async fn wrong_code(&self, peer: &Peer, login: &str, ask: &Breakglass) -> No {
        let record = self
            .note(kind::BREAKGLASS)
            .login(login)
            .uid(peer.uid)
            .decision("deny")
            .reason(ask.reason.as_str())
            .detail("why", "the code opens no statement of this host");
        let record = with_session(record, peer.process.facts.pid);
        if self.log.append(record.clone()).await.is_err() {
            self.log.later(record);
        }
        No {
            error: error(
                Code::Denied,
                "this code opens nothing on this host",
                Some("each code is for one host; its sheet names it"),
            ),
            loud: true,
        }
    }

    /// The host's own request for exactly what the statement gives, and the grant that both make.
    fn ask_with(
        &self,
        peer: &Peer,
        login: &str,
        ask: &Breakglass,
        open: &OpenBreakglass,
    ) -> Result<VerifiedGrant, Error> {
        let now = clock::now().map_err(internal)?;
        let ceiling = self.usable_ceiling()?;
        let right = open.right();
        let most = right.dur.min(ceiling.max_duration_s);
        let seconds = ask.seconds.unwrap_or(most);
        if seconds == 0 {
            return Err(error(
                Code::Usage,
                "a grant lasts at least one second",
                None,
            ));
        }
        if seconds > most {
            let most = say::duration(most);
            return Err(error(
                Code::TooLong,
                format!("this code gives at most {most}"),
                Some(&format!("ask with: --for {most}")),
            ));
        }
        let core = self.core.borrow();
        let enrolled = core
            .enrolled
            .as_ref()
            .ok_or_else(|| error(Code::Denied, "this host is not enrolled", None))?;
        let time_s = core.state.mark.time(now);
        let nonce: [u8; 16] = random().map_err(internal)?;
        let host = &enrolled.me.host;
        let request = Request {
            ver: 1,
            iss: host.clone(),
            iat: time_s,
            id: open.statement().claims().id.clone(),
            nonce: base64(&nonce),
            sub: format!("local:{}@{host}", peer.uid),
            aud: vec![host.clone()],
            role: right.role.clone(),
            policy_ver: 0,
            authorization_details: vec![right.right.expand(&right.role, login, peer.uid)],
            not_before: 0,
            dur: seconds,
            // It is never handed in anywhere.
            approve_until: time_s,
            reason: ask.reason.clone(),
            ticket: ask.ticket.clone(),
            extends: None,
        };
        let jws = self.signer.sign(Typ::Request, &request).map_err(internal)?;
        let bundle = open.bundle(&jws);
        let grant = verify_kept(&bundle, &enrolled.trust, &enrolled.me).map_err(internal)?;
        accept::within(&grant, &ceiling, time_s).map_err(|why| error(Code::Denied, why, None))?;
        Self::still(&core, &grant, now)?;
        if core.grants.values().any(|s| s.is_called(&request.id)) {
            return Err(error(Code::Denied, "this code was used before", None));
        }
        Ok(grant)
    }

    /// From now on this statement opens nothing, also after a crash.
    fn spend(&self, id: &str) -> Result<(), Error> {
        let file = {
            let mut core = self.core.borrow_mut();
            let Some(code) = core.codes.get_mut(id) else {
                return Err(internal("its statement is gone"));
            };
            // Revoked meanwhile: nothing has waited for us.
            if code.fate == Fate::Revoked {
                return Err(error(Code::Denied, "this code was revoked", None));
            }
            code.fate = Fate::Used;
            code.clone()
        };
        codes::write(&file).map_err(|e| {
            // Nothing was given for it.
            if let Some(code) = self.core.borrow_mut().codes.get_mut(id) {
                code.fate = Fate::Ready;
            }
            internal(e)
        })
    }

    /// Journal, the local syslog as an alert, and every terminal.
    async fn say_aloud(
        &self,
        peer: &Peer,
        login: &str,
        ask: &Breakglass,
        grant: &VerifiedGrant,
    ) -> Result<(), Error> {
        let claims = grant.claims();
        let mut record = self
            .note(kind::BREAKGLASS)
            .grant(claims.jti.as_str())
            .role(claims.role.as_str())
            .login(login)
            .uid(peer.uid)
            .decision("allow")
            .reason(ask.reason.as_str())
            .detail("ends", claims.exp)
            .detail("kid", grant.kid());
        if let Some(ticket) = &ask.ticket {
            record = record.ticket(ticket.as_str());
        }
        let record = with_session(record, peer.process.facts.pid);
        let _receipt = self.log.append(record).await.map_err(internal)?;
        let line = format!(
            "jit: BREAK-GLASS on {}: {login} took role {} for {} (grant {}). Reason: {}",
            self.host_name,
            claims.role,
            say::duration(claims.exp - claims.nbf),
            claims.jti,
            ask.reason
        );
        tokio::task::spawn_blocking(move || terminals::tell_all(&line));
        Ok(())
    }

    /// Keep it as every grant is kept; what came meanwhile counts.
    fn keep(&self, grant: &VerifiedGrant, login: &str, uid: u32) -> Result<(), Error> {
        let now = clock::now().map_err(internal)?;
        let file = {
            let mut core = self.core.borrow_mut();
            let stored = Self::still(&core, grant, now)?;
            let time_s = core.state.mark.time(now).max(grant.claims().iat);
            let file = file_of(&stored, &self.boot_id, self.log.next_index(), time_s, now);
            if file.login != login || file.uid != uid {
                return Err(internal("it is for another account"));
            }
            core.grants
                .insert(file.jti.clone(), Stored::new(file.clone(), stored));
            file
        };
        grants::write(&file).map_err(|e| {
            let _ = grants::remove(&file.jti);
            self.core.borrow_mut().grants.remove(&file.jti);
            internal(e)
        })
    }

    /// The trust statement may have changed while the disk worked, and a revocation may have come.
    fn still(core: &Core, grant: &VerifiedGrant, now: Now) -> Result<VerifiedGrant, Error> {
        let denied = |why: String| error(Code::Denied, why, None);
        let enrolled = core
            .enrolled
            .as_ref()
            .ok_or_else(|| denied("this host is not enrolled".into()))?;
        let again = verify_kept(grant.bundle(), &enrolled.trust, &enrolled.me)
            .map_err(|e| denied(e.to_string()))?;
        let mut held = core.state.revoked.iter();
        if held.any(|r| accept::revokes(r, &again, &enrolled.me)) {
            return Err(denied("it was revoked".into()));
        }
        if again.claims().exp <= core.state.mark.time(now) {
            return Err(denied("its time is over".into()));
        }
        Ok(again)
    }
}

/// Signed for this host by its root keys, since it was enrolled: a host that was set up anew has forgotten what was used
/// before.
fn believed(doc: &str, enrolled: &Enrolled) -> Result<VerifiedBreakglass, String> {
    let statement =
        verify_breakglass(doc, &enrolled.trust, &enrolled.me).map_err(|e| e.to_string())?;
    if statement.claims().iat < enrolled.since {
        return Err("it was made before this host was enrolled".into());
    }
    Ok(statement)
}

fn is_revoked(core: &Core, id: &str) -> bool {
    let names = |t: &Target| matches!(t, Target::Grant(jti) if jti == id);
    core.state.revoked.iter().any(|r| names(&r.target))
}

/// Does the journal tell of a use? Files can be put back from a copy, the journal only goes on.
async fn used_before(id: &str) -> Result<bool, Error> {
    let id = id.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        // Its faults are found and told when the journal is opened.
        journal::read_from(Path::new(paths::JOURNAL_DIR), 0)
            .flatten()
            .any(|entry| tells_of_use(&entry.json, &id))
    });
    read.await.map_err(internal)
}

fn tells_of_use(json: &str, id: &str) -> bool {
    if !json.contains(id) {
        return false;
    }
    let Ok(record) = serde_json::from_str::<serde_json::Value>(json) else {
        return false;
    };
    record["grant"] == id
        && match record["type"].as_str() {
            Some(kind::BREAKGLASS) => record["decision"] == "allow",
            Some(kind::GRANT) => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_few_and_come_back() {
        let mut tries = Tries::default();
        let s = 1_000_000_000;
        for _ in 0..TRIES {
            assert_eq!(tries.take(1000, 7 * s), Ok(()));
        }
        assert_eq!(tries.take(1000, 7 * s), Err(30));
        assert_eq!(tries.take(1001, 7 * s), Ok(()));
        assert_eq!(tries.take(1000, 36 * s), Err(1));
        assert_eq!(tries.take(1000, 37 * s), Ok(()));
        assert_eq!(tries.take(1000, 37 * s), Err(30));
    }

    #[test]
    fn the_journal_tells_of_a_use_and_of_nothing_else() {
        let told = |json: &str| tells_of_use(json, "C1");
        assert!(told(
            r#"{"type":"breakglass","grant":"C1","decision":"allow"}"#
        ));
        assert!(told(r#"{"type":"grant","grant":"C1","decision":"allow"}"#));
        assert!(!told(
            r#"{"type":"breakglass","grant":"C1","decision":"received"}"#
        ));
        assert!(!told(
            r#"{"type":"breakglass","grant":"C2","decision":"allow","reason":"C1"}"#
        ));
        assert!(!told(r#"{"type":"revocation","reason":"C1"}"#));
    }
}
