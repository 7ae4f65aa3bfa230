//! What a crash can leave, and what `open` makes of it: in a log without seals, where each whole entry counts, and in one with
//! seals, where what is not under a seal is no part of the log.

use super::*;
use crate::frame::{Decoded, Kind, decode};

/// Is it sealed?
const BOTH: [bool; 2] = [false, true];

/// Does the entry hold this record? Behind it may stand a key that it names.
fn holds(entry: &Entry, number: u64) -> bool {
    let expected = record(number).to_json().unwrap();
    entry.json == expected
        || entry
            .json
            .starts_with(&format!("{},\"epoch\":", &expected[..expected.len() - 1]))
}

/// How many entries these first bytes of a segment leave.
fn kept(data: &[u8], sealed: bool) -> u64 {
    let (mut at, mut entries, mut kept) = (0, 0, 0);
    while let Decoded::Frame(frame) = decode(&data[at..]) {
        entries += u64::from(frame.head.kind == Kind::Entry);
        if !sealed || frame.head.kind == Kind::Seal {
            kept = entries;
        }
        at += frame.size();
    }
    kept
}

/// Writes `data` as the last segment, opens, appends, and expects all of `kept` and the new entry.
fn recover(log: &Log, path: &Path, data: &[u8], kept: u64, note: &str) {
    std::fs::write(path, data).unwrap();
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults, [], "{note}");
    let next = fill(&mut journal, 100..101)[0];
    assert!(next >= kept, "{note}: index {next} was used before");
    drop(journal);
    let entries = log.entries();
    for (index, entry) in (0..kept).zip(&entries) {
        assert!(entry.index == index && holds(entry, index), "{note}");
    }
    let last = entries.last().unwrap();
    assert!(last.index == next && holds(last, 100), "{note}");
    let report = log.check();
    assert_eq!(named(&report), [], "{note}: {:?}", report.faults);
    // Once more: nothing is left to recover.
    log.reopen();
    if recovery.torn.is_empty() {
        assert_eq!(next, kept, "{note}");
    } else {
        assert!(
            entries[entries.len() - 2]
                .json
                .contains(r#""type":"recovery""#),
            "{note}"
        );
    }
}

/// A log of six entries, then one that was written but not acknowledged: the head names six. Says where its last write lies.
fn unacknowledged(sealed: bool) -> (Log, PathBuf, std::ops::Range<usize>) {
    let log = filled_as(sealed, 6);
    let head = std::fs::read(log.head()).unwrap();
    let path = log.segments()[1].clone();
    let before = std::fs::read(&path).unwrap().len();
    fill(&mut log.reopen(), 6..7);
    std::fs::write(log.head(), head).unwrap();
    let after = std::fs::read(&path).unwrap().len();
    (log, path, before..after)
}

#[test]
fn a_cut_at_every_byte_of_the_last_write() {
    for sealed in BOTH {
        let (log, path, last) = unacknowledged(sealed);
        let data = std::fs::read(&path).unwrap();
        for cut in last.start..=last.end {
            let kept = if cut == last.end { 7 } else { 6 };
            // Before anybody recovers it, this is no fault.
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            std::fs::write(&path, &data[..cut]).unwrap();
            let report = copy.check();
            assert_eq!(named(&report), [], "{cut}");
            assert_eq!(
                report.unfinished.is_some(),
                cut > last.start && cut < last.end
            );
            assert_eq!(copy.entries().len(), kept as usize);
            let note = format!("sealed {sealed}, cut at {cut}");
            recover(&copy, &path, &data[..cut], kept, &note);
        }
    }
}

#[test]
fn zeros_and_rubbish_behind_the_last_entry() {
    for sealed in BOTH {
        let (log, path, last) = unacknowledged(sealed);
        let data = std::fs::read(&path).unwrap();
        let ends: Vec<_> = frames(&path).iter().map(|frame| frame.end).collect();
        // With its seal a write is three times as long, and each check verifies signatures.
        let step = if sealed { 3 } else { 1 };
        for keep in last.clone().step_by(step) {
            let mut tails = vec![vec![0; 40], vec![0; 5000]];
            // Rubbish in the chain value alone cannot be told from a forged entry.
            if !ends.iter().any(|end| (end - 33..*end).contains(&keep)) {
                tails.push((0..400).map(|at| at as u8 ^ 0x5A).collect());
            }
            for tail in tails {
                let copy = log.copy();
                let path = copy.dir().join(path.file_name().unwrap());
                let torn = [&data[..keep], &tail].concat();
                std::fs::write(&path, &torn).unwrap();
                let note = format!("sealed {sealed}, torn at {keep}");
                assert_eq!(named(&copy.check()), [], "{note}");
                recover(&copy, &path, &torn, 6, &note);
            }
        }
        // Zeros in the place of the end, as a size that reached the disk before its data.
        for keep in last.clone() {
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            let mut torn = data.clone();
            torn[keep..].fill(0);
            if torn.len() - keep >= 16 {
                std::fs::write(&path, &torn).unwrap();
                let note = format!("sealed {sealed}, zeros from {keep}");
                assert_eq!(named(&copy.check()), [], "{note}");
                recover(&copy, &path, &torn, 6, &note);
            }
        }
    }
}

#[test]
fn a_cut_in_a_batch_keeps_its_whole_entries_or_with_seals_none() {
    for sealed in BOTH {
        let log = filled_as(sealed, 1);
        let head = std::fs::read(log.head()).unwrap();
        let path = log.segments()[0].clone();
        let before = std::fs::read(&path).unwrap().len();
        let batch: Vec<_> = (1..4).map(record).collect();
        let _ = log.reopen().append_batch(&drafts(&batch)).unwrap();
        std::fs::write(log.head(), head).unwrap();
        let data = std::fs::read(&path).unwrap();
        for cut in before..=data.len() {
            let kept = kept(&data[..cut], sealed);
            assert!(!sealed || kept == if cut == data.len() { 4 } else { 1 });
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            let note = format!("sealed {sealed}, cut at {cut}");
            recover(&copy, &path, &data[..cut], kept, &note);
        }
    }
}

#[test]
fn a_cut_header_of_a_new_segment() {
    for sealed in BOTH {
        let log = filled_as(sealed, 5);
        let path = log.segments()[1].clone();
        let data = std::fs::read(&path).unwrap();
        let header = frames(&path)[0].clone();
        // Of the last entry: a seal has no place in the chain of entries.
        let first = &log.segments()[0];
        let last = frames(first)[if sealed { 7 } else { 4 }].clone();
        let chain = std::fs::read(first).unwrap()[last].last_chunk().copied();
        let head = crate::head::Head {
            next: 4,
            chain: chain.unwrap(),
        };
        crate::head::HeadFile::create(&log.head(), &head).unwrap();
        for cut in 0..header.end {
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            std::fs::write(&path, &data[..cut]).unwrap();
            let note = format!("sealed {sealed}, header cut at {cut}");
            assert_eq!(named(&copy.check()), [], "{note}");
            recover(&copy, &path, &data[..cut], 4, &note);
        }
    }
}

#[test]
fn a_cut_header_of_the_very_first_segment() {
    for sealed in BOTH {
        let log = filled_as(sealed, 0);
        std::fs::remove_file(log.head()).unwrap();
        let path = log.segments()[0].clone();
        let data = std::fs::read(&path).unwrap();
        for cut in 0..data.len() {
            let copy = Log {
                sealed,
                ..Log::new()
            };
            std::fs::create_dir(copy.dir()).unwrap();
            let path = copy.dir().join(path.file_name().unwrap());
            std::fs::write(&path, &data[..cut]).unwrap();
            let note = format!("sealed {sealed}, header cut at {cut}");
            assert_eq!(named(&copy.check()), [], "{note}");
            recover(&copy, &path, &data[..cut], 0, &note);
        }
    }
}

#[test]
fn crash_after_crash() {
    for sealed in BOTH {
        let log = filled_as(sealed, 2);
        for round in 0..5 {
            let path = log.segments().last().unwrap().clone();
            let mut data = std::fs::read(&path).unwrap();
            data.extend(b"\xffJ\x02torn");
            std::fs::write(&path, data).unwrap();
            let (_, recovery) = log.open();
            assert_eq!(
                (recovery.torn.len(), recovery.faults),
                (1, vec![]),
                "{round}"
            );
            assert_eq!(named(&log.check()), []);
        }
        assert_eq!(log.entries().len(), 7);
    }
}

#[test]
fn skipped_bytes_stay_as_they_were() {
    let log = filled(2);
    let path = log.segments()[0].clone();
    let mut data = std::fs::read(&path).unwrap();
    let at = data.len();
    data.extend(b"\xffJ\x02torn");
    std::fs::write(&path, &data).unwrap();
    let _ = log.open();
    assert_eq!(named(&log.check()), []);
    for byte in at..data.len() {
        let mut bad = data.clone();
        bad[byte] ^= 1;
        std::fs::write(&path, bad).unwrap();
        assert_eq!(named(&log.check()), [(FaultKind::Edited, None)]);
    }
    std::fs::write(&path, &data[..at]).unwrap();
    assert_eq!(named(&log.check()), [(FaultKind::Edited, None)]);
}
