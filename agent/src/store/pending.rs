//! Requests this host has made and no grant has answered: `/var/lib/jit/pending/<id>.json`, fsynced before the
//! request leaves. A grant is taken only if it answers one of these, and each answers one grant.

use super::{StoreError, load, save};
use crate::effects::files;
use crate::paths::PENDING_DIR;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Format, 1.
    pub v: u32,
    /// ULID of the request.
    pub id: String,
    /// SHA-256 of the request's bytes, base64url.
    pub hash: String,
    pub login: String,
    pub uid: u32,
    pub role: String,
    pub reason: String,
    pub ticket: Option<String>,
    /// Unix seconds.
    pub created_s: u64,
    /// Unix seconds; then it is dead.
    pub until_s: u64,
    /// For whom it waits, as the issuer says.
    pub waiting_for: String,
    /// The compact JWS.
    pub request: String,
    /// No record of the journal before this one is about the request.
    #[serde(default)]
    pub journal_from: u64,
}

fn path(id: &str) -> PathBuf {
    Path::new(PENDING_DIR).join(format!("{id}.json"))
}

/// # Errors
/// When it cannot be made durable: the request must not leave then.
pub fn write(p: &Pending) -> Result<(), StoreError> {
    save(&path(&p.id), p)
}

/// Remove one, durably: what answers it must not do so twice.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(id: &str) -> Result<(), StoreError> {
    let path = path(id);
    files::remove(&path).map_err(|e| StoreError::new(&path, e))?;
    files::sync_dir(Path::new(PENDING_DIR)).map_err(|e| StoreError::new(Path::new(PENDING_DIR), e))
}

/// All of them. A damaged one is removed: it only means that its grant will be refused.
///
/// # Errors
/// When the directory cannot be read.
pub fn load_all() -> Result<Vec<Pending>, StoreError> {
    let dir = Path::new(PENDING_DIR);
    let mut out = Vec::new();
    for id in files::json_names(dir).map_err(|e| StoreError::new(dir, e))? {
        match load::<Pending>(&path(&id)) {
            Ok(Some(p)) if p.v == 1 && p.id == id => out.push(p),
            _ => remove(&id)?,
        }
    }
    Ok(out)
}
