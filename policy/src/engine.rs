//! The seam between a policy and what reads its rules: a table, Rego, and whatever comes next.

use crate::ask::Input;
use crate::error::Fault;
use crate::outcome::Outcome;
use crate::rego::Rego;
use statement::people::Need;
use std::fmt::Debug;

/// One rule and what it said, for a person who asks why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the rule.
    pub rule: String,
    /// What became of it.
    pub said: String,
}

pub(crate) trait Engine: Debug + Send + Sync {
    /// What the rules say; an error is one sentence for the user, and a denial.
    fn route(&self, input: &Input) -> Result<Outcome, String>;

    /// Every rule, in the order of the text.
    fn explain(&self, input: &Input) -> Vec<Step>;

    /// Whether everyone gets this role without a person being asked.
    fn gives_everyone(&self, _role: &str) -> bool {
        false
    }

    /// What is wrong with the rules themselves, seen by running them.
    fn fault(&self, _input: &Input) -> Option<Fault> {
        None
    }

    /// For its tests.
    fn as_rego(&self) -> Option<&Rego> {
        None
    }

    /// Levels that the text names, each with its line, for rules that can be read without being run.
    fn levels(&self) -> Vec<(usize, &[Need])> {
        Vec::new()
    }
}
