//! What a policy answers, and the one place that says which answers make sense.

use crate::duration;
use crate::file;
use statement::detail::Record;
use statement::people::Need;
use statement::{Refused, limits};
use std::fmt;

/// The answer to an [`Ask`](crate::Ask).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Granted without people; `rule` is the name of the rule that said so.
    Automatic { rule: String, terms: Terms },
    /// People must approve: each level is asked when the one before it is filled. All levels together keep
    /// [`statement::limits::needs`], and each person counts for one place of all of them.
    Approve {
        rule: String,
        levels: Vec<Need>,
        terms: Terms,
    },
    /// `why` is one sentence for the user.
    Deny { why: String },
}

/// What a rule demands beside people. Whoever cannot hold a demand must deny.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Seconds; a longer request was denied, and no extension goes beyond. `None` = the role's own maximum.
    pub max_s: Option<u64>,
    /// Group of which one person must watch the session.
    pub witness: Option<String>,
    /// The least that must be recorded; `None` = what the role says.
    pub record: Option<Record>,
}

/// Levels as people read them: `2 of ops, then 1 of security`.
#[must_use]
pub fn in_words(levels: &[Need]) -> String {
    let each: Vec<String> = levels
        .iter()
        .map(|n| format!("{} of {}", n.count, n.group))
        .collect();
    each.join(", then ")
}

impl Terms {
    /// The sentence for a demand that nothing here can hold yet. The one place to change when something can.
    #[must_use]
    pub fn unheld(&self) -> Option<String> {
        if let Some(group) = &self.witness {
            return Some(format!(
                "The policy wants a witness of {group}, and nothing here lets one watch yet."
            ));
        }
        match self.record {
            None | Some(Record::None) => None,
            Some(_) => Some(
                "The policy wants the session recorded, and nothing records sessions yet."
                    .to_owned(),
            ),
        }
    }

    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Outcome {
    /// A request longer than the rule's cap is denied, not cut: nobody gets another right than the one asked for.
    pub(crate) fn within_cap(self, dur: u64) -> Self {
        let (Self::Automatic { rule, terms } | Self::Approve { rule, terms, .. }) = &self else {
            return self;
        };
        match terms.max_s {
            Some(max) if dur > max => Self::Deny {
                why: format!(
                    "The policy's rule {rule:?} gives at most {}; {} was asked for.",
                    duration::show(max),
                    duration::show(dur)
                ),
            },
            _ => self,
        }
    }
}

/// `deny: …`, `automatic by "…"`, `approve by 1 of ops …`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, terms) = match self {
            Self::Deny { why } => return write!(f, "deny: {why}"),
            Self::Automatic { rule, terms } => {
                f.write_str("automatic")?;
                (rule, terms)
            }
            Self::Approve {
                rule,
                levels,
                terms,
            } => {
                write!(f, "approve by {}", in_words(levels))?;
                (rule, terms)
            }
        };
        if let Some(max) = terms.max_s {
            write!(f, ", at most {}", duration::show(max))?;
        }
        if let Some(group) = &terms.witness {
            write!(f, ", watched by {group}")?;
        }
        if let Some(record) = terms.record {
            write!(f, ", record {record:?}")?;
        }
        write!(f, " (rule {rule:?})")
    }
}

/// What one rule does.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Automatic,
    Approve(Vec<Need>),
    Deny,
}

/// A combination that makes no sense, and the key at fault.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub key: &'static str,
    pub what: String,
    pub hint: String,
}

impl Flaw {
    fn new(key: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            key,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl Effect {
    /// From the words of a rule, wherever it stands.
    pub(crate) fn new(
        word: file::Effect,
        levels: Option<Vec<Need>>,
        terms: &Terms,
    ) -> Result<Self, Flaw> {
        let effect = match (word, levels) {
            (file::Effect::Approve, Some(levels)) => {
                limits::needs(&levels).map_err(|e| match e {
                    Refused::Limit { rule, .. } => Flaw::new("levels", "bad `levels`", rule),
                    other => Flaw::new("levels", "bad `levels`", other.to_string()),
                })?;
                Self::Approve(levels)
            }
            (file::Effect::Approve, None) => {
                return Err(Flaw::new(
                    "effect",
                    "nobody to approve",
                    "add levels, as levels = [{ group = \"ops\", count = 1 }]",
                ));
            }
            (_, Some(_)) => {
                return Err(Flaw::new(
                    "levels",
                    "`levels` without people being asked",
                    "set the effect \"approve\", or drop `levels`",
                ));
            }
            (file::Effect::Automatic, None) => Self::Automatic,
            (file::Effect::Deny, None) => Self::Deny,
        };
        if matches!(effect, Self::Deny) && !terms.are_none() {
            return Err(Flaw::new(
                "max",
                "a denial with terms",
                "drop `max`, `witness` and `record`",
            ));
        }
        Ok(effect)
    }

    pub(crate) fn outcome(
        self,
        rule: String,
        terms: Terms,
        deny: impl FnOnce() -> String,
    ) -> Outcome {
        match self {
            Self::Automatic => Outcome::Automatic { rule, terms },
            Self::Approve(levels) => Outcome::Approve {
                rule,
                levels,
                terms,
            },
            Self::Deny => Outcome::Deny { why: deny() },
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic => f.write_str("automatic"),
            Self::Approve(levels) => write!(f, "approve by {}", in_words(levels)),
            Self::Deny => f.write_str("deny"),
        }
    }
}
