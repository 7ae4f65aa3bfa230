//! The log in open formats: a static C2SP tree (tlog-tiles, tlog-checkpoint) and proofs of single entries (tlog-proof),
//! so that programs that know nothing of this one can check both.

use crate::check::check_with;
use crate::cosigned::Cosigned;
use crate::durable;
use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Frontier, Hash, Inclusion, leaf, leaf_of, leaf_text};
use crate::note::{HostKey, NoteKey, base64, checkpoint, is_name, signed};
use crate::prune;
use crate::read::read_from;
use crate::watch::SealedHead;
use crate::witness::WitnessKey;
use std::ops::Range;
use std::path::Path;

/// Hashes or entries of a full tile.
const WIDTH: usize = 256;
/// Places given up at one time that an export writes out.
const MOST_EMPTY: u64 = 1 << 20;

/// A tree head and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// First line of the note; names the host and the log.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    pub root: Hash,
    /// Keys of the signatures, in their order. Tell them to a verifier by another way than with the tree.
    pub keys: Vec<NoteKey>,
    /// Of its cosignature, if it has one.
    pub witness: Option<WitnessKey>,
    /// The signed note.
    pub note: String,
}

/// Whose tree it is.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The head file, so that a cut tail is not signed.
    pub head: Option<&'a Path>,
    /// For a log that has no seals yet; else the log names its own.
    pub origin: &'a str,
    /// The host's key: the one that never changes.
    pub key: &'a HostKey,
    /// Only as far as a witness cosigned it: the note is this one, with the witness's line.
    pub cosigned: Option<&'a Cosigned>,
}

/// Writes the log in `dir` as a tree below `to`, which must not exist or be empty. Entries that are too long for the
/// format stand in the tree by their hash, and as `records/<index>.json` beside it.
///
/// # Errors
/// [`Error::Unsound`] when the log has a fault: nothing is signed then. [`Error::Origin`], and failing system calls.
pub fn export(dir: &Path, to: &Path, signing: Signing<'_>) -> Result<TreeHead, Error> {
    let sealed = sound(dir, signing)?;
    let mut tiles = Tiles::default();
    let mut tree = prune::base(dir)?;
    if tree.size() > 0 {
        return Err(Error::Pruned { first: tree.size() });
    }
    durable::make_dir(to).map_err(|error| Error::io("make", to, error))?;
    leaves(dir, 0..limit(sealed.as_ref(), signing), |index, record| {
        let text = leaf_text(record);
        if text.len() != record.len() {
            write(to, &format!("records/{index}.json"), record)?;
        }
        tree.push(leaf(&text));
        tiles.push(to, &text)
    })?;
    tiles.finish(to)?;
    let head = sign(&tree, sealed, signing)?;
    // Last: a tree without a checkpoint is not whole.
    write(to, "checkpoint", head.note.as_bytes())?;
    Ok(head)
}

/// A proof that entry `index` is in the log as it is now, and its signed head.
///
/// # Errors
/// [`Error::NoEntry`], and as [`export`].
pub fn prove(dir: &Path, index: u64, signing: Signing<'_>) -> Result<(String, TreeHead), Error> {
    let sealed = sound(dir, signing)?;
    let base = prune::base(dir)?;
    let (first, mut tree) = (base.size(), base.clone());
    leaves(dir, first..limit(sealed.as_ref(), signing), |_, record| {
        tree.push(leaf_of(record));
        Ok(())
    })?;
    let size = tree.size();
    let mut inclusion = Inclusion::new(index, size).ok_or(Error::NoEntry { index, size })?;
    inclusion.begin(&base).ok_or(Error::Pruned { first })?;
    leaves(dir, first..size, |at, record| {
        inclusion.push(at, leaf_of(record));
        Ok(())
    })?;
    let path = inclusion.path().ok_or(Error::NoEntry { index, size })?;
    let head = sign(&tree, sealed, signing)?;
    let hashes: String = path.iter().map(|hash| base64(hash) + "\n").collect();
    let proof = format!(
        "c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{}",
        head.note
    );
    Ok((proof, head))
}

/// The newest seal of a log without a fault; faults that are on record since an opening do not count, the seals are
/// over what was left then.
fn sound(dir: &Path, signing: Signing<'_>) -> Result<Option<SealedHead>, Error> {
    let report = check_with(dir, signing.head, Some(signing.key.public()), &mut |_| {});
    let mut faults = report.faults.into_iter();
    match faults.find(|fault| fault.kind != FaultKind::Noted) {
        Some(fault) => Err(Error::Unsound(Box::new(fault))),
        None => Ok(report.sealed),
    }
}

fn limit(sealed: Option<&SealedHead>, signing: Signing<'_>) -> u64 {
    let cosigned = signing.cosigned.and_then(Cosigned::verified);
    let most = sealed.map_or(u64::MAX, |sealed| sealed.size);
    cosigned.map_or(most, |(claimed, _)| claimed.size.min(most))
}

/// The note that a witness cosigned, if it is over exactly this tree.
fn witnessed(tree: &Frontier, cosigned: &Cosigned, host: &HostKey) -> Result<TreeHead, Error> {
    let wrong = |what: &str| {
        let fault = Fault::new(FaultKind::SealInvalid, "", what);
        Err(Error::Unsound(Box::new(fault)))
    };
    let Some((claimed, key)) = cosigned.verified() else {
        return wrong("what is kept of the witness is no cosignature of it");
    };
    if tree.size() < claimed.size {
        return wrong("the log has fewer entries than its witness cosigned: rollback");
    }
    if tree.root() != claimed.root {
        return wrong("the entries are not those its witness cosigned: fork");
    }
    let host = NoteKey {
        name: claimed.origin.clone(),
        public: host.public(),
    };
    Ok(TreeHead {
        note: claimed.note() + &cosigned.cosignature,
        origin: claimed.origin,
        size: claimed.size,
        root: claimed.root,
        keys: vec![host],
        witness: Some(key),
    })
}

fn sign(
    tree: &Frontier,
    sealed: Option<SealedHead>,
    signing: Signing<'_>,
) -> Result<TreeHead, Error> {
    if let Some(cosigned) = signing.cosigned {
        return witnessed(tree, cosigned, signing.key);
    }
    let root = tree.root();
    let origin = match &sealed {
        Some(sealed) if (sealed.size, sealed.root) != (tree.size(), root) => {
            let what = "the entries are not those the newest seal is over";
            let fault = Fault::new(FaultKind::SealInvalid, "", what);
            return Err(Error::Unsound(Box::new(fault)));
        }
        Some(sealed) => &sealed.origin,
        None => signing.origin,
    };
    if !is_name(origin) {
        return Err(Error::Origin);
    }
    let text = checkpoint(origin, tree.size(), &root);
    let host = NoteKey {
        name: origin.to_owned(),
        public: signing.key.public(),
    };
    let mut lines = vec![(host, signing.key.sign(&text))];
    if let Some(sealed) = &sealed
        && sealed.key != lines[0].0
    {
        lines.push((sealed.key.clone(), sealed.signature));
    }
    Ok(TreeHead {
        origin: origin.to_owned(),
        size: tree.size(),
        root,
        note: signed(&text, &lines),
        keys: lines.into_iter().map(|(key, _)| key).collect(),
        witness: None,
    })
}

/// Leaves in order. The place of an index that was given up stays empty.
fn leaves(
    dir: &Path,
    which: Range<u64>,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut next = which.start;
    for item in read_from(dir, next) {
        match item {
            Ok(entry) if entry.index >= which.end => break,
            Ok(entry) => {
                if entry.index - next > MOST_EMPTY {
                    let what = "too many entries before it are gone";
                    let fault = Fault::new(FaultKind::Removed, entry.file, what);
                    let fault = fault.entries(next, entry.index - next);
                    return Err(Error::Unsound(Box::new(fault)));
                }
                while next < entry.index {
                    take(next, b"")?;
                    next += 1;
                }
                take(next, entry.json.as_bytes())?;
                next += 1;
            }
            // Told by the check before; what is left must give the root that was sealed.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Tiles and entry bundles as they fill.
#[derive(Debug, Default)]
struct Tiles {
    levels: Vec<Level>,
    bundle: Vec<u8>,
}

#[derive(Debug, Default)]
struct Level {
    /// Full tiles written.
    full: u64,
    hashes: Vec<Hash>,
}

impl Tiles {
    fn push(&mut self, to: &Path, text: &[u8]) -> Result<(), Error> {
        // At most MAX_LEAF, which is what 16 bits hold.
        self.bundle
            .extend_from_slice(&(text.len() as u16).to_be_bytes());
        self.bundle.extend_from_slice(text);
        let mut hash = leaf(text);
        for number in 0.. {
            if self.levels.len() == number {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[number];
            level.hashes.push(hash);
            if level.hashes.len() < WIDTH {
                break;
            }
            write(
                to,
                &tile(&number.to_string(), level.full),
                &level.hashes.concat(),
            )?;
            if number == 0 {
                write(to, &tile("entries", level.full), &self.bundle)?;
                self.bundle.clear();
            }
            let mut parent = Frontier::default();
            level.hashes.drain(..).for_each(|hash| parent.push(hash));
            level.full += 1;
            hash = parent.root();
        }
        Ok(())
    }

    /// What is left becomes partial tiles.
    fn finish(&self, to: &Path) -> Result<(), Error> {
        for (number, level) in self.levels.iter().enumerate() {
            let width = level.hashes.len();
            if width == 0 {
                continue;
            }
            let partial = |kind: &str| format!("{}.p/{width}", tile(kind, level.full));
            write(to, &partial(&number.to_string()), &level.hashes.concat())?;
            if number == 0 {
                write(to, &partial("entries"), &self.bundle)?;
            }
        }
        Ok(())
    }
}

/// Path of a full tile: its number in groups of three digits.
fn tile(kind: &str, number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    format!("tile/{kind}/{path}")
}

fn write(to: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = to.join(name);
    durable::write_new(&path, bytes).map_err(|error| Error::io("write", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_paths_are_those_of_the_specification() {
        assert_eq!(tile("0", 0), "tile/0/000");
        assert_eq!(tile("entries", 1_234_067), "tile/entries/x001/x234/067");
    }
}
