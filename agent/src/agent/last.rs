//! sudo-rs and su: PAM is their last gate. The rules of sudo-rs know a grant's role and nothing else, and it says neither
//! command nor target to PAM; su says the target, and what it opens is a shell. So they get only grants that hold no limit
//! they would have to keep.

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
use statement::scope::Ask;
use std::path::Path;
use std::rc::Rc;
use wire::Text;
use wire::gate::{PamPhase, PamVerdict, Reply, Subject};

/// What PAM tells of a use.
pub(super) struct Told {
    pub(super) tty: Option<Text>,
    /// Whom the user would become: su tells, sudo-rs does not.
    pub(super) target: Option<Subject>,
}

impl Told {
    /// The door behind it.
    fn door(&self) -> Door {
        if self.target.is_some() {
            Door::Su
        } else {
            Door::Sudo
        }
    }

    fn program(&self) -> &'static str {
        if self.target.is_some() {
            "su"
        } else {
            "sudo-rs"
        }
    }

    /// What su asks for: a shell as its target. Its options come from the user and bind nobody.
    fn ask(&self) -> Option<Ask<'_>> {
        let target = self.target.as_ref()?;
        Some(Ask {
            door: Door::Su,
            command: b"",
            argv: &[],
            env: &[],
            runas_user: Some(target.login.as_bytes()),
            runas_uid: target.uid,
            runas_group: None,
            cwd: None,
            user_cwd_changed: false,
            chroot: None,
            has_tty: self.tty.is_some(),
            shell: true,
            sudoedit: false,
            files: &[],
            unusual: &[],
        })
    }
}

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
        told: Told,
    ) -> Reply {
        let answer = match phase {
            PamPhase::Auth => self.last_auth(person, &told),
            PamPhase::Account => self.last_use(peer, person, &told).await,
        };
        let (verdict, text) = match answer {
            Ok(verdict) => (verdict, None),
            Err(no) => {
                let record = self
                    .note(kind::REFUSED)
                    .login(person.login.as_str())
                    .uid(person.uid);
                let record = no.told(described(record, told));
                self.refuse(person.uid, with_session(record, peer.process.facts.pid));
                (PamVerdict::Refuse, Some(no.text))
            }
        };
        Reply::Pam { verdict, text }
    }

    fn last_auth(&self, person: &Person, told: &Told) -> Result<PamVerdict, No> {
        let now = no::now()?;
        let core = self.core.borrow();
        if let Err(no) = self.decided_last(&core, person, told, now) {
            return self.own_rules(&core, person, told, no);
        }
        let (who, door) = (person.who(), told.door());
        let views = core
            .views(person.uid)
            .filter(|v| limit(v, who, door).is_none());
        Ok(
            match decide::needs_password(views, &core.state, now, who, door) {
                false => PamVerdict::Success,
                // The stack of su asks for the target's.
                true if door == Door::Su => PamVerdict::OwnPassword,
                true => PamVerdict::Ignore,
            },
        )
    }

    async fn last_use(
        self: &Rc<Self>,
        peer: &Peer,
        person: &Person,
        told: &Told,
    ) -> Result<PamVerdict, No> {
        Self::check_user(peer, person).await?;
        let jti = {
            let now = no::now()?;
            let core = self.core.borrow();
            match self.decided_last(&core, person, told, now) {
                Ok(jti) => jti,
                Err(no) => return self.own_rules(&core, person, told, no),
            }
        };
        // PAM is told no command: the program's own words are what is known of it.
        let words = processes::command_line(peer.process.facts.pid).map_err(|e| {
            let text = format!("jit: this use cannot be recorded: {e}.");
            No::new(Rule::Recorded, text)
        })?;
        let record = self
            .note(kind::USE)
            .login(person.login.as_str())
            .uid(person.uid)
            .command(words);
        let again = Told {
            tty: told.tty.clone(),
            target: told.target.clone(),
        };
        self.give(peer, &jti, described(record, again), |core, now| {
            self.decided_last(core, person, told, now)
        })
        .await
        .map_err(|no| no.of(&jti))?;
        Ok(PamVerdict::Success)
    }

    /// The grant that this program can hold and that ends last.
    fn decided_last(
        &self,
        core: &Core,
        person: &Person,
        told: &Told,
        now: Now,
    ) -> Result<String, No> {
        let ceiling = self.ceiling();
        let ceiling = ceiling.map_err(|why| No::new(Rule::Limits, broken_ceiling(&why)))?;
        let (who, door) = (person.who(), told.door());
        let asked = told.ask();
        let question = asked.as_ref().map_or(Question::Door(door), Question::Use);
        let ask = |views: &mut dyn Iterator<Item = View<'_>>| match decide(
            views,
            &core.state,
            ceiling.max_stale_s,
            now,
            who,
            question,
        ) {
            Decision::Allow(view, _) => Ok((
                view.claims.jti.clone(),
                view.claims.role.clone(),
                limit(&view, who, door),
            )),
            Decision::Deny(why) => {
                let wanted = asked.as_ref().map_or(Wanted::Nothing, Wanted::Use);
                let text = self.refusal(core, &why, who, &wanted, now);
                Err(No::decided(&why, text))
            }
        };
        let whole = ask(&mut core
            .views(person.uid)
            .filter(|v| limit(v, who, door).is_none()));
        if let Ok((jti, ..)) = whole {
            return Ok(jti);
        }
        match ask(&mut core.views(person.uid)) {
            Ok((jti, role, Some(limit))) => {
                let text = other_sudo(told.program(), &jti, &role, limit, classic());
                Err(No::new(Rule::Door, text).of(&jti))
            }
            Ok((jti, ..)) => Ok(jti),
            Err(no) => Err(no),
        }
    }

    /// Without a grant the ceiling may let the user's own rules count: with su, the password of the target. While he has
    /// any, whatever its state, sudo-rs may have gone by the rule of its role: then no.
    fn own_rules(
        &self,
        core: &Core,
        person: &Person,
        told: &Told,
        no: No,
    ) -> Result<PamVerdict, No> {
        let allowed = self
            .ceiling()
            .is_ok_and(|c| c.standing_rules == StandingRules::Allow);
        let none = || core.grants.of(person.uid).next().is_none();
        if allowed && (told.door() == Door::Su || none()) {
            Ok(PamVerdict::Ignore)
        } else {
            Err(no)
        }
    }
}

/// What PAM told, in a record.
fn described(record: journal::Record, told: Told) -> journal::Record {
    let mut record = record.detail("by", told.program());
    record.tty = told.tty.map(|t| t.0.into());
    record.runas = told.target.map(|t| t.login.0.into());
    record
}

/// The first limit of a grant that nothing would keep behind this door. What the program cannot do at all (sudo-rs: another
/// working directory, sudoedit, named variables) is no limit: it gives less. su tells its target and its terminal, and
/// takes no grant without a shell: those are compared as an ask.
fn limit(view: &View<'_>, who: Who<'_>, door: Door) -> Option<&'static str> {
    let opens = |d: &&Detail| d.login == who.login && d.uid == who.uid && d.doors.contains(&door);
    let details = view.claims.authorization_details.iter().filter(opens);
    let blind = door == Door::Sudo;
    details.into_iter().find_map(|d| {
        [
            (
                blind && !matches!(d.commands, AllOr::All(_)),
                "it names its commands",
            ),
            (
                blind && !matches!(d.runas, AllOr::All(_)),
                "it names whom to run as",
            ),
            (blind && !d.shell, "it gives no shell"),
            (d.once, "it is for one use"),
            (blind && d.tty, "it asks for a terminal"),
            (d.record != Record::None, "it asks for a recording"),
        ]
        .into_iter()
        .find_map(|(limited, why)| limited.then_some(why))
    })
}

fn other_sudo(program: &str, jti: &str, role: &str, limit: &str, classic: Option<&str>) -> String {
    let mut text =
        format!("jit: {program} cannot hold grant {jti} (role {role}) to its limits: {limit}.\n");
    match classic {
        Some(path) if program == "sudo-rs" => {
            text.push_str("Use the other sudo of this host, which can: ");
            text.push_str(path);
        }
        None if program == "sudo-rs" => {
            text.push_str("This host has no other sudo; ask for a grant without that limit.");
        }
        _ => text.push_str("Ask for a grant without that limit, or for one that opens sudo."),
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
        let text = other_sudo(
            "sudo-rs",
            "01J",
            "web",
            "it names its commands",
            Some("/usr/bin/sudo"),
        );
        assert_eq!(
            text,
            "jit: sudo-rs cannot hold grant 01J (role web) to its limits: it names its commands.\n\
             Use the other sudo of this host, which can: /usr/bin/sudo"
        );
        assert!(other_sudo("sudo-rs", "01J", "web", "x", None).contains("no other sudo"));
        let text = other_sudo("su", "01J", "web", "x", Some("/usr/bin/sudo"));
        assert!(text.starts_with("jit: su cannot hold") && text.ends_with("one that opens sudo."));
    }
}
