//! Giving up the oldest segments. The log says so first, in an entry under its seals; from then on each new segment's header
//! says where the log begins, and that entry proves it. Removing the files is for a process of its own: nothing here
//! clears a flag.

use crate::error::Error;
use crate::header::Begins;
use crate::journal::Receipt;
use crate::list::{Listing, Segment, list};
use crate::merkle::Frontier;
use crate::plan::begins;
use crate::read::read_from;
use crate::record::{Record, kind};
use crate::time::{Timestamp, unix_ms};
use crate::{Fault, FaultKind, Journal};
use std::path::{Path, PathBuf};

/// Members of the entry's detail: the first entry that is kept, and the policy.
const FIRST: &str = "first";
const KEEP_DAYS: &str = "keep_days";
const DAY_MS: u64 = 86_400_000;
/// No policy keeps less.
const LEAST_DAYS: u64 = 30;

/// What an entry that gives others up says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// First entry that is kept.
    pub first: u64,
    /// When that was said, by the host's clock; RFC 3339.
    pub time: String,
    pub keep_days: u64,
}

impl Pruned {
    /// The time before which entries may be gone, RFC 3339. A day more than the policy has: it counts by the issuer's clock.
    #[must_use]
    pub fn limit(&self) -> String {
        let days = self.keep_days.max(LEAST_DAYS) - 1;
        let now_ms = unix_ms(&self.time).unwrap_or_default();
        Timestamp::wall(now_ms.saturating_sub(days.saturating_mul(DAY_MS))).rfc3339()
    }

    /// What is wrong with it where it is `now_ms`, milliseconds since 1970: dated ahead it would make old what is not. A day's
    /// difference is none.
    #[must_use]
    pub fn ahead(&self, now_ms: u64) -> Option<Fault> {
        let latest = Timestamp::wall(now_ms.saturating_add(DAY_MS)).rfc3339();
        let what = "they were pruned by an entry that is dated later than now";
        let fault = Fault::new(FaultKind::Removed, "", what);
        (self.time > latest).then(|| fault.entries(0, self.first))
    }
}

/// The entry before which everything is older than `unix_ms` and may be given up, if all who still need entries need none
/// below `needed`. `None`: nothing is to be given up.
///
/// # Errors
/// The directory cannot be read.
pub fn prunable(dir: &Path, unix_ms: u64, needed: u64) -> Result<Option<u64>, Error> {
    let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
    let limit = Timestamp::wall(unix_ms).rfc3339();
    let old = |segment: &&Segment| {
        let made = segment.header().is_some_and(|header| header.time <= limit);
        made && segment.key().first <= needed
    };
    // A segment's header is not earlier than any entry before it, whatever the clock said.
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
    if files.is_empty() || said(dir, begins).is_some() {
        return Ok(files);
    }
    let what = "its header says that entries were pruned, and no entry does";
    let fault = Fault::new(FaultKind::HeaderEdited, "", what);
    Err(Error::Unsound(Box::new(fault.entries(0, begins.first))))
}

/// What the entry that `begins` names says, if it gives up all below `begins.first`.
fn said(dir: &Path, begins: Begins) -> Option<Pruned> {
    let entry = read_from(dir, begins.entry).next()?.ok()?;
    let is_it = entry.index == begins.entry;
    is_it.then(|| says(entry.json.as_bytes(), begins)).flatten()
}

/// First entry that the log in `dir` keeps, as an entry of it says.
pub(crate) fn kept_from(dir: &Path, listing: &Listing) -> u64 {
    let begins = begins(listing);
    let some_left = |begins: &Begins| {
        listing
            .segments
            .iter()
            .any(|s| s.key().first < begins.first)
    };
    let proven = begins.filter(|begins| some_left(begins) && said(dir, *begins).is_some());
    proven.map_or(0, |begins| begins.first)
}

/// Is this the entry that gives up all below `begins.first`?
pub(crate) fn says(payload: &[u8], begins: Begins) -> Option<Pruned> {
    let record = serde_json::from_slice::<serde_json::Value>(payload).ok()?;
    let first = record["detail"][FIRST].as_u64()?;
    (record["type"] == kind::PRUNE && first == begins.first).then(|| Pruned {
        first,
        time: record["time"].as_str().unwrap_or_default().to_owned(),
        keep_days: record["detail"][KEEP_DAYS].as_u64().unwrap_or_default(),
    })
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
    /// Gives up all entries below `first`, as [`prunable`] named it, by a policy of so many days: `record`, of type
    /// [`kind::PRUNE`], says so in the log, under the host's own key, and a new segment begins. The files stay until another
    /// process removes them.
    ///
    /// # Errors
    /// [`Error::NoEntry`] when no segment begins with it; as [`Journal::append`]. After an error nothing is given up.
    pub fn prune(&mut self, first: u64, keep_days: u64, record: Record) -> Result<Receipt, Error> {
        let listing = list(&self.dir).map_err(|error| Error::io("list", &self.dir, error))?;
        if !listing.segments.iter().any(|s| s.key().first == first) {
            let (index, size) = (first, self.next);
            return Err(Error::NoEntry { index, size });
        }
        let time = record.time.clone();
        // Whatever becomes of the segments before: the log that is left holds a seal of the host.
        if let Some(sealer) = &mut self.sealer {
            sealer.begin_anew();
        }
        self.new_segment(&time)?;
        let record = record.detail(FIRST, first).detail(KEEP_DAYS, keep_days);
        let receipt = self.append(&record)?;
        self.begins = Some(Begins {
            first,
            entry: receipt.index(),
        });
        self.new_segment(&time)?;
        Ok(receipt)
    }
}
