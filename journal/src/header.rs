//! First frame of a segment: which log, which file, what came before.

use crate::frame::{Chain, Frame, Kind};
use crate::seal::Sealed;
use crate::text::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// File name of a segment: first index (20 digits), then a generation that grows with each recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub first: u64,
    pub generation: u64,
}

impl Name {
    /// `None` for a name the journal never makes.
    pub fn parse(name: &str) -> Option<Self> {
        let (first, generation) = name.strip_suffix(".seg")?.split_once('.')?;
        let parsed = Self {
            first: first.parse().ok()?,
            generation: generation.parse().ok()?,
        };
        (parsed.file() == name).then_some(parsed)
    }

    pub fn file(self) -> String {
        format!("{:020}.{}.seg", self.first, self.generation)
    }
}

/// Payload of a header frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Format version: see [`Header::version`].
    pub v: u32,
    /// Random name of the log, the same in all its segments.
    pub log: String,
    /// The file name this segment was made with.
    pub file: String,
    /// When it was made.
    pub time: String,
    pub boot_id: String,
    /// Where the log stood; absent in the first segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Prev>,
    /// Bytes in earlier files that are no part of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub torn: Vec<TornBytes>,
    /// Faults seen when the log was opened, so that they stay visible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What the seals of this segment go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Where the log begins by now; absent where nothing was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Begins>,
}

/// Entries below `first` may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begins {
    /// First entry of a segment.
    pub first: u64,
    /// The entry of type `prune` that says so: it is sealed, this header is not.
    pub entry: u64,
}

/// End of the segment before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prev {
    pub file: String,
    /// Bytes of it that count.
    pub length: u64,
    /// Index after its last entry.
    pub next: u64,
    /// Chain value of its last frame.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub chain: Chain,
}

/// Bytes from `offset` to the end of `file` that a crash or a failed write left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TornBytes {
    pub file: String,
    pub offset: u64,
    /// Absent after a failed write or sync: what is on disk then is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// What the torn bytes were when they were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub length: u64,
    /// SHA-256 of them.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub sha256: Chain,
}

impl Header {
    /// 3 with seals; 2 was the same with a chain over whole payloads. 1 without.
    pub fn version(sealed: bool) -> u32 {
        if sealed { 3 } else { 1 }
    }

    /// Chain value this segment's header follows.
    pub fn before(&self) -> Chain {
        self.prev.as_ref().map_or([0; 32], |prev| prev.chain)
    }

    /// Reads and verifies a header frame: it carries the chain value it follows.
    pub fn from_frame(frame: &Frame<'_>) -> Option<Self> {
        let header: Self = serde_json::from_slice(frame.payload).ok()?;
        let good = frame.head.kind == Kind::Header
            && header.v == Self::version(header.sealed.is_some())
            && Name::parse(&header.file).is_some_and(|name| name.first == frame.head.index)
            && frame.follows(&header.before());
        good.then_some(header)
    }
}

fn to_hex<S: Serializer>(chain: &Chain, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(chain))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chain, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut chain = [0; 32];
    for (byte, pair) in chain.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(serde::de::Error::custom)?;
        *byte = u8::from_str_radix(pair, 16).map_err(serde::de::Error::custom)?;
    }
    if hex(&chain) == text {
        Ok(chain)
    } else {
        Err(serde::de::Error::custom("not 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_names() {
        let name = Name {
            first: 7,
            generation: 12,
        };
        assert_eq!(name.file(), "00000000000000000007.12.seg");
        assert_eq!(Name::parse(&name.file()), Some(name));
        for bad in [
            "7.12.seg",
            "00000000000000000007.012.seg",
            "00000000000000000007.+1.seg",
            "00000000000000000007.1.seg~",
            "00000000000000000007.seg",
        ] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
