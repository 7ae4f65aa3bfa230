//! The head file is written behind the receipts.

use super::*;
use crate::Found;

fn remembered(log: &Log) -> u64 {
    match crate::head(&log.head()) {
        Found::Head(head) => head.next,
        other => panic!("{other:?}"),
    }
}

/// What a kill at any moment leaves: the head file is behind by the newest commit at most, and nothing is lost by that.
#[test]
fn the_head_file_follows_each_commit() {
    for log in [Log::new(), Log::sealed()] {
        let mut journal = log.reopen();
        let mut before = 0;
        for round in 1..9 {
            let batch: Vec<_> = (0..round % 3 + 1).map(record).collect();
            let _ = journal.append_batch(&drafts(&batch)).unwrap();
            let next = journal.next_index();
            assert!([before, next].contains(&remembered(&log)), "{round}");
            let killed = log.copy();
            assert_eq!(named(&killed.check()), [], "{round}");
            // Of the commits before it none can go unnoticed.
            let path = killed.segments().pop().unwrap();
            let whole = std::fs::read(&path).unwrap();
            for end in frames(&path).iter().map(|frame| frame.start).skip(1) {
                std::fs::write(&path, &whole[..end]).unwrap();
                let left = killed.entries().len() as u64;
                let told = !killed.check().is_ok();
                assert!(told || left >= remembered(&log), "{round}: {left}");
            }
            std::fs::write(&path, whole).unwrap();
            assert_eq!(killed.reopen().next_index(), next, "{round}");
            if round % 2 == 0 {
                journal.settle();
                assert_eq!(remembered(&log), next);
            }
            before = next;
        }
        drop(journal);
        assert_eq!(remembered(&log), before);
    }
}

#[test]
fn without_a_head_file_nothing_more_is_written() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    fill(&mut journal, 0..1);
    let good = journal.head.replace(crate::head::HeadFile::full());
    let length = || log.segments()[0].metadata().unwrap().len();
    let before = length();
    for _ in 0..2 {
        journal.settle();
        let error = journal.append(&record(1)).unwrap_err();
        assert!(error.is_full(), "{error}");
    }
    assert_eq!((length(), remembered(&log)), (before, 0));
    journal.head = good;
    assert_eq!(fill(&mut journal, 1..3), [1, 2]);
    drop(journal);
    assert_eq!(named(&log.check()), []);
}
