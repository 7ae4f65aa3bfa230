//! Many writers: one thread commits what waits, as the agent's does; beside it the same thread with a plain file.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};
use journal::{Draft, Journal, Record};

use crate::logs::{Log, Plain, record};

const WRITERS: u64 = 64;
/// Records in one commit, as in the agent.
const BATCH: usize = 64;

pub fn measure(table: &mut Table) {
    table.section("Append, 64 writers");
    let rounds = if quick() { 2 } else { 24 };
    let each = if quick() { 50 } else { 250 };
    let log = Log::on_disk();
    let mut journal = log.open();
    let mut plain = Plain::beside(&log, "plain");
    let (mut ours, mut raw) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        let before = log.bytes();
        let rate = run(each, &mut journal);
        let entries = WRITERS * each;
        let size = usize::try_from((log.bytes() - before) / entries).unwrap();
        let bytes = vec![b'x'; size * BATCH];
        let beside = run(each, &mut (&mut plain, &bytes[..], size));
        if round > 0 {
            ours.add([rate]);
            raw.add([beside]);
        }
    }
    let row = Row::new(
        "durable entries a second, p50 of the rounds",
        "/s",
        ours.p50(),
    );
    let row = row.beside("append + fdatasync", raw.p50()).of(ours.len());
    table.add(row.goal(Goal::TimesAtLeast(0.9)));
    let worst = Row::new("in the worst round", "/s", ours.at(0.0)).of(ours.len());
    table.add(worst.goal(Goal::AtLeast(46_000.0)));
}

/// Where records go.
trait Keep: Send {
    /// What a writer hands over.
    type Job: Send;
    fn job(record: &Record) -> Self::Job;
    fn commit(&mut self, jobs: &[Self::Job]);
    /// Everyone has his answer.
    fn after(&mut self) {}
}

/// Each writer makes his draft, as in the agent.
impl Keep for Journal {
    type Job = Draft;

    fn job(record: &Record) -> Draft {
        Draft::new(record).expect("a draft")
    }

    fn commit(&mut self, jobs: &[Draft]) {
        let _receipts = self.append_batch(jobs).expect("an append");
    }

    fn after(&mut self) {
        self.settle();
    }
}

/// The file, and so many bytes for a record.
impl Keep for (&mut Plain, &[u8], usize) {
    type Job = ();

    fn job(_: &Record) {}

    fn commit(&mut self, jobs: &[()]) {
        self.0.append(&self.1[..self.2 * jobs.len()]);
    }
}

/// Durable records a second when each writer has one under way.
#[allow(clippy::cast_precision_loss)]
fn run<K: Keep>(each: u64, keep: &mut K) -> f64 {
    let (to, jobs) = channel::<(K::Job, Sender<()>)>();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || serve(&jobs, keep));
        for writer in 0..WRITERS {
            let to = to.clone();
            scope.spawn(move || {
                let (done, answer) = channel();
                for n in 0..each {
                    let job = K::job(&record(writer * each + n));
                    to.send((job, done.clone())).expect("the committing thread");
                    answer.recv().expect("the committing thread");
                }
            });
        }
        drop(to);
    });
    (WRITERS * each) as f64 / begun.elapsed().as_secs_f64()
}

fn serve<K: Keep>(jobs: &Receiver<(K::Job, Sender<()>)>, keep: &mut K) {
    while let Ok(first) = jobs.recv() {
        let more = jobs.try_iter().take(BATCH - 1);
        let (jobs, waiting): (Vec<_>, Vec<_>) = std::iter::once(first).chain(more).unzip();
        keep.commit(&jobs);
        for one in waiting {
            // A writer that has gone waits for nothing.
            let _ = one.send(());
        }
        keep.after();
    }
}
