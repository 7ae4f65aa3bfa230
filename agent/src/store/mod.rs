//! What survives a crash and a reboot, each thing in a small file written whole: `grants` (one file each, also read
//! by `jit-end`), `codes` for emergencies, `pending` requests, `answered` ones of people, `state` (counters of the issuer's statements and
//! the clock mark), `identity` (host key, enrolment, trust, policy), `receivers` (how far each receiver of syslog has the journal),
//! `witness` (the newest head of the journal that was cosigned).

pub mod answered;
pub mod codes;
pub mod grants;
pub mod identity;
pub mod pending;
pub mod receivers;
pub mod state;
pub mod witness;

use std::fmt;
use std::path::Path;

/// A store file cannot be read, written or believed. Nothing is given on its strength.
#[derive(Debug)]
pub struct StoreError {
    pub file: String,
    pub why: String,
}

impl StoreError {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        Self {
            file: path.display().to_string(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.why)
    }
}

impl std::error::Error for StoreError {}

/// Read and parse a JSON store file; `None` when there is none.
pub(crate) fn load<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let bytes = crate::effects::files::read(path).map_err(|e| StoreError::new(path, e))?;
    bytes
        .map(|b| serde_json::from_slice(&b).map_err(|e| StoreError::new(path, e)))
        .transpose()
}

/// Write a JSON store file, durably.
pub(crate) fn save<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|e| StoreError::new(path, e))?;
    crate::effects::files::replace(path, &bytes).map_err(|e| StoreError::new(path, e))
}
