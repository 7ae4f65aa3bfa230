//! Entries as they become durable, without reading what was read before.

use crate::fault::Fault;
use crate::header::Name;
use crate::read::{Entry, Reader, read_from};
use std::path::{Path, PathBuf};

/// Reads a growing log part by part. Between two calls it keeps its place in the last segment.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    next: u64,
    reader: Option<Reader>,
    /// The newest segment when the reader was made.
    newest: Option<Name>,
}

/// What one call of [`Tail::read`] brought.
#[derive(Debug, Default)]
pub struct Part {
    pub entries: Vec<Entry>,
    /// What could not be read; the entries after it follow.
    pub faults: Vec<Fault>,
}

impl Tail {
    /// Will read from entry `next` on.
    #[must_use]
    pub fn new(dir: &Path, next: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            next,
            reader: None,
            newest: None,
        }
    }

    /// The index of the entry that comes next.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Entries below `until`, which must be durable: at most `count`, and none after their JSON has reached `bytes`. Less, or
    /// nothing, only when there is no more to read.
    pub fn read(&mut self, until: u64, count: usize, bytes: usize) -> Part {
        let mut part = Part::default();
        let mut size = 0;
        // A segment that was full when it was opened is followed by one that this reader does not know.
        let mut fresh = false;
        let newest = newest(&self.dir);
        if newest != self.newest {
            // After a write that failed the log goes on in a new segment, and what was begun here is no part of it, however
            // whole it looks.
            self.reader = None;
            self.newest = newest;
        }
        if let Some(reader) = &mut self.reader {
            reader.refresh();
        }
        while self.next < until && part.entries.len() < count && size < bytes {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    fresh = true;
                    none.insert(read_from(&self.dir, self.next))
                }
            };
            match reader.next() {
                Some(Ok(entry)) if entry.index < until => {
                    self.next = entry.index + 1;
                    size += entry.json.len();
                    part.entries.push(entry);
                }
                // Not durable yet: it is read again.
                Some(Ok(_)) => {
                    self.reader = None;
                    break;
                }
                Some(Err(fault)) => part.faults.push(fault),
                None => {
                    self.reader = None;
                    if fresh {
                        break;
                    }
                }
            }
        }
        part
    }
}

/// By its name: a directory that cannot be read is a fault of what reads the segments.
fn newest(dir: &Path) -> Option<Name> {
    let names = std::fs::read_dir(dir).ok()?.flatten();
    names
        .filter_map(|entry| Name::parse(entry.file_name().to_str()?))
        .max()
}
