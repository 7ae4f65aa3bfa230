//! The one object, `/org/jitctl/Jit1`, and its one interface of ours.

use super::shares::{Place, Shares, Whose};
use super::{Ask, News, PATH, Said, Word};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use wire::cli::{Code, Grant, Level, Part, Pending, Reply, Request, Status};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, DBusError, OwnedVariant, Variant, interface, proxy};

/// Who is told of changes: of all users together, and of one.
const LISTENERS: usize = 64;
const LISTENERS_PER_UID: usize = 4;
/// Changes closer together are told once.
const BREATH: Duration = Duration::from_millis(250);

type Options = HashMap<String, OwnedVariant>;
type Members = BTreeMap<&'static str, Variant<'static>>;

/// What a call is refused with: `org.jitctl.Jit1.Error.NAME`, and a sentence.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.jitctl.Jit1.Error")]
pub enum Error {
    #[zbus(error)]
    Bus(zbus::Error),
    Usage(String),
    NotRoot(String),
    NotYours(String),
    NoGrant(String),
    Denied(String),
    Busy(String),
    Internal(String),
}

impl From<wire::cli::Error> for Error {
    fn from(e: wire::cli::Error) -> Self {
        let text = match e.hint {
            Some(hint) => format!("{}; {hint}", e.message),
            None => e.message,
        };
        match e.code {
            Code::Usage => Self::Usage(text),
            Code::NotRoot => Self::NotRoot(text),
            Code::NotYours => Self::NotYours(text),
            Code::NoGrant => Self::NoGrant(text),
            Code::Busy => Self::Busy(text),
            Code::Internal => Self::Internal(text),
            _ => Self::Denied(text),
        }
    }
}

#[proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<(bool, bool, HashMap<String, String>)>;
}

/// An action of polkit's, `org.jitctl.Jit1.NAME`.
#[derive(Clone, Copy)]
enum Action {
    Read,
    Drop,
}

impl Action {
    const fn id(self) -> &'static str {
        match self {
            Self::Read => "org.jitctl.Jit1.read",
            Self::Drop => "org.jitctl.Jit1.drop",
        }
    }
}

/// Serves the calls; knows nothing itself.
pub struct Manager {
    door: mpsc::Sender<Word>,
    news: News,
    shares: Shares,
    listeners: Arc<Mutex<HashMap<OwnedUniqueName, u32>>>,
}

/// A call that may go on.
struct Caller {
    name: OwnedUniqueName,
    uid: u32,
    _place: Place,
}

impl Manager {
    pub(super) fn new(door: mpsc::Sender<Word>, news: News) -> Self {
        Self {
            door,
            news,
            shares: Shares::default(),
            listeners: Arc::default(),
        }
    }

    /// Who calls, by the word of the bus, and that polkit does not mind.
    async fn admit(
        &self,
        bus: &Connection,
        header: &Header<'_>,
        action: Action,
    ) -> Result<Caller, Error> {
        let busy = || Error::Busy("too many calls are open".to_owned());
        let sender = header.sender();
        let name: OwnedUniqueName = sender
            .ok_or_else(|| Error::Denied("the bus does not say who calls".to_owned()))?
            .to_owned()
            .into();
        let uid = match self.shares.whose(&name) {
            Whose::Known(uid) => uid,
            Whose::Ask(_place) => {
                let bus_proxy = DBusProxy::new(bus).await?;
                let uid = bus_proxy
                    .get_connection_unix_user(BusName::from(name.as_ref()))
                    .await
                    .map_err(|e| Error::Denied(format!("the bus does not know who calls: {e}")))?;
                self.shares.is_of(&name, uid);
                uid
            }
            Whose::Busy => return Err(busy()),
        };
        // Before polkit, which may take its time.
        let place = self.shares.enter(uid).ok_or_else(busy)?;
        // Polkit never says no to root.
        if uid != 0 && !allowed(bus, &name, action).await? {
            let text = format!("polkit does not authorize {}", action.id());
            return Err(Error::Denied(text));
        }
        Ok(Caller {
            name,
            uid,
            _place: place,
        })
    }

    async fn ask(&self, caller: &Caller, request: Request) -> Result<Reply, Error> {
        match ask(&self.door, caller.uid, Ask::Request(request)).await? {
            Said::Reply(reply) => Ok(*reply),
            Said::Seen(_) => Err(odd()),
        }
    }

    async fn own_or_all(&self, caller: &Caller, options: &Options) -> Result<Status, Error> {
        let all = flag(options, "all")?;
        match self.ask(caller, Request::Status { all }).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(odd()),
        }
    }
}

fn odd() -> Error {
    Error::Internal("the agent's answer is none".to_owned())
}

async fn ask(door: &mpsc::Sender<Word>, uid: u32, what: Ask) -> Result<Said, Error> {
    let (answer, said) = oneshot::channel();
    let word = Word::Ask { uid, what, answer };
    door.try_send(word)
        .map_err(|_| Error::Busy("the agent has too much to do".to_owned()))?;
    Ok(said.await.map_err(|_| odd())??)
}

/// Polkit's word on this connection. No answer is a no: `jitctl` works without polkit.
async fn allowed(bus: &Connection, name: &OwnedUniqueName, action: Action) -> Result<bool, Error> {
    let silent = |e: zbus::Error| Error::Denied(format!("polkit cannot be asked: {e}"));
    let authority = AuthorityProxy::new(bus).await.map_err(silent)?;
    let subject = HashMap::from([("name", Variant::from(name.as_str()))]);
    let subject = ("system-bus-name", subject);
    let nothing = HashMap::new();
    // Without interaction: nobody is asked for a password to look at what is his own.
    let answer = authority.check_authorization(&subject, action.id(), nothing, 0, "");
    let (authorized, _, _) = answer.await.map_err(silent)?;
    Ok(authorized)
}

/// One option that is true or false; any other option is none.
fn flag(options: &Options, known: &str) -> Result<bool, Error> {
    only(options, &[known])?;
    match options.get(known) {
        None => Ok(false),
        Some(value) => bool::try_from(&**value)
            .map_err(|_| Error::Usage(format!("the option {known:?} is true or false"))),
    }
}

fn only(options: &Options, known: &[&str]) -> Result<(), Error> {
    match options.keys().find(|k| !known.contains(&k.as_str())) {
        None => Ok(()),
        Some(_) if known.is_empty() => Err(Error::Usage("this takes no option yet".to_owned())),
        Some(_) => Err(Error::Usage(format!("known options: {}", known.join(", ")))),
    }
}

#[interface(name = "org.jitctl.Jit1.Manager")]
impl Manager {
    /// Who the caller is, and how jit is.
    #[zbus(out_args("status"))]
    async fn status(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
        options: Options,
    ) -> Result<Members, Error> {
        only(&options, &[])?;
        let caller = self.admit(bus, &header, Action::Read).await?;
        let status = self.own_or_all(&caller, &options).await?;
        let health = &status.health;
        let parts: BTreeMap<&'static str, Part> = BTreeMap::from([
            ("agent", health.agent.clone()),
            ("link", health.link.clone()),
            ("issuer", health.issuer.clone()),
            ("clock", health.clock.clone()),
            ("log", health.log.clone()),
        ]);
        let levels: HashMap<String, String> = parts
            .into_iter()
            .map(|(name, part)| (name.to_owned(), level(part.level).to_owned()))
            .collect();
        Ok(BTreeMap::from([
            ("login", status.login.into()),
            ("uid", status.uid.into()),
            ("eligible", status.eligible.into()),
            ("health", levels.into()),
        ]))
    }

    /// Live grants of the caller; of everybody with the option "all", for root.
    #[zbus(out_args("grants"))]
    async fn list_grants(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
        options: Options,
    ) -> Result<Vec<Members>, Error> {
        let caller = self.admit(bus, &header, Action::Read).await?;
        let status = self.own_or_all(&caller, &options).await?;
        Ok(status.grants.into_iter().map(grant).collect())
    }

    /// Requests of the caller that give nothing yet; of everybody with the option "all", for root.
    #[zbus(out_args("requests"))]
    async fn list_requests(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
        options: Options,
    ) -> Result<Vec<Members>, Error> {
        let caller = self.admit(bus, &header, Action::Read).await?;
        let status = self.own_or_all(&caller, &options).await?;
        Ok(status.pending.into_iter().map(pending).collect())
    }

    /// Give back one grant: one's own, for root anybody's. Answered when it is gone.
    #[zbus(out_args("dropped"))]
    async fn drop(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
        grant: String,
        options: Options,
    ) -> Result<Vec<String>, Error> {
        only(&options, &[])?;
        if !statement::id::is_ulid(&grant) {
            return Err(Error::Usage("this is no id of a grant".to_owned()));
        }
        let caller = self.admit(bus, &header, Action::Drop).await?;
        let grant = Some(grant);
        match self.ask(&caller, Request::Drop { grant }).await? {
            Reply::Dropped { grants } => Ok(grants),
            _ => Err(odd()),
        }
    }

    /// Have `Changed` sent to this connection, and root's also `Alert`, until it ends.
    async fn subscribe(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
        options: Options,
    ) -> Result<(), Error> {
        only(&options, &[])?;
        let caller = self.admit(bus, &header, Action::Read).await?;
        {
            let mut all = self
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let own = all.values().filter(|uid| **uid == caller.uid).count();
            if all.contains_key(&caller.name) {
                return Ok(());
            }
            if all.len() >= LISTENERS || own >= LISTENERS_PER_UID {
                return Err(Error::Busy("too many listen already".to_owned()));
            }
            all.insert(caller.name.clone(), caller.uid);
        }
        let (door, news) = (self.door.clone(), self.news.again());
        let (bus, listeners) = (bus.clone(), self.listeners.clone());
        let (name, uid) = (caller.name.clone(), caller.uid);
        tokio::spawn(async move {
            // However it ends, there is nobody to tell it to.
            let _ = tell(&bus, &door, news, &name, uid).await;
            let mut all = listeners.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&name);
        });
        Ok(())
    }

    /// Something of the receiver's own has changed: ask what.
    #[zbus(signal)]
    async fn changed(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// The journal has a record that needs root's eye.
    #[zbus(signal)]
    async fn alert(
        emitter: &SignalEmitter<'_>,
        kind: &str,
        code: &str,
        index: u64,
    ) -> zbus::Result<()>;
}

/// Tell one connection of what changes for its user, until it is gone.
async fn tell(
    bus: &Connection,
    door: &mpsc::Sender<Word>,
    mut news: News,
    name: &OwnedUniqueName,
    uid: u32,
) -> Result<(), Error> {
    use futures_util::StreamExt;
    let bus_proxy = DBusProxy::new(bus).await?;
    let mut owners = bus_proxy
        .receive_name_owner_changed_with_args(&[(0, name.as_str())])
        .await?;
    // It may have gone before we listened.
    bus_proxy
        .get_connection_unix_user(BusName::from(name.as_ref()))
        .await
        .map_err(zbus::Error::from)?;
    let emitter = SignalEmitter::new(bus, PATH)?.set_destination(BusName::from(name.as_ref()));
    let mut before = seen(door, uid).await?;
    loop {
        tokio::select! {
            _ = owners.next() => return Ok(()),
            // Only root's: who was refused what is nobody else's business.
            loud = news.loud.recv(), if uid == 0 => match loud {
                Ok(l) => {
                    Manager::alert(&emitter, &l.kind, &l.code, l.index).await?;
                    continue;
                }
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return Ok(()),
            },
            change = news.changes.changed() => if change.is_err() { return Ok(()) },
        }
        tokio::time::sleep(BREATH).await;
        news.changes.mark_unchanged();
        let now = seen(door, uid).await?;
        if now != before {
            Manager::changed(&emitter).await?;
            before = now;
        }
    }
}

async fn seen(door: &mpsc::Sender<Word>, uid: u32) -> Result<Vec<String>, Error> {
    let (answer, said) = oneshot::channel();
    let what = Ask::Seen;
    // Waits for its turn: nobody waits for it.
    let sent = door.send(Word::Ask { uid, what, answer }).await;
    sent.map_err(|_| odd())?;
    match said.await.map_err(|_| odd())?? {
        Said::Seen(seen) => Ok(seen),
        Said::Reply(_) => Err(odd()),
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Degraded => "degraded",
        Level::Down => "down",
    }
}

fn grant(grant: Grant) -> Members {
    let mut members = BTreeMap::from([
        ("id", grant.id.into()),
        ("request", grant.request.into()),
        ("login", grant.login.into()),
        ("uid", grant.uid.into()),
        ("role", grant.role.into()),
        ("doors", grant.doors.into()),
        ("groups", grant.groups.into()),
        ("commands", grant.commands.into()),
        ("run_as", grant.runas.into()),
        ("reason", grant.reason.into()),
        (
            "ends_at_usec",
            grant.ends_at.saturating_mul(1_000_000).into(),
        ),
        ("seconds_left", grant.seconds_left.into()),
    ]);
    if let Some(ticket) = grant.ticket {
        members.insert("ticket", ticket.into());
    }
    members
}

fn pending(pending: Pending) -> Members {
    BTreeMap::from([
        ("id", pending.id.into()),
        ("login", pending.login.into()),
        ("role", pending.role.into()),
        ("waiting_for", pending.waiting_for.into()),
        ("age_seconds", pending.age_s.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::object_server::Interface;

    /// Without the lines that say nothing to a program: comments, the declaration around it.
    fn bare(xml: &str) -> Vec<String> {
        let start = xml.find("<interface").expect("an interface");
        let lines = xml.get(start..).unwrap_or_default().lines().map(str::trim);
        let mut comment = false;
        let mut kept = Vec::new();
        for line in lines {
            comment |= line.starts_with("<!--");
            if !comment && !line.is_empty() && line != "</node>" {
                kept.push(line.to_owned());
            }
            comment &= !line.ends_with("-->");
        }
        kept
    }

    #[test]
    fn the_description_that_is_shipped_is_that_of_the_object() {
        let (door, _words) = mpsc::channel(1);
        let (_changed, changes) = tokio::sync::watch::channel(());
        let (_loud, loud) = tokio::sync::broadcast::channel(1);
        let mut own = String::new();
        Manager::new(door, News { changes, loud }).introspect_to_writer(&mut own, 0);
        let shipped = include_str!("../../../../packaging/dbus/org.jitctl.Jit1.xml");
        assert_eq!(bare(&own), bare(shipped), "{own}");
    }

    #[test]
    fn an_option_that_is_not_known_is_refused() {
        let with = |name: &str, value: Variant<'static>| {
            HashMap::from([(name.to_owned(), OwnedVariant::try_from(value).unwrap())])
        };
        assert!(matches!(flag(&Options::new(), "all"), Ok(false)));
        assert!(matches!(flag(&with("all", true.into()), "all"), Ok(true)));
        for options in [with("all", 1_u32.into()), with("al", true.into())] {
            assert!(matches!(flag(&options, "all"), Err(Error::Usage(_))));
        }
        assert!(matches!(
            only(&with("x", true.into()), &[]),
            Err(Error::Usage(_))
        ));
    }
}
