//! Keeps one receiver fed for as long as the agent is there.

use super::body::Body;
use super::config::Receiver;
use super::connection::{Connection, Lost};
use super::syslog::{Sender, message};
use crate::backoff::Backoff;
use crate::carry::{Gone, ToAgent};
use crate::out;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::link::{Checkpoint, Entry, Up};

/// A connection that stood for so long was a good one.
const GOOD: Duration = Duration::from_secs(2);

/// What the agent hands over at once.
#[derive(Debug)]
pub struct Batch {
    pub id: u64,
    pub host: String,
    pub origin: String,
    pub records: Vec<Entry>,
    pub checkpoint: Option<Checkpoint>,
}

enum End {
    Gone,
    Lost(Lost),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Lost> for End {
    fn from(why: Lost) -> Self {
        Self::Lost(why)
    }
}

/// One receiver.
struct Feed {
    receiver: Receiver,
    agent: ToAgent,
    /// Of the last question to the agent; an answer to an earlier one is not for this connection.
    id: u64,
    backoff: Backoff,
    /// What was last said of it.
    said: Option<String>,
}

/// Connects, feeds, and connects again.
pub async fn run(receiver: Receiver, agent: ToAgent, mut inbox: mpsc::Receiver<Batch>) -> Gone {
    let mut feed = Feed {
        receiver,
        agent,
        id: 0,
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
        said: None,
    };
    loop {
        let why = match feed.once(&mut inbox).await {
            End::Gone => return Gone,
            End::Lost(why) => why,
        };
        let name = feed.receiver.name.clone();
        // The same trouble at each try is said once.
        if feed.said.as_ref() != Some(&why) {
            out::warn(format_args!("receiver {name}: {why}"));
            feed.said = Some(why.clone());
        }
        let failing = Up::Failing {
            receiver: name,
            why,
        };
        if feed.agent.send(&failing).await.is_err() {
            return Gone;
        }
        tokio::time::sleep(feed.backoff.wait()).await;
    }
}

impl Feed {
    async fn once(&mut self, inbox: &mut mpsc::Receiver<Batch>) -> End {
        let mut connection = match Connection::open(&self.receiver).await {
            Ok(connection) => connection,
            Err(why) => return End::Lost(why),
        };
        let r = &self.receiver;
        out::info(format_args!(
            "receiver {}: connected to {} port {}",
            r.name, r.host, r.port
        ));
        let began = Instant::now();
        let end = match self.serve(&mut connection, inbox).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if began.elapsed() >= GOOD {
            self.well();
        }
        end
    }

    fn well(&mut self) {
        self.backoff.reset();
        self.said = None;
    }

    async fn serve(
        &mut self,
        connection: &mut Connection,
        inbox: &mut mpsc::Receiver<Batch>,
    ) -> Result<std::convert::Infallible, End> {
        // Answers to what was asked for an earlier connection.
        while inbox.try_recv().is_ok() {}
        self.ask(true).await?;
        // Sent and not known to have arrived: when, and the index after it.
        let mut sent: VecDeque<(Instant, u64)> = VecDeque::new();
        loop {
            let settled = async {
                match sent.front() {
                    Some((then, _)) => tokio::time::sleep_until(*then + self.receiver.settle).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = settled => {
                    if let Some((_, next)) = sent.pop_front() {
                        self.stored(next).await?;
                    }
                }
                heard = connection.heard() => heard?,
                batch = inbox.recv() => {
                    let Some(batch) = batch else { return Err(End::Gone) };
                    if batch.id != self.id {
                        continue;
                    }
                    let next = batch.records.last().map(|entry| entry.index + 1);
                    connection.send(&self.messages(&batch)).await?;
                    self.well();
                    match next {
                        Some(next) if connection.answers() => self.stored(next).await?,
                        Some(next) => sent.push_back((Instant::now(), next)),
                        None => {}
                    }
                    self.ask(false).await?;
                }
            }
        }
    }

    async fn ask(&mut self, again: bool) -> Result<(), Gone> {
        self.id += 1;
        let (receiver, id) = (self.receiver.name.clone(), self.id);
        let ask = Up::Records {
            receiver,
            id,
            again,
        };
        self.agent.send(&ask).await
    }

    async fn stored(&mut self, next: u64) -> Result<(), Gone> {
        self.well();
        let receiver = self.receiver.name.clone();
        self.agent.send(&Up::Stored { receiver, next }).await
    }

    fn messages(&self, batch: &Batch) -> Vec<Vec<u8>> {
        let sender = Sender {
            host: batch.host.clone(),
            origin: batch.origin.clone(),
        };
        // What is no JSON is carried as text.
        let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let records = batch.records.iter().map(|entry| {
            let record = read(&entry.record);
            let format = self.receiver.format;
            let body = Body::new(format, &sender, entry.index, &entry.record, &record);
            message(&sender, Some(entry.index), &record, &body)
        });
        let checkpoint = batch.checkpoint.iter().map(|c| {
            let said = read(&c.body);
            let body = Body::checkpoint(&said, c.word.as_deref(), &c.body);
            message(&sender, None, &said, &body)
        });
        records.chain(checkpoint).collect()
    }
}
