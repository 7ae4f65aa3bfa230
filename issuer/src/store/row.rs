//! Numbers in SQLite's rows, which knows signed ones only.

use crate::error::Error;
use rusqlite::Row;
use rusqlite::types::Type;

/// What a column holds is not what it should.
pub(super) fn bad(
    column: usize,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

/// # Errors
/// One that SQLite cannot hold.
pub(super) fn int(n: u64) -> Result<i64, Error> {
    i64::try_from(n).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)).into())
}

pub(super) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let n: i64 = row.get(column)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}
