//! The gates' questions: `open` and PAM are answered from memory, listings leave a record, uses go to `uses`.

use super::last::Told;
use super::people::with_session;
use super::say::Wanted;
use super::{Agent, no, status};
use crate::callers::Peer;
use crate::clock;
use crate::decide::{self, Decision, Question, Who, decide};
use journal::{Rule, kind};
use settings::ceiling::StandingRules;
use statement::detail::{AllOr, Door};
use std::rc::Rc;
use wire::gate::{self, ListKind, PamPhase, PamVerdict, Reply, Request, Subject};

/// A checked subject.
pub(super) struct Person {
    pub(super) login: String,
    pub(super) uid: u32,
}

impl Person {
    pub(super) fn who(&self) -> Who<'_> {
        Who {
            login: &self.login,
            uid: self.uid,
        }
    }
}

pub(super) fn door(d: gate::Door) -> Door {
    match d {
        gate::Door::Sudo => Door::Sudo,
        gate::Door::Su => Door::Su,
        gate::Door::Ssh => Door::Ssh,
        gate::Door::Polkit => Door::Polkit,
    }
}

pub(super) fn deny(text: impl Into<String>) -> Reply {
    Reply::Deny { text: text.into() }
}

impl Agent {
    /// Answer one question of a door.
    pub async fn gate(self: &Rc<Self>, peer: Peer, request: Request) -> Reply {
        let subject = match &request {
            Request::Open { subject, .. }
            | Request::Pam { subject, .. }
            | Request::List { subject, .. }
            | Request::Refused { subject, .. }
            | Request::Closed { subject, .. } => subject,
            Request::Use(u) => &u.subject,
        };
        let person = match person(&peer, subject) {
            Ok(p) => p,
            Err(why) => {
                let record = self
                    .note(kind::REFUSED)
                    .decision("deny")
                    .detail("what", "call")
                    .detail("why", why.clone());
                self.refuse(
                    peer.process.facts.uid,
                    with_session(record, peer.process.facts.pid),
                );
                return deny(format!("jit: {why}."));
            }
        };
        match request {
            Request::Open {
                door: d, intent, ..
            } => self.open(&peer, &person, door(d), intent),
            Request::Pam {
                phase,
                tty,
                last_gate: true,
                target,
                ..
            } => {
                self.pam_last(&peer, &person, phase, Told { tty, target })
                    .await
            }
            Request::Pam { door: d, phase, .. } => self.pam(&peer, &person, door(d), phase),
            Request::Use(u) => self.use_(&peer, &person, &u).await,
            Request::List {
                kind: what, about, ..
            } => self.list(&peer, &person, what, about),
            Request::Refused {
                by,
                message,
                argv,
                cwd,
                tty,
                door: at,
                ..
            } => {
                let mut record = self
                    .note(kind::REFUSED)
                    .login(person.login.as_str())
                    .uid(person.uid)
                    .decision("deny")
                    .command(argv.into_iter().map(|t| t.0))
                    .detail("what", "use")
                    .detail("by", by.to_string())
                    .detail("why", message.to_string());
                if let Some((rule, gate)) = self.why_shut(&person, door(at)) {
                    record = record.detail("gate", gate).detail("rule", rule.name());
                }
                record.cwd = cwd.map(|t| t.0.into());
                record.tty = tty.map(|t| t.0.into());
                self.refuse(person.uid, with_session(record, peer.process.facts.pid));
                Reply::Done
            }
            Request::Closed { grant, status, .. } => {
                if statement::id::is_ulid(&grant) {
                    let closed = grant.clone();
                    let record = self
                        .note(kind::CLOSE)
                        .grant(grant)
                        .login(person.login.as_str())
                        .uid(person.uid);
                    self.log.later(with_session(
                        record.detail("status", status),
                        peer.process.facts.pid,
                    ));
                    self.close_used(&closed, &person);
                }
                Reply::Done
            }
        }
    }

    /// Why no grant opens this door to the person now, when none does, and by which rule.
    fn why_shut(&self, person: &Person, door: Door) -> Option<(Rule, String)> {
        let now = clock::now().ok()?;
        let core = self.core.borrow();
        let max_stale = self.ceiling().ok()?.max_stale_s;
        match decide(
            core.views(person.uid),
            &core.state,
            max_stale,
            now,
            person.who(),
            Question::Door(door),
        ) {
            Decision::Allow(..) => None,
            Decision::Deny(why) => Some((no::rule(&why), why.to_string())),
        }
    }

    /// G1. From memory; records nothing. With an intent to run something, the move into the likeliest grant begins
    /// now, because it may cost a whole RCU grace period.
    fn open(&self, peer: &Peer, person: &Person, door: Door, intent: bool) -> Reply {
        let Ok(now) = clock::now() else {
            return deny("jit: the clock cannot be read.");
        };
        let ceiling = match self.ceiling() {
            Ok(c) => c,
            Err(why) => {
                return Reply::State {
                    active: false,
                    until: None,
                    text: Some(broken_ceiling(&why)),
                    standing_rules: false,
                };
            }
        };
        let core = self.core.borrow();
        let standing_rules = ceiling.standing_rules == StandingRules::Allow;
        let max_stale = ceiling.max_stale_s;
        let decision = decide(
            core.views(person.uid),
            &core.state,
            max_stale,
            now,
            person.who(),
            Question::Door(door),
        );
        let (until, jti) = match decision {
            Decision::Allow(view, _) => (view.deadline, view.claims.jti.clone()),
            Decision::Deny(why) => {
                let text = Some(self.refusal(&core, &why, person.who(), &Wanted::of(peer), now));
                return Reply::State {
                    active: false,
                    until: None,
                    text,
                    standing_rules,
                };
            }
        };
        drop(core);
        if intent && peer.process.facts.uid == person.uid {
            self.begin_move(&peer.process, jti);
        }
        let until = Some(gate::Deadline {
            wall_s: until.wall_s,
            boot_ns: until.boot_ns,
        });
        Reply::State {
            active: true,
            until,
            text: None,
            standing_rules,
        }
    }

    /// G2. From memory.
    fn pam(&self, peer: &Peer, person: &Person, door: Door, phase: PamPhase) -> Reply {
        let Ok(now) = clock::now() else {
            return deny("jit: the clock cannot be read.");
        };
        let ceiling = match self.ceiling() {
            Ok(c) => c,
            Err(why) => {
                return Reply::Pam {
                    verdict: PamVerdict::Refuse,
                    text: Some(broken_ceiling(&why)),
                };
            }
        };
        let core = self.core.borrow();
        let max_stale = ceiling.max_stale_s;
        let decision = decide(
            core.views(person.uid),
            &core.state,
            max_stale,
            now,
            person.who(),
            Question::Door(door),
        );
        match decision {
            Decision::Allow(..) => {
                let password = decide::needs_password(
                    core.views(person.uid),
                    &core.state,
                    now,
                    person.who(),
                    door,
                );
                let verdict = match phase {
                    PamPhase::Auth if password => PamVerdict::Ignore,
                    PamPhase::Auth | PamPhase::Account => PamVerdict::Success,
                };
                Reply::Pam {
                    verdict,
                    text: None,
                }
            }
            Decision::Deny(_) if ceiling.standing_rules == StandingRules::Allow => Reply::Pam {
                verdict: PamVerdict::Ignore,
                text: None,
            },
            Decision::Deny(why) => Reply::Pam {
                verdict: PamVerdict::Refuse,
                text: Some(self.refusal(&core, &why, person.who(), &Wanted::of(peer), now)),
            },
        }
    }

    /// `sudo -l` and `sudo -v`: one record, no move; the grant's commands for the listing.
    fn list(
        &self,
        peer: &Peer,
        person: &Person,
        what: ListKind,
        about: Option<wire::Text>,
    ) -> Reply {
        let Ok(now) = clock::now() else {
            return Reply::Lines { lines: Vec::new() };
        };
        let mut record = self
            .record(kind::LIST, now)
            .login(person.login.as_str())
            .uid(person.uid)
            .detail(
                "kind",
                if what == ListKind::List {
                    "list"
                } else {
                    "validate"
                },
            );
        if let Some(login) = &about {
            record = record.detail("about", login.to_string());
        }
        self.log.later(with_session(record, peer.process.facts.pid));
        if what == ListKind::Validate || about.is_some() {
            return Reply::Lines { lines: Vec::new() };
        }
        let Ok(ceiling) = self.ceiling() else {
            return Reply::Lines { lines: Vec::new() };
        };
        let core = self.core.borrow();
        let mut lines = Vec::new();
        for view in core.views(person.uid) {
            let live = matches!(
                decide(
                    [view],
                    &core.state,
                    ceiling.max_stale_s,
                    now,
                    person.who(),
                    Question::Door(Door::Sudo)
                ),
                Decision::Allow(..)
            );
            if !live {
                continue;
            }
            let left = super::say::duration(view.deadline.left_s(&core.state, now));
            lines.push(format!(
                "Grant {} (role {}, {left} left) covers:",
                view.claims.jti, view.claims.role
            ));
            for detail in &view.claims.authorization_details {
                let runas = match &detail.runas {
                    AllOr::All(_) => "ALL".to_owned(),
                    AllOr::List(l) => l.join(", "),
                };
                lines.extend(
                    status::commands(&detail.commands)
                        .iter()
                        .map(|c| format!("    ({runas}) {c}")),
                );
                lines.extend(
                    detail
                        .sudoedit
                        .iter()
                        .map(|f| format!("    ({runas}) sudoedit {f}")),
                );
            }
        }
        Reply::Lines { lines }
    }
}

/// `ceiling.toml` cannot be used: nothing is given, as no limit is known. Endings go on.
pub(super) fn broken_ceiling(why: &str) -> String {
    format!("jit: no grant counts while this host's limits cannot be read: {why}")
}

/// Who the door asserts, against what the kernel says of the asking process.
fn person(peer: &Peer, subject: &Subject) -> Result<Person, String> {
    let login = subject
        .login
        .as_str()
        .filter(|l| crate::effects::groups::is_plain_name(l));
    let Some(login) = login else {
        return Err(format!("the login {} cannot hold a grant", subject.login));
    };
    let uid = subject.uid;
    if uid == 0 || uid == u32::MAX || uid == crate::callers::NOBODY {
        return Err(format!("uid {uid} cannot hold a grant"));
    }
    let real = peer.process.facts.uid;
    if real != uid && real != 0 {
        return Err(format!("a process of uid {real} asks for uid {uid}"));
    }
    Ok(Person {
        login: login.to_owned(),
        uid,
    })
}
