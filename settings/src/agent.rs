//! `agent.toml`: how the agent of a host behaves where its rights are not concerned.

use crate::{Settings, Wrong};
use serde::{Deserialize, Serialize};

/// Longest that a warning may come before an end: half of the longest grant.
const WARN_MAX_S: u64 = 21_600;
const WARNINGS_MAX: usize = 8;
/// Shorter is a slow disk of the receiver, longer than a day is nobody's alert.
const BEHIND_S: std::ops::RangeInclusive<u64> = 10..=86_400;
/// Less than a month is no retention, more than a century no removal.
const KEEP_DAYS: std::ops::RangeInclusive<u64> = 30..=36_500;

/// `agent.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Seconds before the end of a grant at which its user is warned on his terminals; each only for grants that last at
    /// least twice as long. Empty: no warning.
    pub warn_before_s: Vec<u64>,
    /// Whether `org.jitctl.Jit1` is on the system bus.
    pub dbus: bool,
    /// A receiver of syslog that takes no record for so many seconds, while some wait for it, is an alert.
    pub receiver_behind_s: u64,
    /// Entries of the journal older than so many days are removed once every receiver and the witness have them. Absent:
    /// all are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_keep_days: Option<u64>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            warn_before_s: vec![600, 60, 10],
            dbus: true,
            receiver_behind_s: 300,
            journal_keep_days: None,
        }
    }
}

impl Settings for Agent {
    const NAME: &'static str = "agent";

    fn check(&self) -> Result<(), Wrong> {
        let key = "warn_before_s";
        if self.warn_before_s.len() > WARNINGS_MAX {
            let what = format!("`{key}` names more than {WARNINGS_MAX} warnings");
            return Err(Wrong::new(key, what, "keep those that help"));
        }
        let good = |s: &u64| (1..=WARN_MAX_S).contains(s);
        if !self.warn_before_s.iter().all(good) {
            let what = format!("each of `{key}` must be 1 to {WARN_MAX_S}");
            return Err(Wrong::new(key, what, "write seconds within these"));
        }
        if !BEHIND_S.contains(&self.receiver_behind_s) {
            let key = "receiver_behind_s";
            let (least, most) = (BEHIND_S.start(), BEHIND_S.end());
            let what = format!("`{key}` must be {least} to {most}");
            return Err(Wrong::new(key, what, "write seconds within these"));
        }
        let key = "journal_keep_days";
        if !self
            .journal_keep_days
            .is_none_or(|d| KEEP_DAYS.contains(&d))
        {
            let (least, most) = (KEEP_DAYS.start(), KEEP_DAYS.end());
            let what = format!("`{key}` must be {least} to {most}");
            return Err(Wrong::new(key, what, "leave it out to keep everything"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_kept_for_a_month_at_least() {
        let with = |journal_keep_days| Agent {
            journal_keep_days,
            ..Agent::default()
        };
        assert!(
            [None, Some(30), Some(400)]
                .iter()
                .all(|d| with(*d).check().is_ok())
        );
        assert!(
            [Some(0), Some(29), Some(40_000)]
                .iter()
                .all(|d| with(*d).check().is_err())
        );
    }

    #[test]
    fn a_receiver_is_neither_given_up_at_once_nor_waited_for_without_end() {
        let with = |receiver_behind_s| Agent {
            receiver_behind_s,
            ..Agent::default()
        };
        assert!([10, 300, 86_400].iter().all(|s| with(*s).check().is_ok()));
        assert!([0, 9, 86_401].iter().all(|s| with(*s).check().is_err()));
    }
}
