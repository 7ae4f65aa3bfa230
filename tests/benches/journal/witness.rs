//! What a witness does with one head: read it, verify host's signature and proof, sign. Its store is not in the figure.

use std::time::Instant;

use jit_tests::bench::{Goal, Row, Table, quick};
use journal::{
    AddCheckpoint, Follower, HostKey, NoteKey, Witness, add_checkpoint, signed_checkpoint,
};
use statement::sign::Signer;

use crate::logs::{Log, drafts};

/// Entries before the first head, and between two: a grant, its request and a use.
const BEFORE: u64 = 10_000;
const STEP: u64 = 3;

pub fn measure(table: &mut Table) {
    table.section("Witness");
    let heads: u64 = if quick() { 500 } else { 5_000 };
    let bodies = shown(heads);
    let (_, pkcs8) = Signer::generate().expect("a key");
    let witness = Witness::from_pkcs8("bench/witness", &pkcs8).expect("a witness");
    let (start, mut last) = (Instant::now(), None);
    for (body, key) in &bodies {
        let add = AddCheckpoint::parse(body).expect("a head");
        assert!(add.checkpoint.is_signed_by(key), "signed by its host");
        assert!(
            last.is_none_or(|root| add.goes_on_from(&root)),
            "it goes on"
        );
        let line = witness.cosign(&add.checkpoint, 1_700_000_000);
        assert!(!line.is_empty());
        last = Some(add.checkpoint.root);
    }
    #[allow(clippy::cast_precision_loss)]
    let rate = bodies.len() as f64 / start.elapsed().as_secs_f64();
    let row = Row::new("heads verified and cosigned, a core", "/s", rate).of(bodies.len());
    table.add(row.goal(Goal::AtLeast(5_000.0)));
}

/// What a host shows, head by head, and its key.
fn shown(heads: u64) -> Vec<(String, NoteKey)> {
    let log = Log::in_memory();
    let mut journal = log.open();
    let entries = BEFORE + heads * STEP;
    for first in (0..entries).step_by(64) {
        let _receipts = journal
            .append_batch(&drafts(first..(first + 64).min(entries)))
            .expect("an append");
    }
    let (_, pkcs8) = Signer::generate().expect("a key");
    let host = HostKey::from_pkcs8(&pkcs8).expect("a host's key");
    let origin = "jit/bench/log";
    let mut follower = Follower::open(&log.dir(), BEFORE).expect("the log");
    (1..=heads)
        .map(|n| {
            let size = BEFORE + n * STEP;
            assert!(follower.advance(size).expect("the log"));
            let note = signed_checkpoint(&host, origin, size, &follower.root());
            let body = add_checkpoint(follower.base(), &follower.proof(), &note);
            follower.settle();
            let key = NoteKey {
                name: origin.to_owned(),
                public: host.public(),
            };
            (body, key)
        })
        .collect()
}
