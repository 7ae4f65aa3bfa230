//! The newest head of the journal that its witness cosigned: `/var/lib/jit/witness.json`. What the witness remembers counts;
//! this copy saves asking, and goes into exports.

use super::{StoreError, load, save};
use crate::paths::WITNESS_FILE;
use journal::Cosigned;
use std::path::Path;

/// # Errors
/// Unreadable or damaged.
pub fn read() -> Result<Option<Cosigned>, StoreError> {
    let path = Path::new(WITNESS_FILE);
    match load::<Cosigned>(path)? {
        Some(kept) if kept.v != 1 => {
            let why = format!("format {} is not known", kept.v);
            Err(StoreError::new(path, why))
        }
        kept => Ok(kept),
    }
}

/// # Errors
/// When it is not durable.
pub fn write(kept: &Cosigned) -> Result<(), StoreError> {
    save(Path::new(WITNESS_FILE), kept)
}
