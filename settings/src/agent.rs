//! `agent.toml`: how the agent of a host behaves where its rights are not concerned.

use crate::{Settings, Wrong};
use serde::{Deserialize, Serialize};

/// Longest that a warning may come before an end: half of the longest grant.
const WARN_MAX_S: u64 = 21_600;
const WARNINGS_MAX: usize = 8;

/// `agent.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Seconds before the end of a grant at which its user is warned on his terminals; each only for grants that last at
    /// least twice as long. Empty: no warning.
    pub warn_before_s: Vec<u64>,
    /// Whether `org.jitctl.Jit1` is on the system bus.
    pub dbus: bool,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            warn_before_s: vec![600, 60, 10],
            dbus: true,
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
        Ok(())
    }
}
