//! Start, reconcile, serve, watch. Nothing is served before what a crash or reboot left is in order.

use crate::agent::{Agent, Core, Receivers, Stored, Witness};
use crate::clock::{self, Steps};
use crate::config;
use crate::effects::watch::Arrivals;
use crate::effects::{files, groups};
use crate::ending;
use crate::events::{self, Log};
use crate::store::identity::Enrolled;
use crate::store::state::State;
use crate::store::{grants, identity, pending};
use crate::throttle::Throttle;
use crate::{listen, paths};
use journal::kind;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

/// How often eligibility, proofs and old requests are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Threads that verify stored grants: the unit allows few tasks.
const THREADS: usize = 16;
/// Stored grants that are not worth a thread.
const ALONE: usize = 64;

/// Grants that are put in force at once. systemd starts one unit after the other: more would only wait there.
const STARTS: usize = 8;

/// How long calls that were accepted, starts of grants, and the asking for ends may take once the agent was told to stop.
const LAST_CALLS: Duration = Duration::from_secs(3);

/// The agent cannot start. Its sockets stay with systemd, callers are refused after their budget.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

fn fail(what: &str, e: &dyn fmt::Display) -> StartError {
    StartError(format!("{what}: {e}"))
}

/// Put stored grants in order and stop: what runs at boot, before anyone can log in.
///
/// # Errors
/// When the state cannot be read at all.
pub async fn reconcile() -> Result<(), StartError> {
    let agent = load().await?;
    agent.reconcile().await;
    agent.give_owed().await;
    agent.wait_ended().await;
    agent.log.settle().await;
    Ok(())
}

/// Run until told to stop.
///
/// # Errors
/// When the agent cannot start.
pub async fn run(sockets: Sockets) -> Result<(), StartError> {
    // Before anybody is told that it runs: without a handler, a reload would end it.
    let orders = Orders::new().map_err(|e| fail("signals", &e))?;
    groups::load_sources();
    let agent = load().await?;
    // What the journal is kept by, so that less than before shows.
    let place = journal::Place::of(Path::new(paths::JOURNAL_DIR));
    let kept = serde_json::json!({ "filesystem": place.filesystem, "tier": place.tier() });
    agent.log.later(
        agent
            .note(kind::START)
            .detail("version", env!("CARGO_PKG_VERSION"))
            .detail("journal", kept),
    );
    let running = Path::new(paths::RUNNING);
    if running.exists() {
        let why = "the agent had ended without a word: it was killed, or broke; see: journalctl -u jit-agent";
        agent.alert_as("killed", why);
    }
    if let Err(e) = files::publish(running, b"") {
        agent.alert(&format!("{}: {e}", paths::RUNNING));
    }
    agent.reconcile().await;
    agent.schedule_kept();
    agent.receivers_anew();
    let (stop_cli, told) = tokio::sync::watch::channel(());
    let cli = listen::cli::serve(agent.clone(), sockets.agent, told);
    let cli = tokio::task::spawn_local(cli);
    let (stop_gate, told) = tokio::sync::watch::channel(());
    let gate = listen::gate::serve(agent.clone(), sockets.gate, told);
    let gate = tokio::task::spawn_local(gate);
    tokio::task::spawn_local(listen::link::serve(agent.clone(), sockets.link));
    tokio::task::spawn_local(crate::listen::sessions::watch(agent.clone()));
    // A fault in what is set is no reason to be more open than the default is.
    let bus = agent.config.borrow().as_ref().is_ok_and(|c| c.manners.dbus);
    if bus {
        tokio::task::spawn_local(listen::dbus::serve(agent.clone()));
    }
    tokio::task::spawn_local(agent.clone().start_waiting());
    tokio::task::spawn_local(agent.clone().look_at_waiting());
    tokio::task::spawn_local(watch_eligibility(agent.clone()));
    tokio::task::spawn_local(crate::agent::publish(agent.clone()));
    tokio::task::spawn_local(agent.clone().watch_witness());
    tokio::task::spawn_local(agent.clone().watch_age());
    tokio::task::spawn_local(pet_watchdog());
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    watch(&agent, orders).await;
    drop(stop_cli);
    agent.stop_waiting();
    // What takes longer than any gate may is cut off, and its asker told that the agent hung up.
    let until = tokio::time::Instant::now() + LAST_CALLS;
    let _ = tokio::time::timeout_at(until, cli).await;
    agent.in_order(until).await;
    // The gates last, who have the least time to wait for the next agent, and with time of their own. A use may have been the
    // last of its grant.
    drop(stop_gate);
    let until = tokio::time::Instant::now() + LAST_CALLS;
    let _ = tokio::time::timeout_at(until, gate).await;
    agent.in_order(until).await;
    agent.keep_receivers();
    agent.tell_all_counted();
    agent.log.later(agent.note(kind::STOP));
    agent.log.settle().await;
    // Left behind it costs an alert.
    let _ = files::remove(running);
    Ok(())
}

/// As long as this thread runs its tasks, systemd is told so. What a task waits for (a slow name service) is no reason to be
/// killed.
async fn pet_watchdog() {
    let every = sd_notify::watchdog_enabled().unwrap_or(Duration::from_secs(20)) / 4;
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(every).await;
    }
}

/// One look after the other, however long the name service takes.
async fn watch_eligibility(agent: Rc<Agent>) {
    loop {
        agent.check_eligibility().await;
        agent.give_owed().await;
        tokio::time::sleep(TICK).await;
    }
}

/// What systemd wants of us.
struct Orders {
    stop: Signal,
    reload: Signal,
}

impl Orders {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: signal(SignalKind::terminate())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

/// systemd waits with what comes after the reload.
async fn reload(agent: &Agent) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Reloading]);
    agent.reload().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// The tick, the proofs, and the signals. Stopping ends no grant: PID 1 holds the deadlines.
async fn watch(agent: &Rc<Agent>, mut orders: Orders) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ended = match Arrivals::of(Path::new(paths::ENDED_DIR)) {
        Ok(a) => Some(a),
        Err(e) => {
            // The tick finds the proofs too, half a second later.
            agent.alert(&format!("{}: {e}", paths::ENDED_DIR));
            None
        }
    };
    let mut steps = match Steps::watch() {
        Ok(s) => Some(s),
        Err(e) => {
            // The tick sees it too, half a second later.
            agent.alert(&format!("the clock cannot be watched: {e}"));
            None
        }
    };
    loop {
        let step = async {
            match &mut steps {
                Some(steps) => steps.next().await,
                None => std::future::pending().await,
            }
        };
        let proof = async {
            match &mut ended {
                Some(arrivals) => arrivals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = orders.stop.recv() => return,
            _ = orders.reload.recv() => {
                reload(agent).await;
                continue;
            }
            _ = tick.tick() => {}
            true = step => {
                agent.look_at_clock();
                continue;
            }
            true = proof => {
                agent.collect_proofs().await;
                continue;
            }
        }
        agent.look_at_clock();
        agent.collect_proofs().await;
        agent.close_old_requests();
        agent.forget_answered();
        agent.ask_about_open();
        agent.ask_for_missing();
        agent.look_at_receivers();
        agent.tell_counted();
    }
}

async fn load() -> Result<Rc<Agent>, StartError> {
    let now = clock::now().map_err(|e| fail("clock", &e))?;
    let boot_id = clock::boot_id().map_err(|e| fail("clock", &e))?;
    for dir in [
        paths::STATE_DIR,
        paths::GRANTS_DIR,
        paths::PENDING_DIR,
        paths::ANSWERED_DIR,
        paths::BREAKGLASS_DIR,
        paths::ENDED_DIR,
    ] {
        files::private_dir(Path::new(dir)).map_err(|e| fail(dir, &e))?;
    }
    let config = config::load().map_err(|e| e.to_string());
    // The journal's first head is signed with it.
    let signer = identity::host_key().map_err(|e| fail("host key", &e))?;
    let log = Log::start(events::record(kind::START, now, &boot_id).time)
        .map_err(|e| fail("journal thread", &e))?;
    let host_name = nix::unistd::gethostname()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    // What cannot be verified any more gives nothing; the agent runs on to end what is live.
    let (enrolled, trouble) = match identity::read(&signer) {
        Ok(e) => (e, None),
        Err(e) => (None, Some(e.to_string())),
    };
    let trust = enrolled.as_ref().map(|e| e.trust.claims());
    let epoch = trust.map_or(0, |t| t.epoch);
    let pin = enrolled.as_ref().map_or("", |e| e.file.pin.as_str());
    // No state: no use until a fresh statement has come.
    let (state, mut lost) = match State::load(&boot_id, now) {
        Ok(Some(s)) if s.pin == pin => match trust {
            // A crash came between keeping a trust statement of a new epoch and its counters.
            Some(t) if s.epoch != t.epoch => (State::of_epoch(t, &s, now), None),
            _ => (s, None),
        },
        // A crash came between keeping the new issuer and its counters.
        Ok(_) => (State::new(pin, epoch, &boot_id, now), None),
        Err(e) => (State::new(pin, epoch, &boot_id, now), Some(e.to_string())),
    };
    // What the clock said at the start of this boot counts until its end.
    if lost.is_none() && trouble.is_none() {
        lost = state.save().err().map(|e| e.to_string());
    }
    let agent = Rc::new(Agent {
        boot_id,
        host_name,
        signer,
        log,
        config: RefCell::new(config),
        throttle: Throttle::default(),
        alerted: Cell::new(None),
        looked: Cell::new(Some(now)),
        core: RefCell::new(Core::new(enrolled, state)),
        taking: tokio::sync::Mutex::new(()),
        starts: Semaphore::new(STARTS),
        breaking: tokio::sync::Mutex::new(()),
        explaining: tokio::sync::Mutex::new(()),
        receivers: RefCell::new(Receivers::default()),
        witness: RefCell::new(Witness::default()),
        show_head: Notify::new(),
        changed: Notify::new(),
        to_start: Notify::new(),
        stopping: Cell::new(false),
    });
    let limits = agent.config.borrow().as_ref().err().cloned();
    for why in trouble.into_iter().chain(lost).chain(limits) {
        agent.alert(&why);
    }
    load_grants(&agent);
    load_pending(&agent);
    agent.load_answered();
    agent.load_codes();
    let ceiling = agent
        .config
        .borrow()
        .as_ref()
        .ok()
        .map(|c| c.ceiling.clone());
    if let Some(ceiling) = ceiling {
        agent.recall_held(&ceiling).await;
    }
    agent.recall().await;
    Ok(agent)
}

/// Every stored grant that may be in force is verified anew; one that does not verify is taken away by its plain file.
fn load_grants(agent: &Rc<Agent>) {
    // Units without a file, too: what nobody knows any more has to go.
    let ids = ending::all_known();
    let loaded = {
        let core = agent.core.borrow();
        load_all(&ids, core.enrolled.as_ref())
    };
    for (id, verified) in ids.into_iter().zip(loaded) {
        match verified {
            Ok(stored) => {
                agent.core.borrow_mut().grants.insert(id, stored);
            }
            Err(why) => {
                agent.alert(&format!(
                    "stored grant {id} is not believed and is taken away: {why}"
                ));
                agent.make_gone(&id);
            }
        }
    }
}

/// The same for each id, on all processors: two signatures and more are verified for each grant in force.
fn load_all(ids: &[String], enrolled: Option<&Enrolled>) -> Vec<Result<Stored, String>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let share = ids.len().div_ceil(processors.min(THREADS)).max(ALONE);
    let load = |ids: &[String]| -> Vec<_> { ids.iter().map(|id| find_one(id, enrolled)).collect() };
    std::thread::scope(|scope| {
        let mut shares = ids.chunks(share);
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> = shares
            .map(|share| (share, scope.spawn(move || load(share))))
            .collect();
        let mut all = load(first);
        for (share, other) in others {
            // Whoever failed there is not believed.
            let failed = |_| {
                let why = || Err("it could not be verified".to_owned());
                std::iter::repeat_with(why).take(share.len()).collect()
            };
            all.extend(other.join().unwrap_or_else(failed));
        }
        all
    })
}

fn find_one(id: &str, enrolled: Option<&Enrolled>) -> Result<Stored, String> {
    let (file, enrolled) = read_one(id, enrolled)?;
    Stored::found(file, enrolled)
}

/// A stored grant, verified.
///
/// # Errors
/// One sentence.
pub fn load_one(id: &str, enrolled: Option<&Enrolled>) -> Result<Stored, String> {
    let (file, enrolled) = read_one(id, enrolled)?;
    Stored::load(file, enrolled)
}

fn read_one<'a>(
    id: &str,
    enrolled: Option<&'a Enrolled>,
) -> Result<(grants::GrantFile, &'a Enrolled), String> {
    let file = grants::read(id).map_err(|e| e.to_string())?;
    let enrolled = enrolled.ok_or("this host is not enrolled")?;
    Ok((file.ok_or("it is gone")?, enrolled))
}

fn load_pending(agent: &Rc<Agent>) {
    match pending::load_all() {
        Ok(all) => {
            for p in all {
                let used = agent
                    .core
                    .borrow()
                    .grants
                    .values()
                    .any(|s| s.was_asked_as(&p.id));
                if used {
                    // A crash came between keeping the grant and crossing out its request.
                    if let Err(e) = pending::remove(&p.id) {
                        agent.alert(&e.to_string());
                    }
                } else {
                    agent.core.borrow_mut().pending.insert(p.id.clone(), p);
                }
            }
        }
        Err(e) => agent.alert(&e.to_string()),
    }
}

/// The sockets systemd made.
pub struct Sockets {
    pub agent: UnixListener,
    pub gate: UnixListener,
    pub link: UnixListener,
}

/// A listening socket as systemd hands it over.
pub struct Inherited {
    pub name: String,
    pub fd: OwnedFd,
}

impl Sockets {
    /// Sort what systemd handed over by `FileDescriptorName=`.
    ///
    /// # Errors
    /// One is missing: the agent makes no socket of its own, whose mode would be its own choice.
    pub fn sort(inherited: Vec<Inherited>) -> Result<Self, StartError> {
        let (mut agent, mut gate, mut link) = (None, None, None);
        for Inherited { name, fd } in inherited {
            let std = std::os::unix::net::UnixListener::from(fd);
            std.set_nonblocking(true).map_err(|e| fail("socket", &e))?;
            let listener = UnixListener::from_std(std).map_err(|e| fail("socket", &e))?;
            match name.as_str() {
                "agent" => agent = Some(listener),
                "gate" => gate = Some(listener),
                "link" => link = Some(listener),
                other => {
                    return Err(StartError(format!(
                        "systemd handed over a socket named {other:?}"
                    )));
                }
            }
        }
        let missing = |name| {
            StartError(format!(
                "systemd handed over no socket named {name:?}; start jit-{name}.socket"
            ))
        };
        Ok(Self {
            agent: agent.ok_or_else(|| missing("agent"))?,
            gate: gate.ok_or_else(|| missing("gate"))?,
            link: link.ok_or_else(|| missing("link"))?,
        })
    }
}
