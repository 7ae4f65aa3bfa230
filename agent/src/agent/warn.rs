//! Said on the user's own terminals: that the end of a grant is near, and that it came unexpectedly.

use super::{Agent, say};
use crate::clock;
use crate::effects::terminals;
use crate::store::grants::{Cause, GrantFile, Phase};
use statement::detail::OnEnd;
use std::rc::Rc;
use std::time::Duration;

/// Grants too short for those that are set are warned of at half their life, down to this.
const SHORTEST: u64 = 3;
/// In steps, so that a suspend, a set clock and an extension are noticed.
const STEP: Duration = Duration::from_secs(5);

/// How long before the end the next warning is due; `before`: the seconds that are set.
fn next(before: &[u64], life_s: u64, left: Duration) -> Option<Duration> {
    let half = life_s / 2;
    let shortest = before.iter().min()?;
    let scaled = (SHORTEST..*shortest).contains(&half).then_some(half);
    before
        .iter()
        .copied()
        .filter(|s| *s <= half)
        .chain(scaled)
        .map(Duration::from_secs)
        .filter(|mark| *mark < left)
        .max()
}

impl Agent {
    /// Warn before the end for as long as the grant is in force, also when its end is moved.
    pub(super) fn warn_before_end(self: &Rc<Self>, jti: &str) {
        let agent = self.clone();
        let id = jti.to_owned();
        tokio::task::spawn_local(async move {
            while let Some((file, left)) = agent.left(&id) {
                let life_s = file.until_s.saturating_sub(file.from_s);
                let due = next(&agent.warn_before(), life_s, left);
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

    /// The seconds before an end at which its user is warned.
    fn warn_before(&self) -> Vec<u64> {
        match &*self.config.borrow() {
            Ok(config) => config.manners.warn_before_s.clone(),
            Err(_) => settings::agent::Agent::default().warn_before_s,
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
        let with = |before: &[u64], life_s: u64| {
            let mut left = Duration::from_secs(life_s);
            let mut marks = Vec::new();
            while let Some(mark) = next(before, life_s, left) {
                marks.push(mark.as_secs());
                left = mark;
            }
            marks
        };
        let set = settings::agent::Agent::default().warn_before_s;
        let all = |life_s: u64| with(&set, life_s);
        assert_eq!(all(3600), [600, 60, 10]);
        assert_eq!(all(1200), [600, 60, 10]);
        assert_eq!(all(900), [60, 10]);
        assert_eq!(all(119), [10]);
        assert_eq!(all(20), [10]);
        assert_eq!(all(19), [9]);
        assert_eq!(all(6), [3]);
        assert_eq!(all(5), [0; 0]);
        assert_eq!(with(&[5, 100], 1000), [100, 5]);
        assert_eq!(with(&[30], 40), [20]);
        assert_eq!(with(&[], 1000), [0; 0]);
    }
}
