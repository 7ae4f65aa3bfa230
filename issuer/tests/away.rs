//! HTTPS: who is let in, who is not, and what slow or greedy strangers cost.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Enrol, Error, Revoke, Roots, Status};
use common::{Authority, Host, Place, next, until_state};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jit_issuer::serve::Order;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use statement::claims::{HostAuth, Purpose, Target};
use statement::digest::sha256_b64;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn tls(place: &Place, ca: &Authority, protocol: &str) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).expect("PEM"))
        .expect("authority");
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let tcp = TcpStream::connect(place.address()).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("handshake")
}

fn code(e: &Error) -> (u16, &str) {
    match e {
        Error::Problem(p) => (p.status, p.code()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn only_a_certified_issuer_is_talked_to() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let health = place.away(&ca.roots()).health().await.expect("health");
    assert_eq!(health.policy_ver, 1);
    for roots in [Authority::new().roots(), Roots::System] {
        let e = place.away(&roots).health().await.expect_err("refused");
        assert!(matches!(e, Error::Connect { .. }), "{e}");
        assert!(e.to_string().contains("certificate"), "{e}");
    }
    // Certified, but as somebody else.
    ca.certify(place.config.https.as_ref().expect("HTTPS"), "other.example");
    running.order(Order::Reload).await;
    let other = async {
        loop {
            match place.away(&ca.roots()).health().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(e) => return e,
            }
        }
    };
    let e = tokio::time::timeout(Duration::from_secs(10), other).await;
    let e = e.expect("the new certificate");
    assert!(e.to_string().contains("not valid for name"), "{e}");
    running.stop().await;
}

#[tokio::test]
async fn strangers_may_hand_in_what_a_host_signed_and_nothing_else() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let client = place.away(&ca.roots());
    let host = Host::enrolled("a", &place.client()).await;
    let got = client.submit(&host.sign(&host.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);
    let e = client.submit("no request").await.expect_err("refused");
    assert_eq!(code(&e), (403, "not-authentic"));

    let revoke = Revoke {
        target: Target::Host(host.id.clone()),
        reason: "test".to_owned(),
    };
    let e = client.revoke(&revoke).await.expect_err("refused");
    assert_eq!(code(&e), (403, "not-allowed"));
    let enrol = Enrol {
        host_id: host.id.clone(),
        host_name: "a".to_owned(),
        jwk: host.key.public().to_jwk(),
    };
    let e = client.enrol(&enrol).await.expect_err("refused");
    assert_eq!(code(&e), (403, "not-allowed"));
    running.stop().await;
}

#[tokio::test]
async fn a_host_reads_its_log_with_its_own_word() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let client = place.away(&ca.roots());
    let (a, b) = (
        Host::enrolled("a", &place.client()).await,
        Host::enrolled("b", &place.client()).await,
    );
    let word = a.say(&a.word());
    let mut events = client.stream(&a.id, 0, Some(&word)).await.expect("stream");
    assert_eq!(until_state(&mut events).await.len(), 2, "policy and state");

    type Spoil = fn(&mut HostAuth);
    let spoil: [Spoil; 4] = [
        |w| w.aud = "spiffe://other/issuer".to_owned(),
        |w| (w.iat, w.exp) = (w.iat - 400, w.exp - 400),
        |w| (w.iat, w.exp) = (w.iat + 400, w.exp + 400),
        |w| (w.purpose, w.body) = (Purpose::Receipt, Some(sha256_b64(b"x"))),
    ];
    let mut words: Vec<Option<String>> = spoil
        .iter()
        .map(|spoil| {
            let mut word = a.word();
            spoil(&mut word);
            Some(a.say(&word))
        })
        .collect();
    // None at all, said before, signed by another host, and another host's own.
    words.push(None);
    words.push(Some(word));
    words.push(Some(b.say(&a.word())));
    words.push(Some(b.say(&b.word())));
    for (i, word) in words.iter().enumerate() {
        let e = client.stream(&a.id, 0, word.as_deref()).await.err();
        assert_eq!(code(&e.expect("refused")), (403, "not-authentic"), "{i}");
    }
    // The same for a host that nobody knows: who asks learns nothing.
    let stranger = Host::new("c");
    let word = stranger.say(&stranger.word());
    let e = client.stream(&stranger.id, 0, Some(&word)).await.err();
    assert_eq!(code(&e.expect("refused")), (403, "not-authentic"));

    // None of it disturbed the stream.
    let got = client.submit(&a.sign(&a.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);
    a.grant(&next(&mut events).await);
    running.stop().await;
}

#[tokio::test]
async fn a_long_poll_brings_the_same_in_pieces() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let client = place.away(&ca.roots());
    let host = Host::enrolled("a", &place.client()).await;
    let word = || host.say(&host.word());
    let poll = async |after, wait| {
        let mut all = Vec::new();
        let word = word();
        let mut events = client
            .sync(&host.id, after, wait, Some(&word))
            .await
            .expect("poll");
        while let Some(event) = events.next().await.expect("a good end") {
            all.push(event);
        }
        all
    };
    // What is there comes at once.
    let start = Instant::now();
    let first = poll(0, 50).await;
    assert_eq!(first.len(), 2);
    host.state(&first[1]);
    let after = first[0].id.expect("a number");
    assert_eq!(poll(after, 0).await.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(20));

    // What comes later ends the wait, and a state comes with it.
    let submit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.submit(&host.sign(&host.request())).await
    };
    let (events, got) = tokio::join!(poll(after, 50), submit);
    assert_eq!(got.expect("answer").status, Status::Accepted);
    assert!(start.elapsed() < Duration::from_secs(20));
    let [.., grant, state] = &events[..] else {
        panic!("{events:?}");
    };
    host.grant(grant);
    host.state(state);
    // Nothing: after the wait a state of that moment.
    let events = poll(grant.id.expect("a number"), 1).await;
    assert_eq!(events.len(), 2, "{events:?}");
    host.state(&events[1]);
    assert!(client.sync(&host.id, 0, 56, Some(&word())).await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_too() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let tls = tls(&place, &ca, "h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for (path, status) in [("/v1/healthz", 200), ("/v1/nothing", 404)] {
        let request = hyper::Request::builder()
            .uri(format!("https://localhost{path}"))
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())
            .expect("request");
        let answer = sender.send_request(request).await.expect("answer");
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        assert_eq!(answer.status(), status);
    }
    // Without a call it is closed: HTTP/2 alone would let it stay for ever.
    let start = Instant::now();
    let closed = tokio::time::timeout(Duration::from_secs(30), connection).await;
    let _ = closed.expect("an end").expect("task");
    assert!(start.elapsed() > Duration::from_secs(5));
    running.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_faulty_one_is_not() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let https = place.config.https.clone().expect("HTTPS");
    let shown = async |place: &Place| {
        let tls = tls(place, &ca, "http/1.1").await;
        let certificates = tls.get_ref().1.peer_certificates().expect("certificates");
        certificates.first().expect("one").clone().into_owned()
    };
    let first = shown(&place).await;
    ca.certify(&https, "localhost");
    assert_eq!(shown(&place).await, first);
    running.order(Order::Reload).await;
    let changed = async {
        while shown(&place).await == first {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), changed)
        .await
        .expect("the new certificate");
    let second = shown(&place).await;

    let good = std::fs::read(&https.cert).expect("file");
    for bad in ["", "nonsense", &Authority::new().pem] {
        std::fs::write(&https.cert, bad).expect("file");
        running.order(Order::Reload).await;
        // Orders are taken in order: after this one the reload is over.
        running.order(Order::Reload).await;
        assert_eq!(shown(&place).await, second);
    }
    running.stop().await;
    assert!(place.try_start().await.is_err(), "started with a bad file");
    std::fs::write(&https.cert, good).expect("file");
    std::fs::set_permissions(&https.key, PermissionsExt::from_mode(0o604)).expect("mode");
    let e = place.try_start().await.err().expect("an open key");
    assert!(e.to_string().contains("others must not"), "{e}");
}

/// Reads to the end; how long that took.
async fn until_closed(mut stream: impl AsyncReadExt + Unpin) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(Duration::from_secs(30), end)
        .await
        .expect("an end");
    start.elapsed()
}

#[tokio::test]
async fn the_slow_are_closed_and_keep_nobody_out() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let silent = TcpStream::connect(place.address()).await.expect("connect");
    let silent_h1 = tls(&place, &ca, "http/1.1").await;
    let silent_h2 = tls(&place, &ca, "h2").await;
    let dripping = {
        let mut s = tls(&place, &ca, "http/1.1").await;
        async move {
            let start = Instant::now();
            while s.write_all(b"X").await.is_ok() && s.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
                assert!(start.elapsed() < Duration::from_secs(30), "it may drip on");
            }
        }
    };
    let body = {
        let mut s = tls(&place, &ca, "http/1.1").await;
        s.write_all(b"POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            .await
            .expect("write");
        until_closed(s)
    };
    let health = async {
        for _ in 0..20 {
            place.away(&ca.roots()).health().await.expect("health");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(
        until_closed(silent),
        until_closed(silent_h1),
        until_closed(silent_h2),
        dripping,
        body,
        health
    );
    running.stop().await;
}

#[tokio::test]
async fn the_greedy_fill_their_own_places_only() {
    let mut place = Place::new();
    let ca = place.https();
    place.config.limits.connections_per_address = 3;
    let running = place.start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(tls(&place, &ca, "http/1.1").await);
    }
    let client = place.away(&ca.roots());
    client.health().await.expect_err("no room");
    // Another address, and this box.
    place.client().health().await.expect("health");
    let mut other = tokio::net::TcpSocket::new_v4().expect("socket");
    other = {
        other
            .bind("127.0.0.2:0".parse().expect("address"))
            .expect("bind");
        other
    };
    let mut other = other.connect(place.address()).await.expect("connect");
    // A record no handshake begins with is answered by an alert, so somebody is there.
    other
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("write");
    let mut byte = [0];
    assert_eq!(other.read(&mut byte).await.expect("an alert"), 1);

    drop(held);
    let again = async {
        while client.health().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again)
        .await
        .expect("room again");
    running.stop().await;
}
