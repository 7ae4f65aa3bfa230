//! Frames: a four-byte big-endian length, then that many bytes of JSON, `{"v":1,"m":MESSAGE}`.
//!
//! A length is only a claim: it is compared with the cap before anything else, and a buffer grows with the
//! bytes that came, never with the bytes that were promised.

use crate::{Text, VERSION};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;

/// Largest body of a frame, in bytes, in each direction of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub request: usize,
    pub reply: usize,
}

/// `gate.sock`. The request holds argv and environment. Linux lets both together be 2 MiB with the usual stack
/// limit; 1 MiB of argv fits unless it is cut into tiny words or full of control characters (six bytes each). What
/// does not fit is refused by the sender: a command that cannot be recorded whole is not run.
pub const GATE: Caps = Caps {
    request: GATE_REQUEST,
    reply: GATE_REPLY,
};
/// `agent.sock`.
pub const CLI: Caps = Caps {
    request: CLI_REQUEST,
    reply: CLI_REPLY,
};

pub const GATE_REQUEST: usize = 2 << 20;
pub const GATE_REPLY: usize = 64 << 10;
pub const CLI_REQUEST: usize = 64 << 10;
pub const CLI_REPLY: usize = 1 << 20;
/// `link.sock`, to the agent. The largest statement is a grant bundle of 64 KiB, which escaping may double.
pub const LINK: usize = 256 << 10;
/// `link.sock`, from the agent. A record of 256 KiB, whose quotes are escaped, beside the shorter ones before it.
pub const LINK_DOWN: usize = 1 << 20;

/// Bytes of the length.
pub const HEAD: usize = 4;

/// Most bytes asked of the peer in one read.
const CHUNK: usize = 16 << 10;

/// Why a frame is refused. Text taken from the peer is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Body larger than the cap; `len` is what was claimed, or the least that a message would need.
    TooLarge { len: usize, cap: usize },
    /// Length 0.
    Empty,
    /// Written for another version of the protocol.
    Version(u64),
    /// Not JSON, not one of our messages, or something after it.
    Malformed(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLarge { len, cap } => {
                write!(
                    f,
                    "a message of {len} bytes or more; at most {cap} are taken"
                )
            }
            FrameError::Empty => f.write_str("an empty message"),
            FrameError::Version(found) => {
                write!(
                    f,
                    "a message of version {found}; this program speaks version {VERSION}"
                )
            }
            FrameError::Malformed(why) => write!(f, "a malformed message: {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

#[derive(Serialize)]
struct Out<'a, T> {
    v: u32,
    m: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In<T> {
    v: u64,
    m: T,
}

/// Only the version, whatever else is there.
#[derive(Deserialize)]
struct Head {
    v: u64,
}

/// The whole frame, length included. Refused when the body would exceed `cap`.
pub fn encode<T: Serialize>(message: &T, cap: usize) -> Result<Vec<u8>, FrameError> {
    let mut body = Capped {
        bytes: vec![0; HEAD],
        cap,
        over: None,
    };
    let out = Out {
        v: VERSION,
        m: message,
    };
    if let Err(error) = serde_json::to_writer(&mut body, &out) {
        return Err(match body.over {
            Some(len) => FrameError::TooLarge { len, cap },
            None => malformed(&error),
        });
    }
    let mut frame = body.bytes;
    let len = frame.len() - HEAD;
    let head = u32::try_from(len).map_err(|_| FrameError::TooLarge { len, cap })?;
    frame[..HEAD].copy_from_slice(&head.to_be_bytes());
    Ok(frame)
}

/// Length of the body that follows this head.
pub fn body_len(head: [u8; HEAD], cap: usize) -> Result<usize, FrameError> {
    // Lossless: usize has 32 bits or more on every Linux that Rust's std supports.
    let len = u32::from_be_bytes(head) as usize;
    match len {
        0 => Err(FrameError::Empty),
        _ if len > cap => Err(FrameError::TooLarge { len, cap }),
        _ => Ok(len),
    }
}

/// The message in a body. Unknown and repeated members, another version and trailing bytes are refused.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match serde_json::from_slice::<In<T>>(body) {
        Ok(In { v, m }) if v == u64::from(VERSION) => Ok(m),
        Ok(In { v, .. }) => Err(FrameError::Version(v)),
        // A newer peer's message need not parse; say that it is newer.
        Err(error) => Err(match serde_json::from_slice::<Head>(body) {
            Ok(Head { v }) if v != u64::from(VERSION) => FrameError::Version(v),
            _ => malformed(&error),
        }),
    }
}

fn malformed(error: &serde_json::Error) -> FrameError {
    const LONGEST: usize = 200;
    // serde quotes names that the peer chose.
    let text = Text::from(error.to_string()).to_string();
    let short = text
        .char_indices()
        .nth(LONGEST)
        .map_or(text.as_str(), |(at, _)| &text[..at]);
    FrameError::Malformed(short.to_owned())
}

/// A writer that stops at the cap, so that a huge message is never built.
struct Capped {
    bytes: Vec<u8>,
    cap: usize,
    over: Option<usize>,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.bytes.len() - HEAD + bytes.len();
        if len > self.cap {
            self.over = Some(len);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects one frame after another from whatever pieces arrive; does no reading itself.
///
/// Read at most [`Incoming::wants`] bytes, [`Incoming::feed`] them, then [`Incoming::take`]. No read then ever
/// goes past the end of a frame.
#[derive(Debug)]
pub struct Incoming {
    cap: usize,
    head: [u8; HEAD],
    head_len: usize,
    /// Length of the body, once the head is whole.
    len: Option<usize>,
    body: Vec<u8>,
}

impl Incoming {
    pub fn new(cap: usize) -> Incoming {
        Incoming {
            cap,
            head: [0; HEAD],
            head_len: 0,
            len: None,
            body: Vec::new(),
        }
    }

    /// How many bytes to read next, at most; 0 when the frame is whole.
    pub fn wants(&self) -> usize {
        match self.len {
            None => HEAD - self.head_len,
            Some(len) => (len - self.body.len()).min(CHUNK),
        }
    }

    /// Nothing of a frame has come yet: a peer that closes here has only gone.
    pub fn is_empty(&self) -> bool {
        self.head_len == 0
    }

    /// Takes bytes up to the end of the frame and says how many.
    ///
    /// # Errors
    /// The length is 0 or above the cap. Nothing more can be read from that peer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, FrameError> {
        let mut taken = 0;
        if self.len.is_none() {
            taken = bytes.len().min(HEAD - self.head_len);
            self.head[self.head_len..self.head_len + taken].copy_from_slice(&bytes[..taken]);
            self.head_len += taken;
            if self.head_len < HEAD {
                return Ok(taken);
            }
            self.len = Some(body_len(self.head, self.cap)?);
        }
        if let Some(len) = self.len {
            let more = (bytes.len() - taken).min(len - self.body.len());
            self.body.extend_from_slice(&bytes[taken..taken + more]);
            taken += more;
        }
        Ok(taken)
    }

    /// The body, once it is whole; then the next frame may come.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.len != Some(self.body.len()) {
            return None;
        }
        self.len = None;
        self.head_len = 0;
        Some(std::mem::take(&mut self.body))
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
