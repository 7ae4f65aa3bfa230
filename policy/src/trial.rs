//! The tests that a policy brings along.

pub use crate::rego::{Coverage, Tried};

use crate::Policy;

/// Runs every `test_…` rule of the policy's `*_test.rego`. A table of rules has none.
#[must_use]
pub fn run(policy: &Policy) -> (Vec<Tried>, Coverage) {
    policy
        .engine
        .as_rego()
        .map(crate::rego::Rego::test)
        .unwrap_or_default()
}
