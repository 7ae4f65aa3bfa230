//! What touches the system, one file for each kind of thing. No decision is made here.

pub mod files;
pub mod groups;
mod jobs;
pub mod processes;
pub mod terminals;
pub mod trusted;
pub mod units;
pub mod watch;
