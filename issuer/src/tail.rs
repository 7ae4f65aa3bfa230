//! The one reader of the log: every new entry goes to the hub in order, and a signed state after each revocation,
//! policy or trust statement and at every beat.

use crate::authority::Authority;
use crate::clock;
use crate::error::Error;
use crate::hub::{Beat, Hub, Line};
use crate::out;
use crate::stop::Stop;
use crate::store::{Core, Db};
use api::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// Entries read at once.
const BATCH: u32 = 512;

/// Signs a state of the whole log. Runs on the store's thread: a higher number never speaks of less.
///
/// # Errors
/// The store's and the signer's.
pub fn beat(core: &mut Core, authority: &Authority) -> Result<Beat, Error> {
    let head = core.store.head()?;
    let seq = core.next_state_seq()?;
    let jws = authority.state(seq, clock::unix(), &head)?;
    Beat::new(seq, head.n, jws)
}

/// Runs until `stop`. `wake` tells of something new in the log; `alive` is called at every beat.
///
/// # Errors
/// [`Error::Worker`]: nothing more can be read. Other faults are told and tried again at the next beat.
pub async fn run(
    db: Db,
    authority: Arc<Authority>,
    hub: Arc<Hub>,
    wake: Arc<Notify>,
    heartbeat: Duration,
    alive: impl Fn(),
    mut stop: Stop,
) -> Result<(), Error> {
    let mut last = hub.listen().borrow().n;
    let mut every = tokio::time::interval(heartbeat);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Not at once: each stream begins with a state of its own.
    every.reset();
    loop {
        let due = tokio::select! {
            () = stop.said() => return Ok(()),
            _ = every.tick() => true,
            () = wake.notified() => false,
        };
        match publish(&db, &authority, &hub, last, due).await {
            Ok(n) => last = n,
            Err(Error::Worker) => return Err(Error::Worker),
            Err(e) => out::error(format_args!("no state was sent: {e}")),
        }
        // The loop turns and the store's thread answers.
        alive();
    }
}

async fn publish(
    db: &Db,
    authority: &Arc<Authority>,
    hub: &Hub,
    mut last: u64,
    due: bool,
) -> Result<u64, Error> {
    let mut due = due;
    if due {
        // On its own: a disk that takes nothing more must not keep the states back.
        let expired = db.call(|core| core.store.expire(clock::unix())).await;
        if let Err(e) = expired {
            out::error(format_args!("overdue requests stay open: {e}"));
        }
    }
    loop {
        let authority = Arc::clone(authority);
        let (lines, beat, more) = db
            .call(move |core| {
                let entries = core.store.log(last, BATCH)?;
                let more = u32::try_from(entries.len()).unwrap_or(u32::MAX) >= BATCH;
                due |= entries.iter().any(|e| e.kind != Kind::Grant);
                let lines = entries
                    .into_iter()
                    .map(Line::new)
                    .collect::<Result<Vec<_>, _>>()?;
                let beat = (due && !more).then(|| beat(core, &authority)).transpose()?;
                Ok((lines, beat, more.then_some(due)))
            })
            .await?;
        last = lines.last().map_or(last, |l| l.n);
        hub.publish(lines, beat);
        match more {
            Some(still) => due = still,
            None => return Ok(last),
        }
    }
}
