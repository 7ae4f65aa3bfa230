//! Why the journal could not do what was asked. No receipt exists in any of these cases.

use crate::fault::Fault;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why there is no receipt.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed. On a write or sync the entry may or may not be on disk.
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// No space left. Nothing was promised; a later append works once there is room.
    Full { path: PathBuf },
    /// The record is longer than [`crate::MAX_RECORD`].
    TooLarge { bytes: usize },
    /// The record's type is not a plain word.
    Kind,
    /// The record cannot be written as JSON.
    Json(serde_json::Error),
    /// The kernel gave no random bytes to name a new log.
    Random,
    /// Another process has this journal open.
    Busy { dir: PathBuf },
    /// The live file is no longer as we left it. Every later append fails too, until the journal is opened anew.
    Tampered { path: PathBuf, what: &'static str },
    /// The file system or the process cannot keep the append-only flag.
    NotAppendOnly { path: PathBuf, source: io::Error },
    /// The log that was to be exported has a fault.
    Unsound(Box<Fault>),
    /// No entry has this index.
    NoEntry { index: u64, size: u64 },
    /// What was asked for needs entries that were given up.
    Pruned { first: u64 },
    /// A log's origin is visible ASCII without `+`.
    Origin,
}

impl Error {
    /// Names the call; a full disk is a case of its own.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { what, path, source },
        }
    }

    /// The disk is full: ask again when there is room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// The log was changed from outside.
    #[must_use]
    pub fn is_tampered(&self) -> bool {
        matches!(self, Self::Tampered { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => {
                write!(f, "journal: cannot {what} {}: {source}", path.display())
            }
            Self::Full { path } => write!(
                f,
                "journal: no space left for {}; free some space, nothing is given until then",
                path.display()
            ),
            Self::TooLarge { bytes } => write!(
                f,
                "journal: a record of {bytes} bytes is over the limit of {}",
                crate::MAX_RECORD
            ),
            Self::Kind => {
                f.write_str("journal: a record type is lower-case letters, digits and '-'")
            }
            Self::Json(source) => {
                write!(f, "journal: the record cannot be written as JSON: {source}")
            }
            Self::Random => f.write_str("journal: the kernel gave no random bytes"),
            Self::Busy { dir } => {
                write!(f, "journal: {} is in use by another process", dir.display())
            }
            Self::Tampered { path, what } => write!(
                f,
                "journal: {} was changed from outside: {what}",
                path.display()
            ),
            Self::NotAppendOnly { path, source } => write!(
                f,
                "journal: {} cannot be made append-only ({source}); it needs ext4, xfs or btrfs and CAP_LINUX_IMMUTABLE",
                path.display()
            ),
            Self::Unsound(fault) => write!(
                f,
                "journal: a log with a fault is not signed: {fault}; see all faults with jitctl log verify"
            ),
            Self::NoEntry { index, size } => {
                write!(f, "journal: there is no entry {index}, the log has {size}")
            }
            Self::Pruned { first } => write!(
                f,
                "journal: the entries before {first} were pruned; what is there can be shown, verified and proven entry by entry"
            ),
            Self::Origin => f.write_str("journal: an origin is visible ASCII without '+'"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::NotAppendOnly { source, .. } => Some(source),
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
