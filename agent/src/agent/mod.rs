//! The agent's state and what happens to it, one file for each kind of event. Everything runs on one thread; a borrow
//! of [`Core`] is never held over an `await`.

mod accept;
mod activate;
mod answered;
mod breakglass;
mod details;
mod doors;
mod elevate;
mod enrol;
mod explain;
mod extend;
mod finish;
mod grants;
mod held;
mod import;
mod last;
mod no;
mod numbers;
mod outcome;
mod people;
mod probe;
mod prune;
mod receivers;
mod reconcile;
mod reload;
#[cfg(test)]
mod runs;
mod say;
mod statements;
mod status;
mod stored;
mod time;
mod trust;
mod uses;
mod waiting;
mod warn;
mod watch;
mod witness;
mod word;

pub use grants::Grants;
pub use numbers::publish;
pub use receivers::Receivers;
pub use stored::Stored;
pub use witness::Witness;

use crate::budget::Ledger;
use crate::clock::{self, Now};
use crate::config::Config;
use crate::decide::View;
use crate::effects::units::Units;
use crate::events::{self, Log};
use crate::listen::outbox::Outbox;
use crate::store::codes::CodeFile;
use crate::store::grants::Cause;
use crate::store::identity::Enrolled;
use crate::store::pending::Pending;
use crate::store::state::State;
use crate::throttle::Throttle;
use journal::Record;
use settings::ceiling::Ceiling;
use statement::claims::Revocation;
use statement::sign::Signer;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};
use wire::link::{Answer, Down, Said};

/// Answers about ended requests and grants that are kept for `Wait` and for messages.
const REMEMBERED: usize = 1024;
const ALERT_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// The running agent.
pub struct Agent {
    pub boot_id: String,
    pub host_name: String,
    pub signer: Signer,
    pub log: Log,
    /// Or why it cannot be read: then nothing is given. Replaced by a reload, see [`Agent::ceiling`].
    pub config: RefCell<Result<Config, String>>,
    pub throttle: Throttle,
    pub alerted: Cell<Option<tokio::time::Instant>>,
    /// The clocks when they were last looked at.
    pub looked: Cell<Option<Now>>,
    pub core: RefCell<Core>,
    /// Statements are taken one after the other, whoever brings them.
    pub taking: tokio::sync::Mutex<()>,
    /// Turns to put a grant in force.
    pub starts: tokio::sync::Semaphore,
    /// Held while a break-glass code is being used: none is used twice.
    pub breaking: tokio::sync::Mutex<()>,
    /// Held while the journal is read for somebody.
    pub explaining: tokio::sync::Mutex<()>,
    /// Of syslog, fed through the link.
    pub receivers: RefCell<Receivers>,
    /// Of the journal, at the issuer.
    pub witness: RefCell<Witness>,
    /// The witness is to be shown a head now.
    pub show_head: Notify,
    /// Something a waiter may wait for has changed.
    pub changed: Notify,
    /// A grant that starts later has come.
    pub to_start: Notify,
    /// This agent was told to stop: nobody waits with it for what the next one will see.
    pub stopping: Cell<bool>,
}

/// What changes.
pub struct Core {
    pub enrolled: Option<Enrolled>,
    pub state: State,
    pub grants: Grants,
    /// With these the grants that nobody has looked at since the start are to be compared, whatever is forgotten meanwhile;
    /// `None`: all were looked at.
    unheard: Option<Vec<Revocation>>,
    pub pending: BTreeMap<String, Pending>,
    /// Requests of people that were answered here, and until when that matters; `None` while it is not known.
    pub answered: Option<BTreeMap<String, u64>>,
    /// Break-glass statements of this host, used ones too.
    pub codes: BTreeMap<String, CodeFile>,
    /// Tries of codes.
    tries: breakglass::Tries,
    outcomes: Remembered<(u32, Outcome)>,
    /// Being put in force right now, by a task that will also take away what it gave if it must.
    arming: HashSet<String>,
    /// Being ended, until the proof is journaled; also what is known by its file or unit alone.
    ending: HashSet<String>,
    /// Of these: nobody has been asked yet to take it away, or the cause is not on disk.
    unasked: HashSet<String>,
    /// In force with their unit and timer; their memberships are still to be given.
    owed: HashSet<String>,
    /// Being ended, and shown to be gone but for processes outside the unit.
    gone: HashSet<String>,
    /// What was held within the last day.
    held: Ledger,
    /// The last ended grant of each uid, for the refusal's text.
    ended: HashMap<u32, (String, Cause, u64)>,
    units: Option<Units>,
    pub link: Link,
    /// Moves begun at audit `open`, before it is known which command runs.
    moves: HashMap<(u32, u64), Move>,
}

/// What became of a request.
#[derive(Clone, Debug)]
enum Outcome {
    Granted(String),
    /// The issuer, or its policy, said no.
    Denied(String),
    /// Granted, and the grant is not one that this host takes.
    Unfit(String),
    /// Whoever asked took it back; or root did.
    Withdrawn(&'static str),
    /// The issuer could not be asked.
    Failed(String),
    /// Granted, and then not put in force on this host.
    Broken(String),
    /// Granted, and by then more than the user may hold in a day on this host.
    OverBudget(String),
}

struct Move {
    grant: String,
    /// Whose process it is, and since when: what is never asked for again is forgotten.
    uid: u32,
    at: tokio::time::Instant,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// The link as the agent sees it.
#[derive(Default)]
pub struct Link {
    pub tx: Option<Outbox>,
    /// The link says that the issuer's stream is open.
    pub connected: bool,
    /// Why not.
    pub note: Option<String>,
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    /// Whoever waits for the witness's word, and about what.
    witness: Option<(u64, oneshot::Sender<Said>)>,
    next: u64,
    /// `CLOCK_BOOTTIME` nanoseconds at which the issuer was last asked what became of each open request.
    asked_ns: HashMap<String, u64>,
    /// `CLOCK_BOOTTIME` nanoseconds at which the stream was opened.
    connected_ns: u64,
    /// `CLOCK_BOOTTIME` nanoseconds of the last receipt.
    receipt_ns: Option<u64>,
    /// What became of requests that people made elsewhere, for the next receipt.
    tell: std::collections::VecDeque<answered::Told>,
    /// `CLOCK_BOOTTIME` nanoseconds of the last `read_again`.
    read_again_ns: Option<u64>,
}

impl Link {
    /// Something is missing: have the issuer's log read from its start. What is known already is refused by the
    /// counters. Not more often than every half minute.
    fn read_again(&mut self, host: String, now: Now) {
        let lately = self
            .read_again_ns
            .is_some_and(|then| now.boot_ns.saturating_sub(then) < 30_000_000_000);
        if let Some(tx) = self.tx.as_ref().filter(|_| !lately) {
            let _ = tx.send(Down::Welcome {
                version: wire::VERSION,
                host,
                after: 0,
            });
            self.read_again_ns = Some(now.boot_ns);
        }
    }
}

/// The newest entries of a map; old ones fall out.
struct Remembered<T> {
    map: HashMap<String, T>,
    order: std::collections::VecDeque<String>,
}

impl<T> Remembered<T> {
    fn new() -> Self {
        Self {
            map: HashMap::new(),
            order: std::collections::VecDeque::new(),
        }
    }

    fn put(&mut self, id: &str, value: T) {
        if self.map.insert(id.to_owned(), value).is_none() {
            self.order.push_back(id.to_owned());
        }
        while self.order.len() > REMEMBERED {
            if let Some(old) = self.order.pop_front() {
                self.map.remove(&old);
            }
        }
    }

    fn get(&self, id: &str) -> Option<&T> {
        self.map.get(id)
    }
}

impl Core {
    #[must_use]
    pub fn new(enrolled: Option<Enrolled>, state: State) -> Self {
        Self {
            enrolled,
            unheard: Some(state.revoked.clone()),
            state,
            grants: Grants::default(),
            pending: BTreeMap::new(),
            answered: None,
            codes: BTreeMap::new(),
            tries: breakglass::Tries::default(),
            outcomes: Remembered::new(),
            arming: HashSet::new(),
            ending: HashSet::new(),
            unasked: HashSet::new(),
            owed: HashSet::new(),
            gone: HashSet::new(),
            held: Ledger::default(),
            ended: HashMap::new(),
            units: None,
            link: Link::default(),
            moves: HashMap::new(),
        }
    }

    /// One person's grants as the decision sees them.
    fn views(&self, uid: u32) -> impl Iterator<Item = View<'_>> {
        self.grants.of(uid).filter_map(Stored::view)
    }
}

impl Agent {
    /// This host's limits as they are now; they hold for one decision, a reload may change them for the next.
    ///
    /// # Errors
    /// Why they cannot be read: then nothing is given.
    fn ceiling(&self) -> Result<Arc<Ceiling>, String> {
        match &*self.config.borrow() {
            Ok(config) => Ok(config.ceiling.clone()),
            Err(why) => Err(why.clone()),
        }
    }

    /// A journal record with this moment's time.
    fn record(&self, kind: &str, now: Now) -> Record {
        events::record(kind, now, &self.boot_id)
    }

    /// A record for something that happened, whatever the clock says.
    pub fn note(&self, kind: &str) -> Record {
        let now = clock::now().unwrap_or(Now {
            wall_ms: 0,
            boot_ns: 0,
            mono_us: 0,
        });
        self.record(kind, now)
    }

    /// Journal an alert: something needs a person's eye.
    pub fn alert(&self, why: &str) {
        self.log
            .later(self.note(journal::kind::ALERT).detail("why", why));
    }

    /// The same with a code, which stands for its kind: for rules of a SIEM and for numbers.
    pub fn alert_as(&self, code: &str, why: &str) {
        let record = self.note(journal::kind::ALERT).detail("code", code);
        self.log.later(record.detail("why", why));
    }

    /// The same for what would repeat itself: once a minute.
    pub fn alert_rarely(&self, why: &str) {
        let now = tokio::time::Instant::now();
        let last = self.alerted.replace(Some(now));
        match last {
            Some(then) if now.duration_since(then) < ALERT_AGAIN => self.alerted.set(last),
            _ => self.alert(why),
        }
    }

    /// Journal a refusal of something this uid asked for. Beyond a rate, refusals are counted instead: a flood must neither
    /// fill the log nor keep others waiting.
    pub(crate) fn refuse(&self, uid: u32, record: Record) {
        let Ok(now) = clock::now() else {
            return self.log.later(record);
        };
        match self.throttle.take(uid, now.boot_ns) {
            Some(0) => self.log.later(record),
            Some(more) => self.log.later(record.detail("not_recorded_before", more)),
            // The first that is only counted; again when he has come to rest meanwhile.
            None if self.throttle.begins(uid, now.boot_ns) => {
                let why = "refusals of one user come so fast that from now on they are counted";
                let alert = self.record(journal::kind::ALERT, now).uid(uid);
                self.log
                    .later(alert.detail("code", "burst").detail("why", why));
            }
            None => {}
        }
    }

    /// Journal how many refusals were only counted, of whom nothing came since that would have said so.
    pub fn tell_counted(&self) {
        if let Ok(now) = clock::now() {
            self.counted(self.throttle.due(now.boot_ns));
        }
    }

    /// The same for all, at the end of this agent.
    pub fn tell_all_counted(&self) {
        self.counted(self.throttle.rest());
    }

    fn counted(&self, of: Vec<(u32, u64)>) {
        for (uid, more) in of {
            let why = "so many refusals of this user came too fast to be recorded one by one";
            let record = self.note(journal::kind::REFUSED).uid(uid).decision("deny");
            let record = record.detail("what", "counted").detail("why", why);
            self.log.later(record.detail("not_recorded_before", more));
        }
    }

    /// systemd, connected when first needed and again after it was lost.
    async fn units(&self) -> Result<Units, String> {
        let known = self.core.borrow().units.clone();
        if let Some(units) = known {
            return Ok(units);
        }
        let bus = zbus::Connection::system()
            .await
            .map_err(|e| format!("the system bus: {e}"))?;
        let units = Units::connect(&bus).await.map_err(|e| e.to_string())?;
        self.core.borrow_mut().units = Some(units.clone());
        Ok(units)
    }

    /// Forget the connection after it failed, so that the next use makes a new one.
    fn lost_units(&self) {
        self.core.borrow_mut().units = None;
    }

    /// Make the state durable. The caller gives nothing when this fails.
    fn save_state(&self) -> Result<(), String> {
        self.core.borrow().state.save().map_err(|e| e.to_string())
    }
}

/// Ten random bytes for an id, sixteen for a nonce.
fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| "the kernel gives no random numbers".to_owned())?;
    Ok(bytes)
}
