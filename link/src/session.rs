//! One connection to the agent after the other.

use crate::backoff::Backoff;
use crate::carry::{self, Gone, Reading, ToAgent};
use crate::frames::Reader;
use crate::out;
use crate::receivers::{self, Batch, Receiver};
use crate::words::Words;
use api::{Client, Error};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use wire::link::{Answer, Down, Said, Up};

/// Messages waiting for the agent; more make the issuer wait.
const QUEUE: usize = 64;
/// Batches waiting for one receiver; more make the agent wait.
const BATCHES: usize = 8;
/// Requests under way at once.
const REQUESTS: usize = 32;

#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's socket.
    pub agent: PathBuf,
    pub issuer: Client,
    /// Between tries, for each side on its own.
    pub backoff: Backoff,
    /// Of syslog.
    pub receivers: Vec<Receiver>,
}

impl Options {
    /// From 50 ms to 5 s: on one box the other side is back in a moment, and a person may be waiting. To 30 s for an
    /// issuer elsewhere, which many hosts may have lost at the same moment.
    #[must_use]
    pub fn new(agent: PathBuf, issuer: Client) -> Self {
        let most = if issuer.transport().address().is_away() {
            30
        } else {
            5
        };
        Self {
            agent,
            issuer,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(most)),
            receivers: Vec::new(),
        }
    }
}

/// Carries until it is dropped.
pub async fn run(options: Options) {
    let mut backoff = options.backoff.clone();
    let mut said = None;
    loop {
        let why = match UnixStream::connect(&options.agent).await {
            Ok(stream) => {
                let (why, met) = Session::run(&options, stream).await;
                if met {
                    backoff.reset();
                    said = None;
                }
                why
            }
            Err(e) => format!("cannot reach the agent at {}: {e}", options.agent.display()),
        };
        // The same trouble at each try is said once.
        if said.as_ref() != Some(&why) {
            out::warn(format_args!("{why}"));
            said = Some(why);
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

struct Session<'a> {
    options: &'a Options,
    agent: ToAgent,
    /// Ended with the session.
    tasks: JoinSet<()>,
    stream: Option<AbortHandle>,
    /// What the agent hands over for each receiver.
    feeds: HashMap<String, mpsc::Sender<Batch>>,
    room: Arc<Semaphore>,
    words: Arc<Words>,
    /// A request was answered: the issuer is there.
    reachable: Arc<Notify>,
    /// The agent has spoken.
    met: bool,
}

impl<'a> Session<'a> {
    /// Why it ended, and whether the agent had spoken.
    async fn run(options: &'a Options, stream: UnixStream) -> (String, bool) {
        let (read, write) = stream.into_split();
        let (queue, framed) = mpsc::channel(QUEUE);
        let mut session = Self {
            options,
            agent: ToAgent(queue),
            tasks: JoinSet::new(),
            stream: None,
            feeds: HashMap::new(),
            room: Arc::new(Semaphore::new(REQUESTS)),
            words: Arc::default(),
            reachable: Arc::default(),
            met: false,
        };
        let why = tokio::select! {
            why = session.talk(Reader::new(read)) => why,
            e = write_all(framed, write) => format!("the connection to the agent broke: {e}"),
        };
        (why, session.met)
    }

    async fn talk(&mut self, mut reader: Reader<OwnedReadHalf>) -> String {
        let hello = Up::Hello {
            version: wire::VERSION,
            name: "jit-link".to_owned(),
        };
        let mut sent = self.agent.send(&hello).await;
        self.feed_receivers();
        loop {
            if let Err(Gone) = sent {
                return "the agent closed the connection".to_owned();
            }
            tokio::select! {
                // Finished requests; an empty set is never ready here.
                Some(_) = self.tasks.join_next() => {}
                message = reader.next() => match message {
                    Ok(Some(message)) => sent = self.handle(message).await,
                    Ok(None) => return "the agent closed the connection".to_owned(),
                    Err(e) => return format!("the agent's connection failed: {e}"),
                }
            }
        }
    }

    async fn handle(&mut self, message: Down) -> Result<(), Gone> {
        self.met = true;
        match message {
            Down::Welcome { host, after, .. } => {
                self.end_stream();
                let reading = Reading {
                    client: self.options.issuer.clone(),
                    host,
                    after,
                    backoff: self.options.backoff.clone(),
                    agent: self.agent.clone(),
                    words: Arc::clone(&self.words),
                    reachable: Arc::clone(&self.reachable),
                };
                self.stream = Some(self.tasks.spawn(async {
                    reading.run().await;
                }));
                Ok(())
            }
            Down::NotEnrolled => {
                self.end_stream();
                Ok(())
            }
            Down::Submit { id, request } => self.submit(id, request).await,
            Down::Receipt { body, word } => {
                self.receipt(body, word);
                Ok(())
            }
            Down::Withdraw { body, word } => {
                self.withdraw(body, word);
                Ok(())
            }
            Down::Witness { id, host, body } => self.witness(id, host, body).await,
            Down::Word { id, word } => {
                self.words.answer(id, word);
                Ok(())
            }
            Down::Records {
                receiver,
                id,
                host,
                origin,
                records,
                checkpoint,
            } => {
                let batch = Batch {
                    id,
                    host,
                    origin,
                    records,
                    checkpoint,
                };
                if let Some(feed) = self.feeds.get(&receiver) {
                    // Answers come one at a time, and only to what was asked: there is room.
                    let _ = feed.send(batch).await;
                }
                Ok(())
            }
        }
    }

    fn feed_receivers(&mut self) {
        for receiver in &self.options.receivers {
            let (batches, inbox) = mpsc::channel(BATCHES);
            self.feeds.insert(receiver.name.clone(), batches);
            let feed = receivers::run(receiver.clone(), self.agent.clone(), inbox);
            self.tasks.spawn(async {
                feed.await;
            });
        }
    }

    fn end_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    /// The agent sends another one soon; one that is lost is not missed.
    fn receipt(&mut self, body: String, word: String) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        let issuer = self.options.issuer.clone();
        self.tasks.spawn(async move {
            if let Err(e @ Error::Problem(_)) = issuer.receipt(body, &word).await {
                out::warn(format_args!("the issuer refused a receipt: {e}"));
            }
            drop(place);
        });
    }

    /// One that is lost costs approvers a look at what no host waits for any more.
    fn withdraw(&mut self, body: String, word: String) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        let issuer = self.options.issuer.clone();
        self.tasks.spawn(async move {
            if let Err(e) = issuer.withdraw(body, &word).await {
                out::warn(format_args!(
                    "a request was not withdrawn at the issuer: {e}"
                ));
            }
            drop(place);
        });
    }

    /// The agent waits for what the witness says; it hands in one head after the other.
    async fn witness(&mut self, id: u64, host: String, body: String) -> Result<(), Gone> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let said = Said::Failed {
                why: "too many requests at once".to_owned(),
            };
            return self.agent.send(&Up::Witnessed { id, said }).await;
        };
        let (issuer, agent) = (self.options.issuer.clone(), self.agent.clone());
        self.tasks.spawn(async move {
            let said = match issuer.add_checkpoint(&host, body).await {
                Ok(api::Said { status, body }) => Said::Answer { status, body },
                Err(e) => Said::Failed { why: e.to_string() },
            };
            drop(place);
            let _ = agent.send(&Up::Witnessed { id, said }).await;
        });
        Ok(())
    }

    async fn submit(&mut self, id: u64, request: String) -> Result<(), Gone> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let answer = Answer::Failed {
                why: "too many requests at once".to_owned(),
            };
            return self.agent.send(&Up::Answer { id, answer }).await;
        };
        let (issuer, agent) = (self.options.issuer.clone(), self.agent.clone());
        let reachable = Arc::clone(&self.reachable);
        self.tasks.spawn(async move {
            let answer = carry::submit(&issuer, &request).await;
            drop(place);
            if !matches!(answer, Answer::Failed { .. }) {
                reachable.notify_waiters();
            }
            // If the agent is gone, so is whoever asked.
            let _ = agent.send(&Up::Answer { id, answer }).await;
        });
        Ok(())
    }
}

async fn write_all(
    mut framed: mpsc::Receiver<Vec<u8>>,
    mut write: OwnedWriteHalf,
) -> std::io::Error {
    while let Some(bytes) = framed.recv().await {
        if let Err(e) = write.write_all(&bytes).await {
            return e;
        }
    }
    // The session keeps a sender for as long as this runs.
    std::io::ErrorKind::BrokenPipe.into()
}
