//! One frame: sixteen bytes of head, the payload, the chain value. Pure: bytes in, bytes out.
//!
//! ```text
//! magic u16 | type u8 | flags u8 | payload length u32 | index u64 | payload | chain[32]     (big-endian)
//! chain = SHA-256(chain of the frame before || head || leaf)
//! ```
//! `leaf` is the payload's hash as a leaf of the tree (RFC 6962): one hash serves both. A payload too long for a leaf and the
//! text that stands for it there have the same; their lengths differ, and the head has the length.

use crate::MAX_RECORD;
use crate::merkle::{Hash, leaf_of, sha256};
use crate::record::is_record;

/// First byte 0xFF: no UTF-8 text has it, so a payload cannot hold something that looks like a frame.
const MAGIC: [u8; 2] = [0xFF, b'J'];
/// Bytes before the payload.
pub const HEAD: usize = 16;
/// Bytes of a frame that are not payload.
pub const OVERHEAD: usize = HEAD + 32;

/// Value over everything up to and including one frame.
pub type Chain = Hash;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First frame of a segment; `index` is that of the entry to come.
    Header = 1,
    /// A record.
    Entry = 2,
    /// The signed head over all entries before it; `index` is their number. It stands beside the chain: the next entry
    /// follows the entry before it.
    Seal = 3,
}

/// Longest payload: a record and the name of the next key.
pub const MAX_PAYLOAD: usize = MAX_RECORD + 128;

/// The first sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub index: u64,
    /// Payload length.
    pub length: usize,
}

impl Head {
    /// `None` for anything this version never writes.
    pub fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let [m0, m1, kind, flags, l0, l1, l2, l3, index @ ..] = *bytes;
        let kind = match kind {
            1 => Kind::Header,
            2 => Kind::Entry,
            3 => Kind::Seal,
            _ => return None,
        };
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
        let good = [m0, m1] == MAGIC && flags == 0 && length <= MAX_PAYLOAD;
        good.then_some(Self {
            kind,
            index: u64::from_be_bytes(index),
            length,
        })
    }

    fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = self.kind as u8;
        // `append` refuses what is longer than MAX_PAYLOAD, so the value fits.
        bytes[4..8].copy_from_slice(&(self.length as u32).to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }
}

/// A whole frame, its chain value not yet compared with anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub head: Head,
    pub payload: &'a [u8],
    /// The chain value as stored.
    pub chain: Chain,
}

impl Frame<'_> {
    /// Bytes on disk.
    pub fn size(&self) -> usize {
        self.payload.len() + OVERHEAD
    }

    /// The payload as a leaf: what the chain covers of it.
    pub fn leaf(&self) -> Hash {
        leaf_of(self.payload)
    }

    /// Does an entry hold a record? Its leaf alone does not tell.
    pub fn is_sound(&self) -> bool {
        self.head.kind != Kind::Entry || is_record(self.payload)
    }

    /// Does this frame follow one with the chain value `before`?
    pub fn follows(&self, before: &Chain) -> bool {
        self.follows_with(before, &self.leaf())
    }

    /// [`Frame::follows`] where its [`Frame::leaf`] is known.
    pub fn follows_with(&self, before: &Chain, leaf: &Hash) -> bool {
        link(before, self.head, leaf) == self.chain
    }

    /// The chain value that it would have with this index after `before`.
    pub fn link_as(&self, index: u64, before: &Chain) -> Chain {
        let head = Head { index, ..self.head };
        link(before, head, &self.leaf())
    }
}

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    Frame(Frame<'a>),
    /// The beginning of a frame whose rest is not there.
    Incomplete,
    /// Not a frame.
    Bad,
}

/// Reads the frame at the start of `data`.
pub fn decode(data: &[u8]) -> Decoded<'_> {
    let Some((bytes, rest)) = data.split_first_chunk::<HEAD>() else {
        let fixed = [MAGIC[0], MAGIC[1]];
        let fits = data.iter().zip(fixed).all(|(have, want)| *have == want);
        return if fits {
            Decoded::Incomplete
        } else {
            Decoded::Bad
        };
    };
    let Some(head) = Head::parse(bytes) else {
        return Decoded::Bad;
    };
    let Some((payload, tail)) = rest.split_at_checked(head.length) else {
        return Decoded::Incomplete;
    };
    let Some(chain) = tail.first_chunk() else {
        return Decoded::Incomplete;
    };
    Decoded::Frame(Frame {
        head,
        payload,
        chain: *chain,
    })
}

/// Chain value of a frame with this head and leaf after `before`.
pub fn link(before: &Chain, head: Head, leaf: &Hash) -> Chain {
    let mut all = [0; 32 + HEAD + 32];
    all[..32].copy_from_slice(before);
    all[32..32 + HEAD].copy_from_slice(&head.bytes());
    all[32 + HEAD..].copy_from_slice(leaf);
    sha256(&all)
}

/// Adds a frame to `out` and returns its chain value. `payload` is at most [`MAX_PAYLOAD`] long.
pub fn encode(out: &mut Vec<u8>, kind: Kind, index: u64, payload: &[u8], before: &Chain) -> Chain {
    encode_with(out, kind, index, payload, &leaf_of(payload), before)
}

/// [`encode`] where the payload's leaf is known.
pub fn encode_with(
    out: &mut Vec<u8>,
    kind: Kind,
    index: u64,
    payload: &[u8],
    leaf: &Hash,
    before: &Chain,
) -> Chain {
    let length = payload.len();
    let head = Head {
        kind,
        index,
        length,
    };
    let chain = link(before, head, leaf);
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(&chain);
    chain
}

/// Offset of the next whole frame at or after `from` whose index satisfies `likely`.
pub fn resync(data: &[u8], from: usize, likely: impl Fn(u64) -> bool) -> Option<usize> {
    (from..data.len().saturating_sub(OVERHEAD - 1)).find(|&at| {
        data[at] == MAGIC[0]
            && matches!(decode(&data[at..]), Decoded::Frame(frame) if likely(frame.head.index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(kind: Kind, index: u64, payload: &[u8], before: &Chain) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, kind, index, payload, before);
        out
    }

    #[test]
    fn known_bytes() {
        let bytes = sample(Kind::Entry, 258, b"{}", &[0; 32]);
        assert_eq!(
            bytes[..18],
            *b"\xffJ\x02\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x01\x02{}"
        );
        // sha256sum of 32 zero bytes, the first sixteen of these and the sha256sum of a zero byte and "{}"
        assert_eq!(
            crate::text::hex(&bytes[18..]),
            "ce1937df3d7d03883cd875754370c9aea514e4af3981f65c217e694864f567f8"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(index: u64, payload: Vec<u8>, before: Chain, more: Vec<u8>) {
            let mut bytes = sample(Kind::Entry, index, &payload, &before);
            let size = bytes.len();
            bytes.extend(more);
            let Decoded::Frame(frame) = decode(&bytes) else { panic!("not a frame") };
            prop_assert_eq!(frame.head.index, index);
            prop_assert_eq!(frame.payload, &payload[..]);
            prop_assert_eq!(frame.size(), size);
            prop_assert!(frame.follows(&before));
            prop_assert_eq!(frame.link_as(index, &before), frame.chain);
            prop_assert_ne!(frame.link_as(index ^ 1, &before), frame.chain);
        }

        #[test]
        fn every_prefix_is_incomplete(index: u64, payload: Vec<u8>) {
            let bytes = sample(Kind::Header, index, &payload, &[7; 32]);
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Decoded::Incomplete);
            }
        }

        #[test]
        fn no_flipped_bit_follows(payload in prop::collection::vec(any::<u8>(), 0..40), bit: usize) {
            let mut bytes = sample(Kind::Entry, 5, &payload, &[7; 32]);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(decode(&bytes), Decoded::Frame(frame) if frame.follows(&[7; 32])));
        }

        #[test]
        fn any_bytes_are_read_without_a_crash(data: Vec<u8>) {
            let _ = decode(&data);
            let _ = resync(&data, 0, |_| true);
        }
    }

    #[test]
    fn a_long_payload_and_what_stands_for_it_are_two_frames() {
        let long = vec![b'x'; crate::merkle::MAX_LEAF + 1];
        let short = crate::merkle::leaf_text(&long).into_owned();
        assert_eq!(leaf_of(&long), leaf_of(&short));
        let chain = |payload: &[u8]| encode(&mut Vec::new(), Kind::Entry, 5, payload, &[7; 32]);
        assert_ne!(chain(&long), chain(&short));
    }

    #[test]
    fn the_next_frame_is_found_after_damage() {
        let mut bytes = vec![0xFF; 30];
        let at = bytes.len();
        encode(&mut bytes, Kind::Entry, 9, b"x", &[0; 32]);
        assert_eq!(resync(&bytes, 0, |index| index == 9), Some(at));
        assert_eq!(resync(&bytes, 0, |index| index == 8), None);
        assert_eq!(resync(&bytes, at + 1, |_| true), None);
    }
}
