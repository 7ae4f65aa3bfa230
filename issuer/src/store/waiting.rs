//! Requests that wait for people, and their approvals, in SQLite.

use super::hosts::json;
use super::row::{bad, int, uint};
use super::{Asked, Given, Waiting};
use crate::error::Error;
use api::Standing;
use rusqlite::{Connection, OptionalExtension, Row, params};
use statement::people::Need;

const COLUMNS: &str = "hash, id, host, sub, at, jws, until, levels, waiting_for, standing, detail";
/// Open requests that are read at once; the oldest come first.
const LISTED: u32 = 1000;

/// False when the id is taken by another one.
pub fn put(
    tx: &Connection,
    asked: &Asked,
    until: u64,
    levels: &[Need],
    waiting_for: &str,
) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO waiting (hash, id, host, sub, at, until, jws, levels, waiting_for, standing, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', '') ON CONFLICT DO NOTHING",
        params![
            asked.hash,
            asked.id,
            asked.host,
            asked.sub,
            int(asked.at)?,
            int(until)?,
            asked.jws,
            json(&levels)?,
            waiting_for
        ],
    )?;
    Ok(added == 1)
}

/// By hash or by id.
pub fn one(db: &Connection, column: &str, value: &str) -> Result<Option<Waiting>, Error> {
    let query = format!("SELECT {COLUMNS} FROM waiting WHERE {column} = ?1");
    let found = db.query_row(&query, [value], waiting).optional()?;
    found.map(|w| with_approvals(db, w)).transpose()
}

pub fn open(db: &Connection) -> Result<Vec<Waiting>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM waiting WHERE standing = 'open' ORDER BY at, hash LIMIT {LISTED}"
    ))?;
    let rows = query.query_map([], waiting)?;
    let all = rows.collect::<Result<Vec<_>, _>>()?;
    all.into_iter().map(|w| with_approvals(db, w)).collect()
}

/// How many of this subject, of this host and in all are open.
pub fn count(db: &Connection, host: &str, sub: &str) -> Result<(u64, u64, u64), Error> {
    Ok(db.query_row(
        "SELECT count(*) FILTER (WHERE host = ?1 AND sub = ?2), count(*) FILTER (WHERE host = ?1), count(*)
         FROM waiting WHERE standing = 'open'",
        params![host, sub],
        |row| Ok((uint(row, 0)?, uint(row, 1)?, uint(row, 2)?)),
    )?)
}

/// Whom an open one waits for now. True when these are others.
pub fn waits(
    tx: &Connection,
    hash: &str,
    levels: &[Need],
    waiting_for: &str,
) -> Result<bool, Error> {
    let others: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM waiting WHERE hash = ?1 AND standing = 'open' AND waiting_for <> ?2)",
        params![hash, waiting_for],
        |row| row.get(0),
    )?;
    tx.execute(
        "UPDATE waiting SET levels = ?2, waiting_for = ?3 WHERE hash = ?1 AND standing = 'open'",
        params![hash, json(&levels)?, waiting_for],
    )?;
    Ok(others)
}

/// The first of a person stays; true when it is this one.
pub fn approve(tx: &Connection, hash: &str, given: &Given) -> Result<bool, Error> {
    let added = tx.execute(
        "INSERT INTO approval (request, person, at, sig) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (request, person) DO NOTHING",
        params![hash, given.person, int(given.at)?, given.sig],
    )?;
    Ok(added == 1)
}

/// One that is open is so no more.
pub fn close(db: &Connection, hash: &str, to: Standing, detail: &str) -> Result<(), Error> {
    db.execute(
        "UPDATE waiting SET standing = ?2, detail = ?3, waiting_for = ''
         WHERE hash = ?1 AND standing = 'open'",
        params![hash, name(to), detail],
    )?;
    Ok(())
}

/// Those whose time is over.
pub fn overdue(db: &Connection, now: u64) -> Result<Vec<Asked>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM waiting WHERE standing = 'open' AND until < ?1"
    ))?;
    let rows = query.query_map([int(now)?], |row| Ok(waiting(row)?.asked))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn with_approvals(db: &Connection, mut of: Waiting) -> Result<Waiting, Error> {
    let mut query = db.prepare_cached(
        "SELECT person, at, sig FROM approval WHERE request = ?1 ORDER BY at, person",
    )?;
    let rows = query.query_map([&of.asked.hash], |row| {
        Ok(Given {
            person: row.get(0)?,
            at: uint(row, 1)?,
            sig: row.get(2)?,
        })
    })?;
    of.approvals = rows.collect::<Result<_, _>>()?;
    Ok(of)
}

/// Of the columns hash, id, host, sub, at, jws, which come first.
pub fn asked(row: &Row<'_>) -> rusqlite::Result<Asked> {
    Ok(Asked {
        hash: row.get(0)?,
        id: row.get(1)?,
        host: row.get(2)?,
        sub: row.get(3)?,
        at: uint(row, 4)?,
        jws: row.get(5)?,
    })
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let levels: String = row.get(7)?;
    let standing: String = row.get(9)?;
    Ok(Waiting {
        asked: asked(row)?,
        until: uint(row, 6)?,
        levels: serde_json::from_str(&levels).map_err(|e| bad(7, e))?,
        waiting_for: row.get(8)?,
        standing: ALL
            .into_iter()
            .find(|s| name(*s) == standing)
            .ok_or_else(|| bad(9, standing))?,
        detail: row.get(10)?,
        approvals: Vec::new(),
    })
}

const ALL: [Standing; 5] = [
    Standing::Open,
    Standing::Approved,
    Standing::Denied,
    Standing::Withdrawn,
    Standing::Expired,
];

fn name(standing: Standing) -> &'static str {
    match standing {
        Standing::Open => "open",
        Standing::Approved => "approved",
        Standing::Denied => "denied",
        Standing::Withdrawn => "withdrawn",
        Standing::Expired => "expired",
    }
}
