//! One segment, entry by entry: the straight way while everything fits, else by classification.

use crate::classify::{self, Bound, Span, classify};
use crate::fault::{Fault, FaultKind};
use crate::frame::{Chain, Decoded, Kind, decode};
use crate::merkle::Hash;
use crate::plan::Part;
use crate::scan::{self, End, Scan};
use std::io;

/// How the straight way ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Straight<'a> {
    /// An entry: index, chain value, offset of its frame.
    Entry {
        index: u64,
        chain: Chain,
        offset: u64,
        payload: &'a [u8],
        /// The payload as a leaf of the tree.
        leaf: Hash,
    },
    /// A seal over all entries so far.
    Seal {
        size: u64,
        offset: u64,
        payload: &'a [u8],
    },
    /// Everything fits up to the end.
    End,
    /// Something does not.
    Off,
}

/// Entries of one segment while they follow each other.
#[derive(Debug)]
pub struct Walk {
    scan: Scan,
    next: u64,
    chain: Chain,
    bound: Bound,
}

impl Walk {
    /// `None` if the header was changed, so that there is no straight way.
    pub fn open(part: &Part) -> io::Result<Option<Self>> {
        let Some((_, chain)) = part.begin else {
            return Ok(None);
        };
        let mut scan = Scan::open(&part.path, part.limit)?;
        let _header = scan.next()?;
        Ok(Some(Self {
            scan,
            next: part.first,
            chain,
            bound: part.bound,
        }))
    }

    /// Sees what was appended since it was opened. Only behind a whole frame.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.scan.refresh()
    }

    pub fn step(&mut self) -> io::Result<Straight<'_>> {
        let offset = self.scan.offset;
        let frame = match self.scan.next()? {
            Ok(frame) => frame,
            Err(End::Clean) if self.bound.is_met(self.next, &self.chain) => {
                return Ok(Straight::End);
            }
            Err(_) => return Ok(Straight::Off),
        };
        let leaf = frame.leaf();
        let fits = frame.head.kind != Kind::Header
            && frame.head.index == self.next
            && frame.is_sound()
            && frame.follows_with(&self.chain, &leaf);
        if !fits {
            return Ok(Straight::Off);
        }
        let (index, chain, payload) = (self.next, frame.chain, frame.payload);
        if frame.head.kind == Kind::Seal {
            return Ok(Straight::Seal {
                size: index,
                offset,
                payload,
            });
        }
        (self.next, self.chain) = (index + 1, chain);
        Ok(Straight::Entry {
            index,
            chain,
            offset,
            payload,
            leaf,
        })
    }
}

/// The whole segment by classification, and its bytes.
pub fn detour(part: &Part) -> (Vec<u8>, classify::Found) {
    let data = match scan::load(&part.path, part.limit) {
        Ok(data) => data,
        Err(error) => {
            let fault = Fault::new(FaultKind::Unreadable, &part.file, error.to_string());
            let found = classify::Found {
                faults: vec![fault],
                ..classify::Found::default()
            };
            return (Vec::new(), found);
        }
    };
    let (start, chain) = match part.begin {
        Some((start, chain)) => (usize::try_from(start).unwrap_or(usize::MAX), Some(chain)),
        None => begin_without_header(part, &data),
    };
    let found = classify(&Span {
        file: &part.file,
        data: &data,
        start: start.min(data.len()),
        first: part.first,
        chain,
        bound: part.bound,
        sealed: part.is_sealed(),
    });
    (data, found)
}

/// Where the entries begin behind a header that was changed, and which chain value they follow: the one stored in
/// the header or the one that belongs there.
fn begin_without_header(part: &Part, data: &[u8]) -> (usize, Option<Chain>) {
    let near = |index: u64| index == part.first;
    let header = match decode(data) {
        Decoded::Frame(frame) => Some(frame),
        Decoded::Incomplete | Decoded::Bad => None,
    };
    let after = header.map(|frame| frame.size());
    let start = after
        .filter(|at| matches!(decode(&data[*at..]), Decoded::Frame(next) if near(next.head.index)))
        .or_else(|| {
            let from = 1;
            crate::frame::resync(data, from, near)
        })
        .unwrap_or(data.len());
    let Decoded::Frame(entry) = decode(&data[start..]) else {
        return (start, None);
    };
    let stored = start
        .checked_sub(32)
        .and_then(|at| data[at..start].first_chunk::<32>().copied());
    let should = header
        .zip(part.before)
        .map(|(frame, (_, before))| frame.link_as(frame.head.index, &before));
    let chain = [stored, should]
        .into_iter()
        .flatten()
        .find(|chain| entry.follows(chain));
    (start, chain)
}
