//! What a log tells of one grant among others.

use super::*;
use crate::record::kind;
use crate::{About, Subject, about};

/// Two grants, the first extended by a second request, their uses, and what others did meanwhile.
fn log() -> Log {
    let log = Log::new();
    let at = |kind: &str| Record::new(kind, now()).uid(1001_u32);
    let records = [
        at(kind::START),
        at(kind::REQUEST).request("R1"),
        at(kind::GRANT).request("R1").grant("G1"),
        at(kind::USE).request("R1").grant("G1").reason("as R3 was"),
        at(kind::REQUEST).request("R3"),
        at(kind::GRANT).request("R3").grant("G3"),
        at(kind::REQUEST).request("R2").detail("extends", "G1"),
        at(kind::EXTEND)
            .request("R2")
            .grant("G1")
            .detail("by", "G2"),
        at(kind::USE).request("R3").grant("G3").reason("not G1"),
        at(kind::REFUSED).reason("no grant"),
        at(kind::END).request("R1").grant("G1"),
        at(kind::PROOF).grant("G1"),
    ];
    log.reopen().append_batch(&drafts(&records)).unwrap();
    log
}

fn told(log: &Log, subject: Subject<'_>) -> Vec<u64> {
    let about = about(&log.dir(), subject, 1 << 20);
    assert!(!about.faulty && about.left_out == 0);
    about.records.iter().map(|told| told.index).collect()
}

#[test]
fn every_name_of_a_grant_leads_to_its_whole_life_and_to_no_other() {
    let log = log();
    let life = [1, 2, 3, 6, 7, 10, 11];
    for id in ["G1", "R1", "G2", "R2"] {
        assert_eq!(told(&log, Subject::Id(id)), life, "{id}");
    }
    assert_eq!(told(&log, Subject::Index(3)), life);
    assert_eq!(told(&log, Subject::Id("G3")), [4, 5, 8]);
    assert_eq!(told(&log, Subject::Index(9)), [9]);
    assert_eq!(told(&log, Subject::Index(12)), [] as [u64; 0]);
    assert_eq!(told(&log, Subject::Id("G")), [] as [u64; 0]);
}

#[test]
fn uses_that_find_no_room_are_counted_and_the_rest_stays() {
    let log = log();
    let About {
        records, left_out, ..
    } = about(&log.dir(), Subject::Id("G1"), 0);
    assert_eq!(left_out, 1);
    assert!(records.iter().all(|told| told.record["type"] != "use"));
    assert_eq!(records.len(), 6);
    let asked = about(&log.dir(), Subject::Index(3), 0);
    assert_eq!((asked.records.len(), asked.left_out), (7, 0));
}
