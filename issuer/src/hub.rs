//! From the log to the streams: the newest entries in memory, so that a revocation is read and written out once,
//! however many hosts listen.

use crate::error::Error;
use crate::store::Logged;
use api::{Event, Kind, sse};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One entry, ready to be sent.
#[derive(Clone, Debug)]
pub struct Line {
    pub n: u64,
    host: Option<String>,
    pub bytes: Bytes,
}

impl Line {
    /// # Errors
    /// [`Error::Keys`] for an entry no reader would take.
    pub fn new(entry: Logged) -> Result<Self, Error> {
        Ok(Self {
            n: entry.n,
            host: entry.host,
            bytes: encode(Some(entry.n), entry.kind, entry.blob)?,
        })
    }

    fn is_for(&self, host: &str) -> bool {
        self.host.as_deref().is_none_or(|h| h == host)
    }
}

/// A signed state and how much of the log it speaks of.
#[derive(Clone, Debug)]
pub struct Beat {
    pub seq: u64,
    /// Send it after all entries up to this one.
    pub n: u64,
    pub bytes: Bytes,
}

impl Beat {
    /// # Errors
    /// [`Error::Keys`] for a state no reader would take.
    pub fn new(seq: u64, n: u64, jws: String) -> Result<Self, Error> {
        Ok(Self {
            seq,
            n,
            bytes: encode(None, Kind::State, jws)?,
        })
    }
}

fn encode(id: Option<u64>, kind: Kind, data: String) -> Result<Bytes, Error> {
    sse::encode(&Event { id, kind, data })
        .map(Bytes::from)
        .map_err(|e| Error::Keys(e.to_string()))
}

/// What listeners wait for.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Newest entry in memory.
    pub n: u64,
    pub beat: Option<Arc<Beat>>,
}

/// Shared by the tail task and all streams.
pub struct Hub {
    ring: Mutex<Ring>,
    news: watch::Sender<News>,
    size: usize,
}

struct Ring {
    /// Everything after this entry is here.
    floor: u64,
    lines: VecDeque<Line>,
}

impl Hub {
    /// `n`: the newest entry of the log at start; `size`: entries kept.
    #[must_use]
    pub fn new(n: u64, size: usize) -> Self {
        Self {
            ring: Mutex::new(Ring {
                floor: n,
                lines: VecDeque::new(),
            }),
            news: watch::Sender::new(News { n, beat: None }),
            size,
        }
    }

    #[must_use]
    pub fn listen(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Adds entries in order, then the state that speaks of them, and wakes all streams.
    pub fn publish(&self, lines: Vec<Line>, beat: Option<Beat>) {
        let newest = lines.last().map(|l| l.n);
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.lines.extend(lines);
            while ring.lines.len() > self.size {
                if let Some(oldest) = ring.lines.pop_front() {
                    ring.floor = oldest.n;
                }
            }
        }
        self.news.send_modify(|news| {
            news.n = newest.unwrap_or(news.n);
            if let Some(beat) = beat {
                news.beat = Some(Arc::new(beat));
            }
        });
    }

    /// Entries for a host after a position up to another one; `None` when memory does not reach back that far.
    #[must_use]
    pub fn after(&self, host: &str, after: u64, upto: u64) -> Option<Vec<Bytes>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        (after >= ring.floor).then(|| {
            let from = ring.lines.partition_point(|l| l.n <= after);
            ring.lines
                .range(from..)
                .take_while(|l| l.n <= upto)
                .filter(|l| l.is_for(host))
                .map(|l| l.bytes.clone())
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u64, host: Option<&str>) -> Line {
        Line {
            n,
            host: host.map(str::to_owned),
            bytes: Bytes::from(n.to_string()),
        }
    }

    fn numbers(hub: &Hub, host: &str, after: u64, upto: u64) -> Option<Vec<String>> {
        let bytes = hub.after(host, after, upto)?;
        Some(
            bytes
                .iter()
                .map(|b| String::from_utf8_lossy(b).into_owned())
                .collect(),
        )
    }

    #[test]
    fn a_host_gets_its_own_and_what_is_for_all_or_is_sent_to_the_store() {
        let hub = Hub::new(5, 3);
        assert_eq!(numbers(&hub, "a", 4, 9), None);
        assert_eq!(numbers(&hub, "a", 5, 9), Some(vec![]));
        hub.publish(
            vec![line(6, None), line(7, Some("a")), line(8, Some("b"))],
            None,
        );
        assert_eq!(numbers(&hub, "a", 5, 9), Some(vec!["6".into(), "7".into()]));
        assert_eq!(numbers(&hub, "b", 6, 9), Some(vec!["8".into()]));
        assert_eq!(numbers(&hub, "b", 5, 7), Some(vec!["6".into()]));
        hub.publish(vec![line(9, None)], None);
        assert_eq!(numbers(&hub, "a", 5, 9), None);
        assert_eq!(numbers(&hub, "a", 6, 9), Some(vec!["7".into(), "9".into()]));
        assert_eq!(hub.listen().borrow().n, 9);
    }
}
