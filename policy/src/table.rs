//! Rules as an ordered table: the first that names the role and the login wins.

use crate::ask::Input;
use crate::engine::{Engine, Step};
use crate::outcome::{Effect, Outcome, Terms};
use statement::people::Need;

#[derive(Clone, Debug)]
pub(crate) struct Table(pub Vec<Rule>);

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub name: String,
    pub line: usize,
    pub roles: Vec<String>,
    /// `None` = everyone.
    pub logins: Option<Vec<String>>,
    pub effect: Effect,
    pub terms: Terms,
}

impl Rule {
    fn is_for(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }

    fn names(&self, login: &str) -> bool {
        self.logins
            .as_ref()
            .is_none_or(|l| l.iter().any(|n| n == login))
    }
}

impl Engine for Table {
    fn route(&self, input: &Input) -> Result<Outcome, String> {
        let (role, login) = (&input.ask().role, &input.ask().requester.login);
        let hit = self
            .0
            .iter()
            .find(|r| r.is_for(role) && r.names(login))
            .ok_or_else(|| format!("No rule of the policy gives role {role} to {login}."))?;
        let deny = || {
            format!(
                "The policy's rule {:?} denies role {role} to {login}.",
                hit.name
            )
        };
        Ok(hit
            .effect
            .clone()
            .outcome(hit.name.clone(), hit.terms.clone(), deny))
    }

    fn explain(&self, input: &Input) -> Vec<Step> {
        let (role, login) = (&input.ask().role, &input.ask().requester.login);
        let mut decided = false;
        let said = |r: &Rule| {
            let what = if !r.is_for(role) {
                format!("not for role {role}")
            } else if !r.names(login) {
                format!("not for {login}")
            } else if std::mem::replace(&mut decided, true) {
                "comes after the rule that decided".to_owned()
            } else {
                format!("decides: {}", r.effect)
            };
            Step {
                rule: r.name.clone(),
                said: what,
            }
        };
        self.0.iter().map(said).collect()
    }

    fn gives_everyone(&self, role: &str) -> bool {
        let mut rules = self.0.iter();
        rules
            .find(|r| r.logins.is_none() && r.is_for(role))
            .is_some_and(|r| matches!(r.effect, Effect::Automatic))
    }

    fn levels(&self) -> Vec<(usize, &[Need])> {
        fn of(r: &Rule) -> Option<(usize, &[Need])> {
            match &r.effect {
                Effect::Approve(levels) => Some((r.line, levels)),
                Effect::Automatic | Effect::Deny => None,
            }
        }
        self.0.iter().filter_map(of).collect()
    }
}
