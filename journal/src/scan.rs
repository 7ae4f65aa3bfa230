//! Frames of one segment file in order, without holding the file in memory.

use crate::frame::{Chain, Decoded, Frame, HEAD, Head, OVERHEAD, decode};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes read at once; more where a frame is longer.
const STEP: usize = 128 * 1024;

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

/// A segment being read. Frames lie in the buffer as they were read: nothing is copied to be looked at.
#[derive(Debug)]
pub struct Scan {
    file: File,
    buffer: Vec<u8>,
    /// What of the buffer was read and not given out; the file has it at `offset`.
    ready: Range<usize>,
    /// Offset behind the last whole frame.
    pub offset: u64,
    /// Bytes there were when the file was opened.
    pub length: u64,
    limit: u64,
    end: End,
}

impl Scan {
    /// Reads at most `limit` bytes and no more than there are now.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = open(path)?;
        let length = file.metadata()?.len().min(limit);
        Ok(Self {
            file,
            buffer: vec![0; STEP],
            ready: 0..0,
            offset: 0,
            length,
            limit,
            end: End::Clean,
        })
    }

    /// Sees what was appended since it was opened, up to `limit` as given then. Only behind a whole frame.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.length = self.file.metadata()?.len().min(self.limit);
        Ok(())
    }

    /// The next whole frame, or why there is none.
    pub fn next(&mut self) -> io::Result<Result<Frame<'_>, End>> {
        if self.end != End::Clean {
            return Ok(Err(self.end));
        }
        self.fill(HEAD)?;
        let head = self.buffer[self.ready.clone()].first_chunk();
        if let Some(head) = head.and_then(Head::parse) {
            self.fill(head.length + OVERHEAD)?;
        }
        let ready = &self.buffer[self.ready.clone()];
        self.end = match decode(ready) {
            Decoded::Frame(frame) => {
                self.ready.start += frame.size();
                self.offset += frame.size() as u64;
                return Ok(Ok(frame));
            }
            // More may come.
            Decoded::Incomplete if ready.is_empty() => End::Clean,
            Decoded::Incomplete => End::Incomplete,
            Decoded::Bad => End::Bad,
        };
        Ok(Err(self.end))
    }

    /// Reads until `size` bytes are ready or the input ends.
    fn fill(&mut self, size: usize) -> io::Result<()> {
        while self.ready.len() < size {
            let from = self.offset + self.ready.len() as u64;
            let left = self.length.saturating_sub(from);
            if left == 0 {
                return Ok(());
            }
            self.buffer.copy_within(self.ready.clone(), 0);
            self.ready = 0..self.ready.len();
            if self.buffer.len() < size {
                self.buffer.resize(size, 0);
            }
            let room = &mut self.buffer[self.ready.end..];
            let most = usize::try_from(left).map_or(room.len(), |left| left.min(room.len()));
            match self.file.read_at(&mut room[..most], from)? {
                0 => return Ok(()),
                count => self.ready.end += count,
            }
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
            return Ok((length, crate::merkle::finish(context)));
        }
        context.update(&buffer[..count]);
        length += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, encode};

    #[test]
    fn frames_of_all_lengths_over_the_ends_of_the_buffer() {
        let (mut bytes, mut chain) = (Vec::new(), [0; 32]);
        let lengths = [0, 10, STEP - 60, 70_000, 2 * STEP, 1, 60_000, STEP, 200_000];
        for (index, length) in (0..).zip(lengths) {
            let payload = vec![b'x'; length];
            chain = encode(&mut bytes, Kind::Entry, index, &payload, &chain);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        // The last frame comes in two parts.
        let part = bytes.len() - 100_000;
        let last = bytes.len() - 200_000 - OVERHEAD;
        std::fs::write(file.path(), &bytes[..part]).unwrap();
        let mut scan = Scan::open(file.path(), last as u64).unwrap();
        let mut cut = Scan::open(file.path(), u64::MAX).unwrap();
        chain = [0; 32];
        for length in &lengths[..8] {
            let frame = scan.next().unwrap().unwrap();
            assert_eq!(frame.payload.len(), *length);
            assert!(frame.follows(&chain));
            chain = frame.chain;
            assert!(cut.next().unwrap().is_ok());
        }
        assert_eq!(scan.next().unwrap(), Err(End::Clean));
        assert_eq!(cut.next().unwrap(), Err(End::Incomplete));
        std::fs::write(file.path(), &bytes).unwrap();
        scan.limit = u64::MAX;
        scan.refresh().unwrap();
        assert!(scan.next().unwrap().unwrap().follows(&chain));
        assert_eq!(scan.next().unwrap(), Err(End::Clean));
    }
}
