//! Events for hooks, in SQLite: written in the transaction of what they tell of, gone once they were taken.

use super::row::{int, uint};
use super::{Asked, Letter, Outbox, hosts, waiting};
use crate::clock;
use crate::error::Error;
use crate::hooks::event::{Happened, More, Of};
use crate::out;
use rusqlite::{Connection, OptionalExtension, params};
use settings::outgoing::What;
use statement::claims::Target;

/// Writes it down for each hook that wants it.
pub fn put(tx: &Connection, outbox: Option<&Outbox>, happened: &Happened<'_>) -> Result<(), Error> {
    let Some(outbox) = outbox else { return Ok(()) };
    let wanting = || {
        outbox
            .hooks
            .iter()
            .filter(|(_, wants)| wants.contains(&happened.what))
    };
    if wanting().next().is_none() {
        return Ok(());
    }
    // Not the time of the request, which may have waited for days.
    let at = clock::unix();
    let name = |id: &str| Ok(hosts::one(tx, "id = ?1", id)?.map(|h| h.name));
    let event = happened.render(outbox, at, name)?;
    for (hook, _) in wanting() {
        tx.prepare_cached(
            "INSERT INTO outbox (hook, line, id, at, body, tries, next) VALUES (?1, ?2, ?3, ?4, ?5, 0,
                 CASE WHEN EXISTS (SELECT 1 FROM outbox WHERE hook = ?1 AND line = ?2) THEN NULL ELSE 0 END)",
        )?
        .execute(params![hook, event.line, event.id, int(at)?, event.body])?;
        bound(tx, hook, MOST)?;
    }
    // Whoever hears it asks on the store's thread, after this transaction.
    outbox.woken.send_modify(|n| *n = n.wrapping_add(1));
    Ok(())
}

/// So many wait for one hook; beyond that a part of them, the oldest, is given up.
const MOST: u32 = 20_000;

fn bound(tx: &Connection, hook: &str, most: u32) -> Result<(), Error> {
    let waiting: u32 = tx
        .prepare_cached("SELECT count(*) FROM outbox WHERE hook = ?1")?
        .query_row([hook], |row| row.get(0))?;
    if waiting <= most {
        return Ok(());
    }
    // Some at once, so that a flood is told of now and then and not with each event.
    let part = (most / 100).max(1);
    let oldest: Vec<i64> = tx
        .prepare_cached("SELECT seq FROM outbox WHERE hook = ?1 ORDER BY seq LIMIT ?2")?
        .query_map(params![hook, part], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seq in oldest {
        done(tx, seq)?;
    }
    out::error(format_args!(
        "hook {hook}: the {part} oldest events are given up, as more than {most} wait for it; does it take any?"
    ));
    Ok(())
}

/// The same of a request that people were asked about.
pub fn put_waiting(
    tx: &Connection,
    outbox: Option<&Outbox>,
    hash: &str,
    what: What,
    person: Option<&str>,
) -> Result<(), Error> {
    if outbox.is_none() {
        return Ok(());
    }
    let Some(waiting) = waiting::one(tx, "hash", hash)? else {
        return Ok(());
    };
    let more = match person {
        Some(person) => More::Person(person),
        None => More::Waiting(&waiting.waiting_for, waiting.until),
    };
    let happened = Happened {
        what,
        of: Of::Request(&waiting.asked, more),
    };
    put(tx, outbox, &happened)
}

/// The same of a revocation.
pub fn put_revoked(
    tx: &Connection,
    outbox: Option<&Outbox>,
    target: &Target,
    (kind, id): (&str, &str),
    serial: u64,
) -> Result<(), Error> {
    if outbox.is_none() {
        return Ok(());
    }
    let asked = match target {
        Target::Grant(jti) => asked_for(tx, jti)?,
        _ => None,
    };
    let of = match &asked {
        Some(asked) => Of::Request(asked, More::Revoked(id, serial)),
        None => Of::Many {
            kind,
            target: id,
            serial,
        },
    };
    let what = What::Revoked;
    put(tx, outbox, &Happened { what, of })
}

fn asked_for(tx: &Connection, jti: &str) -> Result<Option<Asked>, Error> {
    let found = tx.query_row(
        "SELECT hash, id, request.host, request.sub, at, jws FROM request JOIN granted ON granted.request = hash
         WHERE jti = ?1",
        [jti],
        waiting::asked,
    );
    Ok(found.optional()?)
}

/// Forgets what is for nobody any more.
pub fn keep_only(db: &Connection, hooks: &[&str]) -> Result<usize, Error> {
    let hooks = super::hosts::json(&hooks)?;
    Ok(db.execute(
        "DELETE FROM outbox WHERE hook NOT IN (SELECT value FROM json_each(?1))",
        [hooks],
    )?)
}

pub fn due(db: &Connection, hook: &str, now_ms: u64, limit: u32) -> Result<Vec<Letter>, Error> {
    let mut query = db.prepare_cached(
        "SELECT seq, id, at, body, tries FROM outbox WHERE hook = ?1 AND next <= ?2 ORDER BY next, seq LIMIT ?3",
    )?;
    let rows = query.query_map(params![hook, int(now_ms)?, limit], |row| {
        Ok(Letter {
            seq: row.get(0)?,
            id: row.get(1)?,
            at: uint(row, 2)?,
            body: row.get(3)?,
            tries: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Unix milliseconds when the next is due.
pub fn next(db: &Connection, hook: &str) -> Result<Option<u64>, Error> {
    let mut query = db.prepare_cached(
        "SELECT next FROM outbox WHERE hook = ?1 AND next IS NOT NULL ORDER BY next LIMIT 1",
    )?;
    Ok(query.query_row([hook], |row| uint(row, 0)).optional()?)
}

/// It is gone, and the next of its line is due.
pub fn done(tx: &Connection, seq: i64) -> Result<(), Error> {
    let of = tx
        .query_row(
            "DELETE FROM outbox WHERE seq = ?1 RETURNING hook, line",
            [seq],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    if let Some((hook, line)) = of {
        tx.execute(
            "UPDATE outbox SET next = 0 WHERE seq = (SELECT min(seq) FROM outbox WHERE hook = ?1 AND line = ?2)",
            params![hook, line],
        )?;
    }
    Ok(())
}

pub fn later(tx: &Connection, seq: i64, next_ms: u64) -> Result<(), Error> {
    tx.execute(
        "UPDATE outbox SET tries = tries + 1, next = ?2 WHERE seq = ?1",
        params![seq, int(next_ms)?],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_go_and_what_waited_behind_them_is_due() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("schema9.sql")).unwrap();
        let put = |hook: &str, line: &str, is_first: bool| {
            let next = is_first.then_some(0);
            db.execute(
                "INSERT INTO outbox (hook, line, id, at, body, tries, next) VALUES (?1, ?2, '', 0, '', 0, ?3)",
                params![hook, line, next],
            )
            .unwrap();
        };
        put("other", "a", true);
        put("chat", "a", true);
        put("chat", "a", false);
        put("chat", "b", true);
        let seqs = |hook: &str| -> Vec<i64> {
            let due = due(&db, hook, 0, 9).unwrap();
            due.iter().map(|l| l.seq).collect()
        };
        bound(&db, "chat", 3).unwrap();
        assert_eq!(seqs("chat"), [2, 4], "three are not too many");
        bound(&db, "chat", 2).unwrap();
        assert_eq!(seqs("chat"), [3, 4]);
        assert_eq!(seqs("other"), [1]);
    }
}
