//! Which files make up the log, in which order, and where each ends.

use crate::classify::Bound;
use crate::fault::{Fault, FaultKind};
use crate::frame::Chain;
use crate::header::{Begins, Header, Name, TornBytes};
use crate::list::{First, Listing, Segment};
use crate::scan;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One segment to walk.
#[derive(Debug)]
pub struct Part {
    pub file: String,
    pub path: PathBuf,
    pub first: u64,
    /// `None` if it was changed.
    pub header: Option<Header>,
    /// Where the entries begin and the chain value before them; `None` if the header was changed.
    pub begin: Option<(u64, Chain)>,
    /// What is missing before it.
    pub missing: Option<Fault>,
    /// What came before it was given up, by what [`Plan::begins`] says.
    pub pruned: bool,
    /// What the segment before ended with, as its header would have it.
    pub before: Option<(u64, Chain)>,
    /// Bytes that count.
    pub limit: u64,
    pub bound: Bound,
    /// Nothing follows, as far as can be seen.
    pub last: bool,
}

impl Part {
    /// Do seals stand behind its entries?
    pub fn is_sealed(&self) -> bool {
        self.header.as_ref().is_some_and(|h| h.sealed.is_some())
    }
}

/// The files of a log.
#[derive(Debug, Default)]
pub struct Plan {
    pub parts: Vec<Part>,
    pub faults: Vec<Fault>,
    /// A last file that has no header yet.
    pub unborn: Option<String>,
    /// Where the log may begin, as its newest segment has it; the entry that it names is for the caller to look at.
    pub begins: Option<Begins>,
}

/// Orders the files and compares what their headers say about each other. `head` is the number of entries that the
/// head file names.
pub fn plan(listing: &Listing, head: Option<u64>) -> Plan {
    let mut plan = Plan {
        begins: begins(listing),
        ..Plan::default()
    };
    let kept = keep(&listing.segments, head, &mut plan);
    for (number, segment) in kept.iter().enumerate() {
        let key = segment.key();
        if let Some(header) = segment.header() {
            let noted = header.faults.iter().map(|fault| {
                let what = format!("when the journal was opened at {}: {fault}", header.time);
                Fault::new(FaultKind::Noted, &segment.file, what)
            });
            plan.faults.extend(noted);
        }
        let next = kept.get(number + 1);
        // Past files without a header: they may be anything.
        let mut later = kept[number + 1..].iter();
        let named = later.find(|next| next.header().is_some()).and_then(|next| {
            let header = next.header()?;
            let prev = header.prev.as_ref()?;
            (prev.file == key.file()).then_some((prev, &header.torn, next.key().first))
        });
        let (limit, bound) = match named {
            Some((prev, torn, first)) if first == prev.next => {
                let (next, chain) = (prev.next, Some(prev.chain));
                let torn = torn.iter().find(|torn| torn.file == prev.file);
                let limit = torn.map_or(u64::MAX, |torn| {
                    moved(&segment.path, torn).unwrap_or(prev.length)
                });
                (limit, Bound::Exact { next, chain })
            }
            // Entries were lost: whatever is left of them lies behind the end that was found.
            Some((.., next)) => (u64::MAX, Bound::Exact { next, chain: None }),
            None => (
                u64::MAX,
                Bound::Open {
                    head: head.filter(|_| next.is_none()),
                },
            ),
        };
        let missing = segment
            .header()
            .and_then(|header| gap_before(segment, header, &kept[..number]));
        let may_begin = plan.begins.is_some_and(|begins| key.first <= begins.first);
        let pruned = number == 0 && missing.is_some() && may_begin;
        plan.parts.push(Part {
            file: segment.file.clone(),
            path: segment.path.clone(),
            first: key.first,
            header: segment.header().cloned(),
            begin: match &segment.first {
                First::Header { chain, start, .. } => Some((*start, *chain)),
                _ => None,
            },
            missing: missing.filter(|_| !pruned),
            pruned,
            before: segment
                .header()
                .and_then(|header| header.prev.as_ref())
                .map(|prev| (prev.next, prev.chain)),
            limit,
            bound,
            last: next.is_none(),
        });
    }
    plan
}

/// What the newest header says of where the log begins.
pub fn begins(listing: &Listing) -> Option<Begins> {
    listing
        .segments
        .iter()
        .rev()
        .find_map(Segment::header)?
        .begins
}

/// Leaves out files that are no part of the log, and says why where that is a fault.
fn keep<'a>(segments: &'a [Segment], head: Option<u64>, plan: &mut Plan) -> Vec<&'a Segment> {
    let headers = || segments.iter().filter_map(Segment::header);
    let mut logs: BTreeMap<&str, usize> = BTreeMap::new();
    for header in headers() {
        *logs.entry(&header.log).or_default() += 1;
    }
    let log = logs.iter().max_by_key(|(_, count)| **count);
    let ours = |header: &Header| log.is_none_or(|(log, _)| *log == header.log);
    let dead: BTreeSet<&str> = headers()
        .filter(|header| ours(header))
        .flat_map(|header| &header.torn)
        .filter(|torn| torn.offset == 0)
        .map(|torn| torn.file.as_str())
        .collect();
    let last_whole = segments
        .iter()
        .rposition(|segment| segment.header().is_some());
    let mut kept: Vec<&Segment> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        if dead.contains(segment.file.as_str()) {
            continue;
        }
        let (key, file) = (segment.key(), &segment.file);
        let mut fault = |kind, what: String| plan.faults.push(Fault::new(kind, file, what));
        match (&segment.first, segment.header()) {
            (_, Some(header)) if !ours(header) => {
                let what = format!("it belongs to another log ({})", header.log);
                fault(FaultKind::SegmentForeign, what);
                continue;
            }
            (_, Some(_)) if kept.last().is_some_and(|before| before.key() == key) => {
                let what = format!("a copy of {}", key.file());
                fault(FaultKind::SegmentDuplicated, what);
                continue;
            }
            (_, Some(_)) if key != segment.name => {
                fault(
                    FaultKind::SegmentRenamed,
                    format!("it was made as {}", key.file()),
                );
            }
            (_, Some(_)) => {}
            (First::Unreadable(why), None) => fault(FaultKind::Unreadable, why.clone()),
            (first, None) => {
                let behind = last_whole.is_none_or(|last| number > last);
                let begun = matches!(first, First::Incomplete)
                    || scan::load(&segment.path, 4096).is_ok_and(|data| scan::has_zero_run(&data));
                // The first header of a log is on disk before there is a head file.
                let unseen = head.is_none_or(|head| last_whole.is_some() && head <= key.first);
                if behind && begun && unseen {
                    plan.unborn = Some(file.clone());
                    continue;
                }
                let what = "the segment header is not what was written".to_owned();
                fault(FaultKind::HeaderEdited, what);
                if let Some(fault) = plan.faults.last_mut() {
                    fault.offset = Some(0);
                    fault.index = Some(key.first);
                }
            }
        }
        kept.push(segment);
    }
    kept
}

/// Is what a header says came before it there?
fn gap_before(segment: &Segment, header: &Header, earlier: &[&Segment]) -> Option<Fault> {
    let first = segment.key().first;
    let mut from = 0;
    // The last one that says what it is, and files without a header after it.
    let since = earlier
        .iter()
        .rposition(|segment| segment.header().is_some())
        .unwrap_or(0);
    let near = |file: &str| {
        earlier[since..]
            .iter()
            .any(|before| before.key().file() == file)
    };
    let fault = match &header.prev {
        None if earlier.is_empty() && first == 0 => return None,
        None if earlier.is_empty() => {
            let what = "the log began later than with entry 0";
            Fault::new(FaultKind::Removed, &segment.file, what)
        }
        None => {
            let what = "it begins a log, but other segments come before it";
            return Some(Fault::new(FaultKind::SegmentForeign, &segment.file, what).at(0));
        }
        Some(prev) if near(&prev.file) => return None,
        Some(prev) => {
            // Its name says where it began; whether more is missing before it, the walk finds out.
            if !earlier.is_empty() {
                from = Name::parse(&prev.file).map_or(first, |name| name.first);
            }
            let what = format!("gone; {} follows it", segment.file);
            Fault::new(FaultKind::SegmentMissing, &prev.file, what)
        }
    };
    Some(fault.entries(from, first.saturating_sub(from)).at(0))
}

/// Where the bytes that an earlier recovery skipped stand now, when they are at the end and whole, but not where they were: what
/// comes before them grew or shrank.
fn moved(path: &Path, torn: &TornBytes) -> Option<u64> {
    let seen = torn.seen.as_ref()?;
    let at = path.metadata().ok()?.len().checked_sub(seen.length)?;
    if at == torn.offset {
        return None;
    }
    let there = scan::digest_from(path, at).ok()?;
    (there == (seen.length, seen.sha256)).then_some(at)
}

/// Bytes that an earlier recovery skipped must be as they were then.
pub fn skipped(listing: &Listing) -> Vec<Fault> {
    let paths: BTreeMap<String, &Segment> = listing
        .segments
        .iter()
        .map(|segment| (segment.key().file(), segment))
        .collect();
    let mut faults = Vec::new();
    let begins = begins(listing).map_or(0, |begins| begins.first);
    for header in listing.segments.iter().filter_map(Segment::header) {
        for torn in &header.torn {
            let fault = |kind, what: &str| Fault::new(kind, &torn.file, what).at(torn.offset);
            let Some(segment) = paths.get(&torn.file) else {
                let kept = Name::parse(&torn.file).is_some_and(|name| name.first >= begins);
                if torn.offset == 0 && kept {
                    faults.push(fault(
                        FaultKind::SegmentMissing,
                        "an abandoned file is gone",
                    ));
                }
                continue;
            };
            let Some(seen) = &torn.seen else { continue };
            match scan::digest_from(&segment.path, torn.offset) {
                Ok(now) if now == (seen.length, seen.sha256) => {}
                // What stands before them is told where it is.
                Ok(_) if moved(&segment.path, torn).is_some() => {}
                Ok(_) => faults.push(fault(
                    FaultKind::Edited,
                    "bytes skipped at a recovery are not those seen then",
                )),
                Err(error) => {
                    faults.push(fault(FaultKind::Unreadable, &error.to_string()));
                }
            }
        }
    }
    faults
}
