//! Break-glass statements of this host: `/var/lib/jit/breakglass/<id>.json`. A used or revoked one stays until its time is
//! over, so that it is known when it comes again.

use super::{StoreError, load, save};
use crate::effects::files;
use crate::paths::BREAKGLASS_DIR;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What may still become of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its code opens it, once.
    Ready,
    Used,
    /// By a revocation that names it.
    Revoked,
}

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeFile {
    /// Format, 1.
    pub v: u32,
    /// ULID.
    pub id: String,
    /// Unix seconds; the statement's own `exp`.
    pub until_s: u64,
    pub fate: Fate,
    /// As it came; verified anew before it is opened.
    pub statement: String,
}

fn path(id: &str) -> PathBuf {
    Path::new(BREAKGLASS_DIR).join(format!("{id}.json"))
}

/// # Errors
/// When it cannot be made durable.
pub fn write(code: &CodeFile) -> Result<(), StoreError> {
    save(&path(&code.id), code)
}

/// # Errors
/// When it is there and cannot be removed.
pub fn remove(id: &str) -> Result<(), StoreError> {
    let path = path(id);
    files::remove(&path).map_err(|e| StoreError::new(&path, e))
}

/// All that can be read, and what is wrong with the others. A damaged one opens nothing.
///
/// # Errors
/// When the directory cannot be read.
pub fn load_all() -> Result<(Vec<CodeFile>, Vec<StoreError>), StoreError> {
    let dir = Path::new(BREAKGLASS_DIR);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for id in files::json_names(dir).map_err(|e| StoreError::new(dir, e))? {
        let path = path(&id);
        match load::<CodeFile>(&path) {
            Ok(Some(c)) if c.v == 1 && c.id == id && statement::id::is_ulid(&id) => good.push(c),
            Ok(None) => {}
            Ok(Some(_)) => bad.push(StoreError::new(&path, "it is not what its name says")),
            Err(e) => bad.push(e),
        }
    }
    Ok((good, bad))
}
