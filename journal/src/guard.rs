//! What guards each file of a journal, as it is now.

use crate::list::list;
use crate::prune::kept_from;
use crate::sys;
use std::io;
use std::path::Path;

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    pub file: String,
    pub append_only: bool,
    pub immutable: bool,
    pub links: u32,
    /// The newest one is written; those before are closed.
    pub live: bool,
}

impl Guarded {
    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self { links: 2.., .. } => Some("has a second name"),
            Self {
                live: true,
                append_only: false,
                immutable: false,
                ..
            } => Some("is not append-only"),
            Self {
                live: false,
                immutable: false,
                ..
            } => Some("is closed and not immutable"),
            _ => None,
        }
    }
}

/// The segments of the log in `dir` that were not given up, in order, and files that are none.
///
/// # Errors
/// The directory cannot be read.
pub fn guards(dir: &Path) -> io::Result<(Vec<Guarded>, Vec<String>)> {
    let listing = list(dir)?;
    let last = listing.segments.len().saturating_sub(1);
    let begins = kept_from(dir, &listing);
    let segments = listing
        .segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| segment.key().first >= begins)
        .map(|(number, segment)| {
            let links = sys::stat(&segment.path).map_or(0, |stat| stat.nlink);
            Guarded {
                file: segment.file.clone(),
                append_only: segment.append,
                immutable: segment.immutable,
                links,
                live: number == last,
            }
        });
    Ok((segments.collect(), listing.foreign))
}
