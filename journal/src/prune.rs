//! Giving up the oldest segments. The log says so first, in an entry under its seals; from then on each new segment's header
//! says where the log begins, and that entry proves it. Removing the files is for a process of its own: nothing here
//! clears a flag.

use crate::error::Error;
use crate::header::Begins;
use crate::journal::Receipt;
use crate::list::{Segment, list};
use crate::merkle::Frontier;
use crate::plan::begins;
use crate::read::read_from;
use crate::record::{Record, kind};
use crate::time::Timestamp;
use crate::{Fault, FaultKind, Journal};
use std::path::{Path, PathBuf};

/// Member of the entry's detail that names the first entry that is kept.
const FIRST: &str = "first";

/// The entry before which everything is older than `unix_ms` and may be given up, if all who still need entries need none
/// below `needed`. `None`: nothing is to be given up.
///
/// # Errors
/// The directory cannot be read.
pub fn prunable(dir: &Path, unix_ms: u64, needed: u64) -> Result<Option<u64>, Error> {
    let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
    let limit = Timestamp {
        unix_ms,
        boot_ns: 0,
        boot_id: String::new(),
    };
    let limit = limit.rfc3339();
    let old = |segment: &&Segment| {
        let made = segment.header().is_some_and(|header| header.time <= limit);
        made && segment.key().first <= needed
    };
    // A segment is made after all entries before it were; on a clock that was set back the first young one ends the row.
    let last = listing.segments.iter().take_while(old).last();
    let first = last.map_or(0, |segment| segment.key().first);
    let begun = listing.segments.first().map_or(0, |s| s.key().first);
    let given_up = begins(&listing).map_or(0, |begins| begins.first);
    Ok((first > begun.max(given_up)).then_some(first))
}

/// The files of entries that the log has given up, the oldest first.
///
/// # Errors
/// [`Error::Unsound`] when no entry says so; the directory cannot be read.
pub fn given_up(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
    let Some(begins) = begins(&listing) else {
        return Ok(Vec::new());
    };
    let old = |segment: &&Segment| segment.key().max(segment.name).first < begins.first;
    let files: Vec<PathBuf> = listing
        .segments
        .iter()
        .filter(old)
        .map(|segment| segment.path.clone())
        .collect();
    let said = || match read_from(dir, begins.entry).next()? {
        Ok(entry) => (entry.index == begins.entry).then_some(entry.json),
        Err(_) => None,
    };
    if files.is_empty() || said().is_some_and(|json| says(json.as_bytes(), begins)) {
        return Ok(files);
    }
    let what = "its header says that entries were pruned, and no entry does";
    let fault = Fault::new(FaultKind::HeaderEdited, "", what);
    Err(Error::Unsound(Box::new(fault.entries(0, begins.first))))
}

/// Is this the entry that gives up all below `begins.first`?
pub(crate) fn says(payload: &[u8], begins: Begins) -> bool {
    let record = serde_json::from_slice::<serde_json::Value>(payload).unwrap_or_default();
    record["type"] == kind::PRUNE && record["detail"][FIRST].as_u64() == Some(begins.first)
}

/// The tree over what is gone from the beginning of the log in `dir`, as its first header has it.
pub(crate) fn base(dir: &Path) -> Result<Frontier, Error> {
    let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
    let first = listing.segments.iter().find(|s| s.header().is_some());
    let tree = first.filter(|s| s.key().first > 0).and_then(|segment| {
        let sealed = segment.header()?.sealed.as_ref()?;
        sealed.frontier(segment.key().first)
    });
    Ok(tree.unwrap_or_default())
}

impl Journal {
    /// Gives up all entries below `first`, as [`prunable`] named it: `record`, of type [`kind::PRUNE`], says so in the log, and a
    /// new segment begins. The files stay until another process removes them.
    ///
    /// # Errors
    /// [`Error::NoEntry`] when no segment begins with it; as [`Journal::append`]. After an error nothing is given up.
    pub fn prune(&mut self, first: u64, record: Record) -> Result<Receipt, Error> {
        let listing = list(&self.dir).map_err(|error| Error::io("list", &self.dir, error))?;
        if !listing.segments.iter().any(|s| s.key().first == first) {
            let (index, size) = (first, self.next);
            return Err(Error::NoEntry { index, size });
        }
        let time = record.time.clone();
        let receipt = self.append(&record.detail(FIRST, first))?;
        self.begins = Some(Begins {
            first,
            entry: receipt.index(),
        });
        self.new_segment(&time)?;
        Ok(receipt)
    }
}
