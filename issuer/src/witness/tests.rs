use super::*;
use journal::{
    Follower, HostKey, Identity, Journal, Record, Timestamp, add_checkpoint, signed_checkpoint,
};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use std::path::Path;

const ORIGIN: &str = "jit/m/l";

fn pkcs8() -> Vec<u8> {
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    made.as_ref().to_vec()
}

fn witness() -> Witness {
    Witness::from_pkcs8("d/witness", &pkcs8()).unwrap()
}

/// A log whose entries are these.
fn log(at: &Path, key: &[u8], entries: &[&str]) {
    let now = Timestamp {
        unix_ms: 1,
        boot_ns: 1,
        boot_id: "b".to_owned(),
    };
    let identity = Identity {
        host: "m".to_owned(),
        key: HostKey::from_pkcs8(key).unwrap(),
    };
    let off = journal::AppendOnly::Off;
    let head = at.with_extension("head");
    let (mut journal, _) = Journal::open_with(at, &head, &now, identity, off).unwrap();
    for entry in entries {
        let record = Record::new("use", now.clone()).detail("what", *entry);
        let _ = journal.append(&record).unwrap();
    }
}

/// What a host with this log hands in.
fn head(at: &Path, key: &[u8], origin: &str, old: u64, size: u64) -> AddCheckpoint {
    let mut follower = Follower::open(at, old.min(size)).unwrap();
    assert!(follower.advance(size).unwrap());
    let key = HostKey::from_pkcs8(key).unwrap();
    let note = signed_checkpoint(&key, origin, size, &follower.root());
    AddCheckpoint::parse(&add_checkpoint(old, &follower.proof(), &note)).unwrap()
}

struct Store {
    witness: Witness,
    known: Option<Witnessed>,
    closed: Vec<String>,
    now: u64,
}

impl Store {
    fn new() -> Self {
        Self {
            witness: witness(),
            known: None,
            closed: Vec::new(),
            now: 1000,
        }
    }

    fn hand_in(&mut self, add: &AddCheckpoint) -> (Said, Option<Told>) {
        self.now += 1;
        let head = Head {
            add,
            kid: "k",
            now: self.now,
            closed: self.closed.contains(&add.checkpoint.origin),
        };
        let verdict = judge(&self.witness, &head, self.known.as_ref());
        if let Some(keep) = verdict.keep {
            self.known = Some(keep);
        }
        self.closed.extend(verdict.ends);
        if let Said::Cosigned(line) = &verdict.said {
            let seen = self.witness.key().saw(&add.checkpoint, line);
            assert_eq!(seen, Some(self.now));
        }
        (verdict.said, verdict.tell)
    }

    #[track_caller]
    fn cosigns(&mut self, add: &AddCheckpoint) -> Option<Told> {
        let (said, told) = self.hand_in(add);
        assert!(matches!(said, Said::Cosigned(_)), "{said:?}");
        told
    }

    #[track_caller]
    fn refuses(&mut self, add: &AddCheckpoint, said: Said, tells: &str) {
        let (was, told) = self.hand_in(add);
        assert_eq!(was, said);
        match told {
            Some(Told::Alert(what)) => assert!(!tells.is_empty() && what.contains(tells), "{what}"),
            other => assert!(tells.is_empty(), "{other:?}"),
        }
    }
}

#[test]
fn a_log_that_only_grows_is_cosigned_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (at, copy, key) = (dir.path().join("log"), dir.path().join("copy"), pkcs8());
    log(&at, &key, &["a", "b", "c"]);
    let mut store = Store::new();
    // Who knows nothing is told what is known.
    store.refuses(&head(&at, &key, ORIGIN, 1, 2), Said::Known(0), "");
    store.cosigns(&head(&at, &key, ORIGIN, 0, 2));
    store.refuses(&head(&at, &key, ORIGIN, 0, 3), Said::Known(2), "");
    store.cosigns(&head(&at, &key, ORIGIN, 2, 3));
    // The same again: a fresh time, and no sign of life.
    let grew = store.known.as_ref().unwrap().grew_at;
    store.cosigns(&head(&at, &key, ORIGIN, 3, 3));
    assert_eq!(store.known.as_ref().unwrap().grew_at, grew);
    // A late message is none of trouble.
    store.refuses(&head(&at, &key, ORIGIN, 0, 2), Said::Known(3), "");
    assert_eq!(store.known.as_ref().unwrap().trouble, None);

    // Put back from a copy of when it had one entry, which went on otherwise.
    log(&copy, &key, &["a", "x", "y", "z", "w"]);
    let lost = AddCheckpoint {
        old: 3,
        ..head(&copy, &key, ORIGIN, 2, 2)
    };
    store.refuses(
        &lost,
        Said::Backwards,
        "rollback: its journal has 2 entries; 3 were witnessed",
    );
    store.refuses(&lost, Said::Backwards, "");
    store.refuses(
        &head(&copy, &key, ORIGIN, 3, 3),
        Said::OtherRoot,
        "fork: its key signed two",
    );
    store.refuses(&head(&copy, &key, ORIGIN, 3, 5), Said::NoProof, "");
    // The real one goes on; that there is another one stays known.
    log(&at, &key, &["d"]);
    store.cosigns(&head(&at, &key, ORIGIN, 3, 4));
    let kind = store.known.as_ref().unwrap().trouble.as_ref().unwrap().kind;
    assert_eq!(kind, TroubleKind::Fork);
}

#[test]
fn a_log_that_was_put_back_goes_on_only_as_another_one_that_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (at, copy, key) = (dir.path().join("log"), dir.path().join("copy"), pkcs8());
    log(&at, &key, &["a", "b", "c"]);
    log(&copy, &key, &["a", "x", "y", "z"]);
    let mut store = Store::new();
    store.cosigns(&head(&at, &key, ORIGIN, 0, 3));
    store.refuses(&head(&copy, &key, ORIGIN, 3, 4), Said::NoProof, "fork");
    let next = head(&copy, &key, "jit/m/l/g2", 0, 4);
    store.refuses(&next, Said::UnknownLog, "");
    store.known.as_mut().unwrap().accepts = true;
    let told = store.cosigns(&next);
    assert!(matches!(told, Some(Told::Good(ref what)) if what.contains("a new log begins with 4")));
    let known = store.known.clone().unwrap();
    assert_eq!(
        (known.generation, known.accepts, known.trouble),
        (2, false, None)
    );
    // Neither the old log nor a third one.
    store.refuses(&head(&at, &key, ORIGIN, 3, 3), Said::ClosedLog, "");
    let third = head(&at, &key, "jit/m/other", 0, 3);
    store.refuses(&third, Said::UnknownLog, "rollback: it shows another log");
}

#[test]
fn another_key_of_the_host_begins_anew_and_an_old_origin_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (at, key) = (dir.path().join("log"), pkcs8());
    log(&at, &key, &["a", "b"]);
    let mut store = Store::new();
    store.cosigns(&head(&at, &key, ORIGIN, 0, 2));
    store.known.as_mut().unwrap().kid = "the key before".to_owned();
    store.closed.push(ORIGIN.to_owned());
    store.refuses(&head(&at, &key, ORIGIN, 0, 2), Said::ClosedLog, "");
    store.closed.clear();
    store.cosigns(&head(&at, &key, ORIGIN, 0, 1));
}

#[test]
fn silence_counts_from_the_last_growth_or_our_own_start() {
    let dir = tempfile::tempdir().unwrap();
    let (at, key) = (dir.path().join("log"), pkcs8());
    log(&at, &key, &["a"]);
    let mut store = Store::new();
    store.cosigns(&head(&at, &key, ORIGIN, 0, 1));
    let known = store.known.unwrap();
    assert!(!is_silent(&known, 0, known.grew_at + 120, 120));
    assert!(is_silent(&known, 0, known.grew_at + 121, 120));
    assert!(!is_silent(
        &known,
        known.grew_at + 100,
        known.grew_at + 220,
        120
    ));
}
