//! Hosts and the places kept for them, in SQLite.

use super::row::{bad, int, uint};
use super::{Host, Joining, Token};
use crate::error::Error;
use api::Seen;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use statement::claims::Jwk;
use std::collections::BTreeMap;

const COLUMNS: &str = "id, name, jwk, kid, labels, enrolled_at, gone_at";

pub fn one(db: &Connection, rule: &str, value: &str) -> Result<Option<Host>, Error> {
    let query = format!("SELECT {COLUMNS} FROM host WHERE {rule}");
    Ok(db.query_row(&query, [value], host).optional()?)
}

pub fn all(db: &Connection) -> Result<Vec<Host>, Error> {
    let mut query = db.prepare(&format!("SELECT {COLUMNS} FROM host ORDER BY name, id"))?;
    let rows = query.query_map([], host)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds or replaces; false when the key is another host's.
pub fn put(db: &Connection, host: &Host) -> Result<bool, Error> {
    if one(db, "kid = ?1", &host.kid)?.is_some_and(|other| other.id != host.id) {
        return Ok(false);
    }
    db.execute(
        "INSERT INTO host (id, name, jwk, kid, labels, enrolled_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE
         SET name = ?2, jwk = ?3, kid = ?4, labels = ?5, enrolled_at = ?6, gone_at = NULL",
        params![
            host.id,
            host.name,
            json(&host.jwk)?,
            host.kid,
            json(&host.labels)?,
            int(host.enrolled_at)?
        ],
    )?;
    Ok(true)
}

pub fn receipt(db: &Connection, host: &str, seen: &Seen) -> Result<(), Error> {
    db.execute(
        "INSERT OR REPLACE INTO receipt (host, at, rev_serial, version, log_next, log_chain)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            host,
            int(seen.at)?,
            int(seen.rev_serial)?,
            seen.version,
            int(seen.log_next)?,
            seen.log_chain
        ],
    )?;
    Ok(())
}

pub fn receipts(db: &Connection) -> Result<BTreeMap<String, Seen>, Error> {
    let mut query =
        db.prepare("SELECT host, at, rev_serial, version, log_next, log_chain FROM receipt")?;
    let rows = query.query_map([], |row| {
        let seen = Seen {
            at: uint(row, 1)?,
            rev_serial: uint(row, 2)?,
            version: row.get(3)?,
            log_next: uint(row, 4)?,
            log_chain: row.get(5)?,
        };
        Ok((row.get(0)?, seen))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn reach(db: &Connection, host: &str) -> Result<u64, Error> {
    let latest: Option<i64> = db.query_row(
        "SELECT max(exp) FROM granted WHERE host = ?1",
        [host],
        |row| row.get(0),
    )?;
    Ok(latest.map_or(0, i64::cast_unsigned))
}

pub fn rename(db: &Connection, id: &str, name: &str) -> Result<bool, Error> {
    Ok(db.execute("UPDATE host SET name = ?2 WHERE id = ?1", params![id, name])? > 0)
}

pub fn part(db: &Connection, id: &str, at: u64) -> Result<bool, Error> {
    Ok(db.execute(
        "UPDATE host SET gone_at = coalesce(gone_at, ?2) WHERE id = ?1",
        params![id, int(at)?],
    )? > 0)
}

pub fn add_token(db: &Connection, token: &Token, now: u64) -> Result<(), Error> {
    db.execute("DELETE FROM enrol_token WHERE exp <= ?1", [int(now)?])?;
    db.execute(
        "INSERT INTO enrol_token (hash, host, name, labels, exp, replaces)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.hash,
            token.host,
            token.name,
            json(&token.labels)?,
            int(token.exp)?,
            token.replaces
        ],
    )?;
    Ok(())
}

pub fn token(db: &Connection, hash: &str, now: u64) -> Result<Option<Token>, Error> {
    let found = db.query_row(
        "SELECT hash, host, name, labels, exp, replaces FROM enrol_token
         WHERE hash = ?1 AND exp > ?2",
        params![hash, int(now)?],
        |row| {
            let labels: String = row.get(3)?;
            Ok(Token {
                hash: row.get(0)?,
                host: row.get(1)?,
                name: row.get(2)?,
                labels: serde_json::from_str(&labels).map_err(|e| bad(3, e))?,
                exp: uint(row, 4)?,
                replaces: row.get(5)?,
            })
        },
    );
    Ok(found.optional()?)
}

pub fn join(
    db: &Connection,
    hash: &str,
    key: &Jwk,
    kid: &str,
    now: u64,
    sign: &mut dyn FnMut(&Host) -> Result<String, Error>,
) -> Result<Joining, Error> {
    let Some(token) = token(db, hash, now)? else {
        return Ok(Joining::NoToken);
    };
    let used_by: Option<String> = db.query_row(
        "SELECT used_by FROM enrol_token WHERE hash = ?1",
        [hash],
        |row| row.get(0),
    )?;
    // An answer may be lost: the same key may ask again.
    if used_by.as_ref().is_some_and(|used| used != kid) {
        return Ok(Joining::NoToken);
    }
    let known = one(db, "id = ?1", &token.host)?;
    let in_the_way = known
        .as_ref()
        .is_some_and(|k| k.gone_at.is_none() && k.kid != kid);
    if in_the_way && !token.replaces {
        return Ok(Joining::Known);
    }
    let host = Host {
        id: token.host,
        name: token.name,
        jwk: key.clone(),
        kid: kid.to_owned(),
        labels: token.labels,
        enrolled_at: now,
        gone_at: None,
    };
    let statement = sign(&host)?;
    if !put(db, &host)? {
        return Ok(Joining::KeyInUse);
    }
    db.execute(
        "UPDATE enrol_token SET used_by = ?2 WHERE hash = ?1",
        [hash, kid],
    )?;
    Ok(Joining::Done(statement))
}

fn host(row: &Row<'_>) -> rusqlite::Result<Host> {
    let (jwk, labels): (String, String) = (row.get(2)?, row.get(4)?);
    let gone_at: Option<i64> = row.get(6)?;
    Ok(Host {
        id: row.get(0)?,
        name: row.get(1)?,
        jwk: serde_json::from_str(&jwk).map_err(|e| bad(2, e))?,
        kid: row.get(3)?,
        labels: serde_json::from_str(&labels).map_err(|e| bad(4, e))?,
        enrolled_at: uint(row, 5)?,
        gone_at: gone_at.map(i64::cast_unsigned),
    })
}

pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)).into())
}
