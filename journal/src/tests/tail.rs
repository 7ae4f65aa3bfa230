//! Reading along while the log grows.

use super::*;
use crate::Tail;
use crate::header::TornBytes;
use crate::journal::{Broken, State};
use proptest::prelude::*;

fn drain(tail: &mut Tail, until: u64) -> Vec<u64> {
    let part = tail.read(until, usize::MAX, usize::MAX);
    assert_eq!(part.faults, []);
    part.entries.iter().map(|e| e.index).collect()
}

#[test]
fn each_entry_comes_once_over_segments_and_openings() {
    for log in [Log::new(), Log::sealed()] {
        let mut tail = Tail::new(&log.dir(), 0);
        assert!(drain(&mut tail, 0).is_empty());
        let mut next = 0;
        for round in 0..7 {
            // The agent was started anew, which makes a segment.
            let mut journal = log.reopen();
            for _ in 0..=round {
                let more = fill(&mut journal, next..next + round);
                assert_eq!(drain(&mut tail, next + round), more);
                next += round;
            }
        }
        assert_eq!(tail.next_index(), next);
        let mut late = Tail::new(&log.dir(), 17);
        assert_eq!(drain(&mut late, next), (17..next).collect::<Vec<_>>());
    }
}

#[test]
fn a_part_is_as_large_as_was_asked() {
    let log = filled(20);
    let mut tail = Tail::new(&log.dir(), 0);
    assert_eq!(tail.read(20, 3, usize::MAX).entries.len(), 3);
    assert_eq!(tail.read(20, usize::MAX, 1).entries.len(), 1);
    assert_eq!(tail.read(7, usize::MAX, usize::MAX).entries.len(), 3);
    assert_eq!(tail.next_index(), 7);
    // What is not there yet is no fault, and comes later.
    assert_eq!(tail.read(30, usize::MAX, usize::MAX).entries.len(), 13);
    assert_eq!(tail.read(30, usize::MAX, usize::MAX).entries.len(), 0);
    fill(&mut log.reopen(), 20..30);
    assert_eq!(drain(&mut tail, 30), (20..30).collect::<Vec<_>>());
}

#[test]
fn a_damaged_entry_is_a_fault_and_the_others_come() {
    let log = filled(8);
    let path = &log.segments()[0];
    let mut data = std::fs::read(path).unwrap();
    let third = frames(path)[3].clone();
    data[third.start + 30] ^= 1;
    std::fs::write(path, data).unwrap();
    let part = Tail::new(&log.dir(), 0).read(8, usize::MAX, usize::MAX);
    let got: Vec<u64> = part.entries.iter().map(|e| e.index).collect();
    assert!(!part.faults.is_empty());
    assert!(got.ends_with(&[4, 5, 6, 7]), "{got:?}");
}

/// A sync that failed leaves a commit that looks whole; the log goes on without it, in a new segment.
#[test]
fn what_was_given_up_is_not_read_though_it_was_begun_to_be() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    fill(&mut journal, 0..2);
    let mut tail = Tail::new(&log.dir(), 0);
    assert_eq!(drain(&mut tail, 2), [0, 1]);
    let State::Live(live) = &journal.state else {
        panic!("{:?}", journal.state)
    };
    let prev = live.as_prev(journal.next, journal.chain);
    // Written, and no receipt for it.
    let written = log.copy();
    let receipt = written.reopen().append(&record(99)).unwrap();
    assert_eq!(receipt.index(), 2);
    std::fs::copy(&written.segments()[0], &log.segments()[0]).unwrap();
    journal.generation += 1;
    journal.state = State::Broken(Broken {
        torn: vec![TornBytes {
            file: prev.file.clone(),
            offset: prev.length,
            seen: None,
        }],
        prev: Some(prev),
        why: Some("the sync failed".into()),
        ..Broken::default()
    });
    assert_eq!(fill(&mut journal, 3..4), [3]);
    let part = tail.read(4, usize::MAX, usize::MAX);
    assert_eq!(part.faults, []);
    let read: Vec<_> = part.entries.iter().map(|e| (e.index, &e.json)).collect();
    assert_eq!(read.len(), 2, "{read:?}");
    assert!(read[0].0 == 2 && read[0].1.contains(r#""type":"recovery""#));
    assert!(read[1].0 == 3 && read[1].1.contains(r#""n":3"#));
    assert_eq!(named(&log.check()), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_it_is_cut(steps in proptest::collection::vec((0_u64..6, 1_usize..4, any::<bool>()), 1..20)) {
        let log = Log::sealed();
        let mut journal = log.reopen();
        let mut tail = Tail::new(&log.dir(), 0);
        let (mut written, mut got) = (0, Vec::new());
        for (more, count, again) in steps {
            if again {
                drop(journal);
                journal = log.reopen();
            }
            fill(&mut journal, written..written + more);
            written += more;
            let part = tail.read(written, count, usize::MAX);
            prop_assert!(part.faults.is_empty());
            got.extend(part.entries.iter().map(|e| e.index));
        }
        got.extend(drain(&mut tail, written));
        prop_assert_eq!(got, (0..written).collect::<Vec<_>>());
    }
}
