//! One writer: a commit for each record, as the agent does when one person runs one command.

use std::time::Instant;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};

use crate::logs::{Log, Plain, record};

const EACH: u64 = 100;

pub fn measure(table: &mut Table) {
    table.section("Append, one writer");
    let rounds = if quick() { 3 } else { 30 };
    let log = Log::on_disk();
    let mut journal = log.open();
    let mut plain = Plain::beside(&log, "plain");
    let (mut ours, mut raw) = (Samples::default(), Samples::default());
    let mut n = 0;
    for round in 0..=rounds {
        let before = log.bytes();
        let mut ms = Vec::new();
        for _ in 0..EACH {
            let record = record(n);
            let start = Instant::now();
            let _receipt = journal.append(&record).expect("an append");
            ms.push(start.elapsed().as_secs_f64() * 1000.0);
            // As the agent does when everyone has his answer.
            journal.prepare();
            n += 1;
        }
        let bytes = vec![b'x'; usize::try_from((log.bytes() - before) / EACH).unwrap()];
        let mut beside = Vec::new();
        for _ in 0..EACH {
            let start = Instant::now();
            plain.append(&bytes);
            beside.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        // The first round warms up.
        if round > 0 {
            ours.add(ms);
            raw.add(beside);
        }
    }
    for (share, goal) in [(50, Some(Goal::TimesAtMost(1.3))), (99, None)] {
        let at = f64::from(share) / 100.0;
        let row = Row::new(format!("p{share}, durable and sealed"), "ms", ours.at(at));
        let row = row.beside("append + fdatasync", raw.at(at)).of(ours.len());
        table.add(match goal {
            Some(goal) => row.goal(goal),
            None => row,
        });
    }
}
