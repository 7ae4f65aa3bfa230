//! The way to the message bus, narrow: nothing longer than [`LONGEST`] and no file descriptor comes in.
//!
//! The bus passes on messages of up to 128 MiB from anyone, and its client makes room for what a header promises. What is
//! too long is read away here, piece by piece, and its sender gets no answer.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// Bytes of a message with its header: options of a call, the bus's own answers, polkit's.
pub const LONGEST: u64 = 64 << 10;
/// The fixed part of a message's header, which says how long it is.
const FIXED: usize = 16;

/// The bus's socket.
#[derive(Debug)]
pub struct Bus(pub UnixStream);

impl Socket for Bus {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        let sieve = Sieve::default();
        Split::new(
            Reader {
                read,
                sieve,
                ready: Vec::new(),
            },
            Writer(write),
        )
    }
}

/// What the bus says.
#[derive(Debug)]
pub struct Reader {
    read: OwnedReadHalf,
    sieve: Sieve,
    /// Let through and not yet taken.
    ready: Vec<u8>,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut chunk = [0; 4096];
        while self.ready.is_empty() {
            let n = self.read.read(&mut chunk).await?;
            if n == 0 {
                return Ok((0, Vec::new()));
            }
            self.sieve
                .pass(chunk.get(..n).unwrap_or_default(), &mut self.ready);
        }
        let n = buffer.len().min(self.ready.len());
        for (to, from) in buffer.iter_mut().zip(self.ready.drain(..n)) {
            *to = from;
        }
        Ok((n, Vec::new()))
    }
}

/// What we say.
#[derive(Debug)]
pub struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Where in the stream of the bus we are.
#[derive(Debug, Default)]
enum Sieve {
    /// Before a message, or before a line of the greeting.
    #[default]
    Between,
    /// In a line of the greeting, which ends with a line feed.
    Line,
    /// In the fixed part of a header.
    Header(Vec<u8>),
    /// In the rest of a message, with so many bytes to come.
    Body { left: u64, keep: bool },
}

impl Sieve {
    fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(first) = bytes.first() {
            match self {
                // A message begins with its byte order, no word of the greeting does.
                Self::Between if matches!(first, b'l' | b'B') => *self = Self::Header(Vec::new()),
                Self::Between => *self = Self::Line,
                Self::Line => {
                    let end = bytes.iter().position(|b| *b == b'\n');
                    let n = end.map_or(bytes.len(), |at| at + 1);
                    take(&mut bytes, n, |part| out.extend_from_slice(part));
                    if end.is_some() {
                        *self = Self::Between;
                    }
                }
                Self::Header(header) => {
                    let n = (FIXED - header.len()).min(bytes.len());
                    take(&mut bytes, n, |part| header.extend_from_slice(part));
                    if header.len() == FIXED {
                        let left = rest(header);
                        let keep = left + FIXED as u64 <= LONGEST;
                        if keep {
                            out.extend_from_slice(header);
                        }
                        *self = Self::Body { left, keep };
                    }
                }
                Self::Body { left, keep } => {
                    let n = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let keep = *keep;
                    take(&mut bytes, n, |part| {
                        if keep {
                            out.extend_from_slice(part);
                        }
                    });
                    *left -= n as u64;
                }
            }
            if matches!(self, Self::Body { left: 0, .. }) {
                *self = Self::Between;
            }
        }
    }
}

fn take(bytes: &mut &[u8], n: usize, mut with: impl FnMut(&[u8])) {
    let (part, rest) = bytes.split_at(n.min(bytes.len()));
    with(part);
    *bytes = rest;
}

/// How much comes after the fixed part: the fields, padded to 8, and the body. (D-Bus Specification, Message Format)
fn rest(header: &[u8]) -> u64 {
    let number = |at: usize| {
        let four = header
            .get(at..at + 4)
            .and_then(|b| <[u8; 4]>::try_from(b).ok());
        let four = four.unwrap_or_default();
        u64::from(if header.first() == Some(&b'B') {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    };
    let (body, fields) = (number(4), number(12));
    fields.next_multiple_of(8) + body
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of this size in all, with `fields` bytes of fields.
    fn message(order: u8, fields: u32, body: u32, fill: u8) -> Vec<u8> {
        let number = |n: u32| {
            if order == b'B' {
                n.to_be_bytes()
            } else {
                n.to_le_bytes()
            }
        };
        let mut bytes = vec![order, 1, 0, 1];
        bytes.extend(number(body));
        bytes.extend(number(1));
        bytes.extend(number(fields));
        let rest = u64::from(fields).next_multiple_of(8) + u64::from(body);
        bytes.resize(bytes.len() + usize::try_from(rest).unwrap(), fill);
        bytes
    }

    #[test]
    fn what_is_too_long_is_left_out_wherever_the_stream_is_cut() {
        let greeting = b"OK 0123\r\n".to_vec();
        let small = message(b'l', 9, 5, b'l');
        let big = message(b'B', 8, 70_000, b'l');
        let edge = message(b'B', 0, u32::try_from(LONGEST).unwrap() - 16, b'B');
        let over = message(b'l', 0, u32::try_from(LONGEST).unwrap() - 15, 0);
        let stream = [&greeting[..], &small, &big, &small, &edge, &over, &small].concat();
        let wanted = [&greeting[..], &small, &small, &edge, &small].concat();
        for piece in [1, 7, 4096, stream.len()] {
            let (mut sieve, mut out) = (Sieve::default(), Vec::new());
            for part in stream.chunks(piece) {
                sieve.pass(part, &mut out);
            }
            assert!(out == wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_longest_that_a_header_can_promise_is_read_away() {
        let mut header = message(b'l', 0, 0, 0);
        header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let (mut sieve, mut out) = (Sieve::default(), Vec::new());
        sieve.pass(&header, &mut out);
        sieve.pass(&[b'l'; 10_000], &mut out);
        assert!(out.is_empty());
    }
}
