//! Opening: where does the log end, is that where it ended when we left it, and where does the next entry go.

use crate::classify;
use crate::durable;
use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::frame::{Chain, Kind};
use crate::head::{self, Found, Head, HeadFile};
use crate::header::{Header, Prev, Seen, TornBytes};
use crate::journal::{AppendOnly, Broken, Journal, Limits, Recovery, State, Torn};
use crate::list::{First, Segment, list};
use crate::merkle::leaf_of;
use crate::record::time_of;
use crate::scan::{self, Scan};
use crate::seal::Identity;
use crate::segment::{self, Live};
use crate::sys;
use crate::text::hex;
use crate::time::Timestamp;
use crate::watch::{self, Watch};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// See [`Journal::open_with`].
pub fn open(
    dir: &Path,
    head_path: &Path,
    now: &Timestamp,
    identity: Option<Identity>,
    append_only: AppendOnly,
    limits: Limits,
) -> Result<(Journal, Recovery), Error> {
    identity.as_ref().map_or(Ok(()), watch::check_identity)?;
    durable::make_dir(dir).map_err(|error| Error::io("make", dir, error))?;
    if let Some(parent) = head_path
        .parent()
        .filter(|path| !path.as_os_str().is_empty())
    {
        durable::make_dir(parent).map_err(|error| Error::io("make", parent, error))?;
    }
    let lock = lock(dir)?;
    if append_only == AppendOnly::Required {
        probe(dir)?;
    }
    let found = head::load(head_path);
    let listing = list(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut ended = end_of(&listing.segments, &found)?;
    // A segment that a crash left unsealed.
    if append_only != AppendOnly::Off {
        let last = ended.last.map(|segment| &segment.file);
        let closed = listing
            .segments
            .iter()
            .filter(|segment| segment.append && !segment.immutable && Some(&segment.file) != last);
        closed.for_each(|segment| segment::seal(&segment.path));
    }
    if identity.is_some() && ended.next > 0 && ended.header.is_some_and(|h| h.sealed.is_none()) {
        let file = ended.last.map_or("", |last| &last.file);
        let what = "the log has no seals, and this host seals all that it writes";
        let fault = Fault::new(FaultKind::SealMissing, file, what).at(0);
        ended.faults.push(fault.entries(0, ended.next));
    }
    let generations = listing.segments.iter().map(|segment| {
        let (key, name) = (segment.key(), segment.name);
        key.generation.max(name.generation)
    });
    let mut recovery = Recovery {
        torn: ended.torn.iter().map(shown).collect(),
        faults: ended.faults,
    };
    if let Some(what) = head::spoilt(head_path) {
        let file = head_path.to_string_lossy();
        let fault = Fault::new(FaultKind::HeadUnreadable, file, what);
        recovery.faults.push(fault);
    }
    let same_seals = identity
        .as_ref()
        .is_none_or(|identity| ended.watch.is_of(&identity.key));
    let taken = match ended.last {
        Some(last) if ended.torn.is_empty() && recovery.faults.is_empty() && same_seals => {
            take_over(dir, last, ended.length, append_only, &mut recovery.faults)?
        }
        _ => None,
    };
    let next = match found {
        Found::Head(head) => ended.next.max(head.next),
        Found::Missing | Found::Damaged(_) => ended.next,
    };
    let whole = taken.is_some();
    let log = match ended.header {
        Some(header) => header.log.clone(),
        None => random_name()?,
    };
    let mut watch = ended.watch;
    if ended.header.is_some_and(|header| header.sealed.is_none()) {
        // The first seal is over all that came before.
        for entry in crate::read(dir).flatten() {
            watch.skip_to(entry.index);
            watch.entry(entry.json.as_bytes(), leaf_of(entry.json.as_bytes()));
        }
    }
    let sealer = identity.map(|identity| watch.sealer(identity, &log, ended.next));
    let mut journal = Journal {
        dir: dir.to_owned(),
        _lock: lock,
        head_path: head_path.to_owned(),
        head: None,
        head_due: false,
        append_only,
        limits,
        log,
        sealer,
        next,
        chain: ended.chain,
        generation: generations.max().unwrap_or(0),
        latest: ended.latest,
        begins: ended.header.and_then(|header| header.begins),
        state: match taken {
            Some(live) => State::Live(live),
            None => State::Broken(Broken {
                prev: ended.header.map(|header| Prev {
                    file: header.file.clone(),
                    length: ended.length,
                    next: ended.next,
                    chain: ended.chain,
                }),
                torn: ended.torn,
                faults: lasting(&recovery.faults),
                spare: None,
                why: why(&recovery),
            }),
        },
    };
    if !whole {
        if !listing.segments.is_empty() {
            journal.generation += 1;
        }
        // Before there is a next one: a closed segment that is not immutable is a fault to whoever looks.
        if let Some(last) = ended.last.filter(|last| last.append) {
            segment::seal(&last.path);
        }
        journal.start_segment(now)?;
    }
    // Only now: until the new segment is on disk the old head is the only witness of a cut tail.
    let file = HeadFile::open(head_path, &journal.head())
        .map_err(|error| Error::io("write", head_path, error))?;
    (journal.head, journal.head_due) = (Some(file), false);
    Ok((journal, recovery))
}

/// One writer a log. Let go by name: a process that some other thread is just starting holds a copy of every file until
/// its exec, and closing ours would leave the log locked for that long.
#[derive(Debug)]
pub struct Lock(pub(crate) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock that cannot be let go here goes with the file.
        let _closed_next = self.0.unlock();
    }
}

fn lock(dir: &Path) -> Result<Lock, Error> {
    let lock = File::open(dir).map_err(|error| Error::io("open", dir, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", dir, error)),
    }
}

/// Tries the flag on a nameless file, so that a host that cannot keep it collects no empty segments.
fn probe(dir: &Path) -> Result<(), Error> {
    let Some(file) = durable::nameless(dir) else {
        return Ok(());
    };
    sys::add_flags(&file, sys::APPEND).map_err(|source| Error::NotAppendOnly {
        path: dir.to_owned(),
        source,
    })
}

fn random_name() -> Result<String, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(hex(&bytes))
}

/// Where the log ends.
struct Ended<'a> {
    /// Last segment with a whole header, its file and that header.
    last: Option<&'a Segment>,
    header: Option<&'a Header>,
    /// Bytes of it that count, index after its last entry, chain value of its last frame.
    length: u64,
    next: u64,
    chain: Chain,
    torn: Vec<TornBytes>,
    faults: Vec<Fault>,
    watch: Watch,
    /// The newest time in it: that of its header is not before any of an earlier segment.
    latest: String,
}

fn end_of<'a>(segments: &'a [Segment], found: &Found) -> Result<Ended<'a>, Error> {
    let mut ended = Ended {
        last: None,
        header: None,
        length: 0,
        next: 0,
        chain: [0; 32],
        torn: Vec::new(),
        faults: Vec::new(),
        watch: Watch::new(None, false),
        latest: String::new(),
    };
    let last = segments
        .iter()
        .rposition(|segment| segment.header().is_some());
    for segment in &segments[last.map_or(0, |at| at + 1)..] {
        ended.skip_headless(segment)?;
    }
    let mut seen = false;
    if let Some(segment) = last.map(|at| &segments[at]) {
        seen = ended.read_last(segment, found)?;
    }
    ended.compare(found, seen, segments.len());
    Ok(ended)
}

impl<'a> Ended<'a> {
    /// A file that never got its header is left behind, whatever is in it. One that cannot be read now may hold what was
    /// acknowledged.
    fn skip_headless(&mut self, segment: &Segment) -> Result<(), Error> {
        if let First::Unreadable(why) = &segment.first {
            let error = io::Error::other(why.clone());
            return Err(Error::io("read", &segment.path, error));
        }
        self.tear(segment, 0)?;
        let born_dead = match &segment.first {
            First::Incomplete => true,
            First::Bad => {
                scan::load(&segment.path, 4096).is_ok_and(|data| scan::has_zero_run(&data))
            }
            First::Header { .. } | First::Unreadable(_) => false,
        };
        if !born_dead {
            let what = "the segment header is not what was written";
            let fault = Fault::new(FaultKind::HeaderEdited, &segment.file, what);
            self.faults.push(fault.at(0));
        }
        Ok(())
    }

    fn tear(&mut self, segment: &Segment, offset: u64) -> Result<(), Error> {
        let (length, sha256) = scan::digest_from(&segment.path, offset)
            .map_err(|error| Error::io("read", &segment.path, error))?;
        self.torn.push(TornBytes {
            file: segment.file.clone(),
            offset,
            seen: Some(Seen { length, sha256 }),
        });
        Ok(())
    }

    /// Accepts frames while length, index and chain hold. Says whether the head's chain value was met.
    fn read_last(&mut self, segment: &'a Segment, found: &Found) -> Result<bool, Error> {
        let First::Header {
            header,
            chain,
            start,
        } = &segment.first
        else {
            return Ok(false);
        };
        let key = segment.key();
        self.last = Some(segment);
        self.header = Some(header);
        self.latest.clone_from(&header.time);
        (self.length, self.next, self.chain) = (*start, key.first, *chain);
        let met = |next, chain: &Chain| matches!(found, Found::Head(head) if *head == Head { next, chain: *chain });
        let mut seen = met(key.first, chain);
        if let Some(prev) = &header.prev {
            seen |= met(prev.next, &prev.chain);
        }
        let fail = |error: io::Error| Error::io("read", &segment.path, error);
        let sealed = header.sealed.is_some();
        if sealed {
            // The segments before it are for `check`.
            self.watch.lost();
            self.faults.extend(self.watch.begin(header, key.first));
        }
        let mut scan = Scan::open(&segment.path, u64::MAX).map_err(fail)?;
        let _header = scan.next().map_err(fail)?;
        let (mut next, mut now, mut length) = (key.first, *chain, *start);
        loop {
            let offset = scan.offset;
            let Ok(frame) = scan.next().map_err(fail)? else {
                break;
            };
            let leaf = frame.leaf();
            let fits = frame.head.index == next && frame.is_sound();
            if !fits || !frame.follows_with(&now, &leaf) {
                break;
            }
            match frame.head.kind {
                Kind::Entry => {
                    (now, next) = (frame.chain, next + 1);
                    let time = time_of(frame.payload);
                    if let Some(time) = time.filter(|time| *time > self.latest.as_str()) {
                        self.latest.replace_range(.., time);
                    }
                    seen |= met(next, &now);
                    if sealed {
                        self.watch.entry(frame.payload, leaf);
                    }
                }
                Kind::Seal => {
                    let (payload, file) = (frame.payload, &segment.file);
                    let fault = self.watch.seal(payload, next, file, offset);
                    self.faults.extend(fault);
                }
                Kind::Header => break,
            }
            length += frame.size() as u64;
            // Nobody has a receipt for entries without a seal: what follows the last one is no part of the log.
            if !sealed || frame.head.kind == Kind::Seal {
                (self.length, self.next, self.chain) = (length, next, now);
            }
        }
        self.faults.extend(self.watch.verify_last());
        if key != segment.name {
            let what = format!("this file was made as {}", key.file());
            let fault = Fault::new(FaultKind::SegmentRenamed, &segment.file, what);
            self.faults.push(fault);
        }
        if scan.length > self.length {
            let data = scan::load(&segment.path, u64::MAX).map_err(fail)?;
            // Whole entries whose seal did not come are unfinished, too.
            let tail = usize::try_from(length).ok().and_then(|at| data.get(at..));
            let known = matches!(found, Found::Head(_));
            if !classify::is_torn(tail.unwrap_or_default(), known) {
                let what = "what follows the last whole entry is no unfinished write";
                let fault = Fault::new(FaultKind::Edited, &segment.file, what);
                self.faults
                    .push(fault.entries(self.next, 1).at(self.length));
            }
            self.tear(segment, self.length)?;
        }
        Ok(seen)
    }

    /// Compares with what the head file remembers.
    fn compare(&mut self, found: &Found, seen: bool, segments: usize) {
        let file = self.last.map_or("", |segment| segment.file.as_str());
        let fault = match found {
            Found::Head(head) if head.next > self.next => {
                let what = "the log ends before the entries that the head file names";
                let count = head.next - self.next;
                Fault::new(FaultKind::TailCut, file, what)
                    .entries(self.next, count)
                    .at(self.length)
            }
            Found::Head(head) => {
                // An older head lies in an earlier segment, which `check` reads.
                let prev = self.header.and_then(|header| header.prev.as_ref());
                let older = prev.is_some_and(|prev| head.next <= prev.next);
                if seen || older {
                    return;
                }
                let what = "the head file has another chain value for it";
                Fault::new(FaultKind::HeadMismatch, file, what)
                    .entries(head.next.saturating_sub(1), 1)
            }
            // Nothing was ever acknowledged: the first start did not get as far as the head file.
            Found::Missing if self.next == 0 && segments <= 1 => return,
            Found::Missing => Fault::new(
                FaultKind::HeadUnreadable,
                file,
                "the head file is missing, a cut tail would not be noticed",
            ),
            Found::Damaged(why) => Fault::new(
                FaultKind::HeadUnreadable,
                file,
                format!("the head file cannot be read ({why}), a cut tail would not be noticed"),
            ),
        };
        self.faults.push(fault);
    }
}

/// Goes on in the last file if it is as we would have left it.
fn take_over(
    dir: &Path,
    last: &Segment,
    length: u64,
    append_only: AppendOnly,
    faults: &mut Vec<Fault>,
) -> Result<Option<Live>, Error> {
    if last.immutable {
        return Ok(None);
    }
    if append_only == AppendOnly::Required && !last.append {
        let what = "its append-only flag was cleared";
        faults.push(Fault::new(FaultKind::FileChanged, &last.file, what));
        return Ok(None);
    }
    match Live::take_over(dir, last.name, length) {
        Ok(live) => Ok(Some(live)),
        Err(Error::Tampered { what, .. }) => {
            faults.push(Fault::new(FaultKind::FileChanged, &last.file, what));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn shown(torn: &TornBytes) -> Torn {
    Torn {
        file: torn.file.clone(),
        offset: torn.offset,
        bytes: torn.seen.as_ref().map_or(0, |seen| seen.length),
    }
}

/// Faults that stay visible in the header. A power cut can lose the head file, so that one is only recorded.
fn lasting(faults: &[Fault]) -> Vec<String> {
    faults
        .iter()
        .filter(|fault| fault.kind != FaultKind::HeadUnreadable)
        .map(ToString::to_string)
        .collect()
}

fn why(recovery: &Recovery) -> Option<String> {
    if let Some(fault) = recovery.faults.first() {
        return Some(format!("changed from outside: {fault}"));
    }
    (!recovery.torn.is_empty()).then(|| "an unfinished write was skipped".to_owned())
}
