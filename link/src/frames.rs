//! Frames of `wire` over tokio's streams.

use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use wire::frame::{self, FrameError, Incoming};

/// Why nothing more can be read.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    Frame(FrameError),
    /// Closed within a message.
    Cut,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Frame(e) => write!(f, "it sent {e}"),
            Self::Cut => f.write_str("it closed within a message"),
        }
    }
}

/// Reads one message after the other.
pub struct Reader<R> {
    io: R,
    incoming: Incoming,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R) -> Self {
        Self {
            io,
            incoming: Incoming::new(frame::LINK_DOWN),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// The next message; `None` when the peer has closed. May be dropped while waiting: nothing is lost.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReadError> {
        loop {
            if let Some(body) = self.incoming.take() {
                return frame::decode(&body).map(Some).map_err(ReadError::Frame);
            }
            let wanted = self.incoming.wants().min(self.buffer.len());
            let room = self.buffer.get_mut(..wanted).unwrap_or_default();
            let n = self.io.read(room).await.map_err(ReadError::Io)?;
            if n == 0 {
                return if self.incoming.is_empty() {
                    Ok(None)
                } else {
                    Err(ReadError::Cut)
                };
            }
            let got = self.buffer.get(..n).unwrap_or_default();
            // It never takes less than it wanted.
            self.incoming.feed(got).map_err(ReadError::Frame)?;
        }
    }
}
