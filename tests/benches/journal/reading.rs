//! Verifying, opening after a crash, searching: over logs in memory.

use std::process::Command;
use std::time::{Duration, Instant};

use jit_tests::bench::{Goal, Row, Samples, Table, quick};
use nix::sys::resource::{UsageWho, getrusage};

use crate::logs::{Log, drafts};

/// As many entries as a segment takes, and bytes, but for a batch or two.
const SEGMENT: u64 = 1 << 16;
const SEGMENT_BYTES: u64 = (32 << 20) - (256 << 10);

pub fn measure(table: &mut Table) {
    table.section("Reading");
    let many: u64 = if quick() { 100_000 } else { 1_000_000 };
    let log = filled(many, 64);
    verify(table, &log, many, "commits of 64");
    search(table, &log, many);
    drop(log);
    let count = SEGMENT.min(many);
    let log = filled(count, 1);
    verify(table, &log, count, "commits of one");
    drop(log);
    recover(table);
}

fn filled(entries: u64, batch: u64) -> Log {
    let log = Log::in_memory();
    let mut journal = log.open();
    for first in (0..entries).step_by(usize::try_from(batch).unwrap()) {
        let _receipts = journal
            .append_batch(&drafts(first..(first + batch).min(entries)))
            .expect("an append");
    }
    log
}

#[allow(clippy::cast_precision_loss)]
fn verify(table: &mut Table, log: &Log, entries: u64, how: &str) {
    let rounds = if quick() { 1 } else { 3 };
    let (mut per_core, mut whole) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let (cpu, start) = (cpu(), Instant::now());
        let report = journal::check(&log.dir(), Some(&log.head()));
        whole.add([entries as f64 / start.elapsed().as_secs_f64()]);
        per_core.add([entries as f64 / (self::cpu() - cpu).as_secs_f64()]);
        assert!(
            report.is_ok() && report.entries == entries,
            "the log is whole"
        );
    }
    let size = log.bytes() / entries;
    let what = format!("verify, {how}, {size} B an entry, a core");
    let row = Row::new(what, "/s", per_core.p50()).of(rounds);
    table.add(row.goal(Goal::AtLeast(1_000_000.0)));
    let what = format!("verify, {how}, all cores");
    table.add(Row::new(what, "/s", whole.p50()).of(rounds));
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let of = |t: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(t.tv_sec()).unwrap(),
            u32::try_from(t.tv_usec() * 1000).unwrap(),
        )
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// One record among all, as `jitctl log search --request` finds it: what does not hold the words is not parsed.
#[allow(clippy::cast_precision_loss)]
fn search(table: &mut Table, log: &Log, entries: u64) {
    let id = format!("01JBENCH00000000{:010}", entries / 2);
    let rounds = if quick() { 1 } else { 3 };
    let mut ms = Samples::default();
    for _ in 0..rounds {
        let start = Instant::now();
        let hits = journal::read(&log.dir()).filter(|e| e.as_ref().unwrap().json.contains(&id));
        assert_eq!(hits.count(), 1);
        ms.add([start.elapsed().as_secs_f64() * 1000.0]);
    }
    let start = Instant::now();
    let grep = Command::new("grep")
        .args(["-a", "-r", "-c", &id])
        .arg(log.dir())
        .output();
    assert!(grep.unwrap().status.success());
    let grep = start.elapsed().as_secs_f64();
    let what = format!("search of {entries} entries for one");
    let row = Row::new(what, "ms", ms.p50()).of(ms.len());
    let row = row.beside("grep", grep * 1000.0);
    table.add(row.goal(Goal::AtMost(1000.0)));
}

/// A whole segment is read before the log goes on.
#[allow(clippy::cast_precision_loss)]
fn recover(table: &mut Table) {
    let rounds = if quick() { 1 } else { 10 };
    let log = Log::in_memory();
    let mut journal = log.open();
    let mut entries = 0;
    while entries < SEGMENT - 64 && log.bytes() < SEGMENT_BYTES {
        let _receipts = journal
            .append_batch(&drafts(entries..entries + 64))
            .expect("an append");
        entries += 64;
    }
    drop(journal);
    assert_eq!(log.segments(), 1, "one segment");
    let (mut ms, mut per_core) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let (cpu, start) = (cpu(), Instant::now());
        let journal = log.open();
        ms.add([start.elapsed().as_secs_f64() * 1000.0]);
        per_core.add([entries as f64 / (self::cpu() - cpu).as_secs_f64()]);
        drop(journal);
    }
    // Opening compares the chain value and the tree of each entry, and verifies the newest signature only.
    let what = "hashing: chain and tree of the entries of a segment, a core";
    let row = Row::new(what, "/s", per_core.p50()).of(rounds);
    table.add(row.goal(Goal::AtLeast(1_000_000.0)));
    let row = Row::new(
        format!("open a log with a full segment of {entries} entries, p50"),
        "ms",
        ms.p50(),
    )
    .of(rounds);
    table.add(row.goal(Goal::AtMost(200.0)));
}
