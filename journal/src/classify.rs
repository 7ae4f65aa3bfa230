//! What happened to a segment whose frames do not simply follow each other. Pure: bytes in, faults out.
//!
//! The bytes are split into frames and damaged stretches. Each index then gets the frame that follows its
//! predecessor's chain value; what is left over, missing or out of order is named.

use crate::fault::{Fault, FaultKind};
use crate::frame::{Chain, Decoded, Frame, HEAD, Kind, decode, resync};
use crate::scan::has_zero_run;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};

/// No segment holds more entries than this; a larger index in it is damage.
const SPREAD: u64 = 1 << 20;

/// What is known about the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The next segment's header says where this one ends.
    Exact { next: u64, chain: Option<Chain> },
    /// Last segment: the head file says how far it went at least, if there is a head.
    Open { head: Option<u64> },
}

impl Bound {
    /// May the segment end before entry `after`, behind this chain value?
    pub fn is_met(&self, after: u64, behind: &Chain) -> bool {
        match self {
            Self::Exact { next, chain } => {
                after == *next && chain.is_none_or(|chain| chain == *behind)
            }
            Self::Open { head } => head.is_none_or(|head| after >= head),
        }
    }
}

/// One segment's bytes and what its surroundings say about it.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub file: &'a str,
    pub data: &'a [u8],
    /// Where the entries begin.
    pub start: usize,
    pub first: u64,
    /// Chain value before the first entry, if known.
    pub chain: Option<Chain>,
    pub bound: Bound,
    /// Seals stand between the entries.
    pub sealed: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub faults: Vec<Fault>,
    /// Entries whose place is known: index, chain value as stored, payload.
    pub entries: Vec<(u64, Chain, std::ops::Range<usize>)>,
    /// Offset of an unfinished write.
    pub unfinished: Option<usize>,
}

/// A whole frame at its place.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    at: usize,
    /// Its index; the one it was written with if only that was changed.
    index: u64,
    frame: Frame<'a>,
    index_edited: bool,
    /// It follows the frame physically before it.
    linked: bool,
}

/// A stretch that is no frame.
#[derive(Clone, Copy, Debug)]
struct Gap {
    at: usize,
    end: usize,
    /// Number of pieces before it.
    pieces: usize,
    /// A seal stands right before it.
    after_seal: bool,
}

struct Split<'a> {
    pieces: Vec<Piece<'a>>,
    gaps: Vec<Gap>,
    /// Seals that do not follow the frame before them.
    strays: Vec<(usize, Frame<'a>)>,
    /// Behind the last frame that follows.
    linked: usize,
    /// Entries that seals which follow are over.
    sealed: u64,
}

fn split<'a>(
    data: &'a [u8],
    start: usize,
    first: u64,
    before: Option<Chain>,
    likely: impl Fn(u64) -> bool,
) -> Split<'a> {
    let mut split = Split {
        pieces: Vec::new(),
        gaps: Vec::new(),
        strays: Vec::new(),
        linked: start,
        sealed: first,
    };
    let (mut at, mut before, mut expected) = (start, before, first);
    let mut sealed_at = None;
    while at < data.len() {
        if let Some((frame, linked)) = seal(&data[at..], before.as_ref()) {
            if !linked {
                split.strays.push((at, frame));
            }
            at += frame.size();
            if linked {
                (split.linked, split.sealed) = (at, frame.head.index);
                sealed_at = Some(at);
            }
            continue;
        }
        let piece = match decode(&data[at..]) {
            Decoded::Frame(frame) => place(data, at, frame, before.as_ref(), expected),
            Decoded::Incomplete | Decoded::Bad => None,
        };
        if let Some(piece) = piece {
            at += piece.frame.size();
            if piece.linked {
                split.linked = at;
            }
            before = Some(piece.frame.chain);
            expected = piece.index.wrapping_add(1);
            split.pieces.push(piece);
        } else {
            let end = resync(data, at + 1, &likely).unwrap_or(data.len());
            let pieces = split.pieces.len();
            split.gaps.push(Gap {
                at,
                end,
                pieces,
                after_seal: sealed_at == Some(at),
            });
            at = end;
        }
    }
    split
}

/// A seal at the start of `data`, and whether it follows.
fn seal<'a>(data: &'a [u8], before: Option<&Chain>) -> Option<(Frame<'a>, bool)> {
    let Decoded::Frame(frame) = decode(data) else {
        return None;
    };
    let linked = before.is_some_and(|before| frame.follows(before));
    let rest = &data[frame.size()..];
    let ends_well = rest.is_empty() || decode(rest) != Decoded::Bad;
    (frame.head.kind == Kind::Seal && (linked || ends_well)).then_some((frame, linked))
}

/// Accepts a frame that follows its predecessor or is itself followed by a frame or the end.
fn place<'a>(
    data: &[u8],
    at: usize,
    frame: Frame<'a>,
    before: Option<&Chain>,
    expected: u64,
) -> Option<Piece<'a>> {
    let mut piece = Piece {
        at,
        index: frame.head.index,
        frame,
        index_edited: false,
        linked: before.is_some_and(|before| frame.follows(before)),
    };
    if piece.linked {
        return (frame.head.kind == Kind::Entry).then_some(piece);
    }
    if let Some(before) = before.filter(|_| frame.head.index != expected)
        && frame.link_as(expected, before) == frame.chain
    {
        (piece.index, piece.index_edited) = (expected, true);
        return Some(piece);
    }
    let rest = &data[at + frame.size()..];
    let ends_well = rest.is_empty() || decode(rest) != Decoded::Bad;
    (ends_well && frame.head.kind == Kind::Entry).then_some(piece)
}

/// Is this what a crash can leave behind the last whole entry: the beginning of a frame, zeros, or rubbish? Rubbish
/// counts only if the head file shows that nothing acknowledged can lie here.
pub fn is_torn(tail: &[u8], head_known: bool) -> bool {
    let split = split(tail, 0, 0, None, |_| true);
    let loose = |piece: &Piece| {
        let whole = &tail[piece.at..piece.at + piece.frame.size()];
        let record = serde_json::from_slice::<IgnoredAny>(piece.frame.payload).is_ok();
        !piece.linked && (has_zero_run(whole) || head_known && !record)
    };
    let rubbish = |gap: &Gap| {
        let bytes = &tail[gap.at..gap.end];
        let begun = gap.end == tail.len() && decode(bytes) == Decoded::Incomplete;
        head_known || begun || has_zero_run(bytes)
    };
    let stray = |(at, frame): &(usize, Frame<'_>)| {
        let whole = &tail[*at..at + frame.size()];
        let json = serde_json::from_slice::<IgnoredAny>(frame.payload).is_ok();
        has_zero_run(whole) || head_known && !json
    };
    split.pieces.iter().all(loose)
        && split.gaps.iter().all(rubbish)
        && split.strays.iter().all(stray)
}

/// Names everything that is wrong with a segment.
pub fn classify(span: &Span<'_>) -> Found {
    let mut found = Found::default();
    let inside = |index: u64| index.wrapping_sub(span.first) < SPREAD;
    let Split {
        mut pieces,
        mut gaps,
        strays: mut stray_seals,
        linked,
        sealed,
    } = split(span.data, span.start, span.first, span.chain, inside);

    // The end of the log: set an unfinished write aside, unless the head file says that entries were there.
    if let Bound::Open { head } = span.bound {
        let whole = pieces
            .iter()
            .rposition(|piece| piece.linked)
            .map_or(0, |at| at + 1);
        let next = pieces[..whole]
            .iter()
            .map(|piece| piece.index.saturating_add(1))
            .fold(span.first, u64::max);
        let tail = pieces[..whole]
            .last()
            .map_or(span.start, |piece| piece.at + piece.frame.size())
            .max(linked);
        // A gap before the last linked piece is damage in any case.
        let done = if span.sealed { sealed } else { next };
        let past_head = head.is_none_or(|head| done >= head);
        if tail < span.data.len() && past_head && is_torn(&span.data[tail..], head.is_some()) {
            found.unfinished = Some(tail);
            pieces.truncate(whole);
            if span.sealed {
                // Nobody has a receipt for entries without their seal.
                pieces.retain(|piece| piece.index < sealed);
            }
            gaps.retain(|gap| gap.at < tail);
            stray_seals.retain(|(at, _)| *at < tail);
        }
    }

    let strays = strays(&pieces, span);
    let (mut by_index, mut reached): (BTreeMap<u64, Vec<usize>>, _) = (BTreeMap::new(), span.first);
    for (number, piece) in pieces.iter().enumerate() {
        if !strays.contains(&number) && inside(piece.index) {
            by_index.entry(piece.index).or_default().push(number);
            reached = reached.max(piece.index + 1);
        }
    }
    let end = match span.bound {
        Bound::Exact { next, .. } => next,
        Bound::Open { head } => reached.max(head.unwrap_or(0)),
    };
    let fault = |kind, at: usize, what: &str| Fault::new(kind, span.file, what).at(at as u64);

    // One frame for each index.
    let mut known = span.chain;
    let mut chosen: BTreeMap<u64, usize> = BTreeMap::new();
    let mut index = span.first;
    while index < end {
        let Some(candidates) = by_index.get(&index) else {
            known = None;
            // Nothing to look at before the next index that is there.
            index = by_index
                .range(index..)
                .next()
                .map_or(end, |(next, _)| *next);
            continue;
        };
        let follows = |&number: &usize| {
            let piece: &Piece = &pieces[number];
            known.is_some_and(|known| piece.frame.follows(&known)) && !piece.index_edited
        };
        // The one that the next entry follows, and of equal copies the one in its place.
        let right: Vec<usize> = candidates.iter().copied().filter(&follows).collect();
        let goes_on = |number: usize| {
            let chain = &pieces[number].frame.chain;
            let next = by_index.get(&(index + 1)).into_iter().flatten();
            next.into_iter()
                .any(|next| pieces[*next].frame.follows(chain))
        };
        let rank = |number: &usize| (right.len() > 1 && goes_on(*number), pieces[*number].linked);
        let best = right.iter().map(rank).max();
        let number = right
            .iter()
            .copied()
            .find(|number| Some(rank(number)) == best);
        let pick = number.unwrap_or(candidates[0]);
        let piece = &pieces[pick];
        let mut after = piece.frame.chain;
        if number.is_none() && (known.is_some() || piece.index_edited) {
            let what = "its bytes are not those that were written";
            found
                .faults
                .push(fault(FaultKind::Edited, piece.at, what).entries(index, 1));
            // Was the chain value itself changed? Then the next entry follows the one that should be there.
            if let Some(known) = known {
                let should = piece.frame.link_as(index, &known);
                let next = by_index.get(&(index + 1)).into_iter().flatten();
                let follows_it = |number: &usize| pieces[*number].frame.follows(&should);
                if next.clone().any(follows_it) {
                    after = should;
                }
            }
        }
        chosen.insert(index, pick);
        known = Some(after);
        index += 1;
    }

    // Left over.
    for (number, piece) in pieces.iter().enumerate() {
        let original = chosen.get(&piece.index).copied();
        if original == Some(number) {
            continue;
        }
        let same = original.is_some_and(|original| pieces[original].frame == piece.frame);
        let made = if same {
            fault(FaultKind::Duplicated, piece.at, "it is there twice")
        } else {
            fault(
                FaultKind::Inserted,
                piece.at,
                "a frame with this index was put in",
            )
        };
        found.faults.push(made.entries(piece.index, 1));
    }

    // Missing, damaged.
    let mut missing = ranges(span.first, end, &chosen);
    for gap in &gaps {
        let before = pieces[..gap.pieces].last().map(|piece| piece.index + 1);
        let after = pieces.get(gap.pieces).map_or(end, |piece| piece.index);
        let (low, high) = (before.unwrap_or(span.first), after);
        let here = missing
            .iter()
            .position(|(first, last)| *first >= low && *last <= high && first < last);
        found.faults.push(match here {
            Some(number) => {
                let (first, last) = missing.remove(number);
                fault(
                    FaultKind::Edited,
                    gap.at,
                    "its bytes are not those that were written",
                )
                .entries(first, last - first)
            }
            None if span.sealed && !gap.after_seal => fault(
                FaultKind::SealEdited,
                gap.at,
                "these bytes are no entry, and no seal that was written",
            ),
            None => {
                let what = format!("{} bytes that are no entry were put in", gap.end - gap.at);
                fault(FaultKind::Inserted, gap.at, &what)
            }
        });
    }
    for (first, last) in missing {
        let at = chosen
            .range(last..)
            .next()
            .map_or(span.data.len(), |(_, number)| pieces[*number].at);
        let kind = match span.bound {
            Bound::Open { .. } if last == end => FaultKind::TailCut,
            _ => FaultKind::Removed,
        };
        let what = match kind {
            FaultKind::TailCut => "gone from the end of the log, the head file names them",
            _ => "gone",
        };
        found
            .faults
            .push(fault(kind, at, what).entries(first, last - first));
    }

    // Out of order: the fewest entries that must move.
    let mut order: Vec<(usize, u64)> = chosen.iter().map(|(index, at)| (*at, *index)).collect();
    order.sort_unstable();
    for number in out_of_order(&order) {
        let (piece, index) = order[number];
        let what = "it stands at another place than it was written";
        let made = fault(FaultKind::Reordered, pieces[piece].at, what);
        found.faults.push(made.entries(index, 1));
    }

    // One that has the leaf of a record and is none: a long record's, or that of one that is gone.
    for (index, number) in &chosen {
        let Piece { at, frame, .. } = pieces[*number];
        let told = |fault: &Fault| fault.index == Some(*index);
        if !frame.is_sound() && !found.faults.iter().any(told) {
            let made = fault(FaultKind::Edited, at, "it is no record");
            found.faults.push(made.entries(*index, 1));
        }
    }

    // All entries follow each other but not to the end that the next segment names: all were written anew.
    let ends = match span.bound {
        Bound::Exact { chain, .. } => chain,
        Bound::Open { .. } => None,
    };
    let other = ends.zip(known).is_some_and(|(chain, known)| chain != known);
    if other && found.faults.is_empty() {
        let what = "the chain does not end in the value that the next segment names";
        let made = fault(FaultKind::Edited, span.start, what);
        let count = end - span.first;
        found.faults.push(made.entries(span.first, count));
    }
    // A seal beside a damaged entry does not follow it; alone it was itself changed.
    if found.faults.is_empty() {
        found.faults.extend(stray_seals.iter().map(|(at, _)| {
            fault(
                FaultKind::SealEdited,
                *at,
                "its bytes are not those that were written",
            )
        }));
    }
    found
        .faults
        .sort_by_key(|fault| (fault.offset, fault.index));
    found.entries = chosen
        .iter()
        .map(|(index, number)| {
            let Piece { at, frame, .. } = pieces[*number];
            let start = at + HEAD;
            let payload = start..start + frame.payload.len();
            (*index, frame.chain, payload)
        })
        .collect();
    found
}

/// Frames that stand alone: no neighbour by index on either side, and the entry before by index is there and is
/// not the one they follow.
fn strays(pieces: &[Piece<'_>], span: &Span<'_>) -> BTreeSet<usize> {
    let chains: BTreeMap<u64, Vec<&Chain>> =
        pieces.iter().fold(BTreeMap::new(), |mut map, piece| {
            let chains: &mut Vec<_> = map.entry(piece.index).or_default();
            chains.push(&piece.frame.chain);
            map
        });
    let stray = |number: usize| {
        let piece = &pieces[number];
        let before = number.checked_sub(1).map(|before| pieces[before].index);
        let after = pieces.get(number + 1).map(|after| after.index);
        let alone = match before {
            Some(before) => before.checked_add(1) != Some(piece.index),
            None => piece.index != span.first,
        } && after.is_none_or(|after| piece.index.checked_add(1) != Some(after));
        let chains = piece
            .index
            .checked_sub(1)
            .and_then(|before| chains.get(&before));
        let wrong = match chains {
            Some(chains) => !chains.iter().any(|chain| piece.frame.follows(chain)),
            None => {
                piece.index == span.first
                    && span.chain.is_some_and(|chain| !piece.frame.follows(&chain))
            }
        };
        alone && wrong && !piece.linked && !piece.index_edited
    };
    (0..pieces.len()).filter(|number| stray(*number)).collect()
}

/// Stretches of `first..end` that have no entry, as half-open ranges.
fn ranges(first: u64, end: u64, have: &BTreeMap<u64, usize>) -> Vec<(u64, u64)> {
    let (mut out, mut from) = (Vec::new(), first);
    for index in have.keys().copied().chain([end]) {
        if from < index {
            out.push((from, index));
        }
        from = index.saturating_add(1);
    }
    out
}

/// Positions that are not part of one longest rising run of indexes.
fn out_of_order(order: &[(usize, u64)]) -> Vec<usize> {
    // Patience sorting: tails[k] ends the best run of length k + 1.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(order.len());
    for (number, (_, index)) in order.iter().enumerate() {
        let place = tails.partition_point(|tail| order[*tail].1 < *index);
        before.push(place.checked_sub(1).map(|place| tails[place]));
        match tails.get_mut(place) {
            Some(tail) => *tail = number,
            None => tails.push(number),
        }
    }
    let mut kept = vec![false; order.len()];
    let mut at = tails.last().copied();
    while let Some(number) = at {
        kept[number] = true;
        at = before[number];
    }
    (0..order.len()).filter(|number| !kept[*number]).collect()
}
