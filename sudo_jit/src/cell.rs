//! The state of one call of sudo, and what the gates do with it.

use crate::call::Caller;
use crate::command::{Command, Unclear};
use crate::standing::{
    NO_CALLER, Opening, Other, Right, Standing, no_answer, standing, wrong_answer,
};
use crate::world::{Now, Stream, World};
use std::time::Duration;
use wire::Text;
use wire::budget;
use wire::gate::{Deadline, Door, ListKind, Reply, Request, Subject};

/// Most bytes of the command line in the report of a refusal; a use is always told whole.
const REPORT_BYTES: usize = 16 * 1024;

// G4's texts: sudo shows them behind "jit_audit: unable to log accept event: ".
const UNCHECKED: &str = "refused, the command was not checked; try: jitctl doctor";
const ENDED: &str = "refused, the grant ended before the command started";
const NO_CLOCK: &str = "refused, the clock cannot be read";

/// The state of one call of sudo.
pub struct Cell {
    pub audit_opened: bool,
    pub opening: Opening,
    pub standing: Standing,
    pub other: Option<Other>,
    pub stage: Stage,
    /// How long sudo's opening of the plugins took; what is left of its share is G3's.
    pub open_took: Duration,
    /// End of the grant G3 allowed by; none under standing rules.
    pub until: Option<Deadline>,
    /// The first grant a use was allowed by.
    pub grant: Option<String>,
    /// The agent itself said no, and has recorded that.
    pub agent_said_no: bool,
}

/// How far the latest command of this call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// G3 has not said yes.
    Unchecked,
    /// G3 said yes; it has not started.
    Checked,
    /// G4 said yes. With `log_subcmds` sudo tells the front end's event again for each command that this one
    /// starts: those run already, asked for neither policy nor approval.
    Started,
}

impl Cell {
    /// Finds out how the caller stands to us.
    pub fn open(world: &impl World, opening: Opening, audit_opened: bool) -> Self {
        let start = world.now();
        let standing = standing(world, &opening, audit_opened);
        Self {
            audit_opened,
            opening,
            standing,
            open_took: since(start, world.now()),
            other: None,
            stage: Stage::Unchecked,
            until: None,
            grant: None,
            agent_said_no: false,
        }
    }

    pub fn subject(&self) -> Option<Subject> {
        self.opening.caller.as_ref().map(Caller::subject)
    }

    /// G3.
    pub fn approve<'a>(
        &mut self,
        world: &impl World,
        read: impl FnOnce() -> Result<Command<'a>, Unclear>,
    ) -> Result<(), String> {
        let caller = match (&self.standing, &self.opening.caller) {
            (Standing::Exempt, _) | (Standing::Managed(Right::StandingRules), _) => return Ok(()),
            (Standing::Doubt(why) | Standing::Managed(Right::None(why)), _) => {
                return Err(why.clone());
            }
            (Standing::Managed(Right::Grant), Some(caller)) => caller,
            (Standing::Managed(Right::Grant), None) => return Err(NO_CALLER.to_owned()),
        };
        let question = read()
            .and_then(|command| {
                command.as_use(caller.subject(), caller.tty.clone(), &self.opening.settings)
            })
            .map_err(|why| why.to_string())?;
        let limit = budget::with_rest(budget::CHECK, budget::OPEN, self.open_took);
        match world.ask(&Request::Use(Box::new(question)), limit) {
            Ok(Reply::Allow { grant, until, text }) => {
                if let Some(text) = text {
                    world.say(Stream::Error, &text);
                }
                self.until = Some(until);
                self.grant.get_or_insert(grant);
                Ok(())
            }
            Ok(Reply::Deny { text }) => {
                self.agent_said_no = true;
                Err(text)
            }
            Ok(_) => Err(wrong_answer()),
            Err(why) => Err(no_answer(&why)),
        }
    }

    /// G4.
    pub fn start(&mut self, world: &impl World) -> Result<(), String> {
        match self.stage {
            Stage::Unchecked => return Err(UNCHECKED.to_owned()),
            Stage::Started => return Ok(()),
            Stage::Checked => {}
        }
        match (self.until, world.now()) {
            (None, _) => {}
            (Some(until), Some(now)) if !now.is_past(until) => {}
            (Some(_), Some(_)) => return Err(ENDED.to_owned()),
            (Some(_), None) => return Err(NO_CLOCK.to_owned()),
        }
        self.stage = Stage::Started;
        Ok(())
    }

    /// The record of `-l` and `-v`, and what the listing lacks.
    pub fn list(&mut self, world: &impl World, kind: ListKind) {
        let Some(subject) = self.subject() else {
            return;
        };
        let about = self.opening.about.clone();
        let own = about.as_ref().is_none_or(|login| *login == subject.login);
        let request = Request::List {
            subject,
            door: Door::Sudo,
            kind,
            about,
        };
        // No answer changes nothing: sudo has listed already, and no right comes of it.
        let answer = world.ask(&request, budget::REPORT);
        if let (ListKind::List, true, Ok(Reply::Lines { lines })) = (kind, own, answer) {
            world.say(Stream::Output, &lines.join("\n"));
        }
    }

    /// The record of a refusal.
    pub fn report(&self, world: &impl World, by: Text, message: Text) {
        let Some(caller) = &self.opening.caller else {
            return;
        };
        let request = Request::Refused {
            subject: caller.subject(),
            door: Door::Sudo,
            by,
            message,
            argv: cut(&self.opening.argv),
            cwd: caller.cwd.clone(),
            tty: caller.tty.clone(),
        };
        // sudo has refused already and logs that itself.
        let _ = world.ask(&request, budget::REPORT);
    }
}

/// Without both readings nothing is left over.
fn since(start: Option<Now>, end: Option<Now>) -> Duration {
    match (start, end) {
        (Some(start), Some(end)) => Duration::from_nanos(end.boot_ns.saturating_sub(start.boot_ns)),
        _ => Duration::MAX,
    }
}

/// The words that fit a report; a last `…` says that some did not.
pub fn cut(argv: &[Text]) -> Vec<Text> {
    let mut left = REPORT_BYTES;
    let mut words = Vec::new();
    for word in argv {
        match left.checked_sub(word.as_bytes().len() + 1) {
            Some(rest) => left = rest,
            None => {
                words.push(Text::from("…"));
                break;
            }
        }
        words.push(word.clone());
    }
    words
}
