//! Brings a hook its events: of one request in their order, again and again until they are taken.

use super::Hook;
use crate::clock::Clock;
use crate::error::Error;
use crate::out;
use crate::outgoing::Outgoing;
use crate::stop::Stop;
use crate::store::{Db, Letter, Sent};
use hyper::body::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";
/// Events of different requests that are on their way at once.
const AT_ONCE: u32 = 8;
/// Milliseconds until the second try; each further wait is twice as long, up to the longest.
const FIRST_MS: u64 = 5_000;
const LONGEST_MS: u64 = 300_000;
/// Seconds after which an event that nobody took is given up.
const KEPT_S: u64 = 3 * 86_400;

/// One hook and all that is needed to tell it.
pub struct Courier {
    pub db: Db,
    pub hook: Hook,
    pub outgoing: Outgoing,
    pub clock: Arc<dyn Clock>,
    /// Something was written for a hook.
    pub woken: watch::Receiver<u64>,
    pub stop: Stop,
}

impl Courier {
    /// Runs until `stop`. What is on its way then is sent again by the next one.
    pub async fn run(self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = stop.said() => {}
            () = self.deliver_for_ever() => {}
        }
    }

    async fn deliver_for_ever(&self) {
        while let Err(e) = self.deliver().await {
            if matches!(e, Error::Worker) {
                return;
            }
            out::error(format_args!(
                "hook {}: {e}; again in a minute",
                self.hook.name
            ));
            self.clock.until(self.clock.unix_ms() + 60_000).await;
        }
    }

    /// Never ends well.
    async fn deliver(&self) -> Result<(), Error> {
        let mut woken = self.woken.clone();
        loop {
            let now_ms = self.clock.unix_ms();
            let hook = self.hook.name.clone();
            let (due, next) = self
                .db
                .call(move |core| {
                    let due = core.store.outbox_due(&hook, now_ms, AT_ONCE)?;
                    let next = core.store.outbox_next(&hook)?;
                    Ok((due, next))
                })
                .await?;
            if due.is_empty() {
                let wait = async {
                    match next {
                        Some(at) => self.clock.until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = wait => {}
                    // Its sender lives as long as the store.
                    _ = woken.changed() => {}
                }
                continue;
            }
            let sent = self.send_all(due).await;
            self.db
                .call(move |core| core.store.outbox_sent(&sent))
                .await?;
        }
    }

    async fn send_all(&self, due: Vec<Letter>) -> Vec<Sent> {
        let mut under_way = JoinSet::new();
        for letter in due {
            let (hook, outgoing) = (self.hook.clone(), self.outgoing.clone());
            let clock = Arc::clone(&self.clock);
            under_way.spawn(async move {
                let said = send(&hook, &outgoing, &letter, clock.unix_ms() / 1000).await;
                let why = said.as_ref().err().cloned();
                (settle(&hook.name, &letter, said, clock.unix_ms()), why)
            });
        }
        let (mut sent, mut whys) = (Vec::new(), Vec::new());
        // One that panicked stays due.
        while let Some(one) = under_way.join_next().await {
            if let Ok((one, why)) = one {
                sent.push(one);
                whys.extend(why);
            }
        }
        if let Some(why) = whys.last() {
            out::warn(format_args!(
                "hook {}: {} of {} events were not taken, and are sent again: {why}",
                self.hook.name,
                whys.len(),
                sent.len()
            ));
        }
        sent
    }
}

/// # Errors
/// Why it was not taken.
async fn send(hook: &Hook, outgoing: &Outgoing, letter: &Letter, now: u64) -> Result<(), String> {
    let headers = hook
        .headers(&letter.id, now, &letter.body, MEDIA_TYPE)
        .map_err(|e| e.to_string())?;
    let body = Bytes::from(letter.body.clone());
    match outgoing.post(&hook.url, headers, body).await {
        Ok((status, _)) if status.is_success() => Ok(()),
        Ok((status, _)) => Err(format!("it answered {status}")),
        Err(e) => Err(e.to_string()),
    }
}

fn settle(hook: &str, letter: &Letter, said: Result<(), String>, now_ms: u64) -> Sent {
    let Err(why) = said else {
        return Sent {
            seq: letter.seq,
            again_at: None,
        };
    };
    if (now_ms / 1000).saturating_sub(letter.at) > KEPT_S {
        out::error(format_args!(
            "hook {hook}: event {} is given up after three days: {why}",
            letter.id
        ));
        return Sent {
            seq: letter.seq,
            again_at: None,
        };
    }
    Sent {
        seq: letter.seq,
        again_at: Some(now_ms + wait_ms(letter.tries)),
    }
}

/// After so many tries that failed before this one.
fn wait_ms(tries: u32) -> u64 {
    2u64.checked_pow(tries)
        .and_then(|n| n.checked_mul(FIRST_MS))
        .map_or(LONGEST_MS, |ms| ms.min(LONGEST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_longer_up_to_the_longest() {
        let waits: Vec<u64> = (0..9).map(|n| wait_ms(n) / 1000).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(wait_ms(u32::MAX), LONGEST_MS);
    }

    #[test]
    fn what_nobody_takes_is_given_up_after_three_days() {
        let letter = Letter {
            seq: 1,
            id: "evt_1".to_owned(),
            at: 1_000,
            body: String::new(),
            tries: 0,
        };
        let no = || Err("it answered 500".to_owned());
        let again = |now: u64| settle("h", &letter, no(), now * 1000).again_at;
        assert_eq!(again(1_000), Some(1_005_000));
        assert_eq!(again(1_000 + KEPT_S), Some((1_005 + KEPT_S) * 1000));
        assert_eq!(again(1_001 + KEPT_S), None);
        assert_eq!(settle("h", &letter, Ok(()), 0).again_at, None);
    }
}
