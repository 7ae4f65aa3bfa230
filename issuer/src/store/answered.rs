//! First answers of calls that may come again, in SQLite.

use super::row::int;
use crate::error::Error;
use rusqlite::{Connection, OptionalExtension, params};

/// The answer that a call got, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Hash of the call and its body.
    pub what: String,
    /// Sealed.
    pub answer: Vec<u8>,
}

/// Of this caller's key, if it is not older than `since`.
pub fn one(
    db: &Connection,
    (caller, key): (u32, &str),
    since: u64,
) -> Result<Option<Answered>, Error> {
    let mut query = db.prepare_cached(
        "SELECT what, answer FROM answered WHERE caller = ?1 AND key = ?2 AND at >= ?3",
    )?;
    let found = query.query_row(params![caller, key, int(since)?], |row| {
        Ok(Answered {
            what: row.get(0)?,
            answer: row.get(1)?,
        })
    });
    Ok(found.optional()?)
}

/// Keeps it, and forgets those that are older than `since`.
pub fn put(
    tx: &Connection,
    (caller, key): (u32, &str),
    answered: &Answered,
    (at, since): (u64, u64),
) -> Result<(), Error> {
    tx.execute("DELETE FROM answered WHERE at < ?1", [int(since)?])?;
    tx.execute(
        "INSERT INTO answered (caller, key, what, at, answer) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![caller, key, answered.what, int(at)?, answered.answer],
    )?;
    Ok(())
}
