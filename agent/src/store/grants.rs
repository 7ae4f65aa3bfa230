//! One file a grant: `/var/lib/jit/grants/<jti>.json`.
//!
//! `jit-end` reads the plain members and believes them only for taking away. The agent gives nothing on their
//! strength: it verifies the bundle anew each time it starts, and once more when a grant starts later.

use super::{StoreError, load, save};
use crate::effects::files;
use crate::paths::GRANTS_DIR;
use serde::{Deserialize, Serialize};
use statement::detail::OnEnd;
use std::fmt;
use std::path::{Path, PathBuf};

/// How far a grant has come. A grant gives a right only while `Active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Verified and kept; its start lies ahead.
    Waiting,
    /// Units and memberships are being made. Found after a crash: ended.
    Arming,
    Active,
    /// Being taken away.
    Ending,
}

/// Why a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Deadline,
    /// Given back by its user.
    Dropped,
    /// By a signed revocation.
    Revoked,
    /// The user left `jit-eligible`, or the login has another uid now.
    NotEligible,
    /// Root gave it back for the user.
    DroppedByRoot,
    /// `once`, and it was used.
    Used,
    /// Activation failed half-way or was cut off by a crash.
    NotArmed,
    /// Its unit was stopped from outside.
    UnitStopped,
    /// The package is being removed.
    Removed,
    /// The journal says that it had ended already: its file was put back.
    EndedBefore,
    /// A new trust statement no longer bears it: its key, an approver or its epoch is gone.
    Untrusted,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "its time was over",
            Self::Dropped => "it was given back",
            Self::Revoked => "it was revoked",
            Self::NotEligible => "the user is no longer eligible",
            Self::DroppedByRoot => "root gave it back",
            Self::Used => "it was for one use",
            Self::NotArmed => "it could not be put in force",
            Self::UnitStopped => "its unit was stopped",
            Self::Removed => "jit is being removed from this host",
            Self::EndedBefore => "it had ended before",
            Self::Untrusted => "the trust statement no longer bears it",
        })
    }
}

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantFile {
    /// Format, 1.
    pub v: u32,
    pub jti: String,
    pub login: String,
    pub uid: u32,
    pub role: String,
    /// Every group the grant gives.
    pub groups: Vec<String>,
    pub on_end: OnEnd,
    /// Unix seconds.
    pub from_s: u64,
    /// Unix seconds; the wall-clock end.
    pub until_s: u64,
    /// Boot whose clock `until_boot_ns` is on.
    pub boot_id: String,
    /// Nanoseconds of that boot's `CLOCK_BOOTTIME`; the boot-time end.
    pub until_boot_ns: u64,
    /// Number of the newest timer.
    pub timers: u32,
    pub phase: Phase,
    pub cause: Option<Cause>,
    /// A grant for one use (`once`) that has had it.
    pub used: bool,
    /// The request it answered; empty in files of before this was kept.
    #[serde(default)]
    pub request: String,
    /// What the issuer sent, to be verified anew. Empty in memory while the grant waits for its start.
    pub bundle: String,
    /// No record of the journal before this one is about the grant.
    #[serde(default)]
    pub journal_from: u64,
    /// What it sent to extend it, in order; the last one's end is `until_s`.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// Where a grant's file is.
#[must_use]
pub fn path(jti: &str) -> PathBuf {
    Path::new(GRANTS_DIR).join(format!("{jti}.json"))
}

/// One whose bundle was left on disk is written with what is there.
///
/// # Errors
/// When the file cannot be made durable; the caller gives nothing then.
pub fn write(grant: &GrantFile) -> Result<(), StoreError> {
    let path = path(&grant.jti);
    if !grant.bundle.is_empty() {
        return save(&path, grant);
    }
    let kept = read(&grant.jti)?.ok_or_else(|| StoreError::new(&path, "it is gone"))?;
    let grant = GrantFile {
        bundle: kept.bundle,
        extensions: kept.extensions,
        ..grant.clone()
    };
    save(&path, &grant)
}

/// # Errors
/// Unreadable or damaged.
pub fn read(jti: &str) -> Result<Option<GrantFile>, StoreError> {
    let path = path(jti);
    let found: Option<GrantFile> = load(&path)?;
    match found {
        Some(g) if g.v != 1 => Err(StoreError::new(
            &path,
            format!("format {} is not known", g.v),
        )),
        Some(g) if g.jti != jti => Err(StoreError::new(&path, "it holds another grant")),
        other => Ok(other),
    }
}

/// # Errors
/// When the file is there and cannot be removed.
pub fn remove(jti: &str) -> Result<(), StoreError> {
    let path = path(jti);
    files::remove(&path).map_err(|e| StoreError::new(&path, e))
}

/// Ids of all stored grants. Names that are no grant id are left out.
///
/// # Errors
/// When the directory cannot be read.
pub fn list() -> Result<Vec<String>, StoreError> {
    let dir = Path::new(GRANTS_DIR);
    let names = files::json_names(dir).map_err(|e| StoreError::new(dir, e))?;
    Ok(names
        .into_iter()
        .filter(|n| statement::id::is_ulid(n))
        .collect())
}
