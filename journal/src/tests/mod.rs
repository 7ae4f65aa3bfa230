//! Tests that need more than one file of the crate, and small segments.

mod about;
mod behind;
mod cuts;
mod damage;
pub mod erasure;
mod follow;
mod judges;
mod kill;
mod life;
mod prune;
#[cfg(feature = "root-tests")]
mod root;
mod seals;
mod tail;
mod told;

use crate::journal::{AppendOnly, Journal, Limits, Recovery};
use crate::recover;
use crate::{
    Draft, Entry, Error, Fault, FaultKind, Identity, Receipt, Record, Report, Timestamp, check,
    read,
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A log in a directory of its own.
pub struct Log {
    root: TempDir,
    pub limits: Limits,
    /// With seals, as the agent writes it.
    pub sealed: bool,
}

impl Log {
    /// In memory where there is such a place: these tests are about bytes and would only wait for a disk.
    pub fn new() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        Self::at(memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub fn at(root: TempDir) -> Self {
        Self {
            root,
            limits: Limits {
                entries: 4,
                bytes: 1 << 20,
            },
            sealed: false,
        }
    }

    pub fn sealed() -> Self {
        Self {
            sealed: true,
            ..Self::new()
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    pub fn head(&self) -> PathBuf {
        self.root.path().join("head")
    }

    pub fn try_open(&self) -> Result<(Journal, Recovery), Error> {
        recover::open(
            &self.dir(),
            &self.head(),
            &now(),
            self.sealed.then(identity),
            AppendOnly::Off,
            self.limits,
        )
    }

    pub fn open(&self) -> (Journal, Recovery) {
        self.try_open().unwrap()
    }

    /// Opens a log that must be whole.
    pub fn reopen(&self) -> Journal {
        let (journal, recovery) = self.open();
        assert_eq!(recovery, Recovery::default());
        journal
    }

    pub fn check(&self) -> Report {
        check(&self.dir(), Some(&self.head()))
    }

    /// Segment files in order.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    }

    /// Copies the log, to be damaged.
    pub fn copy(&self) -> Self {
        let copy = Self {
            limits: self.limits,
            sealed: self.sealed,
            ..Self::new()
        };
        std::fs::create_dir(copy.dir()).unwrap();
        for path in self.segments() {
            std::fs::copy(&path, copy.dir().join(path.file_name().unwrap())).unwrap();
        }
        std::fs::copy(self.head(), copy.head()).unwrap();
        copy
    }

    pub fn entries(&self) -> Vec<Entry> {
        read(&self.dir()).map(Result::unwrap).collect()
    }
}

/// The same host in every test.
pub fn identity() -> Identity {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    Identity {
        host: "7b2e".into(),
        key: crate::HostKey(pair),
    }
}

pub fn now() -> Timestamp {
    Timestamp {
        unix_ms: 1_795_182_963_120,
        boot_ns: 5,
        boot_id: "7b2e".into(),
    }
}

pub fn record(number: u64) -> Record {
    Record::new("use", now()).login("alice").detail("n", number)
}

/// Appends records and returns their indexes.
pub fn fill(journal: &mut Journal, numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers
        .map(|number| journal.append(&record(number)).unwrap().index())
        .collect()
}

/// A log of `count` entries in segments of four, closed.
pub fn filled(count: u64) -> Log {
    filled_as(false, count)
}

/// The same with or without seals.
pub fn filled_as(sealed: bool, count: u64) -> Log {
    let log = Log {
        sealed,
        ..Log::new()
    };
    fill(&mut log.reopen(), 0..count);
    log
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Offsets of the frames of a segment file, header first.
pub fn frames(path: &Path) -> Vec<std::ops::Range<usize>> {
    let data = std::fs::read(path).unwrap();
    let (mut at, mut out) = (0, Vec::new());
    while let crate::frame::Decoded::Frame(frame) = crate::frame::decode(&data[at..]) {
        out.push(at..at + frame.size());
        at += frame.size();
    }
    assert_eq!(at, data.len());
    out
}

/// Kinds and first indexes of all faults.
pub fn named(report: &Report) -> Vec<(FaultKind, Option<u64>)> {
    let pair = |fault: &Fault| (fault.kind, fault.index);
    report.faults.iter().map(pair).collect()
}

pub fn indexes(receipts: &[Receipt]) -> Vec<u64> {
    receipts.iter().map(Receipt::index).collect()
}

/// All of them as they are handed to the journal.
pub fn drafts(records: &[Record]) -> Vec<Draft> {
    let drafts = records.iter().map(Draft::new);
    drafts.collect::<Result<_, _>>().unwrap()
}
