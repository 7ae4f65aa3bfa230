//! Signed heads: every acknowledged entry is under one, and whoever writes anything anew has no key for it.

use super::*;
use crate::check_with;
use crate::frame::{Decoded, Kind, decode};
use crate::seal::Seal;
use std::ops::Range;

/// Segment file, seal, and the number of entries it is over.
fn seals(log: &Log) -> Vec<(u64, Seal)> {
    let mut out = Vec::new();
    for path in log.segments() {
        let data = std::fs::read(path).unwrap();
        let mut at = 0;
        while let Decoded::Frame(frame) = decode(&data[at..]) {
            if frame.head.kind == Kind::Seal {
                let seal = serde_json::from_slice(frame.payload).unwrap();
                out.push((frame.head.index, seal));
            }
            at += frame.size();
        }
    }
    out
}

fn other(number: u64) -> Record {
    Record::new("end", now()).detail("n", number)
}

#[test]
fn every_commit_has_its_seal_and_what_gives_destroys_its_key() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    for batch in [
        &[other(0)][..],
        &[other(1), other(2)],
        &[record(3)],
        &[record(4), other(5)],
        &[other(6)],
    ] {
        let _ = journal.append_batch(&drafts(batch)).unwrap();
        journal.settle();
    }
    drop(journal);
    fill(&mut log.reopen(), 7..8);
    let seals = seals(&log);
    let shape: Vec<_> = seals
        .iter()
        .map(|(size, seal)| (*size, seal.n, seal.epoch, seal.next.map(|next| next.epoch)))
        .collect();
    assert_eq!(
        shape,
        [
            (1, 0, None, Some(1)),
            (3, 1, Some(1), None),
            (4, 2, Some(1), Some(2)),
            (6, 3, Some(2), Some(3)),
            (7, 4, Some(3), None),
            (8, 5, None, Some(4)),
        ]
    );
    let report = log.check();
    assert_eq!(named(&report), []);
    assert_eq!((report.entries, report.starts), (8, 2));
    assert_eq!(report.sealed.map(|head| head.size), Some(8));
    // The key is named where it is signed: in the last record of the commit.
    let text = format!(
        r#","epoch":2,"key":"{}"}}"#,
        crate::note::base64(&seals[2].1.next.unwrap().key.0)
    );
    assert!(log.entries()[3].json.ends_with(&text));
    assert!(!log.entries()[4].json.contains("\"key\""));
}

#[test]
fn another_hosts_key_is_not_ours() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..3);
    let mine = check_with(&log.dir(), None, Some(identity().key.public()), &mut |_| {});
    assert_eq!(named(&mine), []);
    let other = check_with(&log.dir(), None, Some([9; 32]), &mut |_| {});
    assert_eq!(named(&other), [(FaultKind::SealUnknownKey, None)]);
}

#[test]
fn a_log_whose_seals_are_gone_gets_new_ones_and_is_told_of_for_good() {
    let log = Log {
        sealed: true,
        ..filled(6)
    };
    let host = Some(identity().key.public());
    let told = check_with(&log.dir(), None, host, &mut |_| {});
    assert_eq!(named(&told), [(FaultKind::SealMissing, Some(0))]);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::SealMissing);
    fill(&mut journal, 6..8);
    drop(journal);
    fill(&mut log.reopen(), 8..15);
    assert_eq!(named(&log.check()), [(FaultKind::Noted, None)]);
    assert_eq!(crate::read(&log.dir()).flatten().count(), 16);
}

#[test]
fn entries_without_their_seal_are_not_shown() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..3);
    let path = log.segments()[0].clone();
    let mut data = std::fs::read(&path).unwrap();
    let last = frames(&path).len() - 2;
    let chain = *data[frames(&path)[last].clone()]
        .last_chunk::<32>()
        .unwrap();
    let json = record(99).to_json().unwrap();
    crate::frame::encode(&mut data, Kind::Entry, 3, json.as_bytes(), &chain);
    for more in [&b""[..], b"\xff"] {
        data.extend_from_slice(more);
        std::fs::write(&path, &data).unwrap();
        let report = log.check();
        assert_eq!(named(&report), []);
        assert!(report.unfinished.is_some());
        assert_eq!(log.entries().len(), 3);
    }
}

/// In the tree a short text stands for a long record. Root can put it in the record's place and no seal is broken.
#[test]
fn what_only_stands_for_a_record_is_named() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    for record in [other(0), other(1).reason("x".repeat(70_000)), other(2)] {
        let _receipt = journal.append(&record).unwrap();
    }
    drop(journal);
    let path = &log.segments()[0];
    let data = std::fs::read(path).unwrap();
    let (mut forged, mut before, mut at) = (Vec::new(), [0; 32], 0);
    while let Decoded::Frame(frame) = decode(&data[at..]) {
        let (kind, text) = (frame.head.kind, crate::merkle::leaf_text(frame.payload));
        let chain = crate::frame::encode(&mut forged, kind, frame.head.index, &text, &before);
        before = if kind == Kind::Seal { before } else { chain };
        at += frame.size();
    }
    assert!(forged.len() < 4096);
    std::fs::write(path, forged).unwrap();
    let host = Some(identity().key.public());
    let told = check_with(&log.dir(), None, host, &mut |_| {});
    assert_eq!(named(&told), [(FaultKind::Edited, Some(1))]);
    let (_, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::Edited);
}

/// A cut at every byte of the last commit, with the head file that a crash there leaves.
#[test]
fn a_commit_is_there_with_its_seal_or_not_at_all() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    fill(&mut journal, 0..2);
    journal.settle();
    let (path, head) = (
        log.segments()[0].clone(),
        std::fs::read(log.head()).unwrap(),
    );
    let before = path.metadata().unwrap().len();
    let _ = journal
        .append_batch(&drafts(&[record(2), other(3)]))
        .unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for cut in usize::try_from(before).unwrap()..whole.len() {
        for zeros in [0, 700] {
            let copy = log.copy();
            let mut data = whole[..cut].to_vec();
            data.resize(cut + zeros, 0);
            std::fs::write(&copy.segments()[0], &data).unwrap();
            std::fs::write(copy.head(), &head).unwrap();
            assert_eq!(named(&copy.check()), [], "{cut} {zeros}");
            let (mut journal, recovery) = copy.open();
            assert_eq!(recovery.faults, [], "{cut} {zeros}");
            let next = fill(&mut journal, 9..10)[0];
            drop(journal);
            assert_eq!(named(&copy.check()), [], "{cut} {zeros}");
            assert_eq!(copy.entries().len() as u64, next + 1, "{cut} {zeros}");
            assert!(copy.entries()[1].json.contains("\"n\":1"), "{cut} {zeros}");
        }
    }
}

#[test]
fn an_acknowledged_commit_without_its_seal_is_a_cut_tail() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..3);
    let path = log.segments()[0].clone();
    let data = std::fs::read(&path).unwrap();
    let last = frames(&path).pop().unwrap();
    std::fs::write(&path, &data[..last.start]).unwrap();
    assert_eq!(named(&log.check()), [(FaultKind::SealMissing, Some(2))]);
    let (_, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::TailCut);
}

/// An index that was given up is an empty leaf: seals and exports go on.
#[test]
fn seals_go_on_over_places_that_were_given_up() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..3);
    let path = log.segments()[0].clone();
    let data = std::fs::read(&path).unwrap();
    let cut = frames(&path)[3].start;
    std::fs::write(&path, &data[..cut]).unwrap();
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::TailCut);
    assert_eq!(fill(&mut journal, 9..10), [4]);
    drop(journal);
    let kinds: Vec<_> = log.check().faults.iter().map(|fault| fault.kind).collect();
    assert!(
        kinds.iter().all(|kind| !kind.name().starts_with("seal")),
        "{kinds:?}"
    );
    assert!(kinds.contains(&FaultKind::Noted), "{kinds:?}");
}

#[test]
fn each_flipped_bit_of_a_sealed_segment_is_named() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    fill(&mut journal, 0..2);
    let _ = journal
        .append_batch(&drafts(&[other(2), other(3)]))
        .unwrap();
    drop(journal);
    let path = log.segments()[0].clone();
    let data = std::fs::read(&path).unwrap();
    let copy = log.copy();
    let target = copy.segments()[0].clone();
    for (byte, bit) in (0..data.len()).map(|byte| (byte, byte % 8)) {
        let mut flipped = data.clone();
        flipped[byte] ^= 1 << bit;
        std::fs::write(&target, &flipped).unwrap();
        assert!(!copy.check().is_ok(), "byte {byte}");
    }
}

/// Takes some frames of the first segment away or doubles them, by their order.
fn with_frames(
    log: &Log,
    frames: &[Range<usize>],
    order: &[usize],
) -> Vec<(FaultKind, Option<u64>)> {
    let copy = log.copy();
    let path = copy.segments()[0].clone();
    let data = std::fs::read(&path).unwrap();
    let end = frames.last().unwrap().end;
    let mut made: Vec<u8> = order
        .iter()
        .flat_map(|at| data[frames[*at].clone()].to_vec())
        .collect();
    made.extend_from_slice(&data[end..]);
    std::fs::write(&path, made).unwrap();
    let host = Some(identity().key.public());
    let report = check_with(&copy.dir(), Some(&copy.head()), host, &mut |_| {});
    named(&report)
}

/// Each alone is named, and nothing that comes of it: neither the seals behind it nor what a crash left at the end.
#[test]
fn what_was_done_to_seals_and_entries_is_named_and_nothing_else() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..4);
    let path = log.segments()[0].clone();
    let ranges = frames(&path);
    let mut data = std::fs::read(&path).unwrap();
    data.extend_from_slice(b"\xffJ\x02");
    std::fs::write(&path, data).unwrap();
    fill(&mut log.open().0, 4..6);
    // The header, then each entry with its seal.
    let all: Vec<usize> = (0..9).collect();
    assert_eq!(ranges.len(), all.len());
    assert_eq!(with_frames(&log, &ranges, &all), []);
    let without =
        |gone: usize| -> Vec<usize> { all.iter().copied().filter(|at| *at != gone).collect() };
    assert_eq!(
        with_frames(&log, &ranges, &without(4)),
        [(FaultKind::SealMissing, Some(1))]
    );
    assert_eq!(
        with_frames(&log, &ranges, &without(3)),
        [(FaultKind::Removed, Some(1))]
    );
    for (at, kind, index) in [
        (4, FaultKind::SealInvalid, None),
        (3, FaultKind::Duplicated, Some(1)),
    ] {
        let mut twice = all.clone();
        twice.insert(at, at);
        assert_eq!(with_frames(&log, &ranges, &twice), [(kind, index)]);
    }
}
