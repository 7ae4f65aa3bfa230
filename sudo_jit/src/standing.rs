//! How the caller stands to us, told once when sudo opens the plugins.

use crate::call::{Caller, Mode, Settings};
use crate::command::Unclear;
use crate::world::World;
use wire::Text;
use wire::budget;
use wire::client::CallError;
use wire::gate::{Door, Reply, Request, Subject};

/// What is known of this call when sudo opens the plugins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `None`: sudo's `user_info` makes no sense.
    pub caller: Option<Caller>,
    pub settings: Settings,
    pub mode: Mode,
    /// Login asked about with `-U`.
    pub about: Option<Text>,
    pub argv: Vec<Text>,
    /// sudo speaks an API older than ours.
    pub too_old: bool,
}

/// How the caller stands to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Root, or not in `jit-eligible`: none of our business.
    Exempt,
    /// In `jit-eligible`.
    Managed(Right),
    /// It cannot be told, or our wiring is broken: treated as managed, without a right.
    Doubt(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// A grant for sudo lives.
    Grant,
    /// None, but the ceiling lets the user's own sudoers rules count.
    StandingRules,
    /// None. The sentence for the user.
    None(String),
}

/// Asks the user database and, for a managed user, the agent. `audit`: the audit plugin was opened.
pub fn standing(world: &impl World, opening: &Opening, audit: bool) -> Standing {
    let Some(caller) = &opening.caller else {
        return Standing::Doubt(NO_CALLER.to_owned());
    };
    if caller.uid == 0 {
        return Standing::Exempt;
    }
    match world.eligible(&caller.subject()) {
        Ok(false) => Standing::Exempt,
        Err(why) => Standing::Doubt(format!(
            "jit: refused, it is unclear who asks ({why}); {ROOT}"
        )),
        Ok(true) if opening.too_old => Standing::Doubt(TOO_OLD.to_owned()),
        Ok(true) if !audit => Standing::Doubt(format!(
            "jit: refused, sudo did not load jit_audit; {ROOT} Try: jitctl doctor"
        )),
        Ok(true) => right(world, caller.subject(), opening.mode == Mode::Run),
    }
}

/// G1's question to the agent.
fn right(world: &impl World, subject: Subject, intent: bool) -> Standing {
    let door = Door::Sudo;
    let request = Request::Open {
        subject,
        door,
        intent,
    };
    let none = |text| Standing::Managed(Right::None(text));
    match world.ask(&request, budget::OPEN) {
        Ok(Reply::State {
            active,
            standing_rules,
            text,
            ..
        }) => match (active, standing_rules) {
            (true, _) => Standing::Managed(Right::Grant),
            (false, true) => Standing::Managed(Right::StandingRules),
            (false, false) => none(text.unwrap_or_else(|| NO_GRANT.to_owned())),
        },
        Ok(Reply::Deny { text }) => none(text),
        Ok(_) => Standing::Doubt(wrong_answer()),
        Err(why) => Standing::Doubt(no_answer(&why)),
    }
}

/// Another login than the caller's, asked about by `-l -U`: asked once, so that a hanging agent costs one wait.
pub struct Other {
    pub login: Vec<u8>,
    pub uid: u32,
    pub managed: bool,
    pub active: bool,
}

impl Other {
    pub fn ask(world: &impl World, login: &[u8], uid: u32) -> Self {
        let subject = Subject {
            login: login.into(),
            uid,
        };
        let managed = world.eligible(&subject).unwrap_or(true);
        let request = Request::Open {
            subject,
            door: Door::Sudo,
            intent: false,
        };
        let active = managed
            && matches!(
                world.ask(&request, budget::OPEN),
                Ok(Reply::State { active: true, .. })
            );
        Self {
            login: login.to_vec(),
            uid,
            managed,
            active,
        }
    }
}

pub const NO_CALLER: &str = "jit: refused, sudo does not say who calls it.";
const TOO_OLD: &str = "jit: refused, this sudo is older than 1.9.4 and cannot be checked.";
const NO_GRANT: &str = "jit: no active grant. Try: jitctl elevate";
/// In each refusal that is not the user's doing.
const ROOT: &str = "root's own sudo is not affected.";

/// The refusal when there is no answer.
pub fn no_answer(why: &CallError) -> String {
    match why {
        CallError::TooLarge(_) => Unclear::TooLarge.to_string(),
        why => {
            format!("jit: the agent did not answer ({why}); {ROOT} Try: systemctl status jit-agent")
        }
    }
}

/// The refusal when the answer belongs to another question.
pub fn wrong_answer() -> String {
    let try_this = "Try: systemctl status jit-agent";
    format!("jit: the agent's answer does not fit the question; {ROOT} {try_this}")
}
