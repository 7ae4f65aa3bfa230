//! Giving up the oldest segments.

use super::*;
use crate::Follower;
use crate::record::kind;
use crate::{check_with, given_up, prunable};

const HOUR_MS: u64 = 3_600_000;

/// A record of so many hours after [`now`].
fn at(hour: u64) -> Record {
    let time = Timestamp {
        unix_ms: now().unix_ms + hour * HOUR_MS,
        ..now()
    };
    Record::new("use", time).login("alice").detail("hour", hour)
}

/// Made so many hours after [`now`], when all of a test's entries are old.
fn of(kind: &str) -> Record {
    let time = Timestamp {
        unix_ms: now().unix_ms + 31 * 24 * HOUR_MS,
        ..now()
    };
    Record::new(kind, time)
}

/// An entry an hour, `hours` of them, in segments of four.
fn hours(hours: u64) -> (Log, Journal) {
    let log = Log::sealed();
    let mut journal = log.reopen();
    for hour in 0..hours {
        let _receipt = journal.append(&at(hour)).unwrap();
    }
    (log, journal)
}

fn until(log: &Log, hour: u64, needed: u64) -> Option<u64> {
    prunable(&log.dir(), now().unix_ms + hour * HOUR_MS, needed).unwrap()
}

fn first(log: &Log) -> u64 {
    log.entries()[0].index
}

fn whole(log: &Log) -> Report {
    let report = log.check();
    assert_eq!(named(&report), [], "{:?}", report.faults);
    report
}

#[test]
fn only_whole_segments_that_are_old_and_that_nobody_needs() {
    // They begin with the entries 0, 4, 8 and 12, and are made when these are written.
    let (log, mut journal) = hours(14);
    assert_eq!(until(&log, 3, 14), None);
    assert_eq!(until(&log, 4, 14), Some(4));
    assert_eq!(until(&log, 11, 14), Some(8));
    assert_eq!(until(&log, 99, 14), Some(12));
    // A receiver, or the witness, has not got that far.
    assert_eq!(until(&log, 99, 11), Some(8));
    assert_eq!(until(&log, 99, 3), None);
    let within = journal.prune(9, 30, of(kind::PRUNE));
    assert!(matches!(within, Err(Error::NoEntry { index: 9, .. })));
    let _receipt = journal.prune(8, 30, of(kind::PRUNE)).unwrap();
    assert_eq!(until(&log, 11, 14), None);
    assert_eq!(until(&log, 12, 14), Some(12));
}

#[test]
fn at_each_step_the_log_is_whole_and_goes_on() {
    let (log, mut journal) = hours(14);
    assert_eq!(given_up(&log.dir()).unwrap(), [] as [PathBuf; 0]);
    let receipt = journal.prune(8, 30, of(kind::PRUNE)).unwrap();
    assert_eq!(receipt.index(), 14);
    assert_eq!(whole(&log).begins.unwrap().first, 8);
    let files = given_up(&log.dir()).unwrap();
    assert_eq!(files, log.segments()[..2]);
    for (file, begins) in files.iter().zip([4, 8]) {
        std::fs::remove_file(file).unwrap();
        assert_eq!(whole(&log).entries, 15 - begins);
        assert_eq!(first(&log), begins);
    }
    assert_eq!(given_up(&log.dir()).unwrap(), [] as [PathBuf; 0]);
    fill(&mut journal, 0..6);
    drop(journal);
    // What an opening makes of it, and another round over what the first one left.
    let mut journal = log.reopen();
    fill(&mut journal, 0..6);
    assert_eq!(whole(&log).entries, 27 - 8);
    let next = until(&log, 999, 99).unwrap();
    let _receipt = journal.prune(next, 30, of(kind::PRUNE)).unwrap();
    for file in given_up(&log.dir()).unwrap() {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(whole(&log).begins.unwrap().first, next);
    drop(journal);
    assert_eq!(log.reopen().next_index(), 28);
    // Heads for the witness go on, too.
    let mut follower = Follower::open(&log.dir(), next).unwrap();
    assert!(follower.advance(28).unwrap());
}

#[test]
fn what_goes_beyond_what_was_given_up_is_named() {
    let (log, mut journal) = hours(14);
    let _receipt = journal.prune(8, 30, of(kind::PRUNE)).unwrap();
    let segments = log.segments();
    for (gone, begins) in [(&segments[..3], 12), (&segments[1..2], 4)] {
        let copy = log.copy();
        for file in gone {
            std::fs::remove_file(copy.dir().join(name(file))).unwrap();
        }
        let report = copy.check();
        assert_eq!(report.faults[0].kind, FaultKind::SegmentMissing);
        assert!(report.faults[0].count > 0 && begins > 0);
    }
}

#[test]
fn without_the_entry_a_header_gives_up_nothing() {
    let (log, mut journal) = hours(14);
    // A header can be made by anybody; only the log's keys make an entry.
    let _receipt = journal.prune(8, 30, of(kind::PROBE)).unwrap();
    assert!(matches!(given_up(&log.dir()), Err(Error::Unsound(_))));
    for file in &log.segments()[..2] {
        std::fs::remove_file(file).unwrap();
    }
    let report = log.check();
    assert_eq!(named(&report), [(FaultKind::Removed, Some(0))]);
    assert_eq!(report.faults[0].count, 8);
}

#[test]
fn what_comes_after_it_is_still_watched() {
    let (log, mut journal) = hours(14);
    let _receipt = journal.prune(8, 30, of(kind::PRUNE)).unwrap();
    for file in given_up(&log.dir()).unwrap() {
        std::fs::remove_file(file).unwrap();
    }
    let path = &log.segments()[0];
    let data = std::fs::read(path).unwrap();
    let mut edited = data.clone();
    edited[frames(path)[1].start + 40] ^= 1;
    std::fs::write(path, edited).unwrap();
    assert_eq!(named(&log.check())[0].1, Some(8));
    std::fs::write(path, data).unwrap();
    assert_eq!(whole(&log).begins.unwrap().first, 8);
}

#[test]
fn what_is_younger_than_the_policy_says_is_not_taken_for_given_up() {
    for (days, hours_later) in [(29, 31 * 24), (30, 14), (400, 31 * 24)] {
        let (log, mut journal) = hours(14);
        let time = at(hours_later).time;
        let record = Record::new(kind::PRUNE, time);
        let _receipt = journal.prune(8, days, record).unwrap();
        for file in given_up(&log.dir()).unwrap() {
            std::fs::remove_file(file).unwrap();
        }
        let report = log.check();
        let expected = match days {
            // Thirty days are the least, whatever it says.
            29 => vec![],
            _ => vec![(FaultKind::Removed, Some(0))],
        };
        assert_eq!(named(&report), expected, "{days} {:?}", report.faults);
    }
}

/// Root can date such an entry, and everything after it, as he likes.
#[test]
fn an_entry_that_is_dated_ahead_is_named() {
    let (log, mut journal) = hours(14);
    let _receipt = journal.prune(8, 30, of(kind::PRUNE)).unwrap();
    let said = whole(&log).begins.unwrap();
    let made_ms = of(kind::PRUNE).time.unix_ms;
    assert_eq!(said.ahead(made_ms - 23 * HOUR_MS), None);
    let named = said.ahead(made_ms - 25 * HOUR_MS).unwrap();
    assert_eq!(
        (named.kind, named.index, named.count),
        (FaultKind::Removed, Some(0), 8)
    );
}

/// A clock set back, or one that has forgotten the time, makes nothing old.
#[test]
fn a_header_is_not_earlier_than_what_comes_before_it() {
    let (log, mut journal) = hours(14);
    let past = Timestamp {
        unix_ms: now().unix_ms - 90 * 24 * HOUR_MS,
        ..now()
    };
    for reopened in [false, true] {
        for _ in 0..5 {
            let _receipt = journal.append(&Record::new("use", past.clone())).unwrap();
        }
        if !reopened {
            drop(journal);
            journal = log.reopen();
        }
    }
    // All of the segments of that time count as made with the newest entry before it.
    assert_eq!(until(&log, 12, 99), Some(12));
    assert_eq!(
        until(&log, 13, 99),
        Some(log.segments().len() as u64 * 4 - 4)
    );
}

/// A copy can be made by anybody; with the host's key known, it must hold a seal of it.
#[test]
fn what_is_left_holds_a_seal_of_the_host() {
    let (log, mut journal) = hours(14);
    let _receipt = journal.prune(12, 30, of(kind::PRUNE)).unwrap();
    for file in given_up(&log.dir()).unwrap() {
        std::fs::remove_file(file).unwrap();
    }
    let host = identity().key.public();
    let report = check_with(&log.dir(), Some(&log.head()), Some(host), &mut |_| {});
    assert_eq!(named(&report), [], "{:?}", report.faults);
    assert_eq!(report.starts, 1);
}
