//! What is wrong with a log, and where.

use std::fmt;

/// Kind of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The bytes of an entry were changed.
    Edited,
    /// Entries are gone.
    Removed,
    /// An entry stands at another place than it was written.
    Reordered,
    /// An entry is there twice.
    Duplicated,
    /// An entry, or bytes between entries, that the log never wrote.
    Inserted,
    /// The first frame of a segment was changed.
    HeaderEdited,
    /// A whole segment is gone.
    SegmentMissing,
    /// A segment has another file name than it was made with.
    SegmentRenamed,
    /// A segment is there twice.
    SegmentDuplicated,
    /// A segment of another log, or one that does not fit what follows it.
    SegmentForeign,
    /// The live segment lost its append-only flag or has a second name.
    FileChanged,
    /// A fault that was seen when the journal was opened and is on record since.
    Noted,
    /// A file in the journal directory that the journal never makes.
    ForeignFile,
    /// The log ends before the entry that the head file names.
    TailCut,
    /// The entry that the head file names has another chain value.
    HeadMismatch,
    /// The head file is missing or damaged, so a cut tail would go unnoticed.
    HeadUnreadable,
    /// A file could not be read.
    Unreadable,
    /// The bytes of a seal were changed.
    SealEdited,
    /// Entries without a seal, or a seal that is gone.
    SealMissing,
    /// A seal is over other entries than these, or its signature is wrong: what it covers was written anew.
    SealInvalid,
    /// A seal made with a key that no earlier seal names and that is not the host's.
    SealUnknownKey,
}

impl FaultKind {
    /// Stable name for machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Inserted => "inserted",
            Self::HeaderEdited => "header-edited",
            Self::SegmentMissing => "segment-missing",
            Self::SegmentRenamed => "segment-renamed",
            Self::SegmentDuplicated => "segment-duplicated",
            Self::SegmentForeign => "segment-foreign",
            Self::FileChanged => "file-changed",
            Self::Noted => "noted",
            Self::ForeignFile => "foreign-file",
            Self::TailCut => "tail-cut",
            Self::HeadMismatch => "head-mismatch",
            Self::HeadUnreadable => "head-unreadable",
            Self::Unreadable => "unreadable",
            Self::SealEdited => "seal-edited",
            Self::SealMissing => "seal-missing",
            Self::SealInvalid => "seal-invalid",
            Self::SealUnknownKey => "seal-unknown-key",
        }
    }
}

/// One fault. `Display` is the sentence people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// First entry concerned, where one can be named.
    pub index: Option<u64>,
    /// How many entries from `index` on; 0 when none can be named.
    pub count: u64,
    /// File name within the journal directory, or the path of the head file.
    pub file: String,
    /// Byte offset in `file`, where one can be named.
    pub offset: Option<u64>,
    /// What was seen, in words.
    pub what: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            kind,
            index: None,
            count: 0,
            file: file.into(),
            offset: None,
            what: what.into(),
        }
    }

    /// Names the entries concerned.
    pub(crate) fn entries(mut self, first: u64, count: u64) -> Self {
        (self.index, self.count) = (Some(first), count);
        self
    }

    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.index, self.count) {
            (Some(index), 0 | 1) => write!(f, "entry {index}: ")?,
            (Some(index), count) => write!(f, "entries {index} to {}: ", index + (count - 1))?,
            (None, _) => {}
        }
        write!(f, "{}: {}", self.kind.name(), self.what)?;
        match self.offset {
            Some(offset) => write!(f, " ({}, byte {offset})", self.file),
            None => write!(f, " ({})", self.file),
        }
    }
}
