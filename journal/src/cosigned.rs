//! The newest head of a log that a witness cosigned, as its host keeps it in a file.

use crate::error::Error;
use crate::follow::Follower;
use crate::witness::{Claimed, WitnessKey};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A head and its cosignature. What the witness itself remembers counts; this copy says since when to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosigned {
    /// Format, 1.
    pub v: u32,
    /// Origin of the log, without its generation.
    pub log: String,
    /// 1, and one more with each beginning that the witness's administrator accepted.
    pub generation: u64,
    /// Signed checkpoint of the host.
    pub checkpoint: String,
    /// The witness's line under it.
    pub cosignature: String,
    /// Unix seconds, by the witness's clock.
    pub at: u64,
    /// The witness's key, as verifiers are told it.
    pub witness: String,
}

/// How a log stands to what was cosigned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it is there.
    Whole,
    /// The log has fewer entries.
    Rollback,
    /// It has other entries.
    Fork,
}

impl Standing {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
        }
    }
}

impl Cosigned {
    /// The head and the key that cosigned it; `None` when that key did not.
    #[must_use]
    pub fn verified(&self) -> Option<(Claimed, WitnessKey)> {
        let claimed = Claimed::parse(&self.checkpoint)?;
        let key = WitnessKey::from_vkey(&self.witness)?;
        let at = key.saw(&claimed, &self.cosignature)?;
        let good =
            self.v == 1 && at == self.at && claimed.origin == origin(&self.log, self.generation);
        good.then_some((claimed, key))
    }

    /// Are these entries still in the log in `dir`, which has `entries` of them?
    ///
    /// # Errors
    /// The log cannot be read as it was written.
    pub fn stands_in(&self, dir: &Path, entries: u64) -> Result<Standing, Error> {
        let claimed = Claimed::parse(&self.checkpoint).ok_or(Error::Origin)?;
        if claimed.size > entries {
            return Ok(Standing::Rollback);
        }
        let same = Follower::open(dir, claimed.size)?.root() == claimed.root;
        Ok(if same {
            Standing::Whole
        } else {
            Standing::Fork
        })
    }
}

/// First line of the checkpoints of this generation of a log.
#[must_use]
pub fn origin(log: &str, generation: u64) -> String {
    match generation {
        0 | 1 => log.to_owned(),
        n => format!("{log}/g{n}"),
    }
}
