//! A record made ready to be stored.

use crate::Error;
use crate::merkle::{Hash, leaf_of};
use crate::record::{Record, kind};
use crate::seal::EpochPublic;
use crate::time::Timestamp;

/// A record as it will be stored, and its hash. Making one needs no journal and is most of a record's share in a commit of
/// many: whoever hands a record over does it, not the one thread that commits.
#[derive(Clone, Debug)]
pub struct Draft {
    json: String,
    pub(crate) leaf: Hash,
    /// It lets something happen: the key that seals it is destroyed.
    pub(crate) gives: bool,
    /// [`kind::may_use_kept_room`].
    pub(crate) kept_room: bool,
    pub(crate) time: Timestamp,
}

impl Draft {
    /// # Errors
    /// As [`Record::to_json`].
    pub fn new(record: &Record) -> Result<Self, Error> {
        let json = record.to_json()?;
        Ok(Self {
            leaf: leaf_of(json.as_bytes()),
            gives: kind::gives(&record.kind),
            kept_room: kind::may_use_kept_room(&record.kind),
            time: record.time.clone(),
            json,
        })
    }

    /// [`kind::may_use_kept_room`] of its type.
    #[must_use]
    pub fn may_use_kept_room(&self) -> bool {
        self.kept_room
    }

    /// The JSON, one line.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The same record, which also names the next key.
    pub(crate) fn naming(&self, next: &EpochPublic) -> Self {
        let mut json = String::with_capacity(self.json.len() + EpochPublic::MEMBERS);
        // A record is an object with members: behind the last one.
        json.push_str(self.json.strip_suffix('}').unwrap_or(&self.json));
        json.push_str(&next.members());
        Self {
            leaf: leaf_of(json.as_bytes()),
            time: self.time.clone(),
            json,
            ..*self
        }
    }
}
