//! What the gates need from outside, as a trait, so that tests can script it.

use std::time::Duration;
use wire::client::CallError;
use wire::gate::{Deadline, Reply, Request, Subject};

/// Agent, user database, terminal and clocks, as the gates see them.
pub trait World {
    /// One question to the agent, answered within `budget`.
    ///
    /// # Errors
    /// There is no answer.
    fn ask(&self, request: &Request, budget: Duration) -> Result<Reply, CallError>;

    /// Is this user in `jit-eligible`, by NSS, now?
    ///
    /// # Errors
    /// A sentence without full stop saying why that cannot be told.
    fn eligible(&self, user: &Subject) -> Result<bool, String>;

    /// Shows `text` to the user, line by line.
    fn say(&self, stream: Stream, text: &str);

    /// Both clocks; `None` when either cannot be read.
    fn now(&self) -> Option<Now>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Refusals and remarks: never mixed into a command's output.
    Error,
    /// Part of sudo's own answer, as with `-l`.
    Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Whole seconds of `CLOCK_REALTIME`, rounded down.
    pub wall_s: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
}

impl Now {
    /// The earlier of the two ends counts.
    pub fn is_past(self, end: Deadline) -> bool {
        self.wall_s >= end.wall_s || self.boot_ns >= end.boot_ns
    }
}
