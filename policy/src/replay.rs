//! Two policies and the same requests: what would change.

use crate::{Ask, Outcome, Policy};
use std::cmp::Ordering;

/// A request that the two policies answer otherwise.
#[derive(Clone, Debug)]
pub struct Change {
    pub ask: Ask,
    pub old: Outcome,
    pub new: Outcome,
}

impl Change {
    /// Somebody else has to look at it.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.opens() || self.eases()
    }

    /// The new policy gives what the old one denied.
    #[must_use]
    pub fn opens(&self) -> bool {
        matches!(self.old, Outcome::Deny { .. }) && !matches!(self.new, Outcome::Deny { .. })
    }

    /// The new policy asks fewer people than the old one.
    #[must_use]
    pub fn eases(&self) -> bool {
        match (&self.old, &self.new) {
            (Outcome::Approve { .. }, Outcome::Automatic { .. }) => true,
            (Outcome::Approve { levels: old, .. }, Outcome::Approve { levels: new, .. }) => {
                let still = |n: &statement::people::Need| {
                    new.iter().any(|m| m.group == n.group && m.count >= n.count)
                };
                !old.iter().all(still)
            }
            _ => false,
        }
    }
}

/// Decides each request by both policies and keeps what differs; those that need a look come first.
#[must_use]
pub fn replay<'a>(old: &Policy, new: &Policy, asks: impl Iterator<Item = &'a Ask>) -> Vec<Change> {
    let mut changes: Vec<Change> = asks
        .map(|ask| Change {
            old: old.decide(ask),
            new: new.decide(ask),
            ask: ask.clone(),
        })
        .filter(|c| differ(&c.old, &c.new))
        .collect();
    changes.sort_by(|a, b| match (a.opens(), b.opens()) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => b.eases().cmp(&a.eases()),
    });
    changes
}

/// Two denials are the same whatever they say; so are two answers whose rule only has another name.
fn differ(old: &Outcome, new: &Outcome) -> bool {
    match (old, new) {
        (Outcome::Deny { .. }, Outcome::Deny { .. }) => false,
        (Outcome::Automatic { terms: a, .. }, Outcome::Automatic { terms: b, .. }) => a != b,
        (
            Outcome::Approve {
                levels: a,
                terms: x,
                ..
            },
            Outcome::Approve {
                levels: b,
                terms: y,
                ..
            },
        ) => a != b || x != y,
        _ => true,
    }
}
