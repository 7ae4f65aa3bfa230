//! What a crash can leave, and what `open` makes of it.

use super::*;

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
        assert_eq!(
            (entry.index, &entry.json),
            (index, &record(index).to_json().unwrap()),
            "{note}"
        );
    }
    let last = entries.last().unwrap();
    assert_eq!(
        (last.index, &last.json),
        (next, &record(100).to_json().unwrap()),
        "{note}"
    );
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

/// A log of six entries, then one that was written but not acknowledged: the head names six.
fn unacknowledged() -> (Log, PathBuf, std::ops::Range<usize>) {
    let log = filled(6);
    let head = std::fs::read(log.head()).unwrap();
    fill(&mut log.reopen(), 6..7);
    std::fs::write(log.head(), head).unwrap();
    let path = log.segments()[1].clone();
    let last = frames(&path)[3].clone();
    (log, path, last)
}

#[test]
fn a_cut_at_every_byte_of_the_last_write() {
    let (log, path, last) = unacknowledged();
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
        recover(&copy, &path, &data[..cut], kept, &format!("cut at {cut}"));
    }
}

#[test]
fn zeros_and_rubbish_behind_the_last_entry() {
    let (log, path, last) = unacknowledged();
    let data = std::fs::read(&path).unwrap();
    for keep in last.clone() {
        let mut tails = vec![vec![0; 40], vec![0; 5000]];
        // Rubbish in the chain value alone cannot be told from a forged entry.
        if keep < last.end - 33 {
            tails.push((0..400).map(|at| at as u8 ^ 0x5A).collect());
        }
        for tail in tails {
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            let torn = [&data[..keep], &tail].concat();
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(named(&copy.check()), [], "{keep}");
            recover(&copy, &path, &torn, 6, &format!("torn at {keep}"));
        }
    }
    // Zeros in the place of the end, as a size that reached the disk before its data.
    for keep in last.clone().step_by(7) {
        let copy = log.copy();
        let path = copy.dir().join(path.file_name().unwrap());
        let mut torn = data.clone();
        torn[keep..].fill(0);
        if torn.len() - keep >= 16 {
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(named(&copy.check()), [], "{keep}");
            recover(&copy, &path, &torn, 6, &format!("zeros from {keep}"));
        }
    }
}

#[test]
fn a_cut_in_a_batch_keeps_its_whole_entries() {
    let log = filled(1);
    let head = std::fs::read(log.head()).unwrap();
    let batch: Vec<_> = (1..4).map(record).collect();
    let _ = log.reopen().append_batch(&drafts(&batch)).unwrap();
    std::fs::write(log.head(), head).unwrap();
    let path = log.segments()[0].clone();
    let (data, frames) = (std::fs::read(&path).unwrap(), frames(&path));
    for cut in frames[2].start..data.len() {
        let kept = frames.iter().filter(|frame| frame.end <= cut).count() as u64 - 1;
        let copy = log.copy();
        let path = copy.dir().join(path.file_name().unwrap());
        recover(&copy, &path, &data[..cut], kept, &format!("cut at {cut}"));
    }
}

#[test]
fn a_cut_header_of_a_new_segment() {
    let log = filled(5);
    let path = log.segments()[1].clone();
    let data = std::fs::read(&path).unwrap();
    let header = frames(&path)[0].clone();
    let head = crate::head::Head {
        next: 4,
        chain: *std::fs::read(&log.segments()[0])
            .unwrap()
            .last_chunk()
            .unwrap(),
    };
    crate::head::HeadFile::create(&log.head(), &head).unwrap();
    for cut in 0..header.end {
        let copy = log.copy();
        let path = copy.dir().join(path.file_name().unwrap());
        std::fs::write(&path, &data[..cut]).unwrap();
        assert_eq!(named(&copy.check()), [], "{cut}");
        recover(
            &copy,
            &path,
            &data[..cut],
            4,
            &format!("header cut at {cut}"),
        );
    }
}

#[test]
fn a_cut_header_of_the_very_first_segment() {
    let log = filled(0);
    std::fs::remove_file(log.head()).unwrap();
    let path = log.segments()[0].clone();
    let data = std::fs::read(&path).unwrap();
    for cut in 0..data.len() {
        let copy = Log::new();
        std::fs::create_dir(copy.dir()).unwrap();
        let path = copy.dir().join(path.file_name().unwrap());
        std::fs::write(&path, &data[..cut]).unwrap();
        assert_eq!(named(&copy.check()), [], "{cut}");
        recover(
            &copy,
            &path,
            &data[..cut],
            0,
            &format!("header cut at {cut}"),
        );
    }
}

#[test]
fn crash_after_crash() {
    let log = filled(2);
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

/// Acknowledged entries that are gone or changed are no crash: open says so, never uses their index again, and
/// `check` still says so later.
#[test]
fn a_changed_log_is_told_at_open_and_ever_after() {
    let log = filled(6);
    let path = log.segments()[1].clone();
    let data = std::fs::read(&path).unwrap();
    let frames = frames(&path);
    for at in frames[1].start..data.len() {
        for edit in [true, false] {
            let copy = log.copy();
            let path = copy.dir().join(path.file_name().unwrap());
            let mut bad = data.clone();
            if edit {
                bad[at] ^= 1;
            } else {
                bad.truncate(at);
            }
            std::fs::write(&path, &bad).unwrap();
            let note = format!("edit {edit} at {at}");
            let (mut journal, recovery) = copy.open();
            assert!(!recovery.faults.is_empty(), "{note}");
            // One index went to the recovery record.
            assert_eq!(fill(&mut journal, 0..1), [7], "{note}");
            drop(journal);
            let report = copy.check();
            let kinds: Vec<_> = report.faults.iter().map(|fault| fault.kind).collect();
            assert!(
                kinds.contains(&FaultKind::Noted),
                "{note}: {:?}",
                report.faults
            );
            let lost = if at < frames[2].start { 4 } else { 5 };
            let named = report
                .faults
                .iter()
                .any(|fault| fault.kind != FaultKind::Noted && fault.index == Some(lost));
            assert!(named, "{note}: {:?}", report.faults);
            copy.reopen();
        }
    }
}

#[test]
fn a_missing_log_does_not_begin_at_zero_again() {
    let log = filled(6);
    for path in log.segments() {
        std::fs::remove_file(path).unwrap();
    }
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults.len(), 1);
    assert_eq!(fill(&mut journal, 0..1), [7]);
    assert!(!log.check().is_ok());
}

#[test]
fn another_chain_value_or_no_head_is_told_at_open() {
    let log = filled(6);
    let copy = log.copy();
    std::fs::copy(filled(6).head(), copy.head()).unwrap();
    assert_eq!(copy.open().1.faults[0].kind, FaultKind::HeadMismatch);
    assert_eq!(named(&copy.check()), [(FaultKind::Noted, None)]);
    let copy = log.copy();
    std::fs::remove_file(copy.head()).unwrap();
    assert_eq!(copy.open().1.faults[0].kind, FaultKind::HeadUnreadable);
    assert_eq!(named(&copy.check()), []);
}

#[test]
fn an_older_head_is_fine() {
    let log = Log::new();
    let mut journal = log.reopen();
    let mut heads = Vec::new();
    for number in 0..10 {
        heads.push(std::fs::read(log.head()).unwrap());
        fill(&mut journal, number..number + 1);
    }
    drop(journal);
    for head in heads {
        let copy = log.copy();
        std::fs::write(copy.head(), head).unwrap();
        assert_eq!(named(&copy.check()), []);
        copy.reopen();
    }
}
