//! Merkle tree hashing of RFC 6962: pure, one pass, at most 64 hashes in memory.

use ring::digest::{Context, SHA256, digest};

/// Longest leaf of the open tree formats: their entry length has 16 bits (C2SP tlog-tiles).
pub const MAX_LEAF: usize = 65_535;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What stands in the tree for a record: the record itself, or its length and SHA-256 where the open formats have no
/// room for it.
pub fn leaf_text(record: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if record.len() <= MAX_LEAF {
        return record.into();
    }
    let sum = crate::text::hex(&sha256(record));
    format!(r#"{{"length":{},"sha256":"{sum}"}}"#, record.len())
        .into_bytes()
        .into()
}

/// SHA-256 of one piece.
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// SHA-256 of all parts, one after the other.
pub fn sha256_of(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    finish(context)
}

/// Ends a SHA-256.
pub fn finish(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Hash of a leaf.
pub fn leaf(text: &[u8]) -> Hash {
    sha256_of(&[&[0], text])
}

/// Hash of the leaf that stands in the tree for a record.
pub fn leaf_of(record: &[u8]) -> Hash {
    leaf(&leaf_text(record))
}

/// Hash of two neighbours.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    both[1..33].copy_from_slice(left);
    both[33..].copy_from_slice(right);
    sha256(&both)
}

/// All whole subtrees of a growing tree, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// From its whole subtrees; `None` when they are not as many as the size has.
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Whole subtrees, the largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The whole subtree over the `count` leaves from `first` on, if it is one of these.
    pub fn subtree(&self, first: u64, count: u64) -> Option<Hash> {
        let (mut at, mut left) = (0, self.size);
        for hash in &self.nodes {
            let width = 1 << left.ilog2();
            if (at, width) == (first, count) {
                return Some(*hash);
            }
            (at, left) = (at + width, left - width);
        }
        None
    }

    /// What of the leaves `first..first + count` is in whole subtrees of this tree.
    fn part(&self, first: u64, count: u64) -> Self {
        let (mut at, mut part) = (0, Self::default());
        for hash in &self.nodes {
            let width = 1 << (self.size - at).ilog2();
            if at >= first && at + width <= first.saturating_add(count) {
                part.nodes.push(*hash);
                part.size += width;
            }
            at += width;
        }
        part
    }

    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Adds a whole subtree of `1 << level` leaves; the size is a multiple of that.
    fn push_subtree(&mut self, mut hash: Hash, level: u32) {
        // Each one bit is a subtree that the new one completes.
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                hash = node(&left, &hash);
            }
        }
        self.nodes.push(hash);
        self.size += 1 << level;
    }

    /// Adds empty leaves, for indexes that were given up, until there are `size`. However many they are: a few steps.
    pub fn fill(&mut self, size: u64) {
        let mut empty = vec![leaf(b"")];
        while self.size < size {
            let left = size - self.size;
            let level = self.size.trailing_zeros().min(left.ilog2());
            while empty.len() <= level as usize {
                let last = empty[empty.len() - 1];
                empty.push(node(&last, &last));
            }
            self.push_subtree(empty[level as usize], level);
        }
    }

    /// Hash of the whole tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev().copied();
        let Some(last) = nodes.next() else {
            return sha256(b"");
        };
        nodes.fold(last, |right, left| node(&left, &right))
    }
}

/// Collects, leaf by leaf, the proof that one leaf is in the tree (RFC 6962, 2.1.1).
#[derive(Debug)]
pub struct Inclusion {
    index: u64,
    /// Sibling subtrees in the order of their leaves: first leaf, size, and what is known of them.
    parts: Vec<(u64, u64, Frontier)>,
    /// The order in which the proof names them.
    order: Vec<usize>,
}

impl Inclusion {
    /// For leaf `index` of a tree with `size` leaves; `None` when there is no such leaf.
    pub fn new(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut first, mut count, mut path) = (0, size, Vec::new());
        while count > 1 {
            // The largest power of two below the number of leaves.
            let left = 1 << (u64::BITS - 1 - (count - 1).leading_zeros());
            if index < first + left {
                path.push((first + left, count - left));
                count = left;
            } else {
                path.push((first, left));
                (first, count) = (first + left, count - left);
            }
        }
        // From the leaf up.
        path.reverse();
        let mut order: Vec<usize> = (0..path.len()).collect();
        order.sort_by_key(|at| path[*at].0);
        let parts = order
            .iter()
            .map(|at| (path[*at].0, path[*at].1, Frontier::default()))
            .collect();
        let mut place = vec![0; order.len()];
        for (number, at) in order.iter().enumerate() {
            place[*at] = number;
        }
        Some(Self {
            index,
            parts,
            order: place,
        })
    }

    /// The first leaves at once, as the subtrees over them; before any other. `None` if the leaf is one of them.
    pub fn begin(&mut self, base: &Frontier) -> Option<()> {
        (base.size <= self.index).then_some(())?;
        for (first, count, known) in &mut self.parts {
            *known = base.part(*first, *count);
        }
        Some(())
    }

    /// The next leaf; leaves come in order.
    pub fn push(&mut self, index: u64, leaf: Hash) {
        if index == self.index {
            return;
        }
        let part = self.parts.partition_point(|(first, ..)| *first <= index);
        let part = part.checked_sub(1).and_then(|at| self.parts.get_mut(at));
        if let Some((first, count, known)) = part
            && index < *first + *count
        {
            known.push(leaf);
        }
    }

    /// Sibling hashes from the leaf up to below the root; `None` unless every leaf came.
    pub fn path(&self) -> Option<Vec<Hash>> {
        let whole = self
            .parts
            .iter()
            .all(|(_, count, known)| known.size() == *count);
        whole.then(|| {
            self.order
                .iter()
                .map(|at| self.parts[*at].2.root())
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;

    /// RFC 6962, 2.1, word by word.
    fn slow(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node(&slow(&many[..k]), &slow(&many[k..]))
            }
        }
    }

    fn climb(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Hash {
        // RFC 9162, 2.1.3.2.
        let (mut fnode, mut snode, mut hash) = (index, size - 1, leaf);
        for side in path {
            assert!(snode > 0);
            if fnode & 1 == 1 || fnode == snode {
                hash = node(side, &hash);
                while fnode & 1 == 0 && fnode != 0 {
                    (fnode, snode) = (fnode >> 1, snode >> 1);
                }
            } else {
                hash = node(&hash, side);
            }
            (fnode, snode) = (fnode >> 1, snode >> 1);
        }
        assert_eq!(snode, 0);
        hash
    }

    #[test]
    fn roots_and_proofs_are_those_of_the_rfc() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| leaf(&[n])).collect();
        let mut frontier = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(frontier.root(), slow(&leaves[..size]), "{size}");
            for index in 0..size {
                let mut proof = Inclusion::new(index as u64, size as u64).unwrap();
                for (at, hash) in leaves[..size].iter().enumerate() {
                    assert!(at == 0 || size < 3 || proof.path().is_none() || at + 1 == size);
                    proof.push(at as u64, *hash);
                }
                let path = proof.path().unwrap();
                let root = climb(index as u64, size as u64, leaves[index], &path);
                assert_eq!(root, frontier.root(), "{index} of {size}");
            }
            if let Some(next) = leaves.get(size) {
                frontier.push(*next);
            }
        }
        assert!(Inclusion::new(3, 3).is_none());
    }

    #[test]
    fn places_given_up_are_empty_leaves() {
        for (have, more) in [(0, 1), (1, 6), (5, 40), (8, 8), (31, 1), (32, 33)] {
            let mut slow: Vec<Hash> = (0..have).map(|n: u8| leaf(&[n])).collect();
            let mut fast = Frontier::default();
            slow.iter().for_each(|hash| fast.push(*hash));
            slow.extend((0..more).map(|_| leaf(b"")));
            fast.fill(slow.len() as u64);
            assert_eq!(
                (fast.size(), fast.root()),
                (slow.len() as u64, self::slow(&slow))
            );
        }
        let mut far = Frontier::default();
        far.fill(u64::MAX);
        assert_eq!(far.size(), u64::MAX);
        assert_eq!(Frontier::from_nodes(3, vec![[0; 32]]), None);
    }

    /// Values of certificate-transparency's own reference implementation.
    #[test]
    fn known_values() {
        assert_eq!(
            hex(&Frontier::default().root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(&leaf(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn a_long_record_stands_in_the_tree_by_its_hash() {
        let long = vec![b'x'; MAX_LEAF + 1];
        assert!(matches!(
            leaf_text(&long[1..]),
            std::borrow::Cow::Borrowed(_)
        ));
        let text = String::from_utf8(leaf_text(&long).into_owned()).unwrap();
        assert!(text.starts_with(r#"{"length":65536,"sha256":""#), "{text}");
    }
}
