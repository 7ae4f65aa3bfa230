//! What an administrator sets for jit.
//!
//! One place for the shape of each file (`agent.toml`, `ceiling.toml`, `link.toml`, `issuer.toml`,
//! `jitctl.toml`), for how files of
//! vendor, run and admin stand over each other, and for how a fault is told: with its file, its line, and what to write
//! instead. The programs read their own file here, and `jitctl config` reads all of them by the same code.
//!
//! Parsing ([`stack`]) is apart from reading ([`Places`]). An unknown key is a fault, and a fault leaves nothing usable:
//! no default stands in for a file that is there and cannot be read. The crate writes nothing, reads no clock and no
//! environment, and knows no network. Its spec is `docs/reference/configuration.md`.

pub mod agent;
pub mod ceiling;
pub mod issuer;
pub mod jitctl;
pub mod link;
pub mod login;
pub mod outgoing;
pub mod receiver;

mod fault;
mod places;
mod stack;

pub use fault::{Fault, Told, line_of, told};
pub use places::{FILE_MAX, Places};
pub use stack::{Entry, Origin, Stacked, Text, stack};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The shape of one file. Each key has a default, or its table has none and is absent by default.
pub trait Settings: DeserializeOwned + Serialize + Default {
    /// Its name without `.toml`.
    const NAME: &'static str;
    /// Pairs of keys: the second belongs to the first and is forgotten where a later file sets only the first.
    const BELONGS: &'static [(&'static str, &'static str)] = &[];

    /// What its types cannot say.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    fn check(&self) -> Result<(), Wrong>;
}

/// A value that its type allows and we do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// With dots: `limits.streams`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

impl Wrong {
    /// `what` and `hint` of `key`.
    #[must_use]
    pub fn new(key: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// Is it a path from the root?
pub(crate) fn absolute(key: &str, path: &std::path::Path) -> Result<(), Wrong> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(Wrong::new(
            key,
            format!("`{key}` is not an absolute path"),
            "write the whole path, from /",
        ))
    }
}
