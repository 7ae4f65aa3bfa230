//! A no to a use: the rule that was not met, for the journal, and the text that the user reads.

use super::Agent;
use super::doors::Person;
use super::people::eligible;
use crate::callers::Peer;
use crate::clock::{self, Now};
use crate::decide::Why;
use journal::{Record, Rule};
use statement::scope::Gap;

pub(super) struct No {
    rule: Rule,
    /// The grant that came nearest.
    nearest: Option<String>,
    pub(super) text: String,
}

impl No {
    pub(super) fn new(rule: Rule, text: impl Into<String>) -> Self {
        Self {
            rule,
            nearest: None,
            text: text.into(),
        }
    }

    /// A decision, with the text made of it.
    pub(super) fn decided(why: &Why<'_>, text: String) -> Self {
        let nearest = match why {
            Why::OutOfScope { grant, .. } => Some((*grant).to_owned()),
            _ => None,
        };
        Self {
            rule: rule(why),
            nearest,
            text,
        }
    }

    /// About this grant.
    pub(super) fn of(mut self, grant: &str) -> Self {
        self.nearest = Some(grant.to_owned());
        self
    }

    /// The record of it.
    pub(super) fn told(&self, record: Record) -> Record {
        let record = record
            .decision("deny")
            .detail("what", "use")
            .detail("rule", self.rule.name())
            .detail("why", self.text.clone());
        match &self.nearest {
            Some(grant) => record.grant(grant.as_str()),
            None => record,
        }
    }
}

/// The rule that this decision found broken.
pub(super) fn rule(why: &Why<'_>) -> Rule {
    match why {
        Why::NoGrant => Rule::Grant,
        Why::NotThisDoor(_) => Rule::Door,
        Why::Stale { .. } => Rule::Fresh,
        Why::OutOfScope { gap, .. } => match gap {
            Gap::Door(_) | Gap::DoorCannotEnforce(_) => Rule::Door,
            Gap::RunasUser(_) | Gap::RunasGroup(_) => Rule::RunAs,
            Gap::Chroot => Rule::Root,
            Gap::Tty => Rule::Terminal,
            Gap::Cwd(_) => Rule::Directory,
            Gap::Unusual(_) => Rule::Settings,
            Gap::LoaderVariable(_)
            | Gap::Variable(_)
            | Gap::VariableValue(_)
            | Gap::MalformedVariable => Rule::Environment,
            Gap::Shell => Rule::Shell,
            Gap::Sudoedit(_)
            | Gap::RelativeCommand(_)
            | Gap::NoArguments
            | Gap::Command(_)
            | Gap::Arguments(_)
            | Gap::Argv0(_)
            // Between two rights, never between a right and a use.
            | Gap::Wider { .. }
            | Gap::Loosened(_) => Rule::Command,
        },
    }
}

/// The time of a decision.
pub(super) fn now() -> Result<Now, No> {
    clock::now().map_err(|e| No::new(Rule::Grant, format!("jit: {e}.")))
}

impl Agent {
    /// Whose process it is, and whether he is eligible by the name service at this very call: the kernel's list of an old
    /// shell says nothing.
    pub(super) async fn check_user(peer: &Peer, person: &Person) -> Result<(), No> {
        if peer.process.facts.uid != person.uid {
            return Err(No::new(
                Rule::Caller,
                "jit: this use is asked for by another user's process.",
            ));
        }
        let login = &person.login;
        let text = match eligible(login, person.uid).await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("jit: {login} is no longer eligible for elevation."),
            Err(e) => format!("jit: whether {login} is eligible cannot be told ({e})."),
        };
        Err(No::new(Rule::Eligible, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statement::detail::Door;

    fn found(gap: Gap) -> Rule {
        rule(&Why::OutOfScope {
            grant: "G",
            role: "web",
            gap,
        })
    }

    #[test]
    fn each_gap_breaks_its_own_rule() {
        let x = String::new;
        assert_eq!(found(Gap::Door(Door::Sudo)), Rule::Door);
        assert_eq!(found(Gap::RunasGroup(x())), Rule::RunAs);
        assert_eq!(found(Gap::Chroot), Rule::Root);
        assert_eq!(found(Gap::Tty), Rule::Terminal);
        assert_eq!(found(Gap::Cwd(x())), Rule::Directory);
        assert_eq!(found(Gap::Unusual(x())), Rule::Settings);
        assert_eq!(found(Gap::LoaderVariable(x())), Rule::Environment);
        assert_eq!(found(Gap::Shell), Rule::Shell);
        assert_eq!(found(Gap::Sudoedit(x())), Rule::Command);
        assert_eq!(found(Gap::Arguments(x())), Rule::Command);
        assert_eq!(rule(&Why::NoGrant), Rule::Grant);
        let stale = Why::Stale {
            age_s: None,
            max_s: 1,
        };
        assert_eq!(rule(&stale), Rule::Fresh);
    }

    #[test]
    fn the_record_names_rule_reason_and_the_nearest_grant() {
        let why = Why::OutOfScope {
            grant: "G",
            role: "web",
            gap: Gap::Command("/bin/x".into()),
        };
        let time = journal::Timestamp {
            unix_ms: 0,
            boot_ns: 0,
            boot_id: String::new(),
        };
        let no = No::decided(&why, "jit: no".into());
        let record = no.told(Record::new(journal::kind::REFUSED, time));
        assert_eq!(record.grant.as_deref(), Some("G"));
        assert_eq!(record.detail["rule"], "command");
        assert_eq!(record.detail["why"], "jit: no");
    }
}
