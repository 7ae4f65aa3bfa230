//! `org.jitctl.Jit1` on the system bus: for desktops and other programs, what `agent.sock` gives to `jitctl`, and less.
//!
//! It runs on a thread of its own, with its own connection: a bus that is dead, slow or hostile costs this interface and
//! nothing else. Who calls is what the bus says of the sender's connection; what he may is the table of `agent.sock`
//! ([`callers::may`]), and polkit, asked for that connection and never for a process number, can only say no to more. Nobody but root sees what is another's, and
//! signals go to those alone whom they concern. The interface is described in
//! `/usr/share/dbus-1/interfaces/org.jitctl.Jit1.xml` and `docs/spec/dbus.md`.

mod manager;
mod shares;
mod sieve;

use crate::agent::Agent;
use crate::callers::{DBUS_PER_UID, Limits};
use crate::events::Loud;
use crate::listen::cli;
use manager::Manager;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use wire::cli::{Code, Error, Reply, Request};
use zbus::connection::Builder;

/// The thread's name: a panic there ends the interface, not the agent.
pub const THREAD: &str = "dbus";

const SOCKET: &str = "/run/dbus/system_bus_socket";
const NAME: &str = "org.jitctl.Jit1";
const PATH: &str = "/org/jitctl/Jit1";
/// Calls between the threads.
const QUEUE: usize = 32;
/// Messages of the bus that wait for us.
const WAITING: NonZeroUsize = match NonZeroUsize::new(8) {
    Some(n) => n,
    None => NonZeroUsize::MIN,
};
/// How long the bus or polkit may take.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(5);

/// What the thread says to the agent.
enum Word {
    /// Answer this.
    Ask {
        uid: u32,
        what: Ask,
        answer: oneshot::Sender<Result<Said, Error>>,
    },
    /// The interface is not there, and why.
    Trouble(String),
}

/// What listeners are told of.
struct News {
    /// Something of somebody's has changed.
    changes: watch::Receiver<()>,
    /// A record for root's eye.
    loud: broadcast::Receiver<Loud>,
}

impl News {
    /// For one more listener, from now on.
    fn again(&self) -> Self {
        Self {
            changes: self.changes.clone(),
            loud: self.loud.resubscribe(),
        }
    }
}

enum Ask {
    /// By the table and the code of `agent.sock`.
    Request(Request),
    /// What changes mean something to this user.
    Seen,
}

enum Said {
    Reply(Box<Reply>),
    Seen(Vec<String>),
}

/// Keep the interface up for as long as the agent runs.
pub async fn serve(agent: Rc<Agent>) {
    let (changed, changes) = watch::channel(());
    let teller = agent.clone();
    tokio::task::spawn_local(async move {
        loop {
            teller.changed.notified().await;
            changed.send_replace(());
        }
    });
    let limits = Limits::new(DBUS_PER_UID);
    loop {
        let (door, words) = mpsc::channel(QUEUE);
        let news = News {
            changes: changes.clone(),
            loud: agent.log.loud(),
        };
        let thread = std::thread::Builder::new().name(THREAD.to_owned());
        match thread.spawn(move || run(door, &news)) {
            Ok(_) => answer(&agent, words, &limits).await,
            Err(e) => agent.alert_rarely(&format!("no thread for the message bus: {e}")),
        }
        // It ended by a panic.
        agent.alert_rarely("the interface on the message bus broke and is started anew");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn answer(agent: &Rc<Agent>, mut words: mpsc::Receiver<Word>, limits: &Limits) {
    let mut troubled = false;
    while let Some(word) = words.recv().await {
        match word {
            Word::Trouble(why) => {
                if !std::mem::replace(&mut troubled, true) {
                    agent.alert(&format!("{NAME} is not on the message bus: {why}"));
                }
            }
            Word::Ask {
                uid,
                what: Ask::Seen,
                answer,
            } => {
                let _ = answer.send(Ok(Said::Seen(agent.seen(uid))));
            }
            Word::Ask {
                uid,
                what: Ask::Request(request),
                answer,
            } => {
                troubled = false;
                let Some(slot) = limits.enter(uid) else {
                    let _ = answer.send(Err(busy()));
                    continue;
                };
                let agent = agent.clone();
                tokio::task::spawn_local(async move {
                    let _slot = slot;
                    let _ = answer.send(match cli::without_process(&agent, uid, request).await {
                        Reply::Error(e) => Err(e),
                        reply => Ok(Said::Reply(Box::new(reply))),
                    });
                });
            }
        }
    }
}

fn busy() -> Error {
    Error {
        code: Code::Busy,
        message: "too many calls are open".to_owned(),
        hint: None,
    }
}

/// The thread.
fn run(door: mpsc::Sender<Word>, news: &News) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        while !door.is_closed() {
            let why = match connected(&door, news).await {
                Ok(()) => "the bus closed the connection".to_owned(),
                Err(e) => e.to_string(),
            };
            // Full: the agent has other things to do, and the next trouble is the same.
            let _ = door.try_send(Word::Trouble(why));
            tokio::time::sleep(AGAIN).await;
        }
    });
}

async fn connected(door: &mpsc::Sender<Word>, news: &News) -> zbus::Result<()> {
    let stream = UnixStream::connect(SOCKET).await?;
    let manager = Manager::new(door.clone(), news.again());
    let bus = Builder::socket(sieve::Bus(stream))
        .max_queued(WAITING)
        .method_timeout(PATIENCE)
        .serve_at(PATH, manager)
        .name(NAME)
        .build();
    let bus = tokio::time::timeout(PATIENCE, bus)
        .await
        .map_err(|_| zbus::Error::Failure("the bus does not answer".to_owned()))??;
    bus.closed().await;
    Ok(())
}
