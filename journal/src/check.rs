//! Is the log whole?

use crate::classify::Bound;
use crate::fault::{Fault, FaultKind};
use crate::frame::Chain;
use crate::head::{self, Found, Head};
use crate::header::Begins;
use crate::journal::Torn;
use crate::list::{Listing, list};
use crate::plan::{Part, plan, skipped};
use crate::prune::{self, Pruned};
use crate::record;
use crate::walk::{Straight, Walk, detour};
use crate::watch::{SealedHead, Watch};
use std::path::Path;

/// Entries between two words of progress.
const PROGRESS: u64 = 50_000;
/// Signatures verified at once.
const SIGNATURES: usize = 8192;

/// What `check` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// What the entry says that gave up those before the first one that is there.
    pub begins: Option<Pruned>,
    /// `time` of the first and last entry that could be read.
    pub first_time: Option<String>,
    pub last_time: Option<String>,
    /// Everything wrong: first what concerns whole files, then entries in log order. At most
    /// [`Report::MAX_FAULTS`]; the rest is counted.
    pub faults: Vec<Fault>,
    /// Faults beyond the list.
    pub more_faults: u64,
    /// An unfinished write at the end: another process is appending, or the host crashed. Not a fault.
    pub unfinished: Option<Torn>,
    /// Segments without the append-only flag, or closed ones that are not immutable; so are all files of a copy.
    /// Not a fault of the content.
    pub unprotected: Vec<String>,
    /// The newest seal; `None` in a log without seals. It holds if there is no fault.
    pub sealed: Option<SealedHead>,
    /// How often the log was opened: each time the host's key signs first.
    pub starts: u64,
}

impl Report {
    /// Most faults listed one by one.
    pub const MAX_FAULTS: usize = 10_000;

    /// No fault at all.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0
    }

    fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            if self.faults.len() < Self::MAX_FAULTS {
                self.faults.push(fault);
            } else {
                self.more_faults += 1;
            }
        }
    }
}

/// Reads the whole log in `dir` and compares it with the head file, if one is given. Goes on after a fault where
/// that is possible. Safe while another process appends: the head is read first and the log only grows.
pub fn check(dir: &Path, head: Option<&Path>) -> Report {
    check_with(dir, head, None, &mut |_| {})
}

/// The same, with the host's public key, if it is known from elsewhere than the log. `progress` is told now and then how
/// many entries were read.
pub fn check_with(
    dir: &Path,
    head: Option<&Path>,
    host: Option<[u8; 32]>,
    progress: &mut dyn FnMut(u64),
) -> Report {
    let remembered = head.map(head::load);
    let known = match &remembered {
        Some(Found::Head(head)) => Some(*head),
        _ => None,
    };
    let mut report = Report::default();
    let listing = match std::fs::metadata(dir).and_then(|_| list(dir)) {
        Ok(listing) => listing,
        Err(error) => {
            let file = dir.to_string_lossy();
            report.add([Fault::new(FaultKind::Unreadable, file, error.to_string())]);
            return report;
        }
    };
    report.add(listing.foreign.iter().map(|file| {
        let what = "the journal never makes such a file";
        Fault::new(FaultKind::ForeignFile, file, what)
    }));
    report.unprotected = unprotected(&listing);
    let plan = plan(&listing, known.map(|head| head.next));
    report.add(plan.faults);
    report.add(skipped(&listing));
    report.unfinished = plan.unborn.map(|file| Torn {
        bytes: dir.join(&file).metadata().map_or(0, |meta| meta.len()),
        file,
        offset: 0,
    });
    let mut state = State {
        known,
        passed: false,
        met: false,
        next: 0,
        first: None,
        last: None,
        watch: Watch::new(host, true),
        begins: plan.begins,
        said: None,
        newest: String::new(),
        progress,
    };
    for part in &plan.parts {
        state.walk(part, &mut report);
    }
    let fault = state.given_up(&plan.parts);
    report.add(fault);
    report.begins = state.said.take();
    report.add(state.watch.verify());
    if host.is_some() {
        let fault = never_sealed(&plan.parts, state.next, &report.faults);
        report.add(fault);
    }
    report.sealed = state.watch.newest.take();
    report.starts = state.watch.starts;
    report.first_time = state.first.as_deref().and_then(time_of);
    report.last_time = state.last.as_deref().and_then(time_of);
    if let Some((path, what)) = head.and_then(|path| Some((path, head::spoilt(path)?))) {
        let file = path.to_string_lossy();
        report.add([Fault::new(FaultKind::HeadUnreadable, file, what)]);
    }
    let fault = state.compare(remembered.as_ref(), &listing, &report);
    report.add(fault.map(|fault| match head {
        Some(path) if fault.file.is_empty() => Fault {
            file: path.to_string_lossy().into_owned(),
            ..fault
        },
        _ => fault,
    }));
    report
}

/// A host with a key seals whatever it opens: a log whose last segment has no seals lost them.
fn never_sealed(parts: &[Part], next: u64, faults: &[Fault]) -> Option<Fault> {
    let last = parts.iter().rev().find(|part| part.header.is_some())?;
    let told = |fault: &Fault| fault.kind == FaultKind::SealMissing && fault.file == last.file;
    if last.is_sealed() || next == 0 || faults.iter().any(told) {
        return None;
    }
    let first = parts.first().map_or(0, |part| part.first);
    let what = "the log has no seals, and this host seals all that it writes";
    let fault = Fault::new(FaultKind::SealMissing, &last.file, what).at(0);
    Some(fault.entries(first, next.saturating_sub(first)))
}

fn unprotected(listing: &Listing) -> Vec<String> {
    let last = listing.segments.len().saturating_sub(1);
    let all = listing.segments.iter().enumerate();
    all.filter(|(number, segment)| !segment.immutable && (!segment.append || *number < last))
        .map(|(_, segment)| segment.file.clone())
        .collect()
}

fn time_of(payload: &[u8]) -> Option<String> {
    let record: serde_json::Value = serde_json::from_slice(payload).ok()?;
    Some(record.get("time")?.as_str()?.to_owned())
}

/// What is carried from segment to segment.
struct State<'a> {
    known: Option<Head>,
    /// The place that the head file names was seen; with the same chain value.
    passed: bool,
    met: bool,
    /// Index after the last entry.
    next: u64,
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
    watch: Watch,
    /// Where the log may begin, and whether the entry that is to say so does.
    begins: Option<Begins>,
    said: Option<Pruned>,
    /// The latest time of an entry so far, of those that follow each other.
    newest: String,
    progress: &'a mut dyn FnMut(u64),
}

impl State<'_> {
    fn see(&mut self, next: u64, chain: &Chain) {
        if let Some(head) = self.known.filter(|head| head.next == next) {
            self.passed = true;
            self.met |= head.chain == *chain;
        }
    }

    fn entry(&mut self, index: u64, payload: &[u8], report: &mut Report) {
        report.entries += 1;
        if let Some(begins) = self.begins.filter(|begins| begins.entry == index) {
            self.said = prune::says(payload, begins);
        }
        if report.entries.is_multiple_of(PROGRESS) {
            (self.progress)(report.entries);
        }
        if self.first.is_none() {
            self.first = Some(payload.to_vec());
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(payload);
    }

    fn walk(&mut self, part: &Part, report: &mut Report) {
        if let Some((next, chain)) = part.before {
            self.see(next, &chain);
        }
        if let Some((_, chain)) = part.begin {
            self.see(part.first, &chain);
        }
        if part.pruned {
            // Its header says what the seals go on from; a seal that follows proves it.
            self.watch.lost();
            self.next = part.first;
        }
        if let Some(mut fault) = part.missing.clone() {
            // What follows is not to be compared with what came before the gap.
            self.watch.lost();
            if fault.kind == FaultKind::SegmentMissing && self.next < part.first {
                fault = fault.entries(self.next, part.first - self.next);
            }
            report.add([fault]);
        } else if self.next < part.first {
            let fault = Fault::new(FaultKind::Removed, &part.file, "gone before this file");
            report.add([fault.entries(self.next, part.first - self.next).at(0)]);
        }
        self.next = self.next.max(part.first);
        match &part.header {
            Some(header) => report.add(self.watch.begin(header, part.first)),
            None => self.watch.lost(),
        }
        // No seal is over it; age is told by it, and what a search may leave out.
        let time = part.header.as_ref().map(|header| header.time.as_str());
        if time.is_some_and(|time| time < self.newest.as_str()) {
            let what = "it is dated before an entry that precedes it";
            report.add([Fault::new(FaultKind::HeaderEdited, &part.file, what).at(0)]);
        }
        let before = report.entries;
        if !self.straight(part, report) {
            report.entries = before;
            self.watch.lost();
            self.detour(part, report);
        }
        if let Bound::Exact { next, .. } = part.bound {
            self.next = self.next.max(next);
        }
    }

    /// What is wrong with what the newest header says of the beginning of the log.
    fn given_up(&self, parts: &[Part]) -> Option<Fault> {
        self.begins?;
        let part = parts.first()?;
        let fault = |what| {
            let fault = Fault::new(FaultKind::Removed, &part.file, what);
            Some(fault.entries(0, part.first).at(0))
        };
        let Some(said) = &self.said else {
            return fault("a header says that entries were pruned, and no entry does");
        };
        // Those that are there are not all younger: the first one was written when those before it were old.
        let first = self.first.as_deref().and_then(time_of);
        if part.pruned && first.is_none_or(|first| first > said.limit()) {
            return fault("entries before it were pruned, younger than the policy has it");
        }
        if part.pruned && self.watch.is_hosts() && self.watch.starts == 0 {
            return fault("entries before it were pruned, and no seal of the host's key is left");
        }
        None
    }

    /// `false` if something does not fit.
    fn straight(&mut self, part: &Part, report: &mut Report) -> bool {
        let Ok(Some(mut walk)) = Walk::open(part) else {
            return false;
        };
        let mut sealed = 0;
        loop {
            match walk.step() {
                Ok(Straight::Entry {
                    index,
                    chain,
                    payload,
                    leaf,
                    ..
                }) => {
                    self.see(index + 1, &chain);
                    self.next = index + 1;
                    let time = record::time_of(payload);
                    if let Some(time) = time.filter(|time| *time > self.newest.as_str()) {
                        self.newest.replace_range(.., time);
                    }
                    self.entry(index, payload, report);
                    self.watch.entry(payload, leaf);
                }
                Ok(Straight::Seal {
                    size,
                    offset,
                    payload,
                }) => {
                    report.add(self.watch.seal(payload, size, &part.file, offset));
                    if self.watch.waiting() >= SIGNATURES {
                        report.add(self.watch.verify());
                    }
                    sealed = offset;
                }
                Ok(Straight::End) => {
                    self.unsealed(part, sealed, report);
                    return true;
                }
                Ok(Straight::Off) | Err(_) => return false,
            }
        }
    }

    /// Entries at the end that no seal is over: nobody has a receipt for them.
    fn unsealed(&self, part: &Part, sealed: u64, report: &mut Report) {
        let Some(from) = self.watch.unsealed_from().filter(|from| *from < self.next) else {
            return;
        };
        if part.last && self.known.is_none_or(|head| head.next <= from) {
            report.unfinished = Some(Torn {
                file: part.file.clone(),
                offset: sealed,
                bytes: part.path.metadata().map_or(0, |meta| meta.len()) - sealed,
            });
        } else {
            let what = "no seal is over these entries";
            let fault = Fault::new(FaultKind::SealMissing, &part.file, what);
            report.add([fault.entries(from, self.next - from)]);
        }
    }

    fn detour(&mut self, part: &Part, report: &mut Report) {
        let (data, found) = detour(part);
        for (index, chain, payload) in &found.entries {
            self.see(index + 1, chain);
            self.next = self.next.max(index + 1);
            self.entry(*index, &data[payload.clone()], report);
        }
        if let Some(offset) = found.unfinished {
            let torn = Torn {
                file: part.file.clone(),
                offset: offset as u64,
                bytes: (data.len() - offset) as u64,
            };
            if part.last {
                report.unfinished = Some(torn);
            } else {
                let what = "bytes that are no entry";
                let fault = Fault::new(FaultKind::Inserted, &part.file, what);
                report.add([fault.at(offset as u64)]);
            }
        }
        report.add(found.faults);
    }

    /// Compares with what the head file remembers.
    fn compare(
        &self,
        remembered: Option<&Found>,
        listing: &Listing,
        report: &Report,
    ) -> Option<Fault> {
        let file = listing.segments.last().map_or("", |last| &last.file);
        match remembered? {
            Found::Head(head) if self.next < head.next => {
                let told = |fault: &Fault| {
                    fault.kind == FaultKind::TailCut
                        || fault
                            .index
                            .is_some_and(|index| index + fault.count.max(1) >= head.next)
                };
                let what = "gone from the end of the log, the head file names them";
                let fault = Fault::new(FaultKind::TailCut, file, what);
                (!report.faults.iter().any(told))
                    .then(|| fault.entries(self.next, head.next - self.next))
            }
            Found::Head(head) => {
                let index = head.next.saturating_sub(1);
                let told = |fault: &Fault| fault.index == Some(index);
                let wrong = if self.passed {
                    !self.met && !report.faults.iter().any(told)
                } else {
                    report.is_ok()
                };
                let what = "the head file has another chain value for it";
                wrong.then(|| Fault::new(FaultKind::HeadMismatch, file, what).entries(index, 1))
            }
            Found::Missing if self.next == 0 && listing.segments.len() <= 1 => None,
            Found::Missing => {
                let what = "the head file is missing, a cut tail would not be noticed";
                Some(Fault::new(FaultKind::HeadUnreadable, "", what))
            }
            Found::Damaged(why) => {
                let what = format!("{why}; a cut tail would not be noticed");
                Some(Fault::new(FaultKind::HeadUnreadable, "", what))
            }
        }
    }
}
