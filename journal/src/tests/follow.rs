//! Heads for a witness: each goes on from the one before, over segments, restarts and damage.

use super::*;
use crate::merkle::{Frontier, leaf_of};
use crate::{AddCheckpoint, Follower, add_checkpoint, signed_checkpoint};

/// The tree, from what an independent reader says.
fn tree(log: &Log, size: u64) -> Frontier {
    let mut tree = Frontier::default();
    for entry in log.entries().iter().filter(|e| e.index < size) {
        tree.fill(entry.index);
        tree.push(leaf_of(entry.json.as_bytes()));
    }
    tree.fill(size);
    tree
}

fn shown(follower: &Follower) -> AddCheckpoint {
    let note = signed_checkpoint(
        &identity().key,
        "jit/a/b",
        follower.size(),
        &follower.root(),
    );
    AddCheckpoint::parse(&add_checkpoint(follower.base(), &follower.proof(), &note)).unwrap()
}

#[test]
fn each_head_goes_on_from_the_one_before_from_wherever_it_is_opened() {
    let log = Log::sealed();
    let mut journal = log.reopen();
    fill(&mut journal, 0..3);
    let mut living = Follower::open(&log.dir(), 0).unwrap();
    let mut last = tree(&log, 0);
    for size in 3..=23 {
        if size > 3 {
            fill(&mut journal, size - 1..size);
        }
        assert!(living.advance(size).unwrap());
        assert_eq!(living.root(), tree(&log, size).root());
        assert!(shown(&living).goes_on_from(&last.root()), "{size}");
        living.settle();
        last = tree(&log, size);
        for from in 1..=size {
            let mut opened = Follower::open(&log.dir(), from).unwrap();
            let base = opened.root();
            assert_eq!(base, tree(&log, from).root());
            assert!(opened.advance(size).unwrap());
            assert_eq!(opened.root(), last.root());
            assert!(shown(&opened).goes_on_from(&base), "{from} {size}");
            assert!(from == size || !shown(&opened).goes_on_from(&[1; 32]));
        }
    }
    let mut newest = Follower::newest(&log.dir()).unwrap();
    assert!(newest.advance(23).unwrap());
    assert_eq!(newest.root(), last.root());
}

#[test]
fn entries_that_are_gone_or_changed_are_not_shown() {
    let log = Log::sealed();
    fill(&mut log.reopen(), 0..10);
    let mut follower = Follower::open(&log.dir(), 6).unwrap();
    let error = follower.advance(11).unwrap_err();
    assert!(error.to_string().contains("not all entries"), "{error}");
    let path = &log.segments()[1];
    let mut data = std::fs::read(path).unwrap();
    let at = frames(path)[3].start + 40;
    data[at] ^= 1;
    std::fs::write(path, data).unwrap();
    assert!(Follower::open(&log.dir(), 7).is_err());
    // What came after is told by the next segment's header.
    let mut newest = Follower::newest(&log.dir()).unwrap();
    assert!(newest.advance(10).unwrap());
    // The last segment, too: opening goes on behind it, with the fault on record.
    let path = log.segments().pop().unwrap();
    let mut data = std::fs::read(&path).unwrap();
    let at = frames(&path)[1].start + 40;
    data[at] ^= 1;
    std::fs::write(&path, data).unwrap();
    let (mut journal, recovery) = log.open();
    assert!(!recovery.faults.is_empty());
    fill(&mut journal, 20..22);
    assert!(Follower::open(&log.dir(), 9).is_err());
    let mut newest = Follower::newest(&log.dir()).unwrap();
    assert!(newest.advance(journal.next_index()).unwrap());
    newest.settle();
    fill(&mut journal, 22..23);
    assert!(newest.advance(journal.next_index()).unwrap());
    let opened = Follower::open(&log.dir(), newest.size()).unwrap();
    assert_eq!(opened.root(), newest.root());
}
