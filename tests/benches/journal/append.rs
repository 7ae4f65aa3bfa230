//! One writer: a commit for each record, as the agent does when one person runs one command. Each gives something, so each
//! destroys the key that sealed it and names the next.

use std::time::Instant;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};

use crate::logs::{Log, Plain, record};

const EACH: u64 = 100;

pub fn measure(table: &mut Table) {
    table.section("Append, one writer");
    let rounds = if quick() { 3 } else { 200 };
    let log = Log::on_disk();
    let mut journal = log.open();
    let mut plain = Plain::beside(&log, "plain");
    let (mut ours, mut raw) = (Samples::default(), Samples::default());
    let mut hurried = Samples::default();
    let mut n = 0;
    for round in 0..=rounds {
        let before = log.bytes();
        let mut append = |settled: bool| {
            let record = record(n);
            let start = Instant::now();
            let _receipt = journal.append(&record).expect("an append");
            let took = start.elapsed().as_secs_f64() * 1000.0;
            if settled {
                // As the agent does when everyone has his answer.
                journal.settle();
            }
            n += 1;
            took
        };
        let ms: Vec<f64> = (0..EACH).map(|_| append(true)).collect();
        let alone: Vec<f64> = (0..EACH).map(|_| append(false)).collect();
        let bytes = (log.bytes() - before) / (2 * EACH);
        let bytes = vec![b'x'; usize::try_from(bytes).unwrap()];
        let mut beside = Vec::new();
        for _ in 0..EACH {
            let start = Instant::now();
            plain.append(&bytes);
            beside.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        // The first round warms up.
        if round > 0 {
            ours.add(ms);
            hurried.add(alone);
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
    let what = "p50, no time between two: head file written in the commit";
    let row = Row::new(what, "ms", hurried.p50()).of(hurried.len());
    table.add(
        row.beside("append + fdatasync", raw.p50())
            .goal(Goal::TimesAtMost(1.6)),
    );
}
