//! The client against real sockets and peers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wire::Text;
use wire::client::{CallError, call};
use wire::frame::{self, FrameError, GATE, GATE_REPLY, GATE_REQUEST, HEAD};
use wire::gate::{Door, PamPhase, PamVerdict, Reply, Request, Subject};

/// How long after its deadline a call may still be under way on a busy machine.
const SLACK: Duration = Duration::from_millis(100);
/// A deadline that a healthy peer never meets.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

/// A directory of one test, with the socket in it.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wire-{}-{n}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Place(dir)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A peer that takes one connection and does with it what the test says.
fn peer(act: impl FnOnce(UnixStream) + Send + 'static) -> (Place, JoinHandle<()>) {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let thread = thread::spawn(move || act(listener.accept().unwrap().0));
    (place, thread)
}

fn ask() -> Request {
    Request::Pam {
        subject: Subject {
            login: Text::from("alice"),
            uid: 1000,
        },
        door: Door::Sudo,
        phase: PamPhase::Account,
        service: Text::from("sudo-jit"),
        tty: None,
        last_gate: false,
        target: None,
    }
}

fn answer() -> Reply {
    Reply::Pam {
        verdict: PamVerdict::Success,
        text: None,
    }
}

fn read_request(stream: &mut UnixStream) -> Request {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; frame::body_len(head, GATE_REQUEST).unwrap()];
    stream.read_exact(&mut body).unwrap();
    frame::decode(&body).unwrap()
}

fn try_call(place: &Place, limit: Duration) -> Result<Reply, CallError> {
    call(place.socket(), &ask(), GATE, Instant::now() + limit)
}

/// What the client makes of a peer that reads the request, writes these bytes and hangs up.
fn after(bytes: impl Into<Vec<u8>>) -> CallError {
    let bytes = bytes.into();
    let (place, thread) = peer(move |mut stream| {
        read_request(&mut stream);
        // The client may hang up before it has taken everything.
        let _ = stream.write_all(&bytes);
    });
    let error = try_call(&place, LONG).unwrap_err();
    thread.join().unwrap();
    error
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// Runs a call that must fail by its deadline, and in time.
fn times_out(place: &Place) -> bool {
    let start = Instant::now();
    let result = try_call(place, SHORT);
    let took = start.elapsed();
    assert!(took >= SHORT, "gave up after {took:?}");
    assert!(took < SHORT + SLACK, "still there after {took:?}");
    match result {
        Err(CallError::TimedOut { sent }) => sent,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_answered() {
    let (place, thread) = peer(|mut stream| {
        assert_eq!(read_request(&mut stream), ask());
        stream
            .write_all(&frame::encode(&answer(), GATE_REPLY).unwrap())
            .unwrap();
        // The client hangs up after its one reply, and sends nothing more.
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    });
    assert_eq!(try_call(&place, LONG).unwrap(), answer());
    thread.join().unwrap();
}

#[test]
fn a_request_larger_than_the_socket_buffer_arrives_whole() {
    let big = Request::Refused {
        subject: Subject {
            login: Text::from("alice"),
            uid: 1000,
        },
        door: Door::Sudo,
        by: Text::from("G3"),
        message: Text::default(),
        argv: vec![Text(vec![0xfe; 1000]); 900],
        cwd: None,
        tty: None,
    };
    let want = big.clone();
    let (place, thread) = peer(move |mut stream| {
        assert!(read_request(&mut stream) == want);
        stream
            .write_all(&frame::encode(&Reply::Done, GATE_REPLY).unwrap())
            .unwrap();
    });
    let reply: Reply = call(place.socket(), &big, GATE, Instant::now() + LONG).unwrap();
    assert_eq!(reply, Reply::Done);
    thread.join().unwrap();
}

#[test]
fn a_reply_in_drips_is_taken_before_the_deadline() {
    let (place, thread) = peer(|mut stream| {
        read_request(&mut stream);
        for byte in frame::encode(&Reply::Done, GATE_REPLY).unwrap() {
            stream.write_all(&[byte]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(try_call(&place, LONG).unwrap(), Reply::Done);
    thread.join().unwrap();
}

#[test]
fn drips_do_not_stretch_the_deadline() {
    let (place, thread) = peer(|mut stream| {
        read_request(&mut stream);
        for byte in frame::encode(&answer(), GATE_REPLY).unwrap() {
            thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[byte]).is_err() {
                return;
            }
        }
        panic!("the client waited for all of it");
    });
    assert!(times_out(&place));
    thread.join().unwrap();
}

#[test]
fn a_peer_that_reads_and_says_nothing_is_left_at_the_deadline() {
    let (place, thread) = peer(|mut stream| {
        read_request(&mut stream);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    });
    assert!(times_out(&place));
    thread.join().unwrap();
}

#[test]
fn a_peer_that_never_accepts_is_left_at_the_deadline() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).unwrap();
    assert!(times_out(&place));
}

#[test]
fn a_peer_that_does_not_read_a_large_request_is_left_at_the_deadline() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).unwrap();
    let big = vec![Text(vec![b'x'; 100_000]); 20];
    let start = Instant::now();
    let error = call::<_, Reply>(place.socket(), &big, GATE, start + SHORT).unwrap_err();
    let took = start.elapsed();
    assert!(
        matches!(error, CallError::TimedOut { sent: false }),
        "{error:?}"
    );
    assert!(took >= SHORT && took < SHORT + SLACK, "{took:?}");
}

#[test]
fn a_past_deadline_sends_nothing() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let error = call::<_, Reply>(place.socket(), &ask(), GATE, Instant::now()).unwrap_err();
    assert!(
        matches!(error, CallError::TimedOut { sent: false }),
        "{error:?}"
    );
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[test]
fn nobody_there_is_said_at_once() {
    let place = Place::new();
    let start = Instant::now();
    assert!(matches!(try_call(&place, LONG), Err(CallError::NotRunning)));
    // A socket whose program has died.
    drop(UnixListener::bind(place.socket()).unwrap());
    assert!(matches!(try_call(&place, LONG), Err(CallError::NotRunning)));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_path_that_no_socket_can_have_is_an_error() {
    for path in [String::new(), "/x".repeat(54), "/a\0b".to_owned()] {
        let error = call::<_, Reply>(&path, &ask(), GATE, Instant::now() + LONG).unwrap_err();
        assert!(matches!(error, CallError::Io(_)), "{error:?}");
    }
}

#[test]
fn a_peer_that_hangs_up_is_no_answer() {
    assert!(matches!(after([]), CallError::Closed));
    assert!(matches!(after([0, 0]), CallError::Closed));
    let frame = frame::encode(&answer(), GATE_REPLY).unwrap();
    assert!(matches!(
        after(&frame[..frame.len() - 1]),
        CallError::Closed
    ));
    // Before the request was read: a reset instead of an end.
    let (place, thread) = peer(drop);
    assert!(matches!(try_call(&place, LONG), Err(CallError::Closed)));
    thread.join().unwrap();
}

#[test]
fn a_length_above_the_cap_is_refused_at_once() {
    let start = Instant::now();
    let error = after([0xff, 0xff, 0xff, 0xff, b'{']);
    assert!(
        matches!(
            error,
            CallError::Garbage(FrameError::TooLarge {
                cap: GATE_REPLY,
                ..
            })
        ),
        "{error:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn garbage_is_no_answer() {
    for body in [
        &b"not json"[..],
        b"\xff\0\xff",
        b"{\"v\":1,\"m\":{\"re\":\"success\"}}",
        b"{\"v\":1,\"m\":{\"re\":\"done\"}} ?",
    ] {
        let error = after(framed(body));
        assert!(
            matches!(error, CallError::Garbage(FrameError::Malformed(_))),
            "{error:?}"
        );
    }
    assert!(matches!(
        after([0, 0, 0, 0]),
        CallError::Garbage(FrameError::Empty)
    ));
}

#[test]
fn bytes_after_the_reply_are_no_answer() {
    let mut bytes = frame::encode(&answer(), GATE_REPLY).unwrap();
    bytes.push(b' ');
    let error = after(bytes);
    assert!(
        matches!(error, CallError::Garbage(FrameError::Malformed(_))),
        "{error:?}"
    );
    let two = frame::encode(&answer(), GATE_REPLY).unwrap().repeat(2);
    assert!(matches!(after(two), CallError::Garbage(_)));
}

#[test]
fn another_version_is_no_answer() {
    let error = after(framed(b"{\"v\":2,\"m\":{\"re\":\"done\"}}"));
    assert!(
        matches!(error, CallError::Garbage(FrameError::Version(2))),
        "{error:?}"
    );
}

#[test]
fn a_request_above_the_cap_is_not_sent() {
    let place = Place::new();
    let huge = vec![Text(vec![0xff; 1 << 20])];
    let error = call::<_, Reply>(place.socket(), &huge, GATE, Instant::now() + LONG).unwrap_err();
    assert!(matches!(error, CallError::TooLarge(_)), "{error:?}");
}
