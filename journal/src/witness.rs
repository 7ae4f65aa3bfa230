//! Both ends of C2SP tlog-witness and of cosignatures (tlog-cosignature, version 1): pure, no clock, no I/O.
//!
//! A log hands in a checkpoint and a proof that it only grew since the last one; the witness signs checkpoint and time.

use crate::merkle::{Frontier, Hash, node};
use crate::note::{HostKey, NoteKey, base64, checkpoint, from_base64, is_name, raw, signed};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Signature type of signed-note: timestamped Ed25519 cosignature.
const COSIGNATURE_TYPE: u8 = 4;
/// Most hashes of a proof.
const MOST_PROOF: usize = 63;
/// Most signature lines that are looked at.
const MOST_LINES: usize = 16;

/// A checkpoint as somebody claims it: nobody's signature has been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// First line: which log.
    pub origin: String,
    /// Entries of the tree.
    pub size: u64,
    /// Hash of the tree.
    pub root: Hash,
    /// The lines that are signed.
    text: String,
    /// Name and signature of each line.
    lines: Vec<(String, Vec<u8>)>,
}

impl Claimed {
    /// Reads a signed note that is a checkpoint without extension lines; `None` for anything else.
    #[must_use]
    pub fn parse(note: &str) -> Option<Self> {
        let (text, signatures) = note.split_once("\n\n")?;
        let [origin, size, root] = *text.split('\n').collect::<Vec<_>>() else {
            return None;
        };
        let size = decimal(size)?;
        let root: Hash = from_base64(root)?.try_into().ok()?;
        if !is_name(origin) || !signatures.ends_with('\n') {
            return None;
        }
        let lines: Vec<_> = signatures.lines().map(line).collect::<Option<_>>()?;
        let parsed = Self {
            origin: origin.to_owned(),
            size,
            root,
            text: checkpoint(origin, size, &root),
            lines,
        };
        (1..=MOST_LINES)
            .contains(&parsed.lines.len())
            .then_some(parsed)
    }

    /// The whole note, in its one form.
    #[must_use]
    pub fn note(&self) -> String {
        let line =
            |(name, bytes): &(String, Vec<u8>)| format!("\u{2014} {name} {}\n", base64(bytes));
        let lines: String = self.lines.iter().map(line).collect();
        format!("{}\n{lines}", self.text)
    }

    /// Did this key sign it, under its name?
    #[must_use]
    pub fn is_signed_by(&self, key: &NoteKey) -> bool {
        self.lines.iter().any(|(name, bytes)| {
            let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
                return false;
            };
            *name == key.name
                && *id == key.id()
                && <&[u8; 64]>::try_from(signature).is_ok_and(|s| key.verifies(&self.text, s))
        })
    }
}

/// What is handed in to a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Entries of the checkpoint that the witness is thought to know; 0: none.
    pub old: u64,
    /// That the tree of `old` entries is the beginning of the new one.
    pub proof: Vec<Hash>,
    /// The new one.
    pub checkpoint: Claimed,
}

impl AddCheckpoint {
    /// Reads a body of `add-checkpoint`; `None` when it is none.
    #[must_use]
    pub fn parse(body: &str) -> Option<Self> {
        let (top, note) = body.split_once("\n\n")?;
        let mut lines = top.split('\n');
        let old = decimal(lines.next()?.strip_prefix("old ")?)?;
        let hash = |line: &str| from_base64(line)?.try_into().ok();
        let proof: Vec<Hash> = lines.map(hash).collect::<Option<_>>()?;
        let checkpoint = Claimed::parse(note)?;
        (proof.len() <= MOST_PROOF).then_some(Self {
            old,
            proof,
            checkpoint,
        })
    }

    /// Does the proof show that a tree of `old` entries with this root is the beginning of the new one?
    #[must_use]
    pub fn goes_on_from(&self, root: &Hash) -> bool {
        let new = (self.checkpoint.size, &self.checkpoint.root);
        is_consistent((self.old, root), new, &self.proof)
    }
}

/// A body of `add-checkpoint`.
#[must_use]
pub fn add_checkpoint(old: u64, proof: &[Hash], note: &str) -> String {
    let lines: String = proof.iter().map(|hash| base64(hash) + "\n").collect();
    format!("old {old}\n{lines}\n{note}")
}

/// A checkpoint of a log, signed by its host.
#[must_use]
pub fn signed_checkpoint(key: &HostKey, origin: &str, size: u64, root: &Hash) -> String {
    let text = checkpoint(origin, size, root);
    let name = NoteKey {
        name: origin.to_owned(),
        public: key.public(),
    };
    signed(&text, &[(name, key.sign(&text))])
}

/// A witness's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    /// What its lines are called.
    pub name: String,
    /// Ed25519.
    pub public: [u8; 32],
}

impl WitnessKey {
    fn id(&self) -> [u8; 4] {
        crate::note::key_id(&self.name, COSIGNATURE_TYPE, &self.public)
    }

    /// The key as verifiers are told it: `name+id+base64`.
    #[must_use]
    pub fn vkey(&self) -> String {
        let key = base64(&[&[COSIGNATURE_TYPE], &self.public[..]].concat());
        format!("{}+{}+{key}", self.name, crate::text::hex(&self.id()))
    }

    /// The reverse of [`WitnessKey::vkey`].
    #[must_use]
    pub fn from_vkey(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().split_once('+')?;
        let (_, key) = rest.split_once('+')?;
        let public = match from_base64(key)?.split_first()? {
            (&COSIGNATURE_TYPE, public) => public.try_into().ok()?,
            _ => return None,
        };
        let key = Self {
            name: name.to_owned(),
            public,
        };
        (is_name(name) && key.vkey() == text.trim()).then_some(key)
    }

    /// When this witness says that it saw the checkpoint, in Unix seconds, if one of these lines is its cosignature of it.
    #[must_use]
    pub fn saw(&self, checkpoint: &Claimed, lines: &str) -> Option<u64> {
        let read = lines.lines().take(MOST_LINES).filter_map(line);
        read.filter(|(name, _)| *name == self.name)
            .find_map(|(_, bytes)| {
                let (id, rest) = bytes.split_first_chunk::<4>()?;
                let (time, signature) = rest.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                let message = message(time, &checkpoint.text);
                let good = *id == self.id()
                    && UnparsedPublicKey::new(&ED25519, self.public)
                        .verify(message.as_bytes(), signature)
                        .is_ok();
                good.then_some(time)
            })
    }
}

/// The private half.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    pair: Ed25519KeyPair,
}

impl Witness {
    /// From PKCS#8; `None` when it is no Ed25519 key, or the name none of a key.
    #[must_use]
    pub fn from_pkcs8(name: &str, bytes: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        let key = WitnessKey {
            name: name.to_owned(),
            public,
        };
        is_name(name).then_some(Self { key, pair })
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// The line that says that this checkpoint was seen at that time.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Claimed, unix_s: u64) -> String {
        let signature = raw(&self.pair, &message(unix_s, &checkpoint.text));
        let bytes = [&self.key.id()[..], &unix_s.to_be_bytes(), &signature].concat();
        format!("\u{2014} {} {}\n", self.key.name, base64(&bytes))
    }
}

fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Name and bytes of a signature line.
fn line(text: &str) -> Option<(String, Vec<u8>)> {
    let (name, bytes) = text.strip_prefix("\u{2014} ")?.split_once(' ')?;
    Some((is_name(name).then(|| name.to_owned())?, from_base64(bytes)?))
}

/// Digits without a leading zero.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Is the tree of `old` the beginning of the tree of `new`? RFC 9162, 2.1.4.2; every tree goes on from the empty one.
fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((first, first_root), (second, second_root)) = (old, new);
    if first == 0 || first >= second {
        let same = first == 0 || (first == second && first_root == second_root);
        return same && proof.is_empty();
    }
    let mut path = proof.iter();
    // A whole subtree is not sent along: its root is known.
    let start = if first.is_power_of_two() {
        Some(first_root)
    } else {
        path.next()
    };
    let Some(start) = start else { return false };
    let (mut fnode, mut snode) = (first - 1, second - 1);
    while fnode & 1 == 1 {
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    let (mut from, mut to) = (*start, *start);
    for side in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            (from, to) = (node(side, &from), node(side, &to));
            while fnode & 1 == 0 && fnode != 0 {
                (fnode, snode) = (fnode >> 1, snode >> 1);
            }
        } else {
            to = node(&to, side);
        }
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    from == *first_root && to == *second_root && snode == 0
}

/// The proof that a tree with these leaves behind `base` goes on from `base` (RFC 6962, 2.1.2).
pub fn consistency(base: &Frontier, leaves: &[Hash]) -> Vec<Hash> {
    let mut maker = Maker {
        base,
        leaves,
        proof: Vec::new(),
    };
    if base.size() > 0 && !leaves.is_empty() {
        let size = base.size() + leaves.len() as u64;
        maker.sub(base.size(), 0, size, true);
    }
    maker.proof
}

struct Maker<'a> {
    base: &'a Frontier,
    leaves: &'a [Hash],
    proof: Vec<Hash>,
}

impl Maker<'_> {
    /// SUBPROOF of the RFC, over the `count` leaves from `first` on, `old` of which are the old tree's.
    fn sub(&mut self, old: u64, first: u64, count: u64, whole: bool) {
        if old == count {
            if !whole {
                let hash = self.range(first, count);
                self.proof.push(hash);
            }
            return;
        }
        let left = 1 << (u64::BITS - 1 - (count - 1).leading_zeros());
        let other = if old <= left {
            self.sub(old, first, left, whole);
            self.range(first + left, count - left)
        } else {
            self.sub(old - left, first + left, count - left, false);
            self.range(first, left)
        };
        self.proof.push(other);
    }

    /// Either new leaves alone, or a whole subtree of the old tree.
    fn range(&self, first: u64, count: u64) -> Hash {
        if let Some(from) = first.checked_sub(self.base.size()) {
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let leaves = self.leaves.iter().skip(at(from)).take(at(count));
            let mut part = Frontier::default();
            leaves.for_each(|leaf| part.push(*leaf));
            return part.root();
        }
        self.base.subtree(first, count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    fn tree(leaves: &[Hash]) -> Frontier {
        let mut tree = Frontier::default();
        leaves.iter().for_each(|hash| tree.push(*hash));
        tree
    }

    fn pkcs8() -> Vec<u8> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        made.as_ref().to_vec()
    }

    #[test]
    fn a_proof_holds_for_its_two_trees_only() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| leaf(&[n])).collect();
        for new in 0..=leaves.len() {
            for old in 0..=new {
                let (base, whole) = (tree(&leaves[..old]), tree(&leaves[..new]));
                let proof = consistency(&base, &leaves[old..new]);
                let from = (old as u64, &base.root());
                let to = (new as u64, &whole.root());
                assert!(is_consistent(from, to, &proof), "{old} {new}");
                let other = [7; 32];
                if old > 0 {
                    assert!(!is_consistent((old as u64, &other), to, &proof));
                    assert!(!is_consistent(from, (new as u64, &other), &proof));
                }
                let mut more = proof.clone();
                more.push(other);
                assert!(!is_consistent(from, to, &more));
                if let Some((_, fewer)) = proof.split_last() {
                    assert!(!is_consistent(from, to, fewer));
                    more.pop();
                    more[0][0] ^= 1;
                    assert!(!is_consistent(from, to, &more));
                }
                if old > 1 && old < new {
                    assert!(!is_consistent((old as u64 - 1, from.1), to, &proof));
                }
            }
        }
        assert!(!is_consistent((3, &[0; 32]), (2, &[0; 32]), &[]));
        assert!(!is_consistent(
            (u64::MAX - 1, &[0; 32]),
            (u64::MAX, &[0; 32]),
            &[[0; 32]; 63]
        ));
    }

    #[test]
    fn a_body_is_read_as_it_was_written() {
        let key = HostKey::from_pkcs8(&pkcs8()).unwrap();
        let note = signed_checkpoint(&key, "jit/a/b", 5, &[3; 32]);
        let body = add_checkpoint(4, &[[1; 32], [2; 32]], &note);
        let read = AddCheckpoint::parse(&body).unwrap();
        assert_eq!((read.old, read.proof.len()), (4, 2));
        let claimed = &read.checkpoint;
        assert_eq!((claimed.origin.as_str(), claimed.size), ("jit/a/b", 5));
        let named = |name: &str, public| NoteKey {
            name: name.to_owned(),
            public,
        };
        assert!(claimed.is_signed_by(&named("jit/a/b", key.public())));
        assert!(!claimed.is_signed_by(&named("jit/a/c", key.public())));
        assert!(!claimed.is_signed_by(&named("jit/a/b", [1; 32])));
        for bad in [
            body.replace("old 4", "old 04"),
            body.replace("old 4", "old -4"),
            body.replace("old 4", "old"),
            body.replacen("\n\n", "\n", 1),
            body.replace("\n5\n", "\n05\n"),
            body.replace("\n5\n", "\n5\nmore\n"),
            body.trim_end().to_owned(),
            body.replace('\u{2014}', "-"),
            add_checkpoint(4, &[[1; 32]; 64], &note),
            String::new(),
        ] {
            assert_eq!(AddCheckpoint::parse(&bad), None, "{bad}");
        }
    }

    proptest! {
        /// What strangers hand in is read or refused, and means one thing.
        #[test]
        fn any_text_is_a_body_or_none(
            old in "(old )?(0|[1-9][0-9]{0,20})\n?",
            lines in "([A-Za-z0-9+/=]{0,48}\n){0,4}",
            note in "(\n{0,2}[a-z/ +]{0,9}\n[0-9]{0,21}\n[A-Za-z0-9+/=]{0,48}\n\n— [a-z/]{1,9} [A-Za-z0-9+/=]{0,96}\n){0,2}",
        ) {
            let body = format!("{old}{lines}{note}");
            if let Some(read) = AddCheckpoint::parse(&body) {
                let again = add_checkpoint(read.old, &read.proof, &read.checkpoint.note());
                prop_assert_eq!(AddCheckpoint::parse(&again), Some(read));
            }
        }

        #[test]
        fn no_sizes_and_no_proof_are_too_odd(
            first in any::<u64>(),
            second in any::<u64>(),
            proof in prop::collection::vec(any::<[u8; 32]>(), 0..63),
        ) {
            prop_assert!(first == 0 || !is_consistent((first, &[1; 32]), (second, &[2; 32]), &proof));
        }
    }

    #[test]
    fn a_cosignature_is_of_one_witness_over_one_checkpoint() {
        let (host, mine) = (HostKey::from_pkcs8(&pkcs8()).unwrap(), pkcs8());
        let claimed = |size| {
            let note = signed_checkpoint(&host, "jit/a/b", size, &[3; 32]);
            Claimed::parse(&note).unwrap()
        };
        let witness = Witness::from_pkcs8("d/witness", &mine).unwrap();
        let line = witness.cosign(&claimed(5), 1_700_000_000);
        let key = witness.key();
        assert_eq!(key.saw(&claimed(5), &line), Some(1_700_000_000));
        assert_eq!(key.saw(&claimed(6), &line), None);
        let two = Witness::from_pkcs8("d/witness", &pkcs8()).unwrap();
        assert_eq!(two.key().saw(&claimed(5), &line), None);
        let both = two.cosign(&claimed(5), 7) + &line;
        assert_eq!(key.saw(&claimed(5), &both), Some(1_700_000_000));
        assert_eq!(two.key().saw(&claimed(5), &both), Some(7));
        assert_eq!(WitnessKey::from_vkey(&key.vkey()).as_ref(), Some(key));
        assert!(Witness::from_pkcs8("a b", &mine).is_none());
        assert_eq!(WitnessKey::from_vkey("a+0+AA=="), None);
    }
}
