//! The client against servers that answer, refuse, stall, drip, flood, close and talk nonsense.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use api::{Client, Error, Event, Kind, Revoke, Revoked, Status};
use statement::claims::Target;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

struct Server {
    dir: TempDir,
    /// What the client sent.
    seen: oneshot::Receiver<String>,
}

impl Server {
    /// Reads one request, then runs `script` on the connection.
    fn run<F, R>(script: F) -> Self
    where
        F: FnOnce(UnixStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let dir = TempDir::new().expect("directory");
        let listener = UnixListener::bind(dir.path().join("s")).expect("bind");
        let (tell, seen) = oneshot::channel();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut text = Vec::new();
            while !whole(&text) {
                let mut buf = [0; 4096];
                let n = stream.read(&mut buf).await.expect("read");
                assert_ne!(n, 0, "the client closed early");
                text.extend_from_slice(&buf[..n]);
            }
            let _ = tell.send(String::from_utf8(text).expect("text"));
            script(stream).await;
        });
        Self { dir, seen }
    }

    /// Answers with these bytes and closes.
    fn says(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::run(move |mut s| async move {
            // A client that has read enough may be gone already.
            let _ = s.write_all(&answer).await;
        })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn client(&self) -> Client {
        Client::unix(self.path())
    }
}

fn whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let len = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .map_or(0, |n| n.parse::<usize>().expect("length"));
    body.len() >= len
}

fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), call)
        .await
        .expect("an end in time")
}

fn short(server: &Server) -> Client {
    let limit = Duration::from_millis(100);
    server.client().with_limits(limit, limit)
}

#[tokio::test]
async fn a_call_and_its_answer() {
    let server = Server::says(answer(
        "200 OK",
        "application/json",
        r#"{"id":"R1","status":"denied","detail":"No."}"#,
    ));
    let got = server.client().submit("a.b.c").await.expect("answer");
    assert_eq!(got.status, Status::Denied);
    assert_eq!(got.detail, "No.");
    assert_eq!(got.waiting_for, None);
    let seen = server.seen.await.expect("request");
    assert!(seen.starts_with("POST /v1/requests HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with(r#"{"request":"a.b.c"}"#), "{seen}");
}

#[tokio::test]
async fn a_target_is_one_member() {
    let server = Server::says(answer("200 OK", "application/json", r#"{"serial":7}"#));
    let revoke = Revoke {
        target: Target::Grant("G".to_owned()),
        reason: "r".to_owned(),
    };
    let got = server.client().revoke(&revoke).await.expect("answer");
    assert_eq!(got, Revoked { serial: 7 });
    let seen = server.seen.await.expect("request");
    assert!(
        seen.ends_with(r#"{"target":{"grant":"G"},"reason":"r"}"#),
        "{seen}"
    );
}

#[tokio::test]
async fn a_problem_keeps_its_code_and_sentence_but_no_control_characters() {
    let server = Server::says(answer(
        "404 Not Found",
        "application/problem+json",
        r#"{"type":"urn:jitctl:problem:unknown-grant","title":"t","status":200,"detail":"No\u001b[31m such grant.","more":1}"#,
    ));
    let e = server.client().health().await.expect_err("problem");
    assert!(!e.is_temporary());
    let Error::Problem(p) = e else {
        unreachable!("{e}")
    };
    assert_eq!((p.code(), p.status), ("unknown-grant", 404));
    assert_eq!(p.detail, "No?[31m such grant.");
}

#[tokio::test]
async fn an_error_of_something_else_keeps_its_status() {
    for (status, temporary) in [
        ("502 Bad Gateway", true),
        ("429 Slow", true),
        ("418 Tea", false),
    ] {
        let server = Server::says(answer(status, "text/html", "<html>"));
        let e = server.client().health().await.expect_err("status");
        assert_eq!(e.is_temporary(), temporary, "{e}");
        assert!(e.to_string().contains(&status[..3]), "{e}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let dir = TempDir::new().expect("directory");
    let e = Client::unix(dir.path().join("none")).health().await;
    assert!(matches!(e, Err(Error::Connect { .. })), "{e:?}");
}

#[tokio::test]
async fn a_server_that_stalls_or_drips_does_not_hold_the_caller() {
    let stalls = Server::run(|s| async move {
        let _open = s;
        std::future::pending::<()>().await;
    });
    let e = in_time(short(&stalls).health()).await;
    assert!(matches!(e, Err(Error::Timeout)), "{e:?}");

    let drips = Server::run(|mut s| async move {
        for b in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
            .iter()
            .cycle()
        {
            if s.write_all(&[*b]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let e = in_time(short(&drips).health()).await;
    assert!(matches!(e, Err(Error::Timeout)), "{e:?}");
}

#[tokio::test]
async fn nonsense_is_an_error() {
    for bytes in [
        "",
        "\0\0\0\0",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}",
    ] {
        let e = Server::says(bytes).client().health().await;
        assert!(matches!(e, Err(Error::Broken(_))), "{bytes:?}: {e:?}");
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"status":"ok","policy_ver":1,"new":1}"#,
        "{\"status\":\"ok\"",
    ] {
        let server = Server::says(answer("200 OK", "application/json", body));
        let e = server.client().health().await;
        assert!(matches!(e, Err(Error::Garbled(_))), "{body:?}: {e:?}");
    }
}

#[tokio::test]
async fn an_answer_over_the_cap_is_not_held() {
    let body = " ".repeat(api::BODY_MAX + 1);
    for status in ["200 OK", "400 Bad Request"] {
        let server = Server::says(answer(status, "application/problem+json", &body));
        let e = server.client().health().await;
        assert!(matches!(e, Err(Error::Garbled(_))), "{e:?}");
    }
    let endless = Server::run(|mut s| async move {
        let _ = s.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while s.write_all(b"x-more: and more\r\n").await.is_ok() {}
    });
    let e = endless.client().health().await;
    assert!(matches!(e, Err(Error::Broken(_))), "{e:?}");
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn a_stream_and_its_good_end() {
    let text = [
        STREAM,
        &chunk("id: 4\nevent: gra"),
        &chunk("nt\ndata: G\n\n"),
        &chunk("event: state\ndata: S\n\n"),
        "0\r\n\r\n",
    ]
    .concat();
    let server = Server::says(text);
    let mut events = server
        .client()
        .stream("spiffe://td/host/a b", 3, None)
        .await
        .expect("stream");
    let want = |id, kind, data: &str| {
        Some(Event {
            id,
            kind,
            data: data.to_owned(),
        })
    };
    assert_eq!(
        events.next().await.expect("grant"),
        want(Some(4), Kind::Grant, "G")
    );
    assert_eq!(
        events.next().await.expect("state"),
        want(None, Kind::State, "S")
    );
    assert_eq!(events.next().await.expect("end"), None);
    let seen = server.seen.await.expect("request");
    assert!(
        seen.starts_with(
            "GET /v1/stream?host=spiffe%3A%2F%2Ftd%2Fhost%2Fa%20b&after=3 HTTP/1.1\r\n"
        ),
        "{seen}"
    );
}

#[tokio::test]
async fn a_silent_or_dripping_stream_is_dead() {
    let server = Server::run(|mut s| async move {
        let _ = s.write_all(STREAM.as_bytes()).await;
        // Bytes, but never a whole event.
        while s
            .write_all(chunk(": still here\n\n").as_bytes())
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut events = short(&server).stream("h", 0, None).await.expect("stream");
    let e = in_time(events.next()).await;
    assert!(matches!(e, Err(Error::Timeout)), "{e:?}");
}

#[tokio::test]
async fn a_cut_a_flood_and_nonsense_in_a_stream() {
    let cut = Server::says([STREAM, &chunk("id: 4\n")].concat());
    let e = cut
        .client()
        .stream("h", 0, None)
        .await
        .expect("stream")
        .next()
        .await;
    assert!(matches!(e, Err(Error::Broken(_))), "{e:?}");

    let flood = Server::run(|mut s| async move {
        let _ = s.write_all(STREAM.as_bytes()).await;
        let line = chunk(&format!("data: {}\n", "x".repeat(4000)));
        while s.write_all(line.as_bytes()).await.is_ok() {}
    });
    let e = flood
        .client()
        .stream("h", 0, None)
        .await
        .expect("stream")
        .next()
        .await;
    assert!(matches!(e, Err(Error::Garbled(_))), "{e:?}");

    let nonsense = Server::says([STREAM, &chunk("event: gift\ndata: x\n\n")].concat());
    let e = nonsense
        .client()
        .stream("h", 0, None)
        .await
        .expect("stream")
        .next()
        .await;
    assert!(matches!(e, Err(Error::Garbled(_))), "{e:?}");

    let refused = Server::says(answer(
        "404 Not Found",
        "application/problem+json",
        r#"{"detail":"No such host."}"#,
    ));
    let e = refused
        .client()
        .stream("h", 0, None)
        .await
        .err()
        .expect("refused");
    assert_eq!(e.to_string(), "No such host.");
}

#[test]
fn addresses() {
    use api::Address;
    for (text, shown) in [
        ("unix:/run/jit-issuer/api.sock", None),
        ("https://issuer.example:8443", None),
        ("https://issuer.example", Some("https://issuer.example:443")),
        ("https://10.0.0.1:8443/", Some("https://10.0.0.1:8443")),
        ("https://[fd00::1]:8443", None),
    ] {
        let address = Address::parse(text).expect(text);
        assert_eq!(address.to_string(), shown.unwrap_or(text));
        assert_eq!(Address::parse(&address.to_string()), Ok(address));
    }
    for bad in [
        "",
        "unix:",
        "unix:api.sock",
        "/run/x",
        "http://h",
        "https://",
        "https://h/v1",
        "https://h?x",
        "https://user@h",
        "https://h:",
        "https://h:99999",
        "https://a b",
        "unix:/a\0b",
    ] {
        let e = Address::parse(bad).expect_err(bad);
        assert!(
            e.to_string()
                .contains("write unix:/run/jit-issuer/api.sock")
        );
    }
}
