//! `GET /v1/stream`: everything of the log for one host after a position, then whatever comes, and states.
//! `GET /v1/sync`: the same in pieces, for networks that hold a stream back.

use super::App;
use super::host;
use super::problem::Fault;
use super::table::Caller;
use crate::clock;
use crate::error::Error;
use crate::hub::{Beat, Line, News};
use crate::out;
use crate::store::{Core, Head};
use crate::tail;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use serde::Deserialize;
use statement::claims::Purpose;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Entries read from the store at once.
const BATCH: u32 = 256;
/// A reader who takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// After so long without a word a comment is sent: proxies close what is silent.
const QUIET: Duration = Duration::from_secs(10);
const COMMENT: &[u8] = b":\n\n";
/// Seconds that a long poll may last.
const WAIT_MOST: u64 = 55;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    host: String,
    after: u64,
    /// Of a long poll only; seconds.
    wait: Option<u64>,
}

/// Open streams, one for each host. A new one ends the one before: a host that comes back must not be kept out by
/// its own connection that nobody has noticed dead.
pub struct Places {
    open: Arc<Mutex<Open>>,
    most: usize,
}

#[derive(Default)]
struct Open {
    /// Of the next stream; never used twice.
    next: u64,
    hosts: HashMap<String, Taken>,
}

struct Taken {
    number: u64,
    /// Dropped to end the stream.
    _end: oneshot::Sender<()>,
}

/// One open stream; gives its place back when dropped.
struct Place {
    open: Arc<Mutex<Open>>,
    host: String,
    number: u64,
    /// Resolves when another stream takes the place.
    ended: oneshot::Receiver<()>,
}

impl Places {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
        }
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.hosts.len() as u64
    }

    fn take(&self, host: &str) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.hosts.len() >= self.most && !open.hosts.contains_key(host) {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let (end, ended) = oneshot::channel();
        let taken = Taken { number, _end: end };
        open.hosts.insert(host.to_owned(), taken);
        Some(Place {
            open: Arc::clone(&self.open),
            host: host.to_owned(),
            number,
            ended,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = open.hosts.get(&self.host);
        if now.is_some_and(|now| now.number == self.number) {
            open.hosts.remove(&self.host);
        }
    }
}

pub async fn stream(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Response, Fault> {
    match ask {
        Ok(Query(ask)) if ask.wait.is_none() => answer(app, caller, &headers, ask).await,
        _ => Err(Fault::malformed("Needs host=<id>&after=<number>.")),
    }
}

pub async fn sync(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Response, Fault> {
    match ask {
        Ok(Query(ask)) if ask.wait.is_some_and(|w| w <= WAIT_MOST) => {
            answer(app, caller, &headers, ask).await
        }
        _ => Err(Fault::malformed(format!(
            "Needs host=<id>&after=<number>&wait=<seconds, at most {WAIT_MOST}>."
        ))),
    }
}

async fn answer(
    app: Arc<App>,
    caller: Caller,
    headers: &HeaderMap,
    Ask { host, after, wait }: Ask,
) -> Result<Response, Fault> {
    host::check(&app, caller, headers, &host, Purpose::Read, None).await?;
    let head: Head = app.db.call(|core| core.store.head()).await?;
    if after > head.n {
        return Err(Fault::new(
            StatusCode::CONFLICT,
            "log-behind",
            format!(
                "The host has seen entry {after}, but this issuer's log ends at {}: it was set back.",
                head.n
            ),
        ));
    }
    let place = app.streams.take(&host).ok_or_else(|| {
        Fault::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-streams",
            "Too many streams are open.",
        )
    })?;
    let (send, receive) = mpsc::channel(16);
    let news = app.hub.listen();
    let writer = Writer {
        app,
        host,
        last: after,
        beat: 0,
        send,
    };
    tokio::spawn(writer.run(news, place, wait.map(Duration::from_secs)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx and its kin would else collect an answer before they hand it on.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Pipe(receive))).into_response())
}

/// Writes one stream.
struct Writer {
    app: Arc<App>,
    host: String,
    /// Newest entry sent, or passed over as not this host's.
    last: u64,
    /// Newest state sent. States are made in order, but by two hands: the tail and the start of a stream.
    beat: u64,
    send: mpsc::Sender<Bytes>,
}

/// The reader is gone or stuck, or the issuer stops.
struct Over;

impl Writer {
    /// Until `wait` is over and something was said; for ever without it.
    async fn run(
        mut self,
        mut news: watch::Receiver<News>,
        mut place: Place,
        wait: Option<Duration>,
    ) {
        let mut stop = self.app.stop.clone();
        let reader = self.send.clone();
        tokio::select! {
            () = stop.said() => {}
            () = reader.closed() => {}
            _ = &mut place.ended => {}
            _ = self.write(&mut news, wait) => {}
        }
    }

    async fn write(
        &mut self,
        news: &mut watch::Receiver<News>,
        wait: Option<Duration>,
    ) -> Result<(), Over> {
        match wait {
            Some(wait) => self.poll(news, wait).await,
            None => self.follow(news).await,
        }
    }

    /// What there is; if that is nothing, what comes next.
    async fn poll(&mut self, news: &mut watch::Receiver<News>, wait: Duration) -> Result<(), Over> {
        if self.catch_up().await? || wait.is_zero() {
            return Ok(());
        }
        let something = async {
            loop {
                let n = news.borrow_and_update().n;
                let fresh = self.app.hub.after(&self.host, self.last, n);
                // Beyond memory: the store knows.
                if fresh.is_none_or(|lines| !lines.is_empty()) {
                    return Ok(());
                }
                news.changed().await.map_err(|_| Over)?;
            }
        };
        match tokio::time::timeout(wait, something).await {
            Ok(Err(over)) => Err(over),
            Ok(Ok(())) | Err(_) => self.catch_up().await.map(|_| ()),
        }
    }

    async fn follow(&mut self, news: &mut watch::Receiver<News>) -> Result<(), Over> {
        self.catch_up().await?;
        loop {
            let (n, beat) = {
                let news = news.borrow_and_update();
                (news.n, news.beat.clone())
            };
            self.entries(n).await?;
            if let Some(beat) = beat.filter(|b| b.seq > self.beat) {
                self.state(&beat).await?;
            }
            loop {
                match tokio::time::timeout(QUIET, news.changed()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => return Err(Over),
                    Err(_) => self.send(Bytes::from_static(COMMENT)).await?,
                }
            }
        }
    }

    /// From the store up to its end, then a state made at that very moment: the reader knows at once how fresh
    /// it is, and a state he had before would be of no use to him. Says whether there was any entry.
    async fn catch_up(&mut self) -> Result<bool, Over> {
        let mut any = false;
        loop {
            let (host, after) = (self.host.clone(), self.last);
            let authority = Arc::clone(&self.app.authority);
            let (lines, beat) = self
                .call(move |core| {
                    let entries = core.store.log_of(&host, after, clock::unix(), BATCH)?;
                    let whole = u32::try_from(entries.len()).unwrap_or(u32::MAX) < BATCH;
                    let lines = entries
                        .into_iter()
                        .map(Line::new)
                        .collect::<Result<Vec<_>, _>>()?;
                    let beat = whole.then(|| tail::beat(core, &authority)).transpose()?;
                    Ok((lines, beat))
                })
                .await?;
            for line in lines {
                any = true;
                self.send(line.bytes).await?;
                self.last = line.n;
            }
            if let Some(beat) = beat {
                self.last = self.last.max(beat.n);
                return self.state(&beat).await.map(|()| any);
            }
        }
    }

    async fn entries(&mut self, upto: u64) -> Result<(), Over> {
        if upto <= self.last {
            return Ok(());
        }
        let Some(lines) = self.app.hub.after(&self.host, self.last, upto) else {
            // Too slow for what is kept in memory.
            return self.catch_up().await.map(|_| ());
        };
        for bytes in lines {
            self.send(bytes).await?;
        }
        self.last = upto;
        Ok(())
    }

    async fn state(&mut self, beat: &Beat) -> Result<(), Over> {
        self.beat = beat.seq;
        self.send(beat.bytes.clone()).await
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Over> {
        self.app.db.call(job).await.map_err(|e| {
            out::error(format_args!("a stream ended: {e}"));
            Over
        })
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Over> {
        match tokio::time::timeout(STUCK, self.send.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }
}

/// The body of a stream: whatever the writer sends.
struct Pipe(mpsc::Receiver<Bytes>);

impl HttpBody for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|b| b.map(|b| Ok(Frame::data(b))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_farewell_takes_no_place_from_a_newer_stream() {
        let places = Places::new(1);
        let old = places.take("a").unwrap();
        let newer = places.take("a").unwrap();
        drop(newer);
        let newest = places.take("a").unwrap();
        drop(old);
        assert!(places.take("b").is_none());
        drop(newest);
        assert!(places.take("b").is_some());
    }
}
