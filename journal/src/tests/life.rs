//! A log in good health: append, rotate, close, open, read.

use super::*;
use crate::{kind, read_from, read_since};

#[test]
fn what_was_appended_is_read_in_order() {
    let log = Log::new();
    let mut journal = log.reopen();
    assert_eq!(fill(&mut journal, 0..11), (0..11).collect::<Vec<_>>());
    assert_eq!(log.segments().len(), 3);
    let entries = log.entries();
    assert_eq!(entries.len(), 11);
    for (index, entry) in (0..).zip(&entries) {
        assert_eq!(entry.index, index);
        assert_eq!(entry.json, record(index).to_json().unwrap());
        let data = std::fs::read(log.dir().join(&entry.file)).unwrap();
        assert!(data[usize::try_from(entry.offset).unwrap()..].starts_with(b"\xffJ\x02"));
    }
    let report = log.check();
    assert_eq!(named(&report), []);
    assert_eq!(report.entries, 11);
    assert_eq!(
        report.first_time.as_deref(),
        Some("2026-11-20T13:56:03.120Z")
    );
    assert_eq!(report.unfinished, None);
}

#[test]
fn an_empty_log_is_whole() {
    let log = Log::new();
    let journal = log.reopen();
    assert_eq!(journal.next_index(), 0);
    assert_eq!(named(&log.check()), []);
    drop(journal);
    log.reopen();
    assert_eq!(log.segments().len(), 1);
}

#[test]
fn a_missing_directory_is_not_a_good_log() {
    let log = Log::new();
    assert_eq!(named(&log.check()), [(FaultKind::Unreadable, None)]);
}

#[test]
fn goes_on_after_a_close() {
    let log = Log::new();
    for start in 0..10 {
        assert_eq!(fill(&mut log.reopen(), start..start + 1), [start]);
    }
    assert_eq!(log.segments().len(), 3);
    assert_eq!(named(&log.check()), []);
}

/// What a process holds between its fork and its exec.
#[test]
fn a_closed_log_is_free_though_a_copy_of_its_lock_lives() {
    let log = Log::new();
    let journal = log.reopen();
    let copy = journal._lock.0.try_clone().unwrap();
    drop(journal);
    drop(log.reopen());
    drop(copy);
}

#[test]
fn a_batch_is_one_run_of_indexes() {
    let log = Log::new();
    let mut journal = log.reopen();
    let records: Vec<_> = (0..3).map(record).collect();
    assert_eq!(
        indexes(&journal.append_batch(&drafts(&records)).unwrap()),
        [0, 1, 2]
    );
    assert!(journal.append_batch(&[]).unwrap().is_empty());
    // Larger than a segment: not split, one write all the same.
    let records: Vec<_> = (3..20).map(record).collect();
    let receipts = journal.append_batch(&drafts(&records)).unwrap();
    assert_eq!(indexes(&receipts), (3..20).collect::<Vec<_>>());
    assert_eq!(log.entries().len(), 20);
    assert_eq!(named(&log.check()), []);
}

#[test]
fn reading_can_begin_anywhere() {
    let log = filled(11);
    for first in 0..13 {
        let read: Vec<_> = read_from(&log.dir(), first)
            .map(|entry| entry.unwrap().index)
            .collect();
        assert_eq!(read, (first..11).collect::<Vec<_>>());
    }
}

#[test]
fn segments_are_closed_by_size_too() {
    let mut log = Log::new();
    log.limits.bytes = 2000;
    let mut journal = log.reopen();
    for number in 0..6 {
        let record = record(number).reason("x".repeat(700));
        let _ = journal.append(&record).unwrap();
    }
    assert!(log.segments().len() >= 3);
    assert_eq!(named(&log.check()), []);
}

#[test]
fn one_writer_at_a_time() {
    let log = Log::new();
    let journal = log.reopen();
    assert!(matches!(log.try_open(), Err(Error::Busy { .. })));
    drop(journal);
    log.reopen();
}

#[test]
fn a_refused_record_leaves_no_trace() {
    let log = Log::new();
    let mut journal = log.reopen();
    let large = record(0).reason("x".repeat(crate::MAX_RECORD));
    let refused = Draft::new(&large);
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    assert!(journal.append(&large).is_err());
    assert_eq!(fill(&mut journal, 0..1), [0]);
    assert_eq!(named(&log.check()), []);
}

#[test]
fn the_longest_record_is_read_back() {
    let log = Log::new();
    let mut journal = log.reopen();
    let empty = record(0).reason("").to_json().unwrap().len();
    let record = record(0).reason("x".repeat(crate::MAX_RECORD - empty));
    let _ = journal.append(&record).unwrap();
    assert_eq!(log.entries()[0].json.len(), crate::MAX_RECORD);
    assert_eq!(named(&log.check()), []);
}

#[test]
fn a_receipt_names_index_and_chain() {
    let log = Log::new();
    let receipt = log.reopen().append(&record(0)).unwrap();
    let data = std::fs::read(&log.segments()[0]).unwrap();
    assert_eq!(receipt.index(), 0);
    assert!(data.ends_with(receipt.chain()));
}

#[test]
fn a_file_put_where_the_next_segment_would_be_stops_one_append_only() {
    let log = Log::new();
    let mut journal = log.reopen();
    fill(&mut journal, 0..4);
    let planted = log.dir().join("00000000000000000004.0.seg");
    std::fs::write(&planted, "planted").unwrap();
    assert!(journal.append(&record(4)).is_err());
    assert_eq!(fill(&mut journal, 4..6), [4, 5]);
    assert_eq!(std::fs::read(&planted).unwrap(), b"planted");
    let faults = named(&log.check());
    assert_eq!(faults, [(FaultKind::HeaderEdited, Some(4))]);
}

#[test]
fn a_planted_file_hides_no_cut_tail() {
    let log = filled(6);
    std::fs::remove_file(&log.segments()[1]).unwrap();
    std::fs::write(log.dir().join("00000000000000000006.0.seg"), "planted").unwrap();
    let faults = named(&log.check());
    let expected = [
        (FaultKind::HeaderEdited, Some(6)),
        (FaultKind::Removed, Some(4)),
    ];
    assert_eq!(faults, expected);
}

/// Changes of the live file from outside while the journal is open.
#[test]
fn a_changed_live_file_gives_no_receipt_again() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |path| {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"x").unwrap();
        },
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::hard_link(path, path.with_extension("b")).unwrap(),
        |path| {
            let data = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, data).unwrap();
        },
    ];
    for change in changes {
        let log = Log::new();
        let mut journal = log.reopen();
        fill(&mut journal, 0..2);
        change(&log.segments()[0]);
        for _ in 0..2 {
            assert!(journal.append(&record(2)).unwrap_err().is_tampered());
        }
    }
}

#[test]
fn read_and_check_while_another_thread_appends() {
    let log = Log::new();
    let mut journal = log.reopen();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..400 {
                let record = record(number).reason("x".repeat(5000));
                let _ = journal.append(&record).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        loop {
            let last = done.load(std::sync::atomic::Ordering::Acquire);
            let report = log.check();
            assert_eq!(named(&report), [], "{:?}", report.faults);
            for (index, entry) in (0..).zip(read(&log.dir())) {
                assert_eq!(entry.unwrap().index, index);
            }
            if last {
                assert_eq!(report.entries, 400);
                break;
            }
        }
    });
}

#[test]
fn reading_can_begin_at_a_time() {
    let log = Log::new();
    let at = |s: u64| Timestamp {
        unix_ms: 1_800_000_000_000 + s * 1000,
        ..now()
    };
    for second in 0..11 {
        let (mut journal, _) = recover::open(
            &log.dir(),
            &log.head(),
            &at(second),
            None,
            AppendOnly::Off,
            log.limits,
        )
        .unwrap();
        let record = Record::new(kind::USE, at(second));
        journal.append_batch(&drafts(&[record])).unwrap();
    }
    let first = |s: u64| {
        read_since(&log.dir(), at(s).unix_ms)
            .next()
            .unwrap()
            .unwrap()
            .index
    };
    let firsts: Vec<u64> = (0..11).map(first).collect();
    assert!(
        firsts.iter().zip(0..).all(|(first, s)| *first <= s),
        "{firsts:?}"
    );
    assert!(firsts.is_sorted() && firsts[10] >= 8, "{firsts:?}");
    assert_eq!(read_since(&log.dir(), 0).next().unwrap().unwrap().index, 0);
}
