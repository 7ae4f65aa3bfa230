//! The blocking client: one request, one reply, one absolute deadline.
//!
//! It runs inside sudo, su, sshd and jitctl. So: no SIGPIPE, no retry of a request that was sent (a use would be
//! recorded twice), no descriptor that leaks into a child, and no wait that a slow peer can stretch.

use crate::frame::{self, Caps, FrameError, Incoming};
use crate::sys;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What became of a call that has no answer. `Display` is a sentence without the full stop.
#[derive(Debug)]
pub enum CallError {
    /// No socket there, or nobody listens.
    NotRunning,
    /// The socket may not be opened by this user.
    NotAllowed,
    /// The deadline passed. With `sent`, the agent has the whole request and may still act on it.
    TimedOut { sent: bool },
    /// The agent hung up before a whole answer.
    Closed,
    /// The answer is not one.
    Garbage(FrameError),
    /// The request is above the cap; nothing was sent.
    TooLarge(FrameError),
    /// This process, or the system, has no free descriptor.
    NoDescriptor,
    /// Any other failure of a system call.
    Io(io::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NotRunning => f.write_str("jit-agent is not running"),
            CallError::NotAllowed => f.write_str("the agent's socket is closed to this user"),
            CallError::TimedOut { .. } => f.write_str("jit-agent took too long"),
            CallError::Closed => f.write_str("jit-agent hung up"),
            CallError::Garbage(why) => write!(f, "jit-agent sent {why}"),
            CallError::TooLarge(why) => write!(f, "the request is too large: {why}"),
            CallError::NoDescriptor => f.write_str("no file descriptor is free"),
            CallError::Io(why) => write!(f, "the agent's socket failed: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Sends one request and waits for its one reply, until `deadline` (`CLOCK_MONOTONIC`).
///
/// # Errors
/// See [`CallError`]; each means that there is no answer, so the caller denies.
pub fn call<Req: Serialize, Rep: DeserializeOwned>(
    path: impl AsRef<Path>,
    request: &Req,
    caps: Caps,
    deadline: Instant,
) -> Result<Rep, CallError> {
    let out = frame::encode(request, caps.request).map_err(CallError::TooLarge)?;
    let socket = connect(path.as_ref(), deadline)?;
    send(&socket, &out, deadline)?;
    let body = receive(&socket, caps.reply, deadline)?;
    frame::decode(&body).map_err(CallError::Garbage)
}

fn connect(path: &Path, deadline: Instant) -> Result<OwnedFd, CallError> {
    let socket = sys::socket().map_err(io_error)?;
    loop {
        // Set anew each time: a full backlog makes connect wait, and a signal may interrupt the wait.
        sys::set_send_timeout(&socket, left(deadline, false)?).map_err(io_error)?;
        match sys::connect(&socket, path) {
            Ok(()) => return Ok(socket),
            Err(error) => match error.raw_os_error() {
                // EAGAIN is how the kernel says that the send timeout is over.
                Some(libc::EINTR | libc::EAGAIN) => {}
                Some(libc::ENOENT | libc::ENOTDIR | libc::ECONNREFUSED) => {
                    return Err(CallError::NotRunning);
                }
                Some(libc::EACCES | libc::EPERM) => return Err(CallError::NotAllowed),
                _ => return Err(io_error(error)),
            },
        }
    }
}

fn send(socket: &OwnedFd, mut bytes: &[u8], deadline: Instant) -> Result<(), CallError> {
    while !bytes.is_empty() {
        let left = left(deadline, false)?;
        match sys::send(socket, bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => wait(socket, libc::POLLOUT, left)?,
                Some(libc::EINTR) => {}
                _ => return Err(io_error(error)),
            },
        }
    }
    Ok(())
}

fn receive(socket: &OwnedFd, cap: usize, deadline: Instant) -> Result<Vec<u8>, CallError> {
    let mut incoming = Incoming::new(cap);
    let mut buffer = [0; 4096];
    loop {
        let left = left(deadline, true)?;
        match sys::receive(socket, &mut buffer) {
            Ok(0) => return Err(CallError::Closed),
            Ok(got) => {
                let taken = incoming.feed(&buffer[..got]).map_err(CallError::Garbage)?;
                if taken < got {
                    let why = FrameError::Malformed("bytes after the message".to_owned());
                    return Err(CallError::Garbage(why));
                }
                if let Some(body) = incoming.take() {
                    return Ok(body);
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => wait(socket, libc::POLLIN, left)?,
                Some(libc::EINTR) => {}
                _ => return Err(io_error(error)),
            },
        }
    }
}

/// Waits for the socket or for `left`, whichever comes first; the caller's loop looks at the clock again.
fn wait(socket: &OwnedFd, events: libc::c_short, left: Duration) -> Result<(), CallError> {
    match sys::poll(socket, events, left) {
        Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(io_error(error)),
        _ => Ok(()),
    }
}

fn left(deadline: Instant, sent: bool) -> Result<Duration, CallError> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(CallError::TimedOut { sent }),
        left => Ok(left),
    }
}

fn io_error(error: io::Error) -> CallError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => CallError::NoDescriptor,
        Some(libc::EPIPE | libc::ECONNRESET) => CallError::Closed,
        _ => CallError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Reply;
    use crate::sys::tests::{interrupted, shrink_backlog};
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    const SHORT: Duration = Duration::from_millis(300);

    fn listener(name: &str) -> (std::path::PathBuf, UnixListener) {
        let path = std::env::temp_dir().join(format!("wire-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        (path, listener)
    }

    fn try_call(path: &Path, limit: Duration) -> Result<Reply, CallError> {
        call(path, &"request", frame::GATE, Instant::now() + limit)
    }

    #[test]
    fn a_full_backlog_is_waited_for_until_the_deadline() {
        let (path, listener) = listener("backlog");
        shrink_backlog(&listener);
        let _waiting = UnixStream::connect(&path).unwrap();

        let start = Instant::now();
        let error = try_call(&path, SHORT).unwrap_err();
        let took = start.elapsed();
        assert!(
            matches!(error, CallError::TimedOut { sent: false }),
            "{error:?}"
        );
        assert!(
            took >= SHORT && took < SHORT + Duration::from_millis(100),
            "{took:?}"
        );

        // Room appears while the call waits.
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let first = listener.accept().unwrap();
            let (mut second, _) = listener.accept().unwrap();
            second
                .write_all(&frame::encode(&Reply::Done, frame::GATE_REPLY).unwrap())
                .unwrap();
            (first, second)
        });
        assert_eq!(
            try_call(&path, Duration::from_secs(30)).unwrap(),
            Reply::Done
        );
        thread.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn signals_neither_end_a_call_nor_stretch_it() {
        let (path, listener) = listener("signals");
        let start = Instant::now();
        let error = interrupted(|| try_call(&path, SHORT)).unwrap_err();
        let took = start.elapsed();
        assert!(
            matches!(error, CallError::TimedOut { sent: true }),
            "{error:?}"
        );
        assert!(
            took >= SHORT && took < SHORT + Duration::from_millis(100),
            "{took:?}"
        );

        // The same while connect waits.
        shrink_backlog(&listener);
        let start = Instant::now();
        let error = interrupted(|| try_call(&path, SHORT)).unwrap_err();
        let took = start.elapsed();
        assert!(
            matches!(error, CallError::TimedOut { sent: false }),
            "{error:?}"
        );
        assert!(
            took >= SHORT && took < SHORT + Duration::from_millis(100),
            "{took:?}"
        );
        std::fs::remove_file(path).unwrap();
    }
}
