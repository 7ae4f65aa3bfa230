//! The journal as its one writer sees it.

use crate::commit::Commit;
use crate::draft::Draft;
use crate::frame::{self, Chain, Kind};
use crate::head::{Head, HeadFile};
use crate::header::{Begins, Header, Name, Prev, TornBytes};
use crate::record::{Record, kind, time_of};
use crate::recover::Lock;
use crate::seal::{self, Identity, Sealer};
use crate::segment::Live;
use crate::{Error, Fault, MAX_RECORD, Timestamp};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What to do where the append-only flag cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOnly {
    /// Refuse to open. The agent's choice.
    Required,
    /// Set it where that is possible, else go on without.
    Preferred,
    /// Do not set it. For tests, whose directories must be removable again.
    Off,
}

/// A segment is closed before it would hold more entries or bytes than this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub entries: u64,
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1 << 16,
            bytes: 32 << 20,
        }
    }
}

/// Proof that an entry is on disk. Only an append makes one.
#[must_use = "a right may be given only while its receipt is held"]
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    chain: [u8; 32],
}

impl Receipt {
    /// Number of the entry; the first of a log is 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Chain value over all entries up to this one.
    #[must_use]
    pub fn chain(&self) -> &[u8; 32] {
        &self.chain
    }
}

/// Bytes of an unfinished write that are skipped, never cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// File name in the journal directory.
    pub file: String,
    /// Where the torn bytes begin.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
}

/// What `open` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Recovery {
    /// Traces of a crash: harmless, no entry that had a receipt is lost.
    pub torn: Vec<Torn>,
    /// Signs of outside change. Also written to the log; give nothing before someone was told.
    pub faults: Vec<Fault>,
}

/// The open log. One process at a time.
#[derive(Debug)]
pub struct Journal {
    pub(crate) dir: PathBuf,
    /// Locked as long as the journal is open.
    pub(crate) _lock: Lock,
    pub(crate) head_path: PathBuf,
    /// `None` only while the journal is being opened.
    pub(crate) head: Option<HeadFile>,
    /// The head file does not name the newest commit yet.
    pub(crate) head_due: bool,
    pub(crate) append_only: AppendOnly,
    pub(crate) limits: Limits,
    pub(crate) log: String,
    /// Index of the next entry.
    pub(crate) next: u64,
    pub(crate) chain: Chain,
    /// Part of the next segment's name; grows when a file is given up.
    pub(crate) generation: u64,
    /// The newest time in the log. A header is never made earlier: on a clock that was set back, or had forgotten the time, what
    /// comes before it would look old.
    pub(crate) latest: String,
    /// Where the log begins by now, for the headers to come.
    pub(crate) begins: Option<Begins>,
    pub(crate) state: State,
    /// `None` only in tests of logs without seals.
    pub(crate) sealer: Option<Sealer>,
}

/// Where the next entry can go.
#[derive(Debug)]
pub(crate) enum State {
    Live(Live),
    /// A new segment must be made first.
    Broken(Broken),
    /// Changed from outside: nothing more is written. Holds the file and what was seen.
    Tampered(PathBuf, &'static str),
}

/// A log whose last file is done with.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    pub prev: Option<Prev>,
    pub torn: Vec<TornBytes>,
    pub faults: Vec<String>,
    /// An empty file already made for the new segment.
    pub spare: Option<Live>,
    /// Why, for the recovery record; `None` if there is nothing to tell.
    pub why: Option<String>,
}

impl Journal {
    /// Opens with [`AppendOnly::Required`]; see [`Journal::open_with`].
    ///
    /// # Errors
    /// As [`Journal::open_with`].
    pub fn open(
        dir: &Path,
        head: &Path,
        now: &Timestamp,
        identity: Identity,
    ) -> Result<(Self, Recovery), Error> {
        Self::open_with(dir, head, now, identity, AppendOnly::Required)
    }

    /// Opens or makes the log in `dir`, with its head file at `head`. A torn tail is left where it is: the file is
    /// sealed and a new segment begins. Costs one read of the last segment; of the whole log, once, where it has no
    /// seals yet.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process has it open, [`Error::NotAppendOnly`], [`Error::Full`], and failing
    /// system calls.
    pub fn open_with(
        dir: &Path,
        head: &Path,
        now: &Timestamp,
        identity: Identity,
        append_only: AppendOnly,
    ) -> Result<(Self, Recovery), Error> {
        let limits = Limits::default();
        crate::recover::open(dir, head, now, Some(identity), append_only, limits)
    }

    /// What a commit leaves to be done when everyone has his receipt: the head file is written. Else the next commit does it,
    /// and where it fails that one tells.
    pub fn settle(&mut self) {
        let _ = self.note_head();
    }

    /// Index that the next entry will get.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Appends one record; returns when it is on disk.
    ///
    /// # Errors
    /// See [`Error`]. Nothing may be given without the receipt.
    pub fn append(&mut self, record: &Record) -> Result<Receipt, Error> {
        let mut receipts = self.append_batch(&[Draft::new(record)?])?;
        receipts.pop().ok_or(Error::Kind)
    }

    /// Appends all records or none is acknowledged: one write, one sync. An empty slice does nothing.
    ///
    /// # Errors
    /// As [`Journal::append`]. After an error other than a full disk the entries may be in the log all the same,
    /// without a receipt.
    pub fn append_batch(&mut self, drafts: &[Draft]) -> Result<Vec<Receipt>, Error> {
        let Some(first) = drafts.first() else {
            return Ok(Vec::new());
        };
        let size = |draft: &Draft| draft.json().len() + frame::OVERHEAD;
        let bytes = drafts.iter().map(size).sum::<usize>() + seal::ROOM;
        // Never more than one commit behind: nothing is written while the head file cannot be.
        self.note_head()?;
        self.rotate_if_full(drafts.len(), bytes, &first.time)?;
        if matches!(self.state, State::Live(_)) {
            match self.write(drafts, bytes) {
                Ok(receipts) => return Ok(receipts),
                // The file did not take the bytes and is done with: once more in a new one.
                Err(error @ Error::Io { .. }) if matches!(self.state, State::Broken(_)) => {
                    self.start_segment(&first.time)
                        .map_err(|next| if next.is_full() { next } else { error })?;
                }
                Err(error) => return Err(error),
            }
        } else {
            self.start_segment(&first.time)?;
        }
        self.write(drafts, bytes)
    }

    /// Seals, frames, writes, syncs and checks. A commit that gives something destroys the key that sealed it. `room`: about
    /// as many bytes will be written.
    fn write(&mut self, drafts: &[Draft], room: usize) -> Result<Vec<Receipt>, Error> {
        let State::Live(live) = &mut self.state else {
            return Err(self.closed());
        };
        let commit = Commit::new(self.sealer.as_mut(), drafts, self.next)?;
        let mut bytes = Vec::with_capacity(room);
        let chains = commit.encode(&mut bytes, self.next, &self.chain);
        let receipts = (self.next..).zip(chains);
        let receipts: Vec<_> = receipts
            .map(|(index, chain)| Receipt { index, chain })
            .collect();
        let may_use_kept = drafts.iter().all(|draft| draft.kept_room);
        live.reserve(bytes.len(), may_use_kept)?;
        let mut sealer = self.sealer.as_mut();
        let meanwhile = || {
            if let (Some(sealer), Some(sealing)) = (&mut sealer, &commit.sealing) {
                sealer.look_ahead(sealing);
            }
        };
        if let Err(error) = live.append(&bytes, meanwhile) {
            let mut broken = Broken {
                why: Some(error.to_string()),
                ..Broken::default()
            };
            let prev = live.as_prev(self.next, self.chain);
            broken.torn.push(TornBytes {
                file: prev.file.clone(),
                offset: prev.length,
                seen: None,
            });
            broken.prev = Some(prev);
            self.generation += 1;
            self.retire(broken);
            return Err(error);
        }
        self.next += receipts.len() as u64;
        self.chain = receipts.last().map_or(self.chain, |last| last.chain);
        let times = drafts
            .iter()
            .filter_map(|draft| time_of(draft.json().as_bytes()));
        if let Some(time) = times.max().filter(|time| *time > self.latest.as_str()) {
            self.latest = time.to_owned();
        }
        if let (Some(sealer), Some(sealing)) = (&mut self.sealer, commit.sealing) {
            sealer.done(sealing);
        }
        self.verify()?;
        self.head_due = true;
        Ok(receipts)
    }

    /// Looks at the live file; once it was changed from outside nothing more is written.
    fn verify(&mut self) -> Result<(), Error> {
        let State::Live(live) = &self.state else {
            return Err(self.closed());
        };
        live.verify().inspect_err(|error| {
            if let Error::Tampered { path, what } = error {
                self.state = State::Tampered(path.clone(), what);
            }
        })
    }

    fn closed(&self) -> Error {
        match &self.state {
            State::Tampered(path, what) => Error::Tampered {
                path: path.clone(),
                what,
            },
            State::Live(_) | State::Broken(_) => {
                let source = std::io::Error::other("no segment is open");
                Error::io("write to", &self.dir, source)
            }
        }
    }

    fn rotate_if_full(
        &mut self,
        entries: usize,
        bytes: usize,
        time: &Timestamp,
    ) -> Result<(), Error> {
        let State::Live(live) = &self.state else {
            return Ok(());
        };
        let held = self.next - live.first;
        let fits = held + entries as u64 <= self.limits.entries
            && live.length() + bytes as u64 <= self.limits.bytes;
        if fits || held == 0 {
            return Ok(());
        }
        self.new_segment(time)
    }

    /// Closes the live segment and begins the next one, unless the live one is new.
    pub(crate) fn new_segment(&mut self, time: &Timestamp) -> Result<(), Error> {
        if let State::Live(live) = &self.state {
            if live.first == self.next {
                return Ok(());
            }
            let broken = Broken {
                prev: Some(live.as_prev(self.next, self.chain)),
                ..Broken::default()
            };
            self.retire(broken);
        }
        self.start_segment(time)
    }

    /// Closes and seals the live file; the next append needs a new one.
    fn retire(&mut self, broken: Broken) {
        if let State::Live(live) = std::mem::replace(&mut self.state, State::Broken(broken)) {
            live.seal();
        }
    }

    /// Makes the next segment: file, header, and the recovery record if something went wrong before.
    pub(crate) fn start_segment(&mut self, time: &Timestamp) -> Result<(), Error> {
        let State::Broken(broken) = &mut self.state else {
            return Err(self.closed());
        };
        let name = Name {
            first: self.next,
            generation: self.generation,
        };
        let header = Header {
            v: Header::version(self.sealer.is_some()),
            log: self.log.clone(),
            file: name.file(),
            time: time.rfc3339().max(self.latest.clone()),
            boot_id: time.boot_id.clone(),
            prev: broken.prev.clone(),
            torn: broken.torn.clone(),
            faults: broken.faults.clone(),
            sealed: self.sealer.as_ref().map(|sealer| sealer.state(self.next)),
            begins: self.begins,
        };
        let payload = serde_json::to_vec(&header).map_err(Error::Json)?;
        if payload.len() > MAX_RECORD {
            let bytes = payload.len();
            return Err(Error::TooLarge { bytes });
        }
        let (mut bytes, mut next) = (Vec::new(), self.next);
        let before = header.before();
        let mut chain = frame::encode(&mut bytes, Kind::Header, next, &payload, &before);
        let mut sealing = None;
        if let Some(record) = broken.record(time) {
            let drafts = [Draft::new(&record)?];
            let commit = Commit::new(self.sealer.as_mut(), &drafts, next)?;
            for value in commit.encode(&mut bytes, next, &chain) {
                chain = value;
                next += 1;
            }
            sealing = commit.sealing;
        }
        let mut live = match broken.spare.take() {
            Some(live) => live,
            None => Live::create(&self.dir, name).inspect_err(|error| {
                // Somebody made a file of that name: the next try takes another.
                if matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists) {
                    self.generation += 1;
                }
            })?,
        };
        let made = live
            .protect(self.append_only)
            // Its first entry may be one that must be told.
            .and_then(|()| live.reserve(bytes.len(), true))
            .and_then(|()| live.append_first(&bytes, &self.dir));
        if let Err(error) = made {
            if error.is_full() && live.is_empty() {
                broken.spare = Some(live);
            } else {
                // Whatever is in it is no part of the log; the next try has another name.
                let file = name.file();
                let (offset, seen) = (0, None);
                broken.torn.push(TornBytes { file, offset, seen });
                self.generation += 1;
            }
            return Err(error);
        }
        (self.next, self.chain) = (next, chain);
        // A recovery record has the same time or an earlier one.
        self.latest = header.time;
        self.state = State::Live(live);
        if let (Some(sealer), Some(sealing)) = (&mut self.sealer, sealing) {
            sealer.done(sealing);
        }
        self.verify()?;
        self.head_due = true;
        self.note_head()
    }

    /// Writes the head file, if it is behind.
    fn note_head(&mut self) -> Result<(), Error> {
        let head = self.head();
        // None while the journal is being opened.
        if let Some(file) = self.head.as_mut().filter(|_| self.head_due) {
            file.set(&head)
                .map_err(|error| Error::io("write", &self.head_path, error))?;
            self.head_due = false;
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            next: self.next,
            chain: self.chain,
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A head that cannot be written is an older one, as after a power cut.
        let _ = self.note_head();
    }
}

impl Broken {
    /// Tells in the log itself what happened to it.
    fn record(&self, time: &Timestamp) -> Option<Record> {
        let why = self.why.as_ref()?;
        let torn: Vec<_> = self
            .torn
            .iter()
            .map(|torn| {
                let bytes = torn.seen.as_ref().map(|seen| seen.length);
                serde_json::json!({ "file": torn.file, "offset": torn.offset, "bytes": bytes })
            })
            .collect();
        let record = Record::new(kind::RECOVERY, time.clone()).detail("why", why.as_str());
        Some(
            record
                .detail("torn", torn)
                .detail("faults", self.faults.clone()),
        )
    }
}
