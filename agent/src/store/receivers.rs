//! How far each receiver of syslog has the journal: `/var/lib/jit/receivers.json`. And which receivers there are: their
//! names in the link's configuration, which root wrote. The link itself is not believed in that.

use super::{StoreError, load, save};
use crate::paths::RECEIVERS_FILE;
use serde::{Deserialize, Serialize};
use settings::link::Link;
use settings::{Fault, Places};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Losing or rewinding it costs records that are sent again, never one that is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursors {
    /// Format, 1.
    pub v: u32,
    /// The log that the numbers are about.
    pub log: String,
    /// By receiver: the first index that it is not known to have.
    pub next: BTreeMap<String, u64>,
}

impl Cursors {
    /// # Errors
    /// Unreadable or damaged.
    pub fn load() -> Result<Option<Self>, StoreError> {
        let path = Path::new(RECEIVERS_FILE);
        match load::<Self>(path)? {
            Some(c) if c.v != 1 => {
                let why = format!("format {} is not known", c.v);
                Err(StoreError::new(path, why))
            }
            cursors => Ok(cursors),
        }
    }

    /// # Errors
    /// When it is not durable.
    pub fn save(&self) -> Result<(), StoreError> {
        save(Path::new(RECEIVERS_FILE), self)
    }
}

/// The receivers that the link is to feed.
///
/// # Errors
/// The first fault of the link's files.
pub fn configured() -> Result<BTreeSet<String>, Fault> {
    let link = Places::host().read::<Link>(|_| Ok(()))?;
    Ok(link.value.receiver.into_keys().collect())
}
