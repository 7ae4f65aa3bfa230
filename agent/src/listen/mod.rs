//! The three sockets. A connection is identified before a byte of it is read; what cannot be identified is closed.

pub mod cli;
pub mod dbus;
pub mod gate;
pub mod link;
pub mod outbox;
pub mod sessions;

use crate::agent::Agent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::frame::{self, FrameError};

/// How long a peer may take to send its request, or to take its answer.
const PEER_PATIENCE: Duration = Duration::from_secs(2);

/// Told to stop when its sender is dropped.
pub type Stop = watch::Receiver<()>;

/// Accept calls until told to stop, then answer those that were accepted. Those that wait in the backlog are for the next
/// agent: systemd holds the socket, so a restart loses no call.
async fn answer_calls<F>(
    agent: &Rc<Agent>,
    listener: UnixListener,
    mut stop: Stop,
    one: impl Fn(UnixStream) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { calls.spawn_local(one(stream)); }
                Err(e) => accept_failed(agent, &e).await,
            },
            Some(_) = calls.join_next() => {}
        }
    }
    while calls.join_next().await.is_some() {}
}

/// Out of file descriptors or memory: say so once a minute, and breathe instead of spinning.
async fn accept_failed(agent: &Rc<Agent>, e: &io::Error) {
    agent.alert_rarely(&format!("connections cannot be accepted: {e}"));
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Why a connection is given up.
#[derive(Debug)]
pub enum ServeError {
    Io(io::Error),
    Frame(FrameError),
    Slow,
    Closed,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Frame(e) => write!(f, "{e}"),
            Self::Slow => f.write_str("the peer is too slow"),
            Self::Closed => f.write_str("the peer closed the connection"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Read one frame; the buffer grows with what arrives, never with what is promised. `None` = closed between frames.
async fn read_frame<R, T>(stream: &mut R, cap: usize) -> Result<Option<T>, ServeError>
where
    R: AsyncReadExt + Unpin,
    T: DeserializeOwned,
{
    let mut incoming = frame::Incoming::new(cap);
    loop {
        if let Some(body) = incoming.take() {
            return frame::decode(&body).map(Some).map_err(ServeError::Frame);
        }
        // Not an array: it would be part of each connection's task, and moved about with it.
        let mut chunk = vec![0; incoming.wants()];
        let n = stream.read(&mut chunk).await.map_err(ServeError::Io)?;
        if n == 0 {
            return if incoming.is_empty() {
                Ok(None)
            } else {
                Err(ServeError::Closed)
            };
        }
        incoming.feed(&chunk[..n]).map_err(ServeError::Frame)?;
    }
}

async fn write_frame<W, T>(stream: &mut W, message: &T, cap: usize) -> Result<(), ServeError>
where
    W: AsyncWriteExt + Unpin,
    T: Serialize,
{
    let bytes = frame::encode(message, cap).map_err(ServeError::Frame)?;
    stream.write_all(&bytes).await.map_err(ServeError::Io)
}

/// One request within the peer's patience.
async fn read_request<R, T>(stream: &mut R, cap: usize) -> Result<T, ServeError>
where
    R: AsyncReadExt + Unpin,
    T: DeserializeOwned,
{
    match tokio::time::timeout(PEER_PATIENCE, read_frame(stream, cap)).await {
        Ok(Ok(Some(request))) => Ok(request),
        Ok(Ok(None)) => Err(ServeError::Closed),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(ServeError::Slow),
    }
}

async fn write_reply<W, T>(stream: &mut W, reply: &T, cap: usize) -> Result<(), ServeError>
where
    W: AsyncWriteExt + Unpin,
    T: Serialize,
{
    match tokio::time::timeout(PEER_PATIENCE, write_frame(stream, reply, cap)).await {
        Ok(result) => result,
        Err(_) => Err(ServeError::Slow),
    }
}
