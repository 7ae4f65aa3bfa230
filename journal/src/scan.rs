//! Frames of one segment file in order, without holding the file in memory.

use crate::frame::{Chain, Decoded, Frame, HEAD, Head, OVERHEAD, decode};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading; never follows a link and never waits on a pipe.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// The first `limit` bytes of a file.
pub fn load(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    open(path)?.take(limit).read_to_end(&mut data)?;
    Ok(data)
}

/// Where the scan stopped and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind a whole frame.
    Clean,
    /// The rest is the beginning of a frame.
    Incomplete,
    /// The rest is not a frame.
    Bad,
}

/// A segment being read.
#[derive(Debug)]
pub struct Scan {
    input: io::Take<BufReader<File>>,
    buffer: Vec<u8>,
    /// Offset behind the last whole frame.
    pub offset: u64,
    /// Bytes there were when the file was opened.
    pub length: u64,
    limit: u64,
    pub end: End,
}

impl Scan {
    /// Reads at most `limit` bytes and no more than there are now.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = open(path)?;
        let length = file.metadata()?.len().min(limit);
        Ok(Self {
            input: BufReader::with_capacity(128 * 1024, file).take(length),
            buffer: Vec::new(),
            offset: 0,
            length,
            limit,
            end: End::Clean,
        })
    }

    /// Sees what was appended since it was opened, up to `limit` as given then. Only behind a whole frame.
    pub fn refresh(&mut self) -> io::Result<()> {
        let length = self.input.get_ref().get_ref().metadata()?.len();
        self.length = length.min(self.limit);
        self.input
            .set_limit(self.length.saturating_sub(self.offset));
        Ok(())
    }

    /// The next whole frame; `None` at the end, which `end` then explains.
    pub fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        if self.end != End::Clean {
            return Ok(None);
        }
        self.buffer.clear();
        self.fill(HEAD)?;
        let want = match self.buffer.first_chunk().map(Head::parse) {
            Some(Some(head)) => head.length + OVERHEAD,
            _ => 0,
        };
        if want > 0 {
            self.fill(want)?;
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        match decode(&self.buffer) {
            Decoded::Frame(frame) => {
                self.offset += frame.size() as u64;
                Ok(Some(frame))
            }
            Decoded::Incomplete => {
                self.end = End::Incomplete;
                Ok(None)
            }
            Decoded::Bad => {
                self.end = End::Bad;
                Ok(None)
            }
        }
    }

    /// Reads until the buffer holds `size` bytes or the input ends.
    fn fill(&mut self, size: usize) -> io::Result<()> {
        while self.buffer.len() < size {
            let have = self.input.fill_buf()?;
            if have.is_empty() {
                return Ok(());
            }
            let take = have.len().min(size - self.buffer.len());
            self.buffer.extend_from_slice(&have[..take]);
            self.input.consume(take);
        }
        Ok(())
    }
}

/// Is there a run of zeros that no record and no hash has? Such bytes were reserved but never written.
pub fn has_zero_run(data: &[u8]) -> bool {
    data.windows(16)
        .any(|window| window.iter().all(|b| *b == 0))
        || (!data.is_empty() && data.iter().all(|byte| *byte == 0))
}

/// SHA-256 of the bytes from `offset` on.
pub fn digest_from(path: &Path, offset: u64) -> io::Result<(u64, Chain)> {
    use std::io::Seek;
    let mut file = open(path)?;
    file.seek(io::SeekFrom::Start(offset))?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut buffer, mut length) = (vec![0; 64 * 1024], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((length, crate::frame::finish(context)));
        }
        context.update(&buffer[..count]);
        length += count as u64;
    }
}
