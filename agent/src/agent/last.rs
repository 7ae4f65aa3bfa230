//! sudo-rs: it loads no plugin, so PAM is its last gate. Its rules know a grant's role and nothing else, and it says
//! neither command nor target to PAM; so it gets only grants that hold no limit it would have to keep.

use super::doors::{Person, broken_ceiling};
use super::no::{self, No};
use super::people::with_session;
use super::say::Wanted;
use super::{Agent, Core};
use crate::callers::Peer;
use crate::clock::Now;
use crate::decide::{self, Decision, Question, View, Who, decide};
use crate::effects::processes;
use journal::{Rule, kind};
use settings::ceiling::StandingRules;
use statement::detail::{AllOr, Detail, Door, Record};
use std::path::Path;
use std::rc::Rc;
use wire::Text;
use wire::gate::{PamPhase, PamVerdict, Reply};

/// Where classic sudo lies: beside a sudo-rs that took its name (Ubuntu), else under its own.
const CLASSIC: [&str; 2] = ["/usr/bin/sudo.ws", "/usr/bin/sudo"];

impl Agent {
    /// Auth is answered from memory. Account comes once before a command runs, whatever auth did (a ticket passes over
    /// auth): it is the use. A listing (`-l`, `-v`) ends before it.
    pub(super) async fn pam_last(
        self: &Rc<Self>,
        peer: &Peer,
        person: &Person,
        phase: PamPhase,
        tty: Option<Text>,
    ) -> Reply {
        let answer = match phase {
            PamPhase::Auth => self.last_auth(person),
            PamPhase::Account => self.last_use(peer, person, tty.as_ref()).await,
        };
        let (verdict, text) = match answer {
            Ok(verdict) => (verdict, None),
            Err(no) => {
                let mut record = self
                    .note(kind::REFUSED)
                    .login(person.login.as_str())
                    .uid(person.uid)
                    .detail("by", "sudo-rs");
                record.tty = tty.map(|t| t.0.into());
                let record = no.told(record);
                self.refuse(person.uid, with_session(record, peer.process.facts.pid));
                (PamVerdict::Refuse, Some(no.text))
            }
        };
        Reply::Pam { verdict, text }
    }

    fn last_auth(&self, person: &Person) -> Result<PamVerdict, No> {
        let now = no::now()?;
        let core = self.core.borrow();
        if let Err(no) = self.decided_last(&core, person, now) {
            return self.own_rules(&core, person, no);
        }
        let who = person.who();
        let views = core.views(person.uid).filter(|v| limit(v, who).is_none());
        if decide::needs_password(views, &core.state, now, who, Door::Sudo) {
            Ok(PamVerdict::Ignore)
        } else {
            Ok(PamVerdict::Success)
        }
    }

    async fn last_use(
        self: &Rc<Self>,
        peer: &Peer,
        person: &Person,
        tty: Option<&Text>,
    ) -> Result<PamVerdict, No> {
        Self::check_user(peer, person).await?;
        let jti = {
            let now = no::now()?;
            let core = self.core.borrow();
            match self.decided_last(&core, person, now) {
                Ok(jti) => jti,
                Err(no) => return self.own_rules(&core, person, no),
            }
        };
        // sudo-rs tells PAM no command: its own words are what is known of it.
        let words = processes::command_line(peer.process.facts.pid).map_err(|e| {
            let text = format!("jit: this use cannot be recorded: {e}.");
            No::new(Rule::Recorded, text)
        })?;
        let mut record = self
            .note(kind::USE)
            .login(person.login.as_str())
            .uid(person.uid)
            .command(words)
            .detail("by", "sudo-rs");
        record.tty = tty.map(|t| t.0.clone().into());
        self.give(peer, &jti, record, |core, now| {
            self.decided_last(core, person, now)
        })
        .await
        .map_err(|no| no.of(&jti))?;
        Ok(PamVerdict::Success)
    }

    /// The grant that sudo-rs can hold and that ends last.
    fn decided_last(&self, core: &Core, person: &Person, now: Now) -> Result<String, No> {
        let ceiling = self.ceiling();
        let ceiling = ceiling.map_err(|why| No::new(Rule::Limits, broken_ceiling(&why)))?;
        let who = person.who();
        let ask = |views: &mut dyn Iterator<Item = View<'_>>| match decide(
            views,
            &core.state,
            ceiling.max_stale_s,
            now,
            who,
            Question::Door(Door::Sudo),
        ) {
            Decision::Allow(view, _) => Ok((
                view.claims.jti.clone(),
                view.claims.role.clone(),
                limit(&view, who),
            )),
            Decision::Deny(why) => {
                let text = self.refusal(core, &why, who, &Wanted::Nothing, now);
                Err(No::decided(&why, text))
            }
        };
        let whole = ask(&mut core.views(person.uid).filter(|v| limit(v, who).is_none()));
        if let Ok((jti, ..)) = whole {
            return Ok(jti);
        }
        match ask(&mut core.views(person.uid)) {
            Ok((jti, role, Some(limit))) => {
                let text = other_sudo(&jti, &role, limit, classic());
                Err(No::new(Rule::Door, text).of(&jti))
            }
            Ok((jti, ..)) => Ok(jti),
            Err(no) => Err(no),
        }
    }

    /// Without any grant the ceiling may let the user's own rules count. With one, whatever its state, sudo-rs may have
    /// gone by the rule of its role: then no.
    fn own_rules(&self, core: &Core, person: &Person, no: No) -> Result<PamVerdict, No> {
        let allowed = self
            .ceiling()
            .is_ok_and(|c| c.standing_rules == StandingRules::Allow);
        if allowed && core.grants.of(person.uid).next().is_none() {
            Ok(PamVerdict::Ignore)
        } else {
            Err(no)
        }
    }
}

/// The first limit of a grant that nothing would keep behind sudo-rs. What sudo-rs cannot do at all (another working
/// directory, sudoedit, named variables) is no limit: it gives less.
fn limit(view: &View<'_>, who: Who<'_>) -> Option<&'static str> {
    let opens =
        |d: &&Detail| d.login == who.login && d.uid == who.uid && d.doors.contains(&Door::Sudo);
    let details = view.claims.authorization_details.iter().filter(opens);
    details.into_iter().find_map(|d| {
        [
            (
                !matches!(d.commands, AllOr::All(_)),
                "it names its commands",
            ),
            (!matches!(d.runas, AllOr::All(_)), "it names whom to run as"),
            (!d.shell, "it gives no shell"),
            (d.once, "it is for one use"),
            (d.tty, "it asks for a terminal"),
            (d.record != Record::None, "it asks for a recording"),
        ]
        .into_iter()
        .find_map(|(limited, why)| limited.then_some(why))
    })
}

fn other_sudo(jti: &str, role: &str, limit: &str, classic: Option<&str>) -> String {
    let mut text =
        format!("jit: sudo-rs cannot hold grant {jti} (role {role}) to its limits: {limit}.\n");
    match classic {
        Some(path) => {
            text.push_str("Use the other sudo of this host, which can: ");
            text.push_str(path);
        }
        None => text.push_str("This host has no other sudo; ask for a grant without that limit."),
    }
    text
}

/// The classic sudo of this host.
fn classic() -> Option<&'static str> {
    CLASSIC.into_iter().find(|path| {
        Path::new(path)
            .canonicalize()
            .is_ok_and(|real| wire::sudo_rs::at(&real).is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_names_the_limit_and_the_way_that_is_left() {
        let text = other_sudo("01J", "web", "it names its commands", Some("/usr/bin/sudo"));
        assert_eq!(
            text,
            "jit: sudo-rs cannot hold grant 01J (role web) to its limits: it names its commands.\n\
             Use the other sudo of this host, which can: /usr/bin/sudo"
        );
        assert!(other_sudo("01J", "web", "x", None).contains("no other sudo"));
    }
}
