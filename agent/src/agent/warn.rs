//! Said on the user's own terminals: that the end of a grant is near, and that it came unexpectedly.

use super::{Agent, say};
use crate::clock;
use crate::effects::terminals;
use crate::store::grants::{Cause, GrantFile, Phase};
use statement::detail::OnEnd;
use std::rc::Rc;
use std::time::Duration;

/// Seconds before the end; each only for grants that last at least twice as long.
const BEFORE: [u64; 3] = [600, 60, 10];
/// Grants too short for those are warned of at half their life, down to this.
const SHORTEST: u64 = 3;
/// In steps, so that a suspend, a set clock and an extension are noticed.
const STEP: Duration = Duration::from_secs(5);

/// How long before the end the next warning is due.
fn next(life_s: u64, left: Duration) -> Option<Duration> {
    let half = life_s / 2;
    let scaled = (SHORTEST..10).contains(&half).then_some(half);
    BEFORE
        .into_iter()
        .filter(|s| *s <= half)
        .chain(scaled)
        .map(Duration::from_secs)
        .find(|mark| *mark < left)
}

impl Agent {
    /// Warn before the end for as long as the grant is in force, also when its end is moved.
    pub(super) fn warn_before_end(self: &Rc<Self>, jti: &str) {
        let agent = self.clone();
        let id = jti.to_owned();
        tokio::task::spawn_local(async move {
            while let Some((file, left)) = agent.left(&id) {
                let life_s = file.until_s.saturating_sub(file.from_s);
                let due = next(life_s, left);
                let wait = due.map_or(STEP, |mark| left - mark);
                tokio::time::sleep(wait.min(STEP)).await;
                let Some(mark) = due.filter(|_| wait <= STEP) else {
                    continue;
                };
                // Unless the end was moved meanwhile.
                if let Some((file, left)) = agent.left(&id).filter(|(_, left)| *left <= mark) {
                    let then = match file.on_end {
                        OnEnd::Kill => "; what still runs with it is ended then",
                        OnEnd::Report => "",
                    };
                    // Rounded up: a timer wakes a little late.
                    let left = say::duration(left.as_secs() + 1);
                    tell(
                        &file,
                        format!(
                            "ends in {left}{then}. Longer: jitctl extend {id} --reason \"why\""
                        ),
                    );
                }
            }
        });
    }

    /// An end that the user did not bring about and could not foresee.
    pub(super) fn tell_end(file: &GrantFile, cause: Cause) {
        let surprise = matches!(
            cause,
            Cause::Revoked | Cause::NotEligible | Cause::DroppedByRoot | Cause::UnitStopped
        );
        if surprise {
            tell(file, format!("has ended because {cause}."));
        }
    }

    /// A grant in force, and how long it will be.
    fn left(&self, jti: &str) -> Option<(GrantFile, Duration)> {
        let now = clock::now().ok()?;
        let core = self.core.borrow();
        let stored = core.grants.get(jti)?;
        let end = stored.deadline();
        if stored.file.phase != Phase::Active || end.passed(&core.state, now) {
            return None;
        }
        let boot = Duration::from_nanos(end.boot_ns.saturating_sub(now.boot_ns));
        let wall = Duration::from_secs(end.wall_s.saturating_sub(core.state.mark.time(now)));
        Some((stored.file.clone(), boot.min(wall)))
    }
}

/// On a thread of its own: nothing waits for a terminal.
fn tell(file: &GrantFile, what: String) {
    let line = format!("jit: grant {} (role {}) {what}", file.jti, file.role);
    let uid = file.uid;
    tokio::task::spawn_blocking(move || terminals::tell(uid, &line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_grants_are_warned_of_three_times_and_short_ones_once() {
        let all = |life_s: u64| {
            let mut left = Duration::from_secs(life_s);
            let mut marks = Vec::new();
            while let Some(mark) = next(life_s, left) {
                marks.push(mark.as_secs());
                left = mark;
            }
            marks
        };
        assert_eq!(all(3600), [600, 60, 10]);
        assert_eq!(all(1200), [600, 60, 10]);
        assert_eq!(all(900), [60, 10]);
        assert_eq!(all(119), [10]);
        assert_eq!(all(20), [10]);
        assert_eq!(all(19), [9]);
        assert_eq!(all(6), [3]);
        assert_eq!(all(5), [0; 0]);
    }
}
