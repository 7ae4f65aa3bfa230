//! The running issuer: puts the parts together, and stops them in order.

use crate::authority::Authority;
use crate::clock::{self, Clock};
use crate::config::{Config, Https};
use crate::error::Error;
use crate::files;
use crate::hooks::Hook;
use crate::hooks::courier::Courier;
use crate::http::accept::{self, Server};
use crate::http::away;
use crate::http::table::Uids;
use crate::http::tls::{self, Certificate};
use crate::http::{App, Beats, Counters, Places, Words};
use crate::hub::Hub;
use crate::init::Layout;
use crate::limits::{Buckets, Shares};
use crate::oidc::Oidc;
use crate::out;
use crate::outgoing::Outgoing;
use crate::rules::{Reload, Rules};
use crate::stop::{self, Stop};
use crate::store::{Db, Outbox, Sqlite};
use crate::tail;
use crate::ticket::Ticket;
use crate::witness;
use statement::keys::KeyRing;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

/// What nobody configures.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub heartbeat: Duration,
    /// Numbers of states reserved at once.
    pub state_block: u64,
    /// Log entries kept in memory for the streams.
    pub kept: usize,
    /// By which hooks are told, and told again.
    pub clock: Arc<dyn Clock>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(api::HEARTBEAT_S),
            state_block: 1000,
            kept: 4096,
            clock: Arc::new(clock::System),
        }
    }
}

/// From outside to the running issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Reload,
    Stop,
}

/// What the caller gives, and what it wants to hear of.
pub struct Hooks {
    /// For HTTPS, made by systemd.
    pub socket: Option<std::net::TcpListener>,
    /// Calls are taken.
    pub ready: Box<dyn FnOnce() + Send>,
    /// The store answered, at least at every beat.
    pub alive: Box<dyn Fn() + Send>,
}

/// Runs until [`Order::Stop`] or until all senders of `orders` are gone.
///
/// # Errors
/// What kept it from starting, or [`Error::Worker`].
pub async fn serve(
    config: &Config,
    tuning: &Tuning,
    uids: Uids,
    mut orders: mpsc::Receiver<Order>,
    hooks: Hooks,
) -> Result<(), Error> {
    let at = Layout::new(&config.state_dir);
    let authority = Arc::new(Authority::load(&at)?);
    let _lock = files::lock(&at.dir)?;
    if authority.trust_exp() < clock::unix() + 30 * 86_400 {
        out::warn(format_args!(
            "the trust statement ends in less than 30 days"
        ));
    }
    let (db, thread) = Db::start(Box::new(Sqlite::open(&at.db())?), tuning.state_block)?;
    for step in crate::trust::steps(&at)? {
        let new = move |core: &mut crate::store::Core| core.store.add_trust(&step, clock::unix());
        if db.call(new).await? {
            out::info(format_args!("a new trust statement goes out to the hosts"));
        }
    }
    let rules = Rules::start(config, &db, &authority).await?;
    let newest = db.call(|core| core.store.head()).await?.n;
    let (stopping, stop) = stop::pair();
    let beats = Arc::new(Beats::new(tuning.heartbeat));
    let tokens = !config.oidc.is_empty() || config.login.is_some();
    let outgoing = match config.hooks.is_empty() && config.ticket.is_none() && !tokens {
        true => None,
        false => Some(Outgoing::new(&config.outgoing)?),
    };
    let ticket = match (&config.ticket, &outgoing) {
        (Some(ticket), Some(outgoing)) => {
            let clock = Arc::clone(&tuning.clock);
            let ticket = Ticket::new(ticket, outgoing.clone(), clock)?;
            ticket.warn_of_unknown(&rules.in_force().policy);
            Some(ticket)
        }
        _ => None,
    };
    let oidc = match &outgoing {
        Some(outgoing) if tokens => {
            let clock = Arc::clone(&tuning.clock);
            Some(Oidc::new(config, authority.ring(), outgoing, clock)?)
        }
        _ => None,
    };
    let app = Arc::new(App {
        ticket,
        oidc,
        db: db.clone(),
        authority: Arc::clone(&authority),
        rules,
        hub: Arc::new(Hub::new(newest, tuning.kept)),
        wake: Arc::new(Notify::new()),
        shares: Shares {
            hosts: Buckets::new(config.limits.requests_per_minute),
            users: Buckets::new(config.limits.requests_per_minute_of_user),
        },
        uids,
        words: Words::default(),
        at: at.clone(),
        counters: Counters::default(),
        beats: Arc::clone(&beats),
        away: config.https.clone(),
        streams: Places::new(config.limits.streams),
        stop: stop.clone(),
        silent_s: config.limits.silent_s,
        started: clock::unix(),
    });
    // Everything that can fail comes before anything runs.
    let away = match &config.https {
        Some(https) => Some(Away::new(https, hooks.socket).await?),
        None => None,
    };
    let couriers = couriers(config, tuning, outgoing, (&db, authority.ring()), &stop).await?;
    let listener = accept::bind(&config.socket).await?;
    let server = tokio::spawn(Server::new(Arc::clone(&app)).run(listener, stop.clone()));
    let (away, away_server) = match away {
        Some((away, listener)) => {
            let server = away::Server::new(
                Arc::clone(&app),
                tls::server(Arc::clone(&away.certificate))?,
                &config.limits,
            );
            (
                Some(away),
                Some(tokio::spawn(server.run(listener, stop.clone()))),
            )
        }
        None => (None, None),
    };
    let mut telling = JoinSet::new();
    for courier in couriers {
        telling.spawn(courier.run());
    }
    let mut tail = tokio::spawn(tail::run(
        db.clone(),
        Arc::clone(&authority),
        Arc::clone(&app.hub),
        Arc::clone(&app.wake),
        tuning.heartbeat,
        {
            let alive = hooks.alive;
            move || {
                beats.turned();
                alive();
            }
        },
        stop,
    ));
    let watching = || tokio::spawn(witness::watch(Arc::clone(&app)));
    let watch = authority.witness().map(|_| watching());
    out::info(format_args!(
        "serving at {} with policy version {}",
        config.socket.display(),
        app.rules.in_force().ver
    ));
    (hooks.ready)();

    let mut tail_ended = None;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Reload) => reload(&app, away.as_ref()).await,
                Some(Order::Stop) | None => break,
            },
            ended = &mut tail => {
                tail_ended = Some(ended);
                break;
            }
        }
    }
    out::info(format_args!("stopping"));
    stopping.now();
    if let Some(watch) = watch {
        watch.abort();
        let _ = watch.await;
    }
    while telling.join_next().await.is_some() {}
    let _ = server.await;
    if let Some(server) = away_server {
        let _ = server.await;
    }
    let ended = match tail_ended {
        Some(ended) => ended,
        None => tail.await,
    };
    drop((app, db));
    let closed = tokio::task::spawn_blocking(move || thread.join()).await;
    match (ended, closed) {
        (Ok(result), Ok(Ok(()))) => result,
        _ => Err(Error::Worker),
    }
}

/// Those who tell the hooks; from here on the store writes down what they are to be told.
async fn couriers(
    config: &Config,
    tuning: &Tuning,
    outgoing: Option<Outgoing>,
    (db, ring): (&Db, &KeyRing),
    stop: &Stop,
) -> Result<Vec<Courier>, Error> {
    let (woken, hear) = watch::channel(0);
    let outbox = Outbox {
        source: ring.iss().to_owned(),
        hooks: config
            .hooks
            .iter()
            .map(|(name, hook)| (name.clone(), hook.events.clone()))
            .collect(),
        ring: Some(ring.clone()),
        woken,
    };
    let mut couriers = Vec::new();
    if let Some(outgoing) = outgoing {
        for (name, hook) in &config.hooks {
            couriers.push(Courier {
                db: db.clone(),
                hook: Hook::new(name, hook)?,
                outgoing: outgoing.clone(),
                clock: Arc::clone(&tuning.clock),
                woken: hear.clone(),
                stop: stop.clone(),
            });
        }
    }
    let forgotten = db.call(move |core| core.store.tell(outbox)).await?;
    if forgotten > 0 {
        out::warn(format_args!(
            "{forgotten} events were forgotten: they were for hooks that are not set any more"
        ));
    }
    Ok(couriers)
}

/// Hosts elsewhere.
struct Away {
    https: Https,
    certificate: Arc<Certificate>,
}

impl Away {
    async fn new(
        https: &Https,
        socket: Option<std::net::TcpListener>,
    ) -> Result<(Self, TcpListener), Error> {
        let certificate = Arc::new(Certificate::load(https)?);
        let listener = away::bind(https.listen, socket).await?;
        let at = listener.local_addr().map_err(Error::System)?;
        out::info(format_args!("serving hosts elsewhere at {at}"));
        let https = https.clone();
        Ok((Self { https, certificate }, listener))
    }
}

async fn reload(app: &App, away: Option<&Away>) {
    if let Some(Away { https, certificate }) = away {
        match certificate.reload(https) {
            Ok(()) => out::info(format_args!("the certificate was read again")),
            Err(e) => out::error(format_args!("{e}; the certificate before stays in use")),
        }
    }
    match app.rules.reload(&app.db, &app.authority).await {
        Ok(Reload::New { ver }) => {
            app.wake.notify_one();
            out::info(format_args!("policy version {ver} is in force"));
            if let Some(ticket) = &app.ticket {
                ticket.warn_of_unknown(&app.rules.in_force().policy);
            }
        }
        Ok(Reload::Same) => out::info(format_args!("the policy has not changed")),
        Err(e) => out::error(format_args!(
            "{e}; policy version {} stays in force",
            app.rules.in_force().ver
        )),
    }
}
