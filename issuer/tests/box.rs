//! Files, callers and callers' manners.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Enrol, Error, Revoke};
use common::{DOMAIN, Host, Place};
use jit_issuer::http::table::Uids;
use jit_issuer::init::{Done, init, local_trust_domain};
use statement::claims::Target;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn init_makes_private_files_once() {
    let place = Place::new();
    let state = &place.config.state_dir;
    assert_eq!(mode(state), 0o700);
    assert_eq!(mode(&state.join("keys")), 0o700);
    let mut names: Vec<_> = fs::read_dir(state.join("keys"))
        .expect("keys")
        .map(|e| e.expect("entry").path())
        .inspect(|p| assert_eq!(mode(p), 0o600, "{}", p.display()))
        .filter_map(|p| p.file_stem().map(|n| n.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "enrol",
            "grant",
            "policy",
            "revocation",
            "root",
            "state",
            "witness"
        ]
    );
    assert_eq!(mode(&state.join("issuer.db")), 0o600);
    assert_eq!(mode(&state.join("trust.json")), 0o600);

    let before = fs::read(place.trust_file()).expect("trust");
    let e = init(state, DOMAIN, false).expect_err("twice").to_string();
    assert!(
        e.ends_with("is initialised already; nothing was changed"),
        "{e}"
    );
    assert_eq!(init(state, DOMAIN, true).expect("again"), Done::WasThere);
    assert_eq!(fs::read(place.trust_file()).expect("trust"), before);
}

#[tokio::test]
async fn init_that_was_cut_off_goes_on() {
    let place = Place::new();
    let state = &place.config.state_dir;
    let key = fs::read(state.join("keys/grant.pk8")).expect("key");
    // Cut off before the trust statement, with its unfinished file and an empty store left over.
    fs::remove_file(place.trust_file()).expect("remove");
    fs::write(state.join("trust.json.new"), "{").expect("left over");
    fs::remove_file(state.join("issuer.db")).expect("remove");
    fs::write(state.join("issuer.db"), "").expect("left over");
    assert!(place.try_start().await.is_err(), "not initialised");
    assert_eq!(init(state, DOMAIN, true).expect("init"), Done::Made);
    assert_eq!(fs::read(state.join("keys/grant.pk8")).expect("key"), key);
    // Cut off among the keys.
    fs::remove_file(place.trust_file()).expect("remove");
    fs::rename(state.join("keys"), state.join("keys.new")).expect("rename");
    fs::remove_file(state.join("keys.new/state.pk8")).expect("remove");
    assert_eq!(init(state, DOMAIN, true).expect("init"), Done::Made);
    place.start().await.stop().await;
}

#[tokio::test]
async fn open_or_foreign_keys_are_not_used() {
    let place = Place::new();
    let state = &place.config.state_dir;
    let key = state.join("keys/grant.pk8");
    set_mode(&key, 0o640);
    let e = place.try_start().await.err().expect("no start").to_string();
    assert!(
        e.ends_with("has mode 0640: others must not have any access to it"),
        "{e}"
    );
    set_mode(&key, 0o600);

    let policy = fs::read(state.join("keys/policy.pk8")).expect("key");
    let good = fs::read(&key).expect("key");
    fs::write(&key, policy).expect("swap");
    let e = place.try_start().await.err().expect("no start").to_string();
    assert!(
        e.ends_with("grant.pk8 is not a key of the trust statement for this use"),
        "{e}"
    );
    fs::write(&key, "no key").expect("spoil");
    let e = place.try_start().await.err().expect("no start").to_string();
    assert!(
        e.contains("grant.pk8: the private key is not PKCS#8"),
        "{e}"
    );
    fs::write(&key, good).expect("back");

    let trust = fs::read_to_string(place.trust_file()).expect("trust");
    fs::write(place.trust_file(), trust.replacen('A', "B", 1)).expect("spoil");
    assert!(place.try_start().await.is_err());
    fs::write(place.trust_file(), trust).expect("back");
    place.start().await.stop().await;
}

#[test]
fn init_needs_a_good_domain_and_a_private_directory() {
    let dir = tempfile::TempDir::new().expect("directory");
    let state = dir.path().join("s");
    let e = init(&state, "a b", false).expect_err("domain").to_string();
    assert!(e.contains("claim iss"), "{e}");
    set_mode(&state, 0o755);
    let e = init(&state, DOMAIN, false).expect_err("open").to_string();
    assert!(e.contains("has mode 0755"), "{e}");

    let id = dir.path().join("machine-id");
    for (text, good) in [
        ("0123456789abcdef0123456789abcdef\n", true),
        ("uninitialized\n", false),
        ("", false),
        ("0123456789ABCDEF0123456789ABCDEF\n", false),
    ] {
        fs::write(&id, text).expect("machine id");
        assert_eq!(local_trust_domain(&id).is_ok(), good, "{text:?}");
    }
}

#[tokio::test]
async fn one_issuer_a_state_directory_and_a_stale_socket_is_replaced() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(&place.config.socket).expect("stale"));
    let running = place.start().await;
    assert_eq!(mode(&place.config.socket), 0o666);
    let e = place
        .try_start()
        .await
        .err()
        .expect("no second")
        .to_string();
    assert!(e.ends_with("state is in use by another issuer"), "{e}");

    let mut other = Place::new();
    other.config.socket = place.config.socket.clone();
    let e = other
        .try_start()
        .await
        .err()
        .expect("no second")
        .to_string();
    assert!(e.ends_with("/s is in use by another issuer"), "{e}");
    place.client().health().await.expect("the first goes on");
    running.stop().await;

    fs::remove_file(&place.config.socket).expect("remove");
    fs::write(&place.config.socket, "a file").expect("file");
    assert!(
        place.try_start().await.is_err(),
        "a file is not ours to remove"
    );
}

#[tokio::test]
async fn a_caller_without_a_role_may_only_ask_for_health() {
    let mut place = Place::new();
    let nobody = u32::MAX - 1;
    place.uids = Uids {
        root: nobody,
        link: Some(nobody),
        issuer: nobody,
    };
    let running = place.start().await;
    let client = place.client();
    client.health().await.expect("health is everybody's");
    let host = Host::new("a");
    let calls = [
        client.stream(&host.id, 0, None).await.err(),
        client
            .revoke(&Revoke {
                target: Target::Host(host.id.clone()),
                reason: "r".to_owned(),
            })
            .await
            .err(),
        client
            .enrol(&Enrol {
                host_id: host.id.clone(),
                host_name: "h".to_owned(),
                jwk: host.key.public().to_jwk(),
            })
            .await
            .err(),
    ];
    for e in calls {
        match e {
            Some(Error::Problem(p)) => assert_eq!((p.status, p.code()), (403, "not-allowed")),
            other => panic!("{other:?}"),
        }
    }
    // What is signed may be handed in by anyone, and nothing else.
    match client.submit("x").await {
        Err(Error::Problem(p)) => assert_eq!((p.status, p.code()), (403, "not-authentic")),
        other => panic!("{other:?}"),
    }
    // They cannot crowd out others: a few connections, then no more.
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(
            UnixStream::connect(&place.config.socket)
                .await
                .expect("connect"),
        );
    }
    assert!(
        client.health().await.is_err(),
        "no room for a seventeenth stranger"
    );
    drop(held);
    running.stop().await;
}

#[tokio::test]
async fn enrolment_takes_only_its_own_hosts_and_each_key_once() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let mut a = Host::enrolled("a", &client).await;
    let first = a.enrol(&client).await;
    assert_eq!(
        first.trust,
        fs::read_to_string(place.trust_file()).expect("trust")
    );

    let enrol = |host_id: &str, host_name: &str, jwk| {
        let body = Enrol {
            host_id: host_id.to_owned(),
            host_name: host_name.to_owned(),
            jwk,
        };
        let client = client.clone();
        async move {
            match client.enrol(&body).await {
                Err(Error::Problem(p)) => (p.status, p.code().to_owned()),
                other => panic!("{other:?}"),
            }
        }
    };
    let jwk = || Host::new("x").key.public().to_jwk();
    let invalid = (422, "invalid".to_owned());
    for id in [
        "",
        "a",
        "spiffe://local.test/host/",
        "spiffe://local.test/host/a/b",
        "spiffe://local.test/group/all",
        "spiffe://local.test2/host/a",
        "spiffe://other/host/a",
        "spiffe://local.test/host/*",
        "spiffe://local.test/host/a b",
    ] {
        assert_eq!(enrol(id, "h", jwk()).await, invalid, "{id}");
    }
    let id = format!("spiffe://{DOMAIN}/host/c");
    assert_eq!(enrol(&id, "a\nb", jwk()).await, invalid);
    assert_eq!(enrol(&id, &"x".repeat(129), jwk()).await, invalid);
    let mut bad = jwk();
    bad.crv = "X25519".to_owned();
    assert_eq!(enrol(&id, "h", bad).await, invalid);
    assert_eq!(
        enrol(&id, "h", a.key.public().to_jwk()).await,
        (409, "key-in-use".to_owned())
    );

    // A new key for the same host: the old one is out.
    let old = std::mem::replace(&mut a.key, Host::new("a").key);
    a.enrol(&client).await;
    let jws = old
        .sign(statement::claims::Typ::Request, &a.request())
        .expect("signature");
    assert!(matches!(client.submit(&jws).await, Err(Error::Problem(p)) if p.status == 403));
    client
        .submit(&a.sign(&a.request()))
        .await
        .expect("the new key");
    running.stop().await;
}

async fn raw(place: &Place, text: &[u8]) -> String {
    let mut s = UnixStream::connect(&place.config.socket)
        .await
        .expect("connect");
    s.write_all(text).await.expect("write");
    let mut answer = Vec::new();
    let whole = s.read_to_end(&mut answer);
    // Closing on what it did not read resets the connection; the answer came before that.
    let _ = tokio::time::timeout(Duration::from_secs(10), whole)
        .await
        .expect("an end in time");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn every_bad_call_is_answered_with_a_problem() {
    let place = Place::new();
    let running = place.start().await;
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let big = format!("{{\"request\":\"{}\"}}", "x".repeat(40_000));
    for (call, status) in [
        (get("/"), 404),
        (get("/v1/requests/approve"), 405),
        (get("/v1/requests/show"), 400),
        (post("/v1/healthz", ""), 405),
        (post("/v1/requests", ""), 400),
        (post("/v1/requests", "{}"), 400),
        (post("/v1/requests", "{\"request\":1}"), 400),
        (post("/v1/requests", "{\"request\":\"x\",\"more\":1}"), 400),
        (post("/v1/requests", &big), 413),
        (
            post("/v1/revocations", "{\"target\":{},\"reason\":\"x\"}"),
            400,
        ),
        (
            post(
                "/v1/revocations",
                "{\"target\":{\"grant\":\"x\",\"sub\":\"y\"},\"reason\":\"x\"}",
            ),
            400,
        ),
        (get("/v1/stream"), 400),
        (get("/v1/stream?host=a"), 400),
        (get("/v1/stream?host=a&after=-1"), 400),
        (get("/v1/stream?host=a&after=1&x=1"), 400),
    ] {
        let got = raw(&place, call.as_bytes()).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{call}\n{got}"
        );
        assert!(
            got.contains("content-type: application/problem+json"),
            "{call}\n{got}"
        );
        assert!(
            got.contains("\"type\":\"urn:jitctl:problem:"),
            "{call}\n{got}"
        );
    }
    // Not even HTTP, and a head without an end.
    raw(&place, b"\0\0\0\0\n\n").await;
    raw(
        &place,
        &[b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 20_000]].concat(),
    )
    .await;
    place.client().health().await.expect("still there");
    running.stop().await;
}

#[tokio::test]
async fn a_caller_who_drips_is_let_go() {
    let place = Place::new();
    let running = place.start().await;
    // A head, and a body, that never end.
    let head = raw(&place, b"GET /v1/healthz HTTP/1.1\r\n");
    let body = raw(
        &place,
        b"POST /v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{",
    );
    let (head, body) = tokio::join!(head, body);
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    running.stop().await;
}
