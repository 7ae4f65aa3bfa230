//! Entries in order.

use crate::Timestamp;
use crate::classify::Bound;
use crate::fault::{Fault, FaultKind};
use crate::list::{Segment, list};
use crate::plan::{Part, plan};
use crate::walk::{Straight, Walk, detour};
use std::collections::VecDeque;
use std::path::Path;

/// One entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    /// The record's JSON text.
    pub json: String,
    /// Chain value of its frame: over all that came before, and itself.
    pub chain: [u8; 32],
    /// File name within the journal directory.
    pub file: String,
    /// Where the entry's frame begins in that file.
    pub offset: u64,
}

/// Entries of a log in order. A fault is one item; what can still be read follows it.
#[derive(Debug)]
pub struct Reader {
    first: u64,
    parts: VecDeque<Part>,
    walk: Option<(Part, Walk)>,
    /// Entries whose seal has not come yet: nobody has a receipt for them, anybody can append them.
    held: Vec<Entry>,
    ready: VecDeque<Result<Entry, Fault>>,
}

/// Reads a log from its first entry. Safe while another process appends; ends at the last whole entry. Does not look at
/// the head file: whether entries are gone from the end is for [`crate::check()`]. Entries at the end without their seal are
/// no part of the log and do not come.
#[must_use]
pub fn read(dir: &Path) -> Reader {
    read_from(dir, 0)
}

/// Reads a log from entry `first` on, without reading the segments before it.
#[must_use]
pub fn read_from(dir: &Path, first: u64) -> Reader {
    let mut reader = Reader {
        first,
        parts: VecDeque::new(),
        walk: None,
        held: Vec::new(),
        ready: VecDeque::new(),
    };
    match std::fs::metadata(dir).and_then(|_| list(dir)) {
        Ok(listing) => {
            let plan = plan(&listing, None);
            let earlier =
                |part: &Part| matches!(part.bound, Bound::Exact { next, .. } if next <= first);
            reader.parts = plan
                .parts
                .into_iter()
                .filter(|part| !earlier(part))
                .collect();
            reader.ready = plan.faults.into_iter().map(Err).collect();
        }
        Err(error) => {
            let file = dir.to_string_lossy();
            let fault = Fault::new(FaultKind::Unreadable, file, error.to_string());
            reader.ready.push_back(Err(fault));
        }
    }
    reader
}

/// Reads a log from a place that is not behind the first record of this time or later, without reading the segments that
/// were full by then. Records of a clock that was set come in the order in which they were written.
#[must_use]
pub fn read_since(dir: &Path, unix_ms: u64) -> Reader {
    let since = Timestamp::wall(unix_ms).rfc3339();
    let listing = list(dir).unwrap_or_default();
    let earlier = |s: &&Segment| s.header().is_none_or(|header| header.time <= since);
    let begun = listing.segments.iter().take_while(earlier).last();
    read_from(dir, begun.map_or(0, |segment| segment.key().first))
}

impl Iterator for Reader {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let Some((part, mut walk)) = self.walk.take() else {
                let part = self.parts.pop_front()?;
                self.ready.extend(part.missing.clone().map(Err));
                match Walk::open(&part) {
                    Ok(Some(walk)) => self.walk = Some((part, walk)),
                    Ok(None) | Err(_) => self.detour(&part),
                }
                continue;
            };
            match walk.step() {
                Ok(Straight::Entry {
                    index,
                    chain,
                    offset,
                    payload,
                    ..
                }) => {
                    if index >= self.first {
                        let json = text(payload);
                        let file = part.file.clone();
                        self.first = index + 1;
                        self.held.push(Entry {
                            index,
                            json,
                            chain,
                            file,
                            offset,
                        });
                    }
                    if !part.is_sealed() {
                        self.release();
                    }
                    self.walk = Some((part, walk));
                }
                Ok(Straight::Seal { .. }) => {
                    self.release();
                    self.walk = Some((part, walk));
                }
                Ok(Straight::End) if part.last => self.held.clear(),
                Ok(Straight::End) => self.release(),
                Ok(Straight::Off) | Err(_) => {
                    // They are read again.
                    if let Some(entry) = self.held.drain(..).next() {
                        self.first = entry.index;
                    }
                    self.detour(&part);
                }
            }
        }
    }
}

impl Reader {
    /// Lets the segment that is being read end where its file ends by now.
    pub(crate) fn refresh(&mut self) {
        // Where that cannot be told it ends as it did, and is opened anew.
        if let Some((_, walk)) = &mut self.walk {
            let _ = walk.refresh();
        }
    }

    fn release(&mut self) {
        self.ready.extend(self.held.drain(..).map(Ok));
    }

    /// Reads a damaged segment as far as it can be read.
    fn detour(&mut self, part: &Part) {
        let (data, found) = detour(part);
        self.ready.extend(found.faults.into_iter().map(Err));
        for (index, chain, payload) in found.entries {
            if index >= self.first {
                self.first = index + 1;
                let offset = payload.start.saturating_sub(crate::frame::HEAD) as u64;
                self.ready.push_back(Ok(Entry {
                    index,
                    json: text(&data[payload]),
                    chain,
                    file: part.file.clone(),
                    offset,
                }));
            }
        }
    }
}

/// A record's text. Whoever wrote something else has it shown, with marks in the place of what is no UTF-8.
fn text(payload: &[u8]) -> String {
    // What is UTF-8 is found to be so much quicker than it is mended.
    std::str::from_utf8(payload).map_or_else(
        |_| String::from_utf8_lossy(payload).into_owned(),
        str::to_owned,
    )
}
