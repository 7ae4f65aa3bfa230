//! Is the log on its host as its writer left it, apart from what is written in it?

use crate::fault::{Fault, FaultKind};
use crate::list::{First, Segment, list};
use crate::prune::kept_from;
use std::path::Path;

/// What is wrong with the files of the log in `dir` on the host that writes it: flags, further names, mounts. A copy of a
/// log has no flags, so this is no part of [`crate::check()`]. Safe while another process appends.
#[must_use]
pub fn protection(dir: &Path) -> Vec<Fault> {
    let Ok(listing) = list(dir) else {
        // `check` tells.
        return Vec::new();
    };
    let last = listing.segments.len().saturating_sub(1);
    // What was given up is being removed.
    let begins = kept_from(dir, &listing);
    let all = listing.segments.iter().enumerate();
    let all = all.filter(|(_, segment)| segment.key().first >= begins);
    all.filter_map(|(number, segment)| {
        let what = wrong(segment, number == last)?;
        Some(Fault::new(FaultKind::FileChanged, &segment.file, what))
    })
    .collect()
}

fn wrong(segment: &Segment, last: bool) -> Option<&'static str> {
    if segment.mounted {
        return Some("another file is mounted over it");
    }
    if segment.linked {
        return Some("it has a second name");
    }
    match segment.first {
        // Being made, or given up before it was protected.
        First::Incomplete => None,
        _ if segment.immutable || (last && segment.append) => None,
        _ if last => Some("its append-only flag was cleared"),
        _ => Some("it is closed and its immutable flag was cleared"),
    }
}
