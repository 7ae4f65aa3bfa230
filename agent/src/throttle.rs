//! How many refusals of one user are recorded: a flood must neither fill the log nor keep others waiting. What is not recorded
//! is counted, and the count gets a record of its own.

use std::cell::RefCell;
use std::collections::HashMap;

/// Refusals of one uid that are recorded one by one: so many at once, then one a second.
const BURST: u64 = 100;
const EVERY_NS: u64 = 1_000_000_000;
/// Between two words about one uid's floods.
const FLOOD_AGAIN_NS: u64 = 600_000_000_000;
/// So long after the first that was only counted, the count is told by itself.
const TELL_NS: u64 = 60_000_000_000;
/// Uids remembered; beyond this the idle ones are forgotten.
const UIDS: usize = 4096;

/// Limits what one uid can have journaled.
#[derive(Default)]
pub struct Throttle(RefCell<HashMap<u32, Bucket>>);

struct Bucket {
    /// `CLOCK_BOOTTIME` nanoseconds at which the bucket is full again.
    full_at: u64,
    suppressed: u64,
    /// When the first of them came.
    since_ns: u64,
    /// Of the last flood that was told.
    told_ns: Option<u64>,
}

impl Throttle {
    /// Is the flood of this uid to be told? Once in ten minutes.
    pub fn begins(&self, uid: u32, boot_ns: u64) -> bool {
        let mut buckets = self.0.borrow_mut();
        let Some(bucket) = buckets.get_mut(&uid) else {
            return false;
        };
        let due = bucket
            .told_ns
            .is_none_or(|then| boot_ns.saturating_sub(then) >= FLOOD_AGAIN_NS);
        if due {
            bucket.told_ns = Some(boot_ns);
        }
        due
    }

    /// May one more be recorded? `Some(n)`: yes, and `n` before it were not; `None`: no, it was counted.
    pub fn take(&self, uid: u32, boot_ns: u64) -> Option<u64> {
        let mut buckets = self.0.borrow_mut();
        if buckets.len() >= UIDS {
            buckets.retain(|_, b| b.full_at > boot_ns || b.suppressed > 0);
        }
        let bucket = buckets.entry(uid).or_insert(Bucket {
            full_at: boot_ns,
            suppressed: 0,
            since_ns: boot_ns,
            told_ns: None,
        });
        let full_at = bucket.full_at.max(boot_ns) + EVERY_NS;
        if full_at > boot_ns + BURST * EVERY_NS {
            if bucket.suppressed == 0 {
                bucket.since_ns = boot_ns;
            }
            bucket.suppressed += 1;
            return None;
        }
        bucket.full_at = full_at;
        Some(std::mem::take(&mut bucket.suppressed))
    }

    /// Whose refusals were counted a minute ago and not told since, and how many. From then on they count as told.
    pub fn due(&self, boot_ns: u64) -> Vec<(u32, u64)> {
        self.told(|bucket| boot_ns.saturating_sub(bucket.since_ns) >= TELL_NS)
    }

    /// The same of all, before the counts are forgotten.
    pub fn rest(&self) -> Vec<(u32, u64)> {
        self.told(|_| true)
    }

    fn told(&self, now: impl Fn(&Bucket) -> bool) -> Vec<(u32, u64)> {
        let mut buckets = self.0.borrow_mut();
        let counted = buckets
            .iter_mut()
            .filter(|(_, b)| b.suppressed > 0 && now(b));
        counted
            .map(|(uid, b)| (*uid, std::mem::take(&mut b.suppressed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// A throttle in the middle of a flood at `at`: so many of 1000's refusals are only counted.
    fn flooded(at: u64, counted: usize) -> Throttle {
        let t = Throttle::default();
        for _ in 0..BURST {
            assert_eq!(t.take(1000, at), Some(0));
        }
        for _ in 0..counted {
            assert_eq!(t.take(1000, at), None);
        }
        t
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_others_are_not_touched() {
        let t = flooded(5 * S, 7);
        assert!(t.begins(1000, 5 * S) && !t.begins(1000, 6 * S));
        assert!(!t.begins(1001, 5 * S) && t.begins(1000, 700 * S));
        assert_eq!(t.take(1001, 5 * S), Some(0));
        assert_eq!(t.take(1000, 6 * S), Some(7));
        assert_eq!(t.take(1000, 6 * S), None);
    }

    #[test]
    fn a_count_that_no_further_refusal_brings_is_told_once_after_a_minute() {
        let t = flooded(5 * S, 7);
        assert!(t.due(64 * S).is_empty());
        assert_eq!(t.due(65 * S), [(1000, 7)]);
        assert!(t.due(66 * S).is_empty() && t.rest().is_empty());
        // Told with a refusal, it is not told again; what is counted later has a minute of its own.
        let t = flooded(5 * S, 7);
        assert_eq!(t.take(1000, 30 * S), Some(7));
        assert!(t.due(900 * S).is_empty());
        let t = flooded(5 * S, 7);
        assert_eq!(t.take(1000, 6 * S), Some(7));
        assert_eq!(t.take(1000, 6 * S), None);
        assert!(t.due(65 * S).is_empty());
        assert_eq!(t.due(66 * S), [(1000, 1)]);
    }

    #[test]
    fn at_a_stop_every_count_is_told() {
        let t = flooded(5 * S, 7);
        assert_eq!(t.rest(), [(1000, 7)]);
        assert!(t.rest().is_empty());
    }
}
