//! What lies in the journal directory.

use crate::frame::Chain;
use crate::header::{Header, Name};
use crate::scan::{End, Scan};
use crate::sys;
use std::io;
use std::path::{Path, PathBuf};

/// A segment file and what its first frame says.
#[derive(Debug)]
pub struct Segment {
    /// File name it has now.
    pub file: String,
    pub path: PathBuf,
    /// What the file name says.
    pub name: Name,
    pub first: First,
    pub append: bool,
    pub immutable: bool,
    /// It has more than one name.
    pub linked: bool,
    /// Another file is mounted at its name.
    pub mounted: bool,
}

/// State of the first frame.
#[derive(Debug)]
pub enum First {
    Header {
        header: Box<Header>,
        chain: Chain,
        /// Where the entries begin.
        start: u64,
    },
    /// There is only the beginning of a frame, or nothing.
    Incomplete,
    /// It is not the header that was written.
    Bad,
    Unreadable(String),
}

impl Segment {
    fn load(dir: &Path, file: &str, name: Name) -> Self {
        let path = dir.join(file);
        // A file whose flags cannot be seen is not taken for one without flags.
        let (first, flags) =
            match read_first(&path).and_then(|first| Ok((first, sys::stat(&path)?))) {
                Ok((first, flags)) => (first, Some(flags)),
                Err(error) => (First::Unreadable(error.to_string()), None),
            };
        Self {
            file: file.to_owned(),
            path,
            name,
            first,
            append: flags.is_some_and(|stat| stat.append),
            immutable: flags.is_some_and(|stat| stat.immutable),
            linked: flags.is_some_and(|stat| stat.nlink > 1),
            mounted: flags.is_some_and(|stat| stat.mounted),
        }
    }

    pub fn header(&self) -> Option<&Header> {
        match &self.first {
            First::Header { header, .. } => Some(header),
            _ => None,
        }
    }

    /// Its place in the log: what it was made as, else what it is called.
    pub fn key(&self) -> Name {
        let made = self.header().and_then(|header| Name::parse(&header.file));
        made.unwrap_or(self.name)
    }
}

fn read_first(path: &Path) -> io::Result<First> {
    let mut scan = Scan::open(path, u64::MAX)?;
    let frame = match scan.next()? {
        Ok(frame) => frame,
        Err(End::Bad) => return Ok(First::Bad),
        Err(End::Clean | End::Incomplete) => return Ok(First::Incomplete),
    };
    Ok(match Header::from_frame(&frame) {
        Some(header) => First::Header {
            header: Box::new(header),
            chain: frame.chain,
            start: frame.size() as u64,
        },
        None => First::Bad,
    })
}

/// Segments in log order, and the names of everything else.
#[derive(Debug, Default)]
pub struct Listing {
    pub segments: Vec<Segment>,
    pub foreign: Vec<String>,
}

/// Lists a journal directory. A missing one is an empty log.
pub fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name();
        match file.to_str().and_then(Name::parse) {
            Some(name) if entry.file_type()?.is_file() => {
                let file = file.to_string_lossy();
                listing.segments.push(Segment::load(dir, &file, name));
            }
            _ => listing.foreign.push(file.to_string_lossy().into_owned()),
        }
    }
    // A file that carries its own name goes before a copy that does not.
    listing
        .segments
        .sort_by_key(|segment| (segment.key(), segment.key() != segment.name, segment.name));
    listing.foreign.sort();
    Ok(listing)
}

/// Index and chain value with which each segment of the log in `dir` begins.
///
/// # Errors
/// The directory cannot be read.
pub fn beginnings(dir: &Path) -> io::Result<Vec<(u64, Chain)>> {
    let of = |segment: &Segment| match &segment.first {
        First::Header { chain, .. } => Some((segment.key().first, *chain)),
        _ => None,
    };
    Ok(list(dir)?.segments.iter().filter_map(of).collect())
}

/// The random name that all segments of the log in `dir` carry; `None` when there is no whole segment.
#[must_use]
pub fn log_name(dir: &Path) -> Option<String> {
    let listing = list(dir).ok()?;
    let last = listing.segments.iter().rev().find_map(Segment::header)?;
    Some(last.log.clone())
}
