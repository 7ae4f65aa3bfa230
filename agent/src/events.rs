//! The agent's hand on the journal: one thread appends (several waiting records in one commit) and then sends each
//! record to the local logs.
//!
//! Whoever gives something waits for [`Log::append`] and holds its `Receipt`. Whoever takes away uses
//! [`Log::later`], which never waits: the thread keeps the record and tries again until it is written.

use crate::backlog::{Backlog, Kept};
use crate::clock::{self, Now};
use crate::local::Local;
use crate::metrics::Counts;
use crate::paths;
use journal::{Draft, HostKey, Identity, Journal, Receipt, Record, Timestamp, kind};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};

/// Records in one commit.
const BATCH: usize = 64;
/// Records waiting for the thread; more means that the disk does not keep up, and uses are refused. Endings and reports
/// are taken all the same: nobody waits for them, and none may be lost.
const QUEUE: usize = 1024;
/// Endings kept while the journal cannot be written.
const BACKLOG: usize = 10_000;
/// Loud records kept for a listener.
const LOUD: usize = 64;
const RETRY: Duration = Duration::from_secs(1);

/// The record is not on disk; nothing may be given.
#[derive(Debug, Clone)]
pub struct NotRecorded(pub String);

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal cannot be written ({})", self.0)
    }
}

impl std::error::Error for NotRecorded {}

type Reply = oneshot::Sender<Result<Receipt, NotRecorded>>;

enum Job {
    /// Without a reply nobody waits: try until it is written.
    Write(Box<Draft>, Option<Reply>),
    /// What [`Journal::prune`] takes.
    Prune(u64, u64, Box<Record>, Reply),
    /// Nobody waits, and it can never be stored.
    Unfit,
    /// Answered when everything before it was tried once.
    Barrier(oneshot::Sender<()>),
}

/// Handle to the journal thread.
#[derive(Clone)]
pub struct Log {
    tx: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    next: watch::Receiver<u64>,
    trouble: Arc<Mutex<Option<String>>>,
    counts: Arc<Mutex<Counts>>,
    loud: broadcast::Sender<Loud>,
}

/// A record that needs a person's eye: a refusal, an alert, a fault of the journal, a break-glass code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loud {
    pub index: u64,
    /// Its type.
    pub kind: String,
    /// An alert's `detail.code`, or empty.
    pub code: String,
}

impl Log {
    /// Start the thread. It opens the journal by itself and again after trouble, so an agent with a dead journal
    /// still ends grants.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(now: Timestamp) -> std::io::Result<Self> {
        let (tx, rx) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (reached, next) = watch::channel(0);
        let trouble = Arc::new(Mutex::new(None));
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (loud, _) = broadcast::channel(LOUD);
        let writer = Writer {
            waiting: waiting.clone(),
            next: reached,
            journal: None,
            backlog: Backlog::new(BACKLOG),
            trouble: trouble.clone(),
            counts: counts.clone(),
            loud: loud.clone(),
            opened_at: now,
            local: Local::default(),
            changed: None,
        };
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&rx))?;
        Ok(Self {
            tx,
            waiting,
            next,
            trouble,
            counts,
            loud,
        })
    }

    /// Append and wait until the record is durable.
    ///
    /// # Errors
    /// When it is not; the caller gives nothing.
    pub async fn append(&self, record: Record) -> Result<Receipt, NotRecorded> {
        if self.waiting.load(Ordering::Relaxed) >= QUEUE {
            return Err(NotRecorded("too many records wait for the disk".into()));
        }
        let draft = Draft::new(&record).map_err(|e| NotRecorded(e.to_string()))?;
        self.ask(|reply| Job::Write(Box::new(draft), Some(reply)))
            .await
    }

    /// Give up all entries below `first`, as [`journal::prunable`] named it; `record` says so in the journal.
    ///
    /// # Errors
    /// When nothing was given up.
    pub async fn prune(
        &self,
        first: u64,
        keep_days: u64,
        record: Record,
    ) -> Result<Receipt, NotRecorded> {
        self.ask(|reply| Job::Prune(first, keep_days, Box::new(record), reply))
            .await
    }

    async fn ask(&self, job: impl FnOnce(Reply) -> Job) -> Result<Receipt, NotRecorded> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(job(reply));
        // A writer that has stopped drops the sender.
        answer
            .await
            .unwrap_or_else(|_| Err(NotRecorded("its writer has stopped".into())))
    }

    /// An index that no record handed over from now on gets below; 0 as long as the journal was not opened.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        *self.next.borrow()
    }

    /// [`Log::next_index`] as it grows: every record below is durable.
    #[must_use]
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.next.clone()
    }

    /// Append as soon as possible; nobody waits. For endings, refusals and reports.
    pub fn later(&self, record: Record) {
        self.hand_over(match Draft::new(&record) {
            Ok(draft) => Job::Write(Box::new(draft), None),
            Err(_) => Job::Unfit,
        });
    }

    fn hand_over(&self, job: Job) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.tx.send(job).is_err() {
            self.set_trouble("its writer has stopped");
        }
    }

    /// Wait until everything handed over so far was tried once.
    pub async fn settle(&self) {
        let (tx, rx) = oneshot::channel();
        self.hand_over(Job::Barrier(tx));
        // An error means that the writer has stopped, and with it all that was handed over.
        let _ = rx.await;
    }

    /// Why the journal cannot be written at the moment.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was recorded since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = self.counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loud records from now on; who is slow misses some, and has the journal.
    #[must_use]
    pub fn loud(&self) -> broadcast::Receiver<Loud> {
        self.loud.subscribe()
    }

    fn set_trouble(&self, why: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }
}

struct Writer {
    waiting: Arc<AtomicUsize>,
    next: watch::Sender<u64>,
    journal: Option<Journal>,
    backlog: Backlog,
    trouble: Arc<Mutex<Option<String>>>,
    counts: Arc<Mutex<Counts>>,
    loud: broadcast::Sender<Loud>,
    opened_at: Timestamp,
    local: Local,
    /// That the open log was changed from outside, until it is on record: opening may take what it finds for a crash's.
    changed: Option<String>,
}

impl Writer {
    fn run(mut self, rx: &Receiver<Job>) {
        loop {
            let first = if self.backlog.is_empty() {
                match rx.recv() {
                    Ok(job) => Some(job),
                    Err(_) => return,
                }
            } else {
                match rx.recv_timeout(RETRY) {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => {
                        self.flush_backlog();
                        return;
                    }
                }
            };
            self.flush_backlog();
            if let Some(first) = first {
                let (mut drafts, mut replies) = (Vec::new(), Vec::new());
                let mut barriers = Vec::new();
                let mut prunes = Vec::new();
                for job in std::iter::once(first).chain(rx.try_iter().take(BATCH - 1)) {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    match job {
                        Job::Write(draft, reply) => {
                            drafts.push(*draft);
                            replies.push(reply);
                        }
                        Job::Prune(first, days, record, reply) => {
                            prunes.push((first, days, *record, reply));
                        }
                        Job::Unfit => self
                            .local
                            .alert("jit journal: a record too large to be stored was lost"),
                        Job::Barrier(b) => barriers.push(b),
                    }
                }
                if !drafts.is_empty() {
                    self.write(&drafts, replies);
                    // What could not be written is tried once more before anyone is told that all was tried.
                    self.flush_backlog();
                }
                for (first, days, record, reply) in prunes {
                    self.prune(first, days, record, reply);
                }
                self.settle();
                for barrier in barriers {
                    let _ = barrier.send(());
                }
            }
        }
    }

    fn write(&mut self, drafts: &[Draft], replies: Vec<Option<Reply>>) {
        match self.append(drafts) {
            Ok(receipts) => {
                let indexes: Vec<u64> = receipts.iter().map(Receipt::index).collect();
                for (reply, receipt) in replies.into_iter().zip(receipts) {
                    if let Some(reply) = reply {
                        let _ = reply.send(Ok(receipt));
                    }
                }
                self.settle();
                for (draft, index) in drafts.iter().zip(indexes) {
                    self.tell(index, draft.json());
                }
            }
            // Where there is no room for all there may be for one.
            Err(_) if drafts.len() > 1 => {
                for (draft, reply) in drafts.iter().zip(replies) {
                    self.write(std::slice::from_ref(draft), vec![reply]);
                }
            }
            Err(why) => {
                for (draft, reply) in drafts.iter().zip(replies) {
                    match reply {
                        Some(reply) => {
                            let _ = reply.send(Err(why.clone()));
                        }
                        None => self.keep(draft.clone()),
                    }
                }
            }
        }
    }

    /// For when the journal can be written again.
    fn keep(&mut self, draft: Draft) {
        if self.backlog.keep(draft) == Kept::FirstLost {
            self.local.alert(&format!(
                "jit journal: it cannot be written and {BACKLOG} records wait; what comes from now on is lost to it"
            ));
        }
    }

    fn prune(&mut self, first: u64, keep_days: u64, record: Record, reply: Reply) {
        let receipt = self.with_journal(|journal| journal.prune(first, keep_days, record));
        if let Ok(receipt) = &receipt {
            let stored = journal::read_from(Path::new(paths::JOURNAL_DIR), receipt.index());
            if let Some(Ok(entry)) = stored.into_iter().next() {
                self.tell(entry.index, &entry.json);
            }
        }
        let _ = reply.send(receipt);
    }

    /// Everyone has his answer: time for what nobody waits for.
    fn settle(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.settle();
        }
    }

    fn flush_backlog(&mut self) {
        loop {
            let mut written = self.write_one(Backlog::first);
            if written.is_none() {
                // Where there is no room for the first there may be some for what ends.
                written = self.write_one(Backlog::first_that_ends);
            }
            let Some(place) = written else { return };
            if let Some(lost) = self.backlog.written(place) {
                let why = format!(
                    "{lost} records were lost: the journal could not be written for so long"
                );
                let told = Record::new(kind::ALERT, self.at()).detail("code", "journal");
                if let Ok(draft) = Draft::new(&told.detail("why", why)) {
                    self.keep(draft);
                }
            }
        }
    }

    /// Writes one record of those that wait; its place, if that came to be.
    fn write_one(&mut self, which: impl Fn(&Backlog) -> Option<(usize, &Draft)>) -> Option<usize> {
        let (place, draft) = which(&self.backlog).map(|(place, draft)| (place, draft.clone()))?;
        let receipts = self.append(std::slice::from_ref(&draft)).ok()?;
        for receipt in receipts {
            self.tell(receipt.index(), draft.json());
        }
        Some(place)
    }

    /// This moment, or the start where no clock can be read.
    fn at(&self) -> Timestamp {
        let mut at = self.opened_at.clone();
        if let Ok(now) = clock::now() {
            (at.unix_ms, at.boot_ns) = (now.wall_ms, now.boot_ns);
        }
        at
    }

    /// A record that is on disk goes to the local logs, too.
    fn tell(&mut self, index: u64, json: &str) {
        self.local.record(index, json);
        let record: Value = serde_json::from_str(json).unwrap_or_default();
        if crate::local::is_loud(&record) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, code) = (text(&record["type"]), text(&record["detail"]["code"]));
            // Nobody may listen.
            let _ = self.loud.send(Loud { index, kind, code });
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.hear(&record);
    }

    fn append(&mut self, drafts: &[Draft]) -> Result<Vec<Receipt>, NotRecorded> {
        let result = self.with_journal(|journal| journal.append_batch(drafts));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            result.as_ref().err().map(|e| e.0.clone());
        result
    }

    fn with_journal<T>(
        &mut self,
        act: impl FnOnce(&mut Journal) -> Result<T, journal::Error>,
    ) -> Result<T, NotRecorded> {
        let mut journal = match self.journal.take() {
            Some(j) => j,
            None => self.open()?,
        };
        let result = act(&mut journal);
        self.next.send_replace(journal.next_index());
        // After trouble the journal is opened anew: recovery is the way back for every fault. A full disk is none: there may be
        // room for the next record, and to open it takes long.
        if result.as_ref().err().is_none_or(journal::Error::is_full) {
            self.journal = Some(journal);
        }
        result.map_err(|e| {
            if e.is_tampered() {
                self.changed = Some(e.to_string());
            }
            NotRecorded(e.to_string())
        })
    }

    fn open(&mut self) -> Result<Journal, NotRecorded> {
        let at = self.at();
        let dir = Path::new(paths::JOURNAL_DIR);
        let identity = identity().map_err(NotRecorded)?;
        let (mut journal, recovery) =
            Journal::open(dir, Path::new(paths::JOURNAL_HEAD), &at, identity)
                .map_err(|e| NotRecorded(e.to_string()))?;
        for fault in &recovery.faults {
            self.local.alert(&format!("jit journal: {fault}"));
        }
        if !recovery.faults.is_empty() || !recovery.torn.is_empty() {
            // The journal wrote a record of it by itself: that one gets its line too.
            let first = journal.next_index().saturating_sub(1);
            for entry in journal::read_from(dir, first).flatten() {
                self.tell(entry.index, &entry.json);
            }
        }
        if let Some(why) = self.changed.take() {
            let record = Record::new(kind::ALERT, at)
                .detail("code", "journal")
                .detail(
                    "why",
                    format!("the journal was changed from outside: {why}"),
                );
            self.local.alert(&format!("jit journal: {why}"));
            let told = Draft::new(&record).and_then(|draft| {
                let receipts = journal.append_batch(std::slice::from_ref(&draft))?;
                Ok((draft, receipts))
            });
            match told {
                Ok((draft, receipts)) => {
                    for receipt in receipts {
                        self.tell(receipt.index(), draft.json());
                    }
                }
                Err(e) => {
                    self.changed = Some(why);
                    return Err(NotRecorded(e.to_string()));
                }
            }
        }
        Ok(journal)
    }
}

/// The host's id in the origin of its log.
///
/// # Errors
/// The file cannot be read.
pub fn host_id() -> Result<String, String> {
    let path = paths::MACHINE_ID;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    Ok(text.trim().to_owned())
}

/// Whose log it is: the host's id and the key that signs its first head after each opening. Read when it is needed.
fn identity() -> Result<Identity, String> {
    let read = |path: &str| std::fs::read(path).map_err(|e| format!("{path}: {e}"));
    let host = host_id()?;
    let key = HostKey::from_pkcs8(&read(paths::HOST_KEY_FILE)?)
        .ok_or_else(|| format!("{} is no Ed25519 key", paths::HOST_KEY_FILE))?;
    Ok(Identity { host, key })
}

/// A record at this moment.
#[must_use]
pub fn record(kind: &str, now: Now, boot_id: &str) -> Record {
    Record::new(
        kind,
        Timestamp {
            unix_ms: now.wall_ms,
            boot_ns: now.boot_ns,
            boot_id: boot_id.to_owned(),
        },
    )
}
