//! Requests of people that a grant has answered here: `/var/lib/jit/answered/<once>.json`, fsynced before the grant counts,
//! kept until the request would be too old anyway. Each answers one grant on this host. (A request of this host's own needs
//! none of this: it is crossed out of the pending table.)

use super::{StoreError, load, save};
use crate::effects::files;
use crate::paths::ANSWERED_DIR;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beyond so many nothing is taken: somebody's key asks again and again.
pub const MOST: usize = 4096;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    /// Format, 1.
    v: u32,
    /// Unix seconds: the request is dead then.
    until_s: u64,
}

fn path(once: &str) -> PathBuf {
    Path::new(ANSWERED_DIR).join(format!("{once}.json"))
}

/// Mark a request as answered. `once`: see `statement::asked::once`.
///
/// # Errors
/// When it cannot be made durable: its grant must not count then.
pub fn write(once: &str, until_s: u64) -> Result<(), StoreError> {
    save(&path(once), &Answered { v: 1, until_s })
}

/// Forget one that is too old.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(once: &str) -> Result<(), StoreError> {
    let path = path(once);
    files::remove(&path).map_err(|e| StoreError::new(&path, e))
}

/// All of them, and until when. The name alone says that it was answered: one that cannot be read counts for ever.
///
/// # Errors
/// When the directory cannot be read: nothing of a person may be taken then.
pub fn load_all() -> Result<BTreeMap<String, u64>, StoreError> {
    let dir = Path::new(ANSWERED_DIR);
    let names = files::json_names(dir).map_err(|e| StoreError::new(dir, e))?;
    Ok(names
        .into_iter()
        .map(|once| {
            let until = match load::<Answered>(&path(&once)) {
                Ok(Some(a)) if a.v == 1 => a.until_s,
                _ => u64::MAX,
            };
            (once, until)
        })
        .collect())
}
