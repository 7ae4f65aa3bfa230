//! A copy of the store while it is in use, and a store from such a copy.
//!
//! Keys and the trust statement are not in it: they change by hand only and belong where secrets are kept. A store that
//! was set back never repeats a number of a state; revocations that it has lost it cannot know. Hosts that applied
//! them refuse its states, which is right: a trust statement with a new epoch makes them take it.

use crate::error::Error;
use crate::files;
use crate::init::Layout;
use crate::store::{Sqlite, Store};
use std::fs;
use std::path::{Path, PathBuf};

/// States between a copy and its use: at one a second this is more than thirty years.
const AHEAD: u64 = 1_000_000_000;
/// In the state directory.
const DIR: &str = "backup";

/// Where a copy made now will lie.
///
/// # Errors
/// [`Error::File`], [`Error::Exposed`].
pub fn place(at: &Layout) -> Result<PathBuf, Error> {
    let dir = at.dir.join(DIR);
    files::private_dir(&dir)?;
    Ok(dir.join("issuer.db"))
}

/// Copies the store; runs on its thread. The copy before is replaced only by a whole one.
///
/// # Errors
/// The store's, [`Error::File`].
pub fn copy(store: &mut dyn Store, to: &Path) -> Result<(), Error> {
    let unfinished = to.with_extension("new");
    remove(&unfinished)?;
    // SQLite fills a file that is there and empty, and keeps its mode.
    files::create_secret(&unfinished, b"")?;
    store.copy_to(&unfinished)?;
    let dir = to.parent().unwrap_or(to);
    fs::File::open(&unfinished)
        .and_then(|f| f.sync_all())
        .map_err(Error::file(&unfinished))?;
    files::publish(dir, &unfinished, to)
}

/// Puts a copy in the place of the store. No issuer may run on it.
///
/// # Errors
/// [`Error::InUse`], [`Error::File`], [`Error::Store`] for what is no whole store.
pub fn restore(at: &Layout, from: &Path) -> Result<(), Error> {
    let _lock = files::lock(&at.dir)?;
    let unfinished = at.dir.join("issuer.db.new");
    remove(&unfinished)?;
    let bytes = fs::read(from).map_err(Error::file(from))?;
    files::create_secret(&unfinished, &bytes)?;
    {
        let mut store = Sqlite::open(&unfinished)?;
        store.check()?;
        store.reserve_state_seq(AHEAD)?;
    }
    // What the old store had not yet folded in must not be folded into this one.
    for rest in ["issuer.db-wal", "issuer.db-shm"] {
        remove(&at.dir.join(rest))?;
    }
    files::publish(&at.dir, &unfinished, &at.db())
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path)(e)),
        _ => Ok(()),
    }
}
