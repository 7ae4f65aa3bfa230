//! Feeds the link's receivers of syslog from the journal. The journal is the spool: nothing is kept beside it but how
//! far each receiver has it. The link is believed in one thing only, that a receiver has what was handed over for it on
//! this connection; the numbers let the receiver see what a lying link kept back.

use super::Agent;
use crate::paths::{JOURNAL_DIR, JOURNAL_HEAD};
use crate::store::receivers::{Cursors, configured};
use journal::Tail;
use statement::claims::Purpose;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::cli::Reply;
use wire::link::{Checkpoint, Down, Entry};

/// Records in one message.
const COUNT: usize = 128;
/// Bytes of records in one message, but for the last of them.
const BYTES: usize = 128 << 10;
/// News are collected for so long: one message for a burst, and a command that was just let in runs first.
const GATHER: Duration = Duration::from_millis(50);
/// Between two beginnings from the cursor.
const AGAIN: Duration = Duration::from_millis(250);
/// A checkpoint goes out so often, also when nothing happens.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// Between two writings of the cursors.
const KEEP: Duration = Duration::from_secs(2);

/// All receivers.
pub struct Receivers {
    known: BTreeMap<String, Receiver>,
    /// The log that the cursors are about; empty until it is known.
    log: String,
    /// What was kept has been read.
    loaded: bool,
    /// Counts connections of the link.
    session: u64,
    /// Cursors have moved since they were kept.
    moved: bool,
    kept: Instant,
    /// One reads the journal at a time.
    disk: Arc<Semaphore>,
}

struct Receiver {
    /// The first index that it is not known to have.
    cursor: u64,
    /// The first index that was not handed over for it on this connection.
    handed: u64,
    /// The same on any connection.
    most: u64,
    tail: Option<Tail>,
    asked: Option<JoinHandle<()>>,
    began: Option<Instant>,
    checkpoint: Option<Instant>,
    /// When it last took something, or lacked nothing.
    well: Instant,
    /// What the link says is wrong.
    why: Option<String>,
    /// That it is behind was journaled.
    told: bool,
}

impl Receiver {
    fn at(cursor: u64) -> Self {
        Self {
            cursor,
            handed: cursor,
            most: cursor,
            tail: None,
            asked: None,
            began: None,
            checkpoint: None,
            well: Instant::now(),
            why: None,
            told: false,
        }
    }

    /// The link's word that everything below `next` is there. It may only name what it was given.
    fn stored(&mut self, next: u64) -> Result<bool, String> {
        if next > self.most {
            return Err(format!(
                "the link says that a receiver has the records below {next}; it was given those below {}",
                self.most
            ));
        }
        // An earlier connection's word, or one that would only send records again.
        if next > self.handed || next <= self.cursor {
            return Ok(false);
        }
        self.cursor = next;
        self.well = Instant::now();
        self.why = None;
        self.told = false;
        Ok(true)
    }

    fn forget_connection(&mut self) {
        if let Some(task) = self.asked.take() {
            task.abort();
        }
        self.handed = self.cursor;
        self.tail = None;
        self.began = None;
    }
}

impl Default for Receivers {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            log: String::new(),
            loaded: false,
            session: 0,
            moved: false,
            kept: Instant::now(),
            disk: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Agent {
    /// A link has connected: what it was told before counts no more, and root may have changed its configuration.
    pub fn receivers_anew(&self) {
        let names = match configured() {
            Ok(names) => names,
            Err(why) => {
                self.alert_rarely(&format!(
                    "the receivers of the journal are not known: {why}"
                ));
                return self.receivers_gone();
            }
        };
        self.receivers_gone();
        let mut all = self.receivers.borrow_mut();
        if !all.loaded {
            all.loaded = true;
            let log = all.log_name();
            match Cursors::load() {
                // Of another log the numbers say nothing.
                Ok(stored) => {
                    let next = stored.filter(|c| c.log == log).map(|c| c.next);
                    let known = next.into_iter().flatten();
                    all.known = known.map(|(name, at)| (name, Receiver::at(at))).collect();
                }
                Err(e) => self.alert(&format!("{e}; every receiver gets the whole journal again")),
            }
        }
        let gone = |name: &&String| !names.contains(*name);
        let dropped: Vec<String> = all.known.keys().filter(gone).cloned().collect();
        all.moved |= !dropped.is_empty();
        all.known.retain(|name, _| names.contains(name));
        for name in names {
            all.known.entry(name).or_insert_with(|| Receiver::at(0));
        }
        drop(all);
        for name in dropped {
            self.alert(&format!(
                "the receiver {name} gets the journal no more: the link's configuration names it no more"
            ));
        }
    }

    /// Every receiver has the entries below this one; all, where there are no receivers.
    pub(super) fn receivers_have(&self) -> u64 {
        let all = self.receivers.borrow();
        let of = |name: &String| all.known.get(name).map_or(0, |receiver| receiver.cursor);
        // What is configured by now: the link may not have been started anew.
        match configured() {
            Ok(names) => names.iter().map(of).min().unwrap_or(u64::MAX),
            Err(_) => 0,
        }
    }

    /// The link is gone.
    pub(super) fn receivers_gone(&self) {
        let mut all = self.receivers.borrow_mut();
        all.session += 1;
        all.known.values_mut().for_each(Receiver::forget_connection);
    }

    /// The link asks for the next records of a receiver.
    pub(super) fn records_for(self: &Rc<Self>, name: String, id: u64, again: bool) {
        let mut all = self.receivers.borrow_mut();
        let session = all.session;
        let Some(receiver) = all.known.get_mut(&name) else {
            drop(all);
            return self.alert_rarely(
                "the link asks for records for a receiver that its configuration does not name",
            );
        };
        if let Some(task) = receiver.asked.take() {
            task.abort();
        }
        let mut wait = Duration::ZERO;
        if again {
            let now = Instant::now();
            wait = receiver
                .began
                .map_or(wait, |then| AGAIN.saturating_sub(now - then));
            receiver.began = Some(now + wait);
            receiver.handed = receiver.cursor;
            receiver.tail = None;
            receiver.why = None;
            // The last one may be among what was lost with the connection.
            receiver.checkpoint = None;
        }
        let agent = self.clone();
        receiver.asked = Some(tokio::task::spawn_local({
            let name = name.clone();
            async move {
                tokio::time::sleep(wait).await;
                agent.feed(&name, id, session).await;
            }
        }));
    }

    /// Answers one question, once there is something to say.
    async fn feed(&self, name: &str, id: u64, session: u64) {
        let mut growth = self.log.growth();
        let (mut tail, due) = {
            let mut all = self.receivers.borrow_mut();
            let Some(receiver) = all.of(name, session) else {
                return;
            };
            let at = receiver.handed;
            let tail = receiver.tail.take().filter(|t| t.next_index() == at);
            let due = receiver.checkpoint.map(|then| then + CHECKPOINT);
            (
                tail.unwrap_or_else(|| Tail::new(Path::new(JOURNAL_DIR), at)),
                due.unwrap_or_else(Instant::now),
            )
        };
        loop {
            let until = *growth.borrow_and_update();
            // The journal was put back from an older copy: what it says since then nobody has.
            if until > 0 && tail.next_index() > until {
                self.alert(&format!(
                    "the receiver {name} is said to have {} records and the journal has {until}; it gets them all again",
                    tail.next_index()
                ));
                if let Some(receiver) = self.receivers.borrow_mut().of(name, session) {
                    (receiver.cursor, receiver.handed) = (0, 0);
                }
                tail = Tail::new(Path::new(JOURNAL_DIR), 0);
            }
            let read = if tail.next_index() < until {
                tokio::time::sleep(GATHER).await;
                let until = *growth.borrow_and_update();
                let mut expected = tail.next_index();
                let Some((back, part)) = self.read(tail, until).await else {
                    return;
                };
                tail = back;
                for entry in &part.entries {
                    if entry.index != expected {
                        self.alert_rarely(&format!(
                            "the receiver {name} gets no records {expected} to {}: the journal does not hold them as they were written",
                            entry.index - 1
                        ));
                    }
                    expected = entry.index + 1;
                }
                part.entries
            } else {
                Vec::new()
            };
            if !read.is_empty() || Instant::now() >= due {
                let records = read
                    .into_iter()
                    .map(|e| Entry {
                        index: e.index,
                        record: e.json,
                    })
                    .collect();
                return self.give_records(name, id, session, tail, records, Instant::now() >= due);
            }
            tokio::select! {
                grown = growth.changed() => if grown.is_err() {
                    return;
                },
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    async fn read(&self, mut tail: Tail, until: u64) -> Option<(Tail, journal::Tailed)> {
        let disk = self.receivers.borrow().disk.clone();
        let permit = disk.acquire_owned().await.ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let part = tail.read(until, COUNT, BYTES);
            drop(permit);
            (tail, part)
        });
        read.await.ok()
    }

    fn give_records(
        &self,
        name: &str,
        id: u64,
        session: u64,
        tail: Tail,
        records: Vec<Entry>,
        due: bool,
    ) {
        let log = self.receivers.borrow_mut().log_name();
        let host = crate::events::host_id().unwrap_or_default();
        let origin = format!("jit/{host}/{log}");
        let checkpoint = due.then(|| self.checkpoint(name, &origin));
        let mut all = self.receivers.borrow_mut();
        let Some(receiver) = all.of(name, session) else {
            return;
        };
        receiver.handed = tail.next_index();
        receiver.most = receiver.most.max(receiver.handed);
        receiver.tail = Some(tail);
        receiver.asked = None;
        if due {
            receiver.checkpoint = Some(Instant::now());
        }
        drop(all);
        if let Some(tx) = &self.core.borrow().link.tx {
            let _ = tx.send(Down::Records {
                receiver: name.to_owned(),
                id,
                host: self.host_name.clone(),
                origin,
                records,
                checkpoint,
            });
        }
    }

    /// How long the journal is now, in this host's word: a receiver that lacks a record below `next` sees it, and the link
    /// cannot say otherwise.
    fn checkpoint(&self, name: &str, origin: &str) -> Checkpoint {
        let (next, chain) = match journal::head(Path::new(JOURNAL_HEAD)) {
            journal::Found::Head(head) => (head.next, super::word::hex(&head.chain)),
            journal::Found::Missing | journal::Found::Damaged(_) => (0, String::new()),
        };
        let time = self.note("checkpoint").time.rfc3339();
        let body = serde_json::json!({
            "time": time, "type": "checkpoint", "origin": origin, "next": next, "chain": chain,
        })
        .to_string();
        let host = self
            .core
            .borrow()
            .enrolled
            .as_ref()
            .map(|e| e.me.host.clone());
        let hash = statement::digest::sha256_b64(body.as_bytes());
        // Addressed to the receiver: to an issuer it says nothing.
        let word = host.and_then(|host| {
            self.word(host, format!("siem:{name}"), Purpose::Receipt, Some(hash))
                .ok()
        });
        Checkpoint { body, word }
    }

    /// The link says that a receiver has all records below `next`.
    pub(super) fn stored_by(&self, name: &str, next: u64) {
        let mut all = self.receivers.borrow_mut();
        let moved = match all.known.get_mut(name).map(|r| r.stored(next)) {
            Some(Ok(moved)) => moved,
            Some(Err(why)) => {
                drop(all);
                return self.alert_rarely(&why);
            }
            None => false,
        };
        all.moved |= moved;
    }

    /// The link cannot hand anything to a receiver.
    pub(super) fn failing(&self, name: &str, why: &str) {
        let mut all = self.receivers.borrow_mut();
        if let Some(receiver) = all.known.get_mut(name) {
            let why = why.chars().filter(|c| !c.is_control()).take(200);
            receiver.why = Some(why.collect());
        }
    }

    /// How far each one is.
    #[must_use]
    pub fn receivers_now(&self) -> Reply {
        let all = self.receivers.borrow();
        let shown = |(name, r): (&String, &Receiver)| wire::cli::Receiver {
            name: name.clone(),
            next: r.cursor,
            why: r.why.clone(),
        };
        let receivers = all.known.iter().map(shown).collect();
        Reply::Receivers { receivers }
    }

    /// How many records each one is not known to have.
    #[must_use]
    pub fn waiting(&self) -> BTreeMap<String, u64> {
        let next = self.log.next_index();
        let all = self.receivers.borrow();
        let lacks = |r: &Receiver| next.saturating_sub(r.cursor);
        all.known
            .iter()
            .map(|(n, r)| (n.clone(), lacks(r)))
            .collect()
    }

    /// With each tick: keep cursors that moved, and tell of a receiver that takes nothing.
    pub fn look_at_receivers(self: &Rc<Self>) {
        let next = self.log.next_index();
        let now = Instant::now();
        let patience = self.receiver_patience();
        let mut behind = Vec::new();
        let mut all = self.receivers.borrow_mut();
        for (name, receiver) in &mut all.known {
            if receiver.cursor >= next {
                receiver.well = now;
                receiver.told = false;
            } else if now - receiver.well >= patience && !receiver.told {
                receiver.told = true;
                behind.push((name.clone(), next - receiver.cursor, receiver.why.clone()));
            }
        }
        let cursors = (all.moved && now - all.kept >= KEEP).then(|| all.take_moved(now));
        drop(all);
        for (name, lacks, why) in behind {
            let why = why.unwrap_or_else(|| "the link does not ask for them".to_owned());
            let record = self
                .note(journal::kind::ALERT)
                .detail("code", "receiver")
                .detail(
                    "why",
                    format!("the receiver {name} is behind: {lacks} records wait; {why}"),
                );
            self.log
                .later(record.detail("receiver", name).detail("waiting", lacks));
        }
        if let Some(cursors) = cursors {
            let agent = self.clone();
            tokio::task::spawn_local(async move {
                let saved = tokio::task::spawn_blocking(move || cursors.save()).await;
                let why = match saved {
                    Ok(Ok(())) => return,
                    Ok(Err(e)) => e.to_string(),
                    Err(e) => e.to_string(),
                };
                agent.receivers.borrow_mut().moved = true;
                agent.alert_rarely(&why);
            });
        }
    }

    /// A receiver that takes nothing for so long is behind.
    fn receiver_patience(&self) -> Duration {
        let seconds = match &*self.config.borrow() {
            Ok(config) => config.manners.receiver_behind_s,
            Err(_) => settings::agent::Agent::default().receiver_behind_s,
        };
        Duration::from_secs(seconds)
    }

    /// Before the agent stops.
    pub fn keep_receivers(&self) {
        let mut all = self.receivers.borrow_mut();
        if all.moved {
            let cursors = all.take_moved(Instant::now());
            drop(all);
            if let Err(e) = cursors.save() {
                self.alert(&e.to_string());
            }
        }
    }

    /// What people are told of receivers that lack something; `None`: nothing.
    pub(super) fn receivers_note(&self) -> Option<String> {
        let next = self.log.next_index();
        let now = Instant::now();
        let patience = self.receiver_patience();
        let all = self.receivers.borrow();
        let says: Vec<String> = all
            .known
            .iter()
            .filter(|(_, r)| r.cursor < next && (r.why.is_some() || now - r.well >= patience))
            .map(|(name, r)| {
                let why = r.why.as_deref().unwrap_or("it takes nothing");
                format!(
                    "the receiver {name} lacks the last {} records: {why}",
                    next - r.cursor
                )
            })
            .collect();
        (!says.is_empty()).then(|| says.join("; "))
    }
}

impl Receivers {
    fn log_name(&mut self) -> String {
        if self.log.is_empty() {
            self.log = journal::log_name(Path::new(JOURNAL_DIR)).unwrap_or_default();
        }
        self.log.clone()
    }

    fn of(&mut self, name: &str, session: u64) -> Option<&mut Receiver> {
        let current = self.session == session;
        self.known.get_mut(name).filter(|_| current)
    }

    fn take_moved(&mut self, now: Instant) -> Cursors {
        self.moved = false;
        self.kept = now;
        Cursors {
            v: 1,
            log: self.log_name(),
            next: self
                .known
                .iter()
                .map(|(name, r)| (name.clone(), r.cursor))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_link_moves_a_cursor_only_over_what_it_was_given() {
        let mut r = Receiver::at(5);
        assert!(r.stored(6).is_err());
        (r.handed, r.most) = (9, 9);
        assert_eq!(r.stored(9), Ok(true));
        assert_eq!(r.stored(7), Ok(false));
        assert_eq!(r.stored(0), Ok(false));
        assert_eq!(r.cursor, 9);
        (r.handed, r.most) = (12, 12);
        r.forget_connection();
        // A word about another connection.
        assert_eq!(r.stored(12), Ok(false));
        assert!(r.stored(13).is_err());
        assert_eq!((r.cursor, r.handed), (9, 9));
    }
}
