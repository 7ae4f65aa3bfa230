//! Every way to change a closed log is named with its position.

use super::*;
use FaultKind::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Frames taken out, doubled and moved at will, over all segments.
    #[test]
    fn any_other_arrangement_is_a_fault(moves in prop::collection::vec((0..3_u8, 0..17_usize, 0..17_usize), 1..6)) {
        let log = filled(14);
        let paths = log.segments();
        let mut all: Vec<(usize, Vec<u8>)> = Vec::new();
        for (segment, path) in paths.iter().enumerate() {
            let data = std::fs::read(path).unwrap();
            all.extend(frames(path).into_iter().map(|frame| (segment, data[frame].to_vec())));
        }
        let before = all.clone();
        for (what, from, to) in moves {
            let (from, to) = (from % all.len(), to % all.len());
            match what {
                0 if all.len() > 1 => drop(all.remove(from)),
                1 => { let frame = (all[to].0, all[from].1.clone()); all.insert(to, frame); }
                _ => { let moved = all[from].1.clone(); all[from].1 = all[to].1.clone(); all[to].1 = moved; }
            }
        }
        for (segment, path) in paths.iter().enumerate() {
            let frames: Vec<_> = all.iter().filter(|(of, _)| *of == segment).map(|(_, frame)| &frame[..]).collect();
            std::fs::write(path, frames.concat()).unwrap();
        }
        let report = log.check();
        prop_assert_eq!(report.is_ok(), all == before, "{:?}", report.faults);
        for entry in read(&log.dir()).flatten() {
            prop_assert_eq!(entry.json, record(entry.index).to_json().unwrap());
        }
    }

    /// Whatever lies in the files: an answer and no crash, from `check`, from `read` and from `open`.
    #[test]
    fn any_bytes_get_an_answer(at: prop::sample::Index, bytes: Vec<u8>, segment in 0..4_usize, cut: bool) {
        let log = filled(14);
        let path = &log.segments()[segment];
        let before = std::fs::read(path).unwrap();
        let at = at.index(before.len());
        let end = if cut { before.len() } else { before.len().min(at + bytes.len()) };
        let data = [&before[..at], &bytes, &before[end..]].concat();
        std::fs::write(path, &data).unwrap();
        // What stands behind the end of the log is an unfinished write.
        let same = data == before || segment == 3 && data.starts_with(&before);
        prop_assert_eq!(log.check().is_ok(), same);
        // What is read before the first fault is named is what was written.
        for entry in read(&log.dir()).map_while(Result::ok) {
            prop_assert_eq!(entry.json, record(entry.index).to_json().unwrap());
        }
        let _ = log.open();
    }
}

/// Puts the frames of a segment in another order; `frame(0)` is the header.
fn rearrange(path: &Path, order: &[usize]) {
    let data = std::fs::read(path).unwrap();
    let frames = frames(path);
    let parts: Vec<_> = order.iter().map(|at| &data[frames[*at].clone()]).collect();
    std::fs::write(path, parts.concat()).unwrap();
}

#[test]
fn every_flipped_byte_is_a_fault() {
    let log = filled(10);
    for path in log.segments() {
        let good = std::fs::read(&path).unwrap();
        let frames = frames(&path);
        let first: u64 = name(&path)[..20].parse().unwrap();
        for at in 0..good.len() {
            for mask in [1 << (at % 8), 0xFF] {
                let mut bad = good.clone();
                bad[at] ^= mask;
                std::fs::write(&path, &bad).unwrap();
                let report = log.check();
                let frame = frames.iter().position(|range| range.contains(&at)).unwrap();
                let expected = if frame == 0 {
                    (HeaderEdited, Some(first))
                } else {
                    (Edited, Some(first + frame as u64 - 1))
                };
                assert_eq!(
                    named(&report),
                    [expected],
                    "{path:?} byte {at} ^ {mask:02x}: {:?}",
                    report.faults
                );
                assert_eq!(report.faults[0].offset, Some(frames[frame].start as u64));
                assert_eq!(report.faults[0].file, name(&path));
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert_eq!(named(&log.check()), []);
}

#[test]
fn without_a_head_only_a_tail_can_hide() {
    let log = filled(10);
    let path = &log.segments()[1];
    let good = std::fs::read(path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(path, &bad).unwrap();
        assert!(!check(&log.dir(), None).is_ok(), "byte {at}");
    }
}

#[test]
fn removed_records() {
    // Segments hold 0-3, 4-7, 8-9.
    for (segment, order, expected) in [
        (1, &[0, 2, 3, 4][..], vec![(Removed, 4, 1)]),
        (1, &[0, 1, 3, 4], vec![(Removed, 5, 1)]),
        (1, &[0, 1, 4], vec![(Removed, 5, 2)]),
        (1, &[0, 1, 2, 3], vec![(Removed, 7, 1)]),
        (1, &[0, 2, 4], vec![(Removed, 4, 1), (Removed, 6, 1)]),
        (1, &[0], vec![(Removed, 4, 4)]),
        (2, &[0, 2], vec![(Removed, 8, 1)]),
        (2, &[0, 1], vec![(TailCut, 9, 1)]),
        (2, &[0], vec![(TailCut, 8, 2)]),
    ] {
        let log = filled(10);
        let path = &log.segments()[segment];
        rearrange(path, order);
        let report = log.check();
        let found: Vec<_> = report
            .faults
            .iter()
            .map(|fault| (fault.kind, fault.index.unwrap(), fault.count))
            .collect();
        assert_eq!(found, expected, "{order:?}: {:?}", report.faults);
        assert!(
            report
                .faults
                .iter()
                .all(|fault| fault.file == name(path) && fault.offset.is_some())
        );
    }
}

#[test]
fn reordered_records() {
    for (order, expected) in [
        (&[0, 2, 1, 3, 4][..], vec![5]),
        (&[0, 1, 2, 4, 3], vec![7]),
        (&[0, 4, 1, 2, 3], vec![7]),
        (&[0, 2, 3, 4, 1], vec![4]),
        (&[0, 2, 1, 4, 3], vec![5, 7]),
    ] {
        let log = filled(10);
        let path = &log.segments()[1];
        rearrange(path, order);
        let report = log.check();
        let moved: Vec<_> = report.faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(
            moved,
            vec![Reordered; expected.len()],
            "{order:?}: {:?}",
            report.faults
        );
        assert_eq!(report.entries, 10);
    }
    // In the last segment, whose end nothing follows.
    let log = filled(10);
    rearrange(&log.segments()[2], &[0, 2, 1]);
    assert_eq!(named(&log.check()), [(Reordered, Some(9))]);
}

#[test]
fn duplicated_records() {
    for (segment, order, expected) in [
        (1, &[0, 1, 1, 2, 3, 4][..], 4),
        (1, &[0, 1, 2, 3, 4, 2], 5),
        (1, &[0, 4, 1, 2, 3, 4], 7),
        (2, &[0, 1, 2, 2], 9),
        (2, &[0, 1, 2, 1], 8),
        (2, &[0, 1, 1, 2], 8),
    ] {
        let log = filled(10);
        rearrange(&log.segments()[segment], order);
        let report = log.check();
        assert_eq!(
            named(&report),
            [(Duplicated, Some(expected))],
            "{order:?}: {:?}",
            report.faults
        );
        assert_eq!(report.entries, 10);
    }
}

#[test]
fn inserted_records_and_bytes() {
    for (segment, after) in [(1, 0), (1, 2), (1, 4), (2, 1), (2, 2)] {
        for index in [3, 5, 9, 10, 11, 1 << 40] {
            let log = filled(10);
            let path = &log.segments()[segment];
            let mut data = std::fs::read(path).unwrap();
            let at = frames(path)[after].end;
            let mut forged = Vec::new();
            let json = record(99).to_json().unwrap();
            crate::frame::encode(
                &mut forged,
                crate::frame::Kind::Entry,
                index,
                json.as_bytes(),
                &[3; 32],
            );
            data.splice(at..at, forged);
            std::fs::write(path, data).unwrap();
            let report = log.check();
            let fault = &report.faults[0];
            assert!(
                report
                    .faults
                    .iter()
                    .any(|fault| fault.offset == Some(at as u64)),
                "{segment} {after} {index}: {:?}",
                report.faults
            );
            assert_eq!(fault.file, name(path));
            assert!(
                report
                    .faults
                    .iter()
                    .all(|fault| matches!(fault.kind, Inserted | Edited | Removed | Reordered)),
                "{segment} {after} {index}: {:?}",
                report.faults
            );
        }
    }
    let log = filled(10);
    for (segment, after) in [(0, 4), (1, 0), (1, 2), (1, 4), (2, 1)] {
        let copy = log.copy();
        let path = &copy.segments()[segment];
        let mut data = std::fs::read(path).unwrap();
        let at = frames(path)[after].end;
        data.splice(at..at, *b"more");
        std::fs::write(path, data).unwrap();
        let report = copy.check();
        assert_eq!(
            named(&report),
            [(Inserted, None)],
            "{segment} {after}: {:?}",
            report.faults
        );
        assert_eq!(report.faults[0].offset, Some(at as u64));
    }
}

#[test]
fn a_record_moved_to_another_segment() {
    let log = filled(10);
    let paths = log.segments();
    let data = std::fs::read(&paths[0]).unwrap();
    let entry = data[frames(&paths[0])[2].clone()].to_vec();
    rearrange(&paths[0], &[0, 1, 3, 4]);
    let mut other = std::fs::read(&paths[1]).unwrap();
    other.splice(frames(&paths[1])[1].end..frames(&paths[1])[1].end, entry);
    std::fs::write(&paths[1], other).unwrap();
    let faults = named(&log.check());
    assert!(faults.contains(&(Removed, Some(1))), "{faults:?}");
    assert!(
        faults.contains(&(Inserted, Some(1))) || faults.contains(&(Inserted, None)),
        "{faults:?}"
    );
}

#[test]
fn missing_segments() {
    for (gone, kind, index, count) in [
        (&[0][..], SegmentMissing, 0, 4),
        (&[1], SegmentMissing, 4, 4),
        (&[2], SegmentMissing, 8, 4),
        (&[1, 2], SegmentMissing, 4, 8),
        (&[3], TailCut, 12, 2),
        (&[2, 3], TailCut, 8, 6),
        (&[0, 1, 2, 3], TailCut, 0, 14),
    ] {
        let log = filled(14);
        let paths = log.segments();
        for number in gone {
            std::fs::remove_file(&paths[*number]).unwrap();
        }
        let report = log.check();
        assert_eq!(
            named(&report),
            [(kind, Some(index))],
            "{gone:?}: {:?}",
            report.faults
        );
        assert_eq!(report.faults[0].count, count, "{gone:?}");
        if kind == SegmentMissing {
            assert_eq!(report.faults[0].file, name(&paths[*gone.last().unwrap()]));
        }
        assert_eq!(report.entries, 14 - count);
    }
}

#[test]
fn swapped_renamed_and_copied_segments() {
    let log = filled(14);
    let paths = log.segments();
    let swap = log.dir().join("swap");
    std::fs::rename(&paths[0], &swap).unwrap();
    std::fs::rename(&paths[2], &paths[0]).unwrap();
    std::fs::rename(&swap, &paths[2]).unwrap();
    let report = log.check();
    assert_eq!(named(&report), [(SegmentRenamed, None); 2]);
    assert_eq!(report.entries, 14);

    let log = filled(14);
    let paths = log.segments();
    std::fs::copy(&paths[1], log.dir().join("00000000000000000099.0.seg")).unwrap();
    assert_eq!(named(&log.check()), [(SegmentDuplicated, None)]);
    std::fs::rename(log.dir().join("00000000000000000099.0.seg"), &paths[2]).unwrap();
    let faults = named(&log.check());
    assert_eq!(
        faults,
        [(SegmentDuplicated, None), (SegmentMissing, Some(8))]
    );
}

#[test]
fn a_segment_of_another_log() {
    let (log, other) = (filled(14), filled(14));
    std::fs::copy(&other.segments()[1], &log.segments()[1]).unwrap();
    let faults = named(&log.check());
    assert_eq!(faults, [(SegmentForeign, None), (SegmentMissing, Some(4))]);
    // All of it: whole in itself, but not what the head remembers.
    let other = filled(14);
    std::fs::copy(log.head(), other.head()).unwrap();
    assert_eq!(named(&other.check()), [(HeadMismatch, Some(13))]);
}

#[test]
fn a_chain_made_anew_is_not_the_old_one() {
    // Whoever edits an entry and computes the chain of all that follow, in this segment.
    for (segment, expected) in [(1, (Edited, Some(4))), (2, (HeadMismatch, Some(9)))] {
        let log = filled(10);
        let path = &log.segments()[segment];
        let data = std::fs::read(path).unwrap();
        let frames = frames(path);
        let header = frames[0].clone();
        let mut chain = *data[header.clone()].last_chunk::<32>().unwrap();
        let mut forged = data[header].to_vec();
        for (index, range) in (segment as u64 * 4..).zip(&frames[1..]) {
            let payload = data[range.start + 16..range.end - 32].to_vec();
            let payload = String::from_utf8(payload)
                .unwrap()
                .replace("alice", "mallo");
            chain = crate::frame::encode(
                &mut forged,
                crate::frame::Kind::Entry,
                index,
                payload.as_bytes(),
                &chain,
            );
        }
        std::fs::write(path, forged).unwrap();
        assert_eq!(named(&log.check()), [expected]);
    }
}

#[test]
fn foreign_files() {
    let log = filled(2);
    std::fs::write(log.dir().join("notes"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", log.dir().join("00000000000000000009.0.seg"))
        .unwrap();
    assert_eq!(named(&log.check()), [(ForeignFile, None); 2]);
    assert_eq!(log.entries_and_faults(), (2, 0));
}

#[test]
fn a_lost_head_is_told() {
    let log = filled(2);
    std::fs::remove_file(log.head()).unwrap();
    assert_eq!(named(&log.check()), [(HeadUnreadable, None)]);
    std::fs::write(log.head(), "rubbish").unwrap();
    assert_eq!(named(&log.check()), [(HeadUnreadable, None)]);
}

#[test]
fn several_faults_at_once_are_all_named() {
    let log = filled(14);
    let paths = log.segments();
    let mut data = std::fs::read(&paths[0]).unwrap();
    let at = frames(&paths[0])[2].start + 20;
    data[at] ^= 1;
    std::fs::write(&paths[0], data).unwrap();
    rearrange(&paths[1], &[0, 2, 1, 3, 4]);
    rearrange(&paths[2], &[0, 1, 2, 4]);
    rearrange(&paths[3], &[0, 1, 1, 2]);
    let faults = named(&log.check());
    assert_eq!(
        faults,
        [
            (Edited, Some(1)),
            (Reordered, Some(5)),
            (Removed, Some(10)),
            (Duplicated, Some(12))
        ]
    );
}

#[test]
fn a_reader_goes_on_after_a_fault() {
    let log = filled(14);
    let path = &log.segments()[1];
    let mut data = std::fs::read(path).unwrap();
    let at = frames(path)[2].start;
    data[at] ^= 1;
    std::fs::write(path, data).unwrap();
    let (mut indexes, mut faults) = (Vec::new(), Vec::new());
    for item in read(&log.dir()) {
        match item {
            Ok(entry) => indexes.push(entry.index),
            Err(fault) => faults.push((fault.kind, fault.index)),
        }
    }
    assert_eq!(faults, [(Edited, Some(5))]);
    assert_eq!(indexes, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]);
}

impl Log {
    fn entries_and_faults(&self) -> (usize, usize) {
        let (entries, faults): (Vec<_>, Vec<_>) = read(&self.dir()).partition(Result::is_ok);
        (entries.len(), faults.len())
    }
}
