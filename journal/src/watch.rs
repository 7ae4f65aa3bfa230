//! Follows the seals of a log while it is read: is each one over exactly these entries, by the key that was to sign?

use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::header::Header;
use crate::merkle::{Frontier, Hash};
use crate::note::{NoteKey, checkpoint};
use crate::seal::{EpochPublic, Seal, Sealer};
use crate::{HostKey, Identity};
use std::thread;

/// Entries without a seal whose keys are looked for.
const KEYS: usize = 256;

/// The newest seal of a log: enough for a signed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHead {
    /// First line of the note.
    pub origin: String,
    /// Entries it is over.
    pub size: u64,
    pub root: [u8; 32],
    /// Who signed it.
    pub key: NoteKey,
    pub signature: [u8; 64],
}

impl SealedHead {
    /// The lines that are signed.
    pub(crate) fn text(&self) -> String {
        checkpoint(&self.origin, self.size, &self.root)
    }
}

/// A signature to be verified.
#[derive(Clone, Debug)]
struct Job {
    head: SealedHead,
    /// First entry that this seal is the first to cover.
    from: u64,
    file: String,
    offset: u64,
}

/// Where the seals stand.
#[derive(Clone, Debug)]
struct At {
    origin: String,
    host: [u8; 32],
    n: u64,
    epochs: u64,
    signs: Option<EpochPublic>,
    /// First entry without a seal.
    from: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    /// The host's key, where the caller knows it.
    host: Option<[u8; 32]>,
    /// Compare each root, or only the last one.
    every: bool,
    /// Entries so far; `None` after damage, until the next header.
    tree: Option<Frontier>,
    at: Option<At>,
    jobs: Vec<Job>,
    /// Ends of entries since the newest seal, where they may name keys.
    named: Vec<Vec<u8>>,
    /// End of the newest entry, where it may name a key.
    last: Vec<u8>,
    /// The tree as of the newest seal.
    sealed_tree: Frontier,
    /// The newest seal.
    pub newest: Option<SealedHead>,
    /// Seals by the host's key: so often the log was opened.
    pub starts: u64,
}

impl Watch {
    pub fn new(host: Option<[u8; 32]>, every: bool) -> Self {
        Self {
            host,
            every,
            tree: Some(Frontier::default()),
            at: None,
            jobs: Vec::new(),
            named: Vec::new(),
            last: Vec::new(),
            sealed_tree: Frontier::default(),
            newest: None,
            starts: 0,
        }
    }

    /// What follows cannot be compared with what came before.
    pub fn lost(&mut self) {
        (self.tree, self.at) = (None, None);
    }

    /// A segment begins. Its header says where its seals go on.
    pub fn begin(&mut self, header: &Header, first: u64) -> Option<Fault> {
        let before = self.at.take();
        if let Some(tree) = &mut self.tree {
            tree.fill(first);
        }
        let fault = |kind, what| Some(Fault::new(kind, &header.file, what).at(0));
        let Some(sealed) = header.sealed.as_ref() else {
            // A log without seals gets them; one that has them does not lose them.
            let what = "it has no seals, the segment before it has";
            return before
                .and(fault(FaultKind::SealMissing, what))
                .map(|fault| fault.entries(first, 1));
        };
        let Some(tree) = sealed.frontier(first) else {
            self.lost();
            return fault(FaultKind::HeaderEdited, "its tree has not its entries");
        };
        let mut found = None;
        if self.tree.as_ref().is_some_and(|known| *known != tree) {
            let what = "it goes on from other entries than those before it";
            found = fault(FaultKind::HeaderEdited, what);
        }
        let goes_on = |at: &At| {
            // After an opening the host's key signs first, whatever key signed before.
            let signs = sealed.signs.is_none() || sealed.signs == at.signs;
            (&at.origin, at.host, at.n) == (&sealed.origin, sealed.host.0, sealed.n) && signs
        };
        if before.as_ref().is_some_and(|at| !goes_on(at)) {
            let what = "it goes on from other seals than those before it";
            found = fault(FaultKind::HeaderEdited, what);
        }
        if self.host.is_some_and(|host| host != sealed.host.0) {
            let what = "its seals are those of another host's key";
            found = fault(FaultKind::SealUnknownKey, what);
        }
        self.sealed_tree.clone_from(&tree);
        self.tree = Some(tree);
        self.at = Some(At {
            origin: sealed.origin.clone(),
            host: sealed.host.0,
            n: sealed.n,
            epochs: sealed.epochs,
            signs: sealed.signs,
            from: first,
        });
        found
    }

    /// Indexes below this one that have not come were given up.
    pub fn skip_to(&mut self, index: u64) {
        if let Some(tree) = &mut self.tree {
            tree.fill(index);
        }
    }

    /// The next entry, and its leaf in the tree.
    pub fn entry(&mut self, payload: &[u8], leaf: Hash) {
        if let Some(tree) = &mut self.tree {
            tree.push(leaf);
        }
        self.last.clear();
        if EpochPublic::ends(payload) {
            let from = payload.len().saturating_sub(EpochPublic::MEMBERS);
            self.last.extend_from_slice(&payload[from..]);
            // Of a commit that is whole only the last one can; of more, seals are gone.
            if self.named.len() < KEYS {
                self.named.push(self.last.clone());
            }
        }
    }

    /// A seal behind the entries below `size`, the last of which was the newest.
    pub fn seal(&mut self, payload: &[u8], size: u64, file: &str, offset: u64) -> Option<Fault> {
        let Some(at) = &mut self.at else {
            let what = "a seal where the log has none";
            return Some(Fault::new(FaultKind::Inserted, file, what).at(offset));
        };
        let seal = serde_json::from_slice::<Seal>(payload);
        if seal.as_ref().is_ok_and(|seal| seal.n < at.n) {
            let what = "a seal that was made for an earlier place";
            return Some(Fault::new(FaultKind::SealInvalid, file, what).at(offset));
        }
        let from = at.from;
        at.from = size;
        let named = std::mem::take(&mut self.named);
        let fault = |kind, what: &str| {
            let fault = Fault::new(kind, file, what).at(offset);
            Some(fault.entries(from, size.saturating_sub(from)))
        };
        let Ok(seal) = seal else {
            return fault(FaultKind::SealEdited, "its bytes are not those of a seal");
        };
        let mut found = None;
        if seal.n != at.n {
            found = fault(FaultKind::SealMissing, "seals before this one are gone");
            // The entries that they were over still name the keys.
            let signed = named.iter().filter_map(|end| EpochPublic::of_members(end));
            let mut signed = signed.filter(|key| Some(key.epoch) == seal.epoch);
            at.signs = signed.next().or(at.signs);
        }
        at.n = seal.n.saturating_add(1);
        let key = match (seal.epoch, at.signs) {
            (None, _) => {
                self.starts += 1;
                Some(NoteKey {
                    name: at.origin.clone(),
                    public: at.host,
                })
            }
            (Some(epoch), Some(signs)) if signs.epoch == epoch => Some(signs.note_key(&at.origin)),
            (Some(_), _) => None,
        };
        match seal.next {
            Some(next) if self.last.ends_with(next.members().as_bytes()) => {
                at.signs = Some(next);
                at.epochs = at.epochs.max(next.epoch);
            }
            None if seal.epoch.is_some() => {}
            _ => {
                let what = "its last record does not name the key that signs after it";
                found = fault(FaultKind::SealInvalid, what);
            }
        }
        let Some(key) = key else {
            let what = "no earlier entry names the key that made it";
            return fault(FaultKind::SealUnknownKey, what);
        };
        let head = SealedHead {
            origin: at.origin.clone(),
            size,
            root: seal.root.0,
            key,
            signature: seal.sig.0,
        };
        if let Some(tree) = &self.tree {
            if self.every && (tree.size(), tree.root()) != (size, head.root) {
                let what = "the entries before it are not those it was made over";
                found = fault(FaultKind::SealInvalid, what);
                self.tree = None;
            } else {
                self.sealed_tree.clone_from(tree);
            }
        }
        let job = Job {
            head: head.clone(),
            from,
            file: file.to_owned(),
            offset,
        };
        if self.every {
            self.jobs.push(job);
        } else {
            self.jobs = vec![job];
        }
        self.newest = Some(head);
        found
    }

    /// First entry that has no seal, in a log that has seals.
    pub fn unsealed_from(&self) -> Option<u64> {
        self.at.as_ref().map(|at| at.from)
    }

    /// Verifies the signatures that were collected, on all processors.
    pub fn verify(&mut self) -> Vec<Fault> {
        let jobs = std::mem::take(&mut self.jobs);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = jobs.len().div_ceil(threads).max(64);
        let bad = |jobs: &[Job]| -> Vec<Fault> {
            let wrong = |job: &&Job| !job.head.key.verifies(&job.head.text(), &job.head.signature);
            jobs.iter().filter(wrong).map(Job::fault).collect()
        };
        thread::scope(|scope| {
            let parts: Vec<_> = jobs
                .chunks(share)
                .map(|part| {
                    let thread = thread::Builder::new().spawn_scoped(scope, move || bad(part));
                    (part, thread)
                })
                .collect();
            let done = parts.into_iter().flat_map(|(part, thread)| match thread {
                // A thread that died has verified nothing.
                Ok(thread) => {
                    let lost = |_| part.iter().map(Job::fault).collect();
                    thread.join().unwrap_or_else(lost)
                }
                // No thread is to be had: this one does it.
                Err(_) => bad(part),
            });
            done.collect()
        })
    }

    /// Signatures that wait for [`Watch::verify`].
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// What opening compares of the last segment: its newest seal.
    pub fn verify_last(&mut self) -> Vec<Fault> {
        let over = (self.sealed_tree.size(), self.sealed_tree.root());
        let wrong = |job: &&Job| over != (job.head.size, job.head.root);
        let mut faults: Vec<Fault> = self.jobs.iter().filter(wrong).map(Job::fault).collect();
        if faults.is_empty() {
            faults = self.verify();
        }
        faults
    }

    /// Who makes the seals that follow, in a log called `log`. `size` is the number of entries that count.
    pub fn sealer(self, identity: Identity, log: &str, size: u64) -> Sealer {
        let Identity { host, key } = identity;
        match self.at {
            Some(at) => Sealer::new(key, at.origin, self.sealed_tree, at.n, at.epochs),
            None => {
                let mut tree = self.tree.unwrap_or_default();
                tree.fill(size);
                Sealer::new(key, format!("jit/{host}/{log}"), tree, 0, 0)
            }
        }
    }

    /// Does the caller know the host's key?
    pub fn is_hosts(&self) -> bool {
        self.host.is_some()
    }

    /// Are the seals so far this host's?
    pub fn is_of(&self, key: &HostKey) -> bool {
        self.at.as_ref().is_some_and(|at| at.host == key.public())
    }
}

impl Job {
    fn fault(&self) -> Fault {
        let what = format!("{} did not sign it", self.head.key.name);
        let fault = Fault::new(FaultKind::SealInvalid, &self.file, what).at(self.offset);
        fault.entries(self.from, self.head.size.saturating_sub(self.from))
    }
}

/// Checks that a host id can be part of an origin.
pub fn check_identity(identity: &Identity) -> Result<(), Error> {
    if crate::note::is_name(&identity.host) {
        Ok(())
    } else {
        Err(Error::Origin)
    }
}
