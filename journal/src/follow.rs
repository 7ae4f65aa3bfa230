//! Heads of a log for a witness, made from what is read back from its files, and proofs that each goes on from the one
//! before.

use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::header::Name;
use crate::list::list;
use crate::merkle::{Frontier, Hash, leaf, leaf_of};
use crate::tail::Tail;
use crate::witness::consistency;
use std::path::{Path, PathBuf};

/// Entries between two heads at most: 2 MiB of hashes.
const STEP: u64 = 1 << 16;
/// Entries and bytes read at once.
const COUNT: usize = 1024;
const BYTES: usize = 1 << 20;

/// Reads a growing log and knows its tree. Between two calls it keeps its place.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    tail: Tail,
    /// Where it began to read.
    first: u64,
    /// The tree that heads are proven to go on from.
    base: Frontier,
    /// What came after it.
    leaves: Vec<Hash>,
    /// All of it.
    tree: Frontier,
}

impl Follower {
    /// Reads the log in `dir` up to `size` entries, the size from which the next head is to go on. The headers of segments
    /// tell of what came before them.
    ///
    /// # Errors
    /// [`Error::Unsound`] when the log does not hold so many, or not as they were written; failing system calls.
    pub fn open(dir: &Path, size: u64) -> Result<Self, Error> {
        let mut follower = Self::from_header(dir, size)?;
        follower.read(size, false)?;
        follower.settle();
        Ok(follower)
    }

    /// Reads from the newest segment on, whatever became of those before: for a head that need not go on from another.
    ///
    /// # Errors
    /// As [`Follower::open`].
    pub fn newest(dir: &Path) -> Result<Self, Error> {
        Self::from_header(dir, u64::MAX)
    }

    /// From the last segment that begins at or before `size`.
    fn from_header(dir: &Path, size: u64) -> Result<Self, Error> {
        let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
        let known = listing.segments.iter().rev().find_map(|segment| {
            let header = segment.header()?;
            let first = segment.key().first;
            let tree = header.sealed.as_ref()?.frontier(first)?;
            (first <= size).then_some((first, tree))
        });
        let (first, tree) = known.unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            tail: Tail::new(dir, first),
            first,
            base: tree.clone(),
            leaves: Vec::new(),
            tree,
        })
    }

    /// Reads on, to `until` entries, all of which must be durable; in steps, if they are many. Is it there?
    ///
    /// # Errors
    /// As [`Follower::open`]; it must then be opened anew.
    pub fn advance(&mut self, until: u64) -> Result<bool, Error> {
        let most = self.base.size().saturating_add(STEP);
        self.read(until.min(most), true)?;
        Ok(self.size() >= until)
    }

    /// The next head is to go on from here.
    pub fn settle(&mut self) {
        self.base.clone_from(&self.tree);
        self.leaves.clear();
    }

    /// Entries so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Hash of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Entries of the tree that the next head goes on from.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base.size()
    }

    /// That this tree goes on from the one of [`Follower::base`] entries.
    #[must_use]
    pub fn proof(&self) -> Vec<Hash> {
        consistency(&self.base, &self.leaves)
    }

    fn read(&mut self, until: u64, keep: bool) -> Result<(), Error> {
        while self.tree.size() < until {
            let part = self.tail.read(until, COUNT, BYTES);
            let mut faults = part.faults.into_iter();
            if let Some(fault) = faults.find(|fault| self.concerns(fault)) {
                return Err(Error::Unsound(Box::new(fault)));
            }
            if part.entries.is_empty() {
                let what = "not all entries that were written are there";
                let file = self.dir.to_string_lossy();
                let fault = Fault::new(FaultKind::TailCut, file, what);
                let (at, lacks) = (self.tree.size(), until - self.tree.size());
                return Err(Error::Unsound(Box::new(fault.entries(at, lacks))));
            }
            for entry in part.entries {
                while keep && self.tree.size() < entry.index {
                    // An index that was given up.
                    self.push(leaf(b""), keep);
                }
                self.tree.fill(entry.index);
                self.push(leaf_of(entry.json.as_bytes()), keep);
            }
        }
        Ok(())
    }

    /// Is it about what is read here? Faults that are on record, and what became of entries that a header speaks for, are not.
    fn concerns(&self, fault: &Fault) -> bool {
        let here = match fault.index {
            Some(index) => index + fault.count.max(1) > self.first,
            None => Name::parse(&fault.file).is_none_or(|name| name.first >= self.first),
        };
        here && fault.kind != FaultKind::Noted
    }

    fn push(&mut self, hash: Hash, keep: bool) {
        self.tree.push(hash);
        if keep {
            self.leaves.push(hash);
        }
    }
}
