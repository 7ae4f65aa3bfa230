//! What is witnessed of hosts' journals, in SQLite.

use super::Witnessed;
use super::hosts::json;
use super::row::{bad, int, uint};
use crate::error::Error;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

const COLUMNS: &str = "host, kid, generation, note, cosignature, grew_at, trouble, accepts";

pub fn one(db: &Connection, host: &str) -> Result<Option<Witnessed>, Error> {
    let query = format!("SELECT {COLUMNS} FROM witnessed WHERE host = ?1");
    let found = db.query_row(&query, [host], witnessed).optional()?;
    Ok(found.map(|(_, witnessed)| witnessed))
}

pub fn all(db: &Connection) -> Result<BTreeMap<String, Witnessed>, Error> {
    let mut query = db.prepare(&format!("SELECT {COLUMNS} FROM witnessed"))?;
    let rows = query.query_map([], witnessed)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn keep(
    db: &Connection,
    host: &str,
    witnessed: &Witnessed,
    ends: Option<&str>,
) -> Result<(), Error> {
    let trouble = witnessed.trouble.as_ref().map(json).transpose()?;
    db.execute(
        "INSERT OR REPLACE INTO witnessed (host, kid, generation, note, cosignature, grew_at, trouble, accepts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            host,
            witnessed.kid,
            int(witnessed.generation)?,
            witnessed.note,
            witnessed.cosignature,
            int(witnessed.grew_at)?,
            trouble,
            witnessed.accepts
        ],
    )?;
    if let Some(origin) = ends {
        db.execute(
            "INSERT OR REPLACE INTO witnessed_before (origin, host) VALUES (?1, ?2)",
            [origin, host],
        )?;
    }
    Ok(())
}

pub fn is_closed(db: &Connection, origin: &str) -> Result<bool, Error> {
    let query = "SELECT 1 FROM witnessed_before WHERE origin = ?1";
    let found = db.query_row(query, [origin], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn witnessed(row: &Row<'_>) -> rusqlite::Result<(String, Witnessed)> {
    let trouble: Option<String> = row.get(6)?;
    let trouble = trouble.map(|text| serde_json::from_str(&text).map_err(|e| bad(6, e)));
    let witnessed = Witnessed {
        kid: row.get(1)?,
        generation: uint(row, 2)?,
        note: row.get(3)?,
        cosignature: row.get(4)?,
        grew_at: uint(row, 5)?,
        trouble: trouble.transpose()?,
        accepts: row.get(7)?,
    };
    Ok((row.get(0)?, witnessed))
}
