//! The end of a grant on both clocks. Pure. Whatever happens to the clocks, an end is only ever made earlier.

use crate::clock::Now;
use crate::store::state::{Seen, State};

/// End of a grant on both clocks; the earlier counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Unix seconds.
    pub wall_s: u64,
    /// Nanoseconds of this boot's `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
}

impl Deadline {
    /// The end of a grant that is just taken or started. `time_s` is the time that counts, by the mark.
    #[must_use]
    pub fn from_now(exp_s: u64, time_s: u64, now: Now) -> Self {
        // Rounded down by counting the part of the current second that has passed.
        let passed_ns = now.wall_ms % 1000 * 1_000_000;
        let left_ns = exp_s.saturating_sub(time_s).saturating_mul(1_000_000_000);
        Self {
            wall_s: exp_s,
            boot_ns: now
                .boot_ns
                .saturating_add(left_ns)
                .saturating_sub(passed_ns),
        }
    }

    /// The same end on the clock of a new boot. `self` is on the clock of the boot `boot_id`; `seen` is the last reading of
    /// that clock that is known. Not longer than what was left then: a clock that was set or is dead gives nothing back.
    #[must_use]
    pub fn in_new_boot(&self, boot_id: &str, seen: Option<&Seen>, time_s: u64, now: Now) -> Self {
        let made = Self::from_now(self.wall_s, time_s, now);
        let left_then = seen
            .filter(|s| s.boot_id == boot_id)
            .map_or(u64::MAX, |s| self.boot_ns.saturating_sub(s.boot_ns));
        Self {
            boot_ns: made.boot_ns.min(now.boot_ns.saturating_add(left_then)),
            ..made
        }
    }

    /// Whole seconds left, rounded down; 0 = over.
    #[must_use]
    pub fn left_s(&self, state: &State, now: Now) -> u64 {
        let wall = self.wall_s.saturating_sub(state.mark.time(now));
        wall.min(self.boot_ns.saturating_sub(now.boot_ns) / 1_000_000_000)
    }

    /// Has it passed, by either clock?
    #[must_use]
    pub fn passed(&self, state: &State, now: Now) -> bool {
        state.mark.time(now) >= self.wall_s || now.boot_ns >= self.boot_ns
    }
}

#[cfg(test)]
mod tests;
