//! One frame: sixteen bytes of head, the payload, the chain value. Pure: bytes in, bytes out.
//!
//! ```text
//! magic u16 | type u8 | flags u8 | payload length u32 | index u64 | payload | chain[32]     (big-endian)
//! chain = SHA-256(chain of the frame before || head || payload)
//! ```

use crate::MAX_RECORD;
use ring::digest::{Context, SHA256, digest};

/// First byte 0xFF: no UTF-8 text has it, so a payload cannot hold something that looks like a frame.
const MAGIC: [u8; 2] = [0xFF, b'J'];
/// Bytes before the payload.
pub const HEAD: usize = 16;
/// Bytes of a frame that are not payload.
pub const OVERHEAD: usize = HEAD + 32;

/// Value over everything up to and including one frame.
pub type Chain = [u8; 32];

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
    /// Head and payload: what the chain covers.
    pub body: &'a [u8],
    /// The chain value as stored.
    pub chain: Chain,
    /// The body, and what stands before it in the file where that is at hand: mostly the chain value that it follows.
    pub run: &'a [u8],
}

impl<'a> Frame<'a> {
    pub fn payload(&self) -> &'a [u8] {
        &self.body[HEAD..]
    }

    /// Bytes on disk.
    pub fn size(&self) -> usize {
        self.body.len() + 32
    }

    /// Does this frame follow one with the chain value `before`?
    pub fn follows(&self, before: &Chain) -> bool {
        let lead = self.run.len() - self.body.len();
        // One piece is hashed quicker than two.
        let chain = match self.run[..lead].first_chunk() == Some(before) {
            true => hash(self.run),
            false => link(before, self.body),
        };
        chain == self.chain
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
    let Some(chain) = rest
        .get(head.length..)
        .and_then(|tail| tail.first_chunk::<32>())
    else {
        return Decoded::Incomplete;
    };
    let body = &data[..HEAD + head.length];
    Decoded::Frame(Frame {
        head,
        body,
        chain: *chain,
        run: body,
    })
}

/// Chain value of a frame with this head and payload after `before`.
pub fn link(before: &Chain, body: &[u8]) -> Chain {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(body);
    finish(context)
}

/// SHA-256 of one piece, which is quicker than piece by piece.
pub fn hash(bytes: &[u8]) -> Chain {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Ends a SHA-256.
pub fn finish(context: Context) -> Chain {
    let mut chain = [0; 32];
    chain.copy_from_slice(context.finish().as_ref());
    chain
}

/// Adds a frame to `out` and returns its chain value. `payload` is at most [`MAX_PAYLOAD`] long.
pub fn encode(out: &mut Vec<u8>, kind: Kind, index: u64, payload: &[u8], before: &Chain) -> Chain {
    let start = out.len();
    let head = Head {
        kind,
        index,
        length: payload.len(),
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
    let chain = match out[..start].ends_with(before) {
        true => hash(&out[start - before.len()..]),
        false => link(before, &out[start..]),
    };
    out.extend_from_slice(&chain);
    chain
}

/// `body` as if its index were another one.
pub fn with_index(body: &[u8], index: u64) -> Vec<u8> {
    let mut body = body.to_vec();
    body[8..HEAD].copy_from_slice(&index.to_be_bytes());
    body
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
        // printf of 32 zero bytes and the above | sha256sum
        assert_eq!(
            crate::text::hex(&bytes[18..]),
            "bc7a4d586fcbab4abf3f020aef25d07a90ea660b1b9ce8e85ca4f6ee7367f207"
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
            prop_assert_eq!(frame.payload(), &payload[..]);
            prop_assert_eq!(frame.size(), size);
            prop_assert!(frame.follows(&before));
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
    fn the_next_frame_is_found_after_damage() {
        let mut bytes = vec![0xFF; 30];
        let at = bytes.len();
        encode(&mut bytes, Kind::Entry, 9, b"x", &[0; 32]);
        assert_eq!(resync(&bytes, 0, |index| index == 9), Some(at));
        assert_eq!(resync(&bytes, 0, |index| index == 8), None);
        assert_eq!(resync(&bytes, at + 1, |_| true), None);
    }
}
