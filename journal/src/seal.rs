//! Seals: with every commit a signed head over all entries, by a key that exists no longer when the commit has had its
//! effect.
//!
//! A seal is a C2SP checkpoint, so an export needs no private key. The first one after opening is signed by the host's
//! key; its commit names the first epoch key, as the last members of its last record. Each commit that gives
//! something names the next key in the same way and destroys the one that signed it before a receipt exists: who
//! becomes root by it finds no key for what is written already.

use crate::Error;
use crate::merkle::{Frontier, Hash};
use crate::note::{HostKey, NoteKey, base64, checkpoint, from_base64, raw};
use crate::sys;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;

/// Bytes that a seal frame adds to a commit at most.
pub const ROOM: usize = 512;

/// Bytes that are base64 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = from_base64(&text).and_then(|bytes| bytes.try_into().ok());
        let bad = || serde::de::Error::custom(format!("not the base64 of {N} bytes"));
        bytes.map(Self).ok_or_else(bad)
    }
}

/// Payload of a seal frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Number of this seal, from 0 on, without gaps.
    pub n: u64,
    /// Hash of the tree over all entries.
    pub root: Bytes<32>,
    /// Epoch of the key that signed; absent: the host's key did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Over the checkpoint's three lines.
    pub sig: Bytes<64>,
    /// The key that signs from now on. The last entry names it too, and there it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<EpochPublic>,
}

/// An epoch's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochPublic {
    pub epoch: u64,
    pub key: Bytes<32>,
}

impl EpochPublic {
    /// The last members of the record that names this key.
    pub fn members(&self) -> String {
        format!(
            r#","epoch":{},"key":"{}"}}"#,
            self.epoch,
            base64(&self.key.0)
        )
    }

    /// Bytes of [`EpochPublic::members`] at most.
    pub const MEMBERS: usize = 96;

    /// Does a record end as one that names a key does?
    pub fn ends(record: &[u8]) -> bool {
        // The key in base64, and what closes it.
        let key = record.len().checked_sub(46).and_then(|at| record.get(..at));
        key.is_some_and(|before| before.ends_with(br#","key":""#))
    }

    /// The key that a record names whose end this is.
    pub fn of_members(end: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(end).ok()?;
        let at = text.rfind(r#","epoch":"#)?;
        let members = text.get(at + 1..)?;
        serde_json::from_str(&format!("{{{members}")).ok()
    }

    /// This key as a signature line names it.
    pub fn note_key(&self, origin: &str) -> NoteKey {
        NoteKey {
            name: format!("{origin}/epoch/{}", self.epoch),
            public: self.key.0,
        }
    }
}

/// Where the seals of a segment begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// First line of every checkpoint.
    pub origin: String,
    /// The host's public key.
    pub host: Bytes<32>,
    /// Number of the next seal.
    pub n: u64,
    /// Highest epoch that was named so far.
    pub epochs: u64,
    /// The key that signs; absent: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs: Option<EpochPublic>,
    /// Whole subtrees of the entries before this segment, the largest first.
    pub tree: Vec<Bytes<32>>,
}

impl Sealed {
    /// The tree of the `size` entries before the segment.
    pub fn frontier(&self, size: u64) -> Option<Frontier> {
        Frontier::from_nodes(size, self.tree.iter().map(|hash| hash.0).collect())
    }
}

/// A private key that is overwritten when it is dropped.
struct EpochKey {
    pair: Box<Ed25519KeyPair>,
    public: EpochPublic,
}

impl std::fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.public.fmt(f)
    }
}

impl EpochKey {
    fn new(epoch: u64) -> Result<Self, Error> {
        let made = Self::make(epoch);
        sys::wipe_stack();
        made
    }

    #[inline(never)]
    fn make(epoch: u64) -> Result<Self, Error> {
        let mut seed = [0; 32];
        fill(epoch, &mut seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map(Box::new);
        sys::wipe(&mut seed);
        let pair = pair.map_err(|_| Error::Random)?;
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        let key = Bytes(key);
        Ok(Self {
            pair,
            public: EpochPublic { epoch, key },
        })
    }
}

impl Drop for EpochKey {
    fn drop(&mut self) {
        sys::wipe_key(&mut self.pair);
    }
}

fn fill(epoch: u64, seed: &mut [u8; 32]) -> Result<(), Error> {
    #[cfg(test)]
    if crate::tests::erasure::known_seed(epoch, seed) {
        return Ok(());
    }
    let _ = epoch;
    SystemRandom::new().fill(seed).map_err(|_| Error::Random)
}

/// Whose log this is.
#[derive(Debug)]
pub struct Identity {
    /// The host's id, as its enrolment has it.
    pub host: String,
    pub key: HostKey,
}

/// Makes the seals of an open log.
#[derive(Debug)]
pub struct Sealer {
    host: HostKey,
    origin: String,
    tree: Frontier,
    n: u64,
    epochs: u64,
    /// Signs now; `None` until the first commit after opening: the host's key does.
    signs: Option<EpochKey>,
    /// Made ahead, while the disk works: the first is the next to be named. Two from when a commit names one until one that
    /// does is on disk; none of them has signed anything.
    ahead: VecDeque<EpochKey>,
}

/// A commit that is sealed but not written yet.
#[derive(Debug)]
pub struct Sealing {
    pub payload: Vec<u8>,
    /// Number of entries that it is over.
    pub size: u64,
    tree: Frontier,
    rotates: bool,
}

impl Sealer {
    /// Goes on from the end of a log: its tree, number of the next seal, highest epoch.
    pub fn new(host: HostKey, origin: String, tree: Frontier, n: u64, epochs: u64) -> Self {
        Self {
            host,
            origin,
            tree,
            n,
            epochs,
            signs: None,
            ahead: VecDeque::new(),
        }
    }

    /// What a new segment's header says. Its entries begin with `first`.
    pub fn state(&self, first: u64) -> Sealed {
        let mut tree = self.tree.clone();
        tree.fill(first);
        Sealed {
            origin: self.origin.clone(),
            host: Bytes(self.host.public()),
            n: self.n,
            epochs: self.epochs,
            signs: self.signs.as_ref().map(|key| key.public),
            tree: tree.nodes().iter().copied().map(Bytes).collect(),
        }
    }

    /// The next key to be named, made if there is none yet.
    pub fn next(&mut self) -> Result<EpochPublic, Error> {
        if self.ahead.is_empty() {
            self.make_one()?;
        }
        self.ahead
            .front()
            .map(|key| key.public)
            .ok_or(Error::Random)
    }

    /// Makes one more key, behind those that were made ahead.
    fn make_one(&mut self) -> Result<(), Error> {
        let epoch = self.epochs + self.ahead.len() as u64 + 1;
        self.ahead.push_back(EpochKey::new(epoch)?);
        Ok(())
    }

    /// Makes the key that the commit after this one may name, while this one is written.
    pub fn look_ahead(&mut self, sealing: &Sealing) {
        if self.ahead.len() <= usize::from(sealing.rotates) {
            // What fails here fails again where it is needed, and is told there.
            let _ = self.make_one();
        }
    }

    /// The host's key signs the next commit, as after an opening.
    pub fn begin_anew(&mut self) {
        self.signs = None;
        sys::wipe_stack();
    }

    /// Does the next commit name a key?
    pub fn rotates(&self, gives: bool) -> bool {
        gives || self.signs.is_none()
    }

    /// Seals a commit whose entries begin with `first`. Changes nothing: a commit that fails is sealed anew.
    pub fn seal(
        &self,
        first: u64,
        leaves: impl Iterator<Item = Hash>,
        next: Option<EpochPublic>,
    ) -> Result<Sealing, Error> {
        let mut tree = self.tree.clone();
        tree.fill(first);
        leaves.for_each(|leaf| tree.push(leaf));
        let root = tree.root();
        let text = checkpoint(&self.origin, tree.size(), &root);
        let signature = match &self.signs {
            Some(key) => raw(&key.pair, &text),
            None => self.host.sign(&text),
        };
        sys::wipe_stack();
        let seal = Seal {
            n: self.n,
            root: Bytes(root),
            epoch: self.signs.as_ref().map(|key| key.public.epoch),
            sig: Bytes(signature),
            next,
        };
        Ok(Sealing {
            payload: serde_json::to_vec(&seal).map_err(Error::Json)?,
            size: tree.size(),
            tree,
            rotates: next.is_some(),
        })
    }

    /// The commit is on disk. Destroys the key that signed it, if it named another.
    pub fn done(&mut self, sealing: Sealing) {
        self.tree = sealing.tree;
        self.n += 1;
        if sealing.rotates {
            self.epochs += 1;
            self.signs = self.ahead.pop_front();
            sys::wipe_stack();
        }
    }
}
