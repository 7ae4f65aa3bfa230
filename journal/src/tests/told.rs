//! What is no crash: `open` tells of it.

use super::*;

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

/// What waited while a broken log was opened is older than the record of that. The next header is not.
#[test]
fn no_header_is_dated_before_a_recovery() {
    let log = Log::new();
    let later = Timestamp {
        unix_ms: now().unix_ms + 60_000,
        ..now()
    };
    let open_at = |at: &Timestamp| {
        let off = AppendOnly::Off;
        recover::open(&log.dir(), &log.head(), at, None, off, log.limits).unwrap()
    };
    let _ = fill(&mut open_at(&now()).0, 0..2);
    let path = log.segments().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"\xffJ\x02");
    std::fs::write(&path, bytes).unwrap();
    let (mut journal, recovery) = open_at(&later);
    assert_eq!(recovery.torn.len(), 1);
    // Over the end of a segment.
    fill(&mut journal, 2..9);
    assert_eq!(named(&log.check()), []);
}
