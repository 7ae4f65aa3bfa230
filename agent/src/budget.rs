//! How long one user may hold grants within a day (`max_per_day_s` of the ceiling). Pure. What is held
//! now is with the grants, what was held is told by the `end` records of the journal.

use journal::kind;
use serde_json::Value;
use std::collections::HashMap;

/// The day: any so many seconds in a row.
pub const DAY_S: u64 = 86_400;

/// From when until when a grant was held, or may be. Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_s: u64,
    pub until_s: u64,
}

impl Span {
    /// Seconds of it within the day that ends at `end_s`.
    fn within_day(self, end_s: u64) -> u64 {
        let from = self.from_s.max(end_s.saturating_sub(DAY_S));
        self.until_s.min(end_s).saturating_sub(from)
    }
}

/// Grants that ended.
#[derive(Debug, Default)]
pub struct Ledger {
    spans: HashMap<String, (u32, Span)>,
}

impl Ledger {
    /// A grant ended. The first that is said of it counts.
    pub fn ended(&mut self, jti: &str, uid: u32, span: Span, time_s: u64) {
        self.spans
            .retain(|_, (_, old)| old.until_s + 2 * DAY_S > time_s);
        self.spans.entry(jti.to_owned()).or_insert((uid, span));
    }

    /// Take one record of the journal in, as stored.
    pub fn hear(&mut self, json: &str) {
        if !json.contains(kind::END) {
            return;
        }
        let record: Value = serde_json::from_str(json).unwrap_or_default();
        let number = |name: &str| record["detail"][name].as_u64();
        let (Some(jti), Some(uid)) = (record["grant"].as_str(), record["uid"].as_u64()) else {
            return;
        };
        if let (true, Some(from_s), Some(until_s), Ok(uid)) = (
            record["type"] == kind::END,
            number("from"),
            number("until"),
            u32::try_from(uid),
        ) {
            let span = Span { from_s, until_s };
            self.spans.entry(jti.to_owned()).or_insert((uid, span));
        }
    }

    /// Take in what another ledger knows more.
    pub fn join(&mut self, other: Self) {
        for (jti, held) in other.spans {
            self.spans.entry(jti).or_insert(held);
        }
    }

    /// Those of one user.
    pub fn of(&self, uid: u32) -> impl Iterator<Item = Span> {
        let his = self.spans.values().filter(move |(whose, _)| *whose == uid);
        his.map(|(_, span)| *span)
    }
}

/// Moments in order, so that the seconds since all of them together are known at once: somebody may have had thousands of
/// short grants.
struct Moments {
    at: Vec<u64>,
    /// Of the first so many.
    sums: Vec<u64>,
}

impl Moments {
    fn new(at: impl Iterator<Item = u64>) -> Self {
        let mut at: Vec<u64> = at.collect();
        at.sort_unstable();
        let mut sums = vec![0];
        let mut sum = 0;
        for moment in &at {
            sum += moment;
            sums.push(sum);
        }
        Self { at, sums }
    }

    /// Seconds from each moment before `time_s` until then, together.
    fn since(&self, time_s: u64) -> u64 {
        let before = self.at.partition_point(|moment| *moment < time_s);
        let sum = self.sums.get(before).copied().unwrap_or_default();
        (before as u64 * time_s).saturating_sub(sum)
    }
}

/// The longest that a grant from `from_s` on may last, at most `wanted_s`, beside `others`, without any day in which more
/// than `most_s` seconds are held. Each grant counts, also beside another.
#[must_use]
pub fn longest(others: &[Span], from_s: u64, wanted_s: u64, most_s: u64) -> u64 {
    let starts = Moments::new(others.iter().map(|span| span.from_s));
    let ends = Moments::new(others.iter().map(|span| span.until_s));
    let held_by = |time_s| starts.since(time_s).saturating_sub(ends.since(time_s));
    let fits = |length: u64| {
        let new = Span {
            from_s,
            until_s: from_s.saturating_add(length),
        };
        // The fullest day ends where a grant ends, or begins where one begins.
        let edges = others.iter().copied().chain([new]);
        edges
            .flat_map(|span| [span.until_s, span.from_s.saturating_add(DAY_S)])
            .map(|end| (end, new.within_day(end)))
            .filter(|(_, of_new)| *of_new > 0)
            .all(|(end, of_new)| {
                let of_others = held_by(end).saturating_sub(held_by(end.saturating_sub(DAY_S)));
                of_others + of_new <= most_s
            })
    };
    // A longer one never fits where a shorter one does not.
    let (mut good, mut bad) = (0, wanted_s.saturating_add(1));
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const H: u64 = 3600;
    const T: u64 = 1_800_000_000;

    fn span(from: u64, until: u64) -> Span {
        Span {
            from_s: T + from,
            until_s: T + until,
        }
    }

    #[test]
    fn what_was_held_within_a_day_is_taken_off() {
        assert_eq!(longest(&[], T, H, 2 * H), H);
        assert_eq!(longest(&[], T, 3 * H, 2 * H), 2 * H);
        let held = [span(0, H)];
        assert_eq!(longest(&held, T + 2 * H, 3 * H, 2 * H), H);
        // Beside another, each counts.
        assert_eq!(longest(&held, T, 3 * H, 2 * H), H);
        // Used up; a day later it comes back.
        assert_eq!(longest(&held, T + 2 * H, H, H), 0);
        assert_eq!(longest(&held, T + DAY_S, H, H), H);
        assert_eq!(longest(&held, T + DAY_S - 60, H, H), 0);
        assert_eq!(longest(&[span(0, 60)], T + DAY_S - H, 2 * H, H), H - 60);
    }

    #[test]
    fn what_is_promised_for_later_counts_too() {
        let later = [span(10 * H, 12 * H)];
        assert_eq!(longest(&later, T, 2 * H, 2 * H), 0);
        assert_eq!(longest(&later, T, 2 * H, 3 * H), H);
        assert_eq!(longest(&later, T + 12 * H + DAY_S, 2 * H, 2 * H), 2 * H);
    }

    #[test]
    fn the_journal_tells_what_was_held() {
        let mut ledger = Ledger::default();
        for json in [
            r#"{"type":"end","grant":"G1","uid":7,"detail":{"cause":"dropped","from":10,"until":40}}"#,
            r#"{"type":"end","grant":"G1","uid":7,"detail":{"from":10,"until":99}}"#,
            r#"{"type":"end","grant":"G2","uid":8,"detail":{"from":10,"until":40}}"#,
            r#"{"type":"end","grant":"G3","uid":7,"detail":{"cause":"not-armed"}}"#,
            r#"{"type":"use","grant":"end","uid":7,"detail":{"from":10,"until":40}}"#,
            "rubbish",
        ] {
            ledger.hear(json);
        }
        let of = |uid| ledger.of(uid).collect::<Vec<_>>();
        let held = Span {
            from_s: 10,
            until_s: 40,
        };
        assert_eq!((of(7), of(8), of(9)), (vec![held], vec![held], vec![]));
    }

    proptest! {
        /// Whatever is asked for in whatever order: no second at which the last day holds more than the budget.
        #[test]
        fn no_day_holds_more_than_the_budget(
            asks in prop::collection::vec((0_u64..3 * DAY_S, 1_u64..12 * H), 1..12),
            most in 1_u64..DAY_S,
        ) {
            let mut held: Vec<Span> = Vec::new();
            for (from, wanted) in asks {
                let length = longest(&held, T + from, wanted, most);
                prop_assert!(length <= wanted);
                held.push(span(from, from + length));
            }
            let edges = held.iter().flat_map(|s| [s.until_s, s.from_s + DAY_S]);
            for end in (T..T + 5 * DAY_S).step_by(617).chain(edges) {
                prop_assert!(held.iter().map(|s| s.within_day(end)).sum::<u64>() <= most);
            }
        }
    }
}
