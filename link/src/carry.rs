//! From the issuer's stream to the agent, and requests the other way.

use crate::backoff::Backoff;
use crate::out;
use crate::words::{Wordless, Words};
use api::{Client, Error, Event, Events, Kind, Status};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use wire::frame;
use wire::link::{self, Answer, Up};

/// The agent is gone; the session ends.
pub struct Gone;

/// Messages to the agent, already framed.
#[derive(Clone)]
pub struct ToAgent(pub mpsc::Sender<Vec<u8>>);

impl ToAgent {
    /// Waits while the agent is busy: the issuer waits then, too.
    pub async fn send(&self, message: &Up) -> Result<(), Gone> {
        let framed = match frame::encode(message, frame::LINK) {
            Ok(framed) => framed,
            Err(e) => {
                // Only what is no statement can be so large: a position is better passed over than stuck at.
                out::warn(format_args!("left out: {e}"));
                return Ok(());
            }
        };
        self.0.send(framed).await.map_err(|_| Gone)
    }
}

/// Seconds that one long poll waits for news; with each comes a state.
const POLL_S: u64 = 10;
/// Long polls before a stream is tried again.
const POLLS: u32 = 30;

/// How the issuer's log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Stream,
    /// Something between here and the issuer holds streams back; so many polls are left.
    Poll(u32),
}

/// What one reader needs.
pub struct Reading {
    pub client: Client,
    pub host: String,
    /// Where the agent stands.
    pub after: u64,
    pub backoff: Backoff,
    pub agent: ToAgent,
    pub words: Arc<Words>,
    /// The issuer has just answered something else: it is worth a try now.
    pub reachable: Arc<Notify>,
}

/// How one connection went.
struct Ended {
    why: String,
    /// Events came.
    heard: bool,
    /// It was not closed in good order but fell silent.
    silent: bool,
}

impl Reading {
    /// Reads the log of one host for as long as the agent is there.
    pub async fn run(mut self) -> Gone {
        let mut said = None;
        let mut way = Way::Stream;
        let mut connected = false;
        loop {
            let why = match self.open(way).await {
                Ok(events) => {
                    // One poll after the other is one connection to the agent.
                    if !connected {
                        out::info(format_args!(
                            "reading the issuer's log after {}",
                            self.after
                        ));
                        if self.agent.send(&Up::Connected).await.is_err() {
                            return Gone;
                        }
                        connected = true;
                    }
                    said = None;
                    let ended = match self.forward(events).await {
                        Ok(ended) => ended,
                        Err(gone) => return gone,
                    };
                    way = next_way(way, &ended);
                    if matches!(way, Way::Poll(_)) && ended.heard {
                        // The next one at once: between two polls nothing is missing.
                        continue;
                    }
                    ended.why
                }
                Err(Failed::Gone) => return Gone,
                Err(Failed::Wordless) => "the agent gave no word for the issuer".to_owned(),
                Err(Failed::Issuer(e)) => {
                    if ahead(&e) {
                        self.after = 0;
                    }
                    e.to_string()
                }
            };
            connected = false;
            // The same trouble at each try is said once.
            if said.as_ref() != Some(&why) {
                out::warn(format_args!("no stream: {why}"));
                let down = Up::Disconnected { why: why.clone() };
                if self.agent.send(&down).await.is_err() {
                    return Gone;
                }
                said = Some(why);
            }
            tokio::select! {
                () = tokio::time::sleep(self.backoff.wait()) => {}
                () = self.reachable.notified() => {}
            }
        }
    }

    async fn open(&self, way: Way) -> Result<Events, Failed> {
        let word = if self.client.transport().address().is_away() {
            Some(self.words.ask(&self.agent).await?)
        } else {
            None
        };
        let word = word.as_deref();
        let opened = match way {
            Way::Stream => self.client.stream(&self.host, self.after, word).await,
            Way::Poll(_) => self.client.sync(&self.host, self.after, POLL_S, word).await,
        };
        opened.map_err(Failed::Issuer)
    }

    /// Hands over events until the connection ends; says how it did.
    async fn forward(&mut self, mut events: Events) -> Result<Ended, Gone> {
        let mut heard = false;
        loop {
            let (why, silent) = match events.next().await {
                Ok(Some(event)) => {
                    heard = true;
                    self.backoff.reset();
                    let n = event.id;
                    self.agent.send(&statement(event)).await?;
                    self.after = n.unwrap_or(self.after);
                    continue;
                }
                Ok(None) => ("the issuer closed the stream".to_owned(), false),
                Err(Error::Timeout) => ("the issuer's stream fell silent".to_owned(), true),
                Err(e) => (e.to_string(), false),
            };
            return Ok(Ended { why, heard, silent });
        }
    }
}

/// A stream that opens and then says nothing, not even the state it begins with, is held back on its way.
fn next_way(way: Way, ended: &Ended) -> Way {
    match way {
        Way::Stream if ended.silent && !ended.heard => Way::Poll(POLLS),
        Way::Stream => Way::Stream,
        Way::Poll(left) if left > 1 && ended.heard => Way::Poll(left - 1),
        Way::Poll(_) => Way::Stream,
    }
}

enum Failed {
    Gone,
    Wordless,
    Issuer(Error),
}

impl From<Wordless> for Failed {
    fn from(e: Wordless) -> Self {
        match e {
            Wordless::Gone => Self::Gone,
            Wordless::Silent => Self::Wordless,
        }
    }
}

/// The issuer's log does not reach to where the agent stands: a position that somebody made up, or an issuer restored
/// from a backup. From the start, then: the agent refuses what it knows already.
fn ahead(e: &Error) -> bool {
    matches!(e, Error::Problem(p) if p.kind == "urn:jitctl:problem:log-behind")
}

fn statement(event: Event) -> Up {
    Up::Statement {
        n: event.id,
        kind: match event.kind {
            Kind::Grant => link::Kind::Grant,
            Kind::Revocation => link::Kind::Revocation,
            Kind::Policy => link::Kind::Policy,
            Kind::Trust => link::Kind::Trust,
            Kind::Breakglass => link::Kind::Breakglass,
            Kind::State => link::Kind::State,
        },
        blob: event.data,
    }
}

/// Delivers one request. A call whose answer got lost counts as not delivered: the same bytes may be sent again.
pub async fn submit(client: &Client, request: &str) -> Answer {
    match client.submit(request).await {
        Ok(got) => match got.status {
            Status::Accepted => Answer::Accepted,
            Status::Pending => Answer::Pending {
                waiting_for: got.waiting_for.unwrap_or_default(),
            },
            Status::Denied => Answer::Denied { detail: got.detail },
        },
        Err(e @ Error::Problem(_)) if !e.is_temporary() => Answer::Denied {
            detail: e.to_string(),
        },
        Err(e) => Answer::Failed { why: e.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(heard: bool, silent: bool) -> Ended {
        Ended {
            why: String::new(),
            heard,
            silent,
        }
    }

    #[test]
    fn polls_follow_a_stream_that_is_held_back_and_a_stream_follows_them() {
        assert_eq!(next_way(Way::Stream, &ended(true, true)), Way::Stream);
        assert_eq!(next_way(Way::Stream, &ended(false, false)), Way::Stream);
        let mut way = next_way(Way::Stream, &ended(false, true));
        assert_eq!(way, Way::Poll(POLLS));
        for _ in 1..POLLS {
            way = next_way(way, &ended(true, false));
            assert!(matches!(way, Way::Poll(_)));
        }
        assert_eq!(next_way(way, &ended(true, false)), Way::Stream);
        assert_eq!(next_way(Way::Poll(9), &ended(false, true)), Way::Stream);
    }
}
