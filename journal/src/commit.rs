//! One write: the records of a commit, and the seal over them and all before.

use crate::Error;
use crate::draft::Draft;
use crate::frame::{self, Chain, Kind};
use crate::seal::{Sealer, Sealing};

/// What one write holds.
#[derive(Debug)]
pub struct Commit<'a> {
    drafts: &'a [Draft],
    /// The last record, where it names a key.
    naming: Option<Draft>,
    pub sealing: Option<Sealing>,
}

impl<'a> Commit<'a> {
    /// Seals the records of one commit, the first of which gets the index `first`. Without a sealer they stay as they are.
    pub fn new(
        sealer: Option<&mut Sealer>,
        drafts: &'a [Draft],
        first: u64,
    ) -> Result<Self, Error> {
        let mut commit = Self {
            drafts,
            naming: None,
            sealing: None,
        };
        if let Some(sealer) = sealer {
            let next = match sealer.rotates(drafts.iter().any(|draft| draft.gives)) {
                true => Some(sealer.next()?),
                false => None,
            };
            commit.naming = drafts.last().zip(next).map(|(last, key)| last.naming(&key));
            let leaves = commit.entries().map(|draft| draft.leaf);
            commit.sealing = Some(sealer.seal(first, leaves, next)?);
        }
        Ok(commit)
    }

    /// The records as they are stored.
    fn entries(&self) -> impl Iterator<Item = &Draft> {
        let plain = self.drafts.len() - self.naming.iter().len();
        self.drafts[..plain].iter().chain(&self.naming)
    }

    /// Adds the frames: the records behind one with this chain value, the first with the index `first`, and the seal.
    /// Returns the chain value of each record.
    pub fn encode(&self, bytes: &mut Vec<u8>, first: u64, before: &Chain) -> Vec<Chain> {
        let mut chains = Vec::with_capacity(self.drafts.len());
        let mut chain = *before;
        for (index, draft) in (first..).zip(self.entries()) {
            let (kind, payload) = (Kind::Entry, draft.json().as_bytes());
            chain = frame::encode_with(bytes, kind, index, payload, &draft.leaf, &chain);
            chains.push(chain);
        }
        if let Some(Sealing { payload, size, .. }) = &self.sealing {
            frame::encode(bytes, Kind::Seal, *size, payload, &chain);
        }
        chains
    }
}
