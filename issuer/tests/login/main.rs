//! People who log in at a real OpenID provider, Django OAuth Toolkit from `scripts/judges`, with the built `jitctl`: all they can
//! do then, and everything that is no login. Needs PyPI once: `cargo test -p jit-issuer --features judge-tests --test login`.
#![cfg(feature = "judge-tests")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod browser;
#[path = "../common/mod.rs"]
mod common;
mod session;

use api::{Call, Deny, Error, GiveBack, Login, Standing, Status, Waiting, WaitingList};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use browser::{form, get, raw};
use common::{Host, now};
use jit_issuer::clock::Clock;
use serde_json::json;
use session::{Browser, Program, Scene, through};
use statement::asked::{sealed, to_sign};
use statement::claims::Request;
use statement::sshsig::SshKey;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ahead of the system's by what is said.
#[derive(Debug, Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn unix_ms(&self) -> u64 {
        (now() + self.0.load(Ordering::SeqCst)) * 1000
    }

    fn until(&self, _: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

async fn pending(host: &Host, client: &api::Client) -> Request {
    let request = Request {
        approve_until: now() + 600,
        ..host.request()
    };
    let got = client.submit(&host.sign(&request)).await.expect("answer");
    assert_eq!(got.status, Status::Pending);
    request
}

#[tokio::test]
async fn a_login_looks_and_denies_and_approves_only_beside_the_key() {
    let scene = Scene::new();
    let _program = Program::start(&scene);
    let client = scene.place.client();
    let up = async {
        while client.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), up)
        .await
        .expect("up");
    let host = Host::enrolled("a", &client).await;
    let (first, second) = (pending(&host, &client).await, pending(&host, &client).await);
    let key = scene.hands.0.path().join("bob").display().to_string();

    // Neither login nor key.
    assert_eq!(scene.jitctl(&["requests"]).await.0, 3);
    // The key alone looks, and approves nothing.
    let with_key = ["approve", &first.id, "--yes", "--key", &key];
    let (code, text) = scene.jitctl(&["requests", "--key", &key]).await;
    assert!(code == 0 && text.contains(&first.id), "{text}");
    let (code, text) = scene.jitctl(&with_key).await;
    assert!(code == 3 && text.contains("run `jitctl login`"), "{text}");

    let (code, text) = scene.as_person("bob").await;
    assert!(code == 0 && text.contains("Logged in as bob"), "{text}");
    assert!(scene.token().split('.').count() == 3);

    // The login alone looks and denies, and approves nothing.
    let (code, text) = scene.jitctl(&["requests"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(&first.id) && text.contains(&second.id),
        "{text}"
    );
    let (code, text) = scene.jitctl(&["requests", "show", &first.id]).await;
    assert!(code == 0 && text.contains("ROOT-EQUAL"), "{text}");
    let (code, text) = scene.jitctl(&["approve", &first.id, "--yes"]).await;
    assert!(code == 3 && text.contains("ssh-add"), "{text}");
    let deny = ["deny", &second.id, "--reason", "freeze"];
    let (code, text) = scene.jitctl(&deny).await;
    assert!(code == 0 && text.contains("Denied"), "{text}");
    let denied = client.submit(&host.sign(&second)).await.expect("answer");
    assert_eq!(denied.detail, "bob denied it: freeze");

    // Both together approve.
    let (code, text) = scene.jitctl(&with_key).await;
    assert!(code == 0 && text.contains("Approved and granted"), "{text}");

    let (code, _) = scene.jitctl(&["logout"]).await;
    assert_eq!(code, 0);
    assert_eq!(scene.jitctl(&["requests"]).await.0, 3);
    // Somebody the provider knows and the issuer does not is nobody.
    let (code, text) = scene.as_person("stranger").await;
    assert!(code == 3 && text.contains("nobody's"), "{text}");
    assert_eq!(scene.jitctl(&["requests"]).await.0, 3);
}

#[tokio::test]
async fn only_the_answer_that_is_waited_for_ends_the_wait() {
    let scene = Scene::new();
    let running = scene.place.start().await;
    let changed = |from: &'static str, to: &'static str| {
        move |url: &str| {
            let back = get(url, "bob").location();
            assert!(back.contains(from), "{back}");
            assert_eq!(get(&back.replacen(from, to, 1), "bob").status, 200);
            Ok(())
        }
    };
    // Strangers' calls of the port are answered and change nothing; then the right one counts, once.
    let (code, text) = scene
        .login(|url| {
            let back = get(url, "bob").location();
            let port = back.split(['/', ':']).nth(4).expect("port").to_owned();
            for (call, status) in [
                (back.replace("state=", "state=x"), 400),
                (back.replace("/callback", "/other"), 404),
            ] {
                assert_eq!(get(&call, "bob").status, status, "{call}");
            }
            let at = format!("127.0.0.1:{port}");
            assert!(raw(&at, b"\x16\x03\x01 garbage\r\n\r\n").contains(" 400 "));
            let rebound = format!(
                "GET /{} HTTP/1.1\r\nhost: evil.example\r\n\r\n",
                &back[22..]
            );
            assert!(raw(&at, rebound.as_bytes()).contains(" 400 "));
            // One who says nothing holds nobody up.
            let _silent = std::net::TcpStream::connect(&at).expect("the port");
            assert_eq!(get(&back, "bob").status, 200);
            Ok(())
        })
        .await;
    assert!(code == 0 && text.contains("Logged in as bob"), "{text}");
    assert_eq!(scene.jitctl(&["logout"]).await.0, 0);

    // With a screen, the browser is opened without anybody's doing.
    let opened = scene.opener();
    let child = scene.command(&["login", "--within", "60s"]).spawn();
    let done = tokio::task::spawn_blocking(move || {
        through(child.expect("jitctl"), |said| {
            let begun = Instant::now();
            let url = loop {
                match std::fs::read_to_string(&opened) {
                    Ok(url) if url.ends_with('\n') => break url,
                    _ if begun.elapsed() > Duration::from_secs(30) => {
                        return Err("nothing was opened".to_owned());
                    }
                    _ => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            assert_eq!(url.trim(), said);
            assert_eq!(get(&get(said, "bob").location(), "bob").status, 200);
            Ok(())
        })
    });
    let (code, text) = done.await.expect("thread");
    assert_eq!(code, 0, "{text}");
    assert_eq!(scene.jitctl(&["logout"]).await.0, 0);

    let refused: [(&str, Browser, &str); 4] = [
        (
            "the provider's no",
            Box::new(changed("code=", "error=access_denied&x=")),
            "says access_denied",
        ),
        (
            "a code of another login",
            Box::new(changed("code=", "code=x")),
            "says invalid_grant",
        ),
        (
            "another provider",
            Box::new(changed("iss=http", "iss=https")),
            "another provider",
        ),
        (
            "a token of another login",
            Box::new(|url| {
                let other = url.replacen("nonce=", "nonce=x", 1);
                assert_ne!(other, url);
                let back = get(&other, "bob").location();
                assert_eq!(get(&back, "bob").status, 200);
                Ok(())
            }),
            "its nonce is wrong",
        ),
    ];
    for (what, browser, want) in refused {
        let (code, text) = scene.login(browser).await;
        assert!(code == 3 && text.contains(want), "{what}: {text}");
    }
    // PKCE: the challenge of somebody else's login is not met by this one's verifier.
    let (code, text) = scene
        .login(|url| {
            let own = url.split('&').find(|p| p.starts_with("code_challenge="));
            let back = get(&url.replace(own.expect("PKCE"), form::CHALLENGE), "bob").location();
            assert_eq!(get(&back, "bob").status, 200);
            Ok(())
        })
        .await;
    assert!(code == 3 && text.contains("says invalid_grant"), "{text}");
    let (code, _) = scene.jitctl(&["requests"]).await;
    assert_eq!(code, 3, "nobody is logged in");
    running.stop().await;
}

#[tokio::test]
async fn a_token_is_somebodys_for_us_and_for_now_and_gives_nothing() {
    let mut scene = Scene::new();
    let ahead = Arc::new(Ahead::default());
    scene.place.tuning.clock = Arc::clone(&ahead) as Arc<dyn Clock>;
    let running = scene.place.start().await;
    let client = scene.place.client();
    let host = Host::enrolled("a", &client).await;
    let waiting = pending(&host, &client).await;
    let token = |who: &'static str, client: &'static str, nonce: &'static str| {
        let issuer = scene.provider.issuer.clone();
        let got = tokio::task::spawn_blocking(move || form::token(&issuer, who, client, nonce));
        async { got.await.expect("thread") }
    };
    let (alice, bob) = (
        token("alice", "jit", "n").await,
        token("bob", "jit", "n").await,
    );
    let list = Call::list();
    let listed = async |token: &str| {
        let got: Result<WaitingList, Error> = client.call_as(&list, token).await;
        got.map(|l| l.requests.len()).map_err(|e| e.to_string())
    };
    let whose: Login = client.call_as(&Call::login(), &bob).await.expect("bob");
    assert_eq!(whose.person.as_deref(), Some("bob"));
    assert_eq!(listed(&bob).await, Ok(1));
    // carol is of another group: it is none of her business.
    assert_eq!(listed(&token("carol", "jit", "n").await).await, Ok(0));

    let parts: Vec<&str> = bob.split('.').collect();
    let none = B64.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let other_end = format!(
        "{}.{}.{}",
        parts[0],
        parts[1],
        &alice[alice.rfind('.').expect("dot") + 1..]
    );
    for (what, token, want) in [
        (
            "a stranger",
            token("stranger", "jit", "n").await,
            "nobody's",
        ),
        (
            "of another client",
            token("bob", "other", "n").await,
            "somebody else",
        ),
        ("without a nonce", token("bob", "jit", "").await, "no nonce"),
        ("unsigned", format!("{none}.{}.", parts[1]), "is refused"),
        ("with another's signature", other_end, "signature is wrong"),
        ("a word", "x".to_owned(), "cannot be read"),
    ] {
        let why = listed(&token).await.expect_err(what);
        assert!(why.contains(want), "{what}: {why}");
    }

    // What gives something is no business of a token.
    let target: Result<api::AskFor, Error> = client.call_as(&Call::target(&host.id), &bob).await;
    assert!(matches!(target, Err(Error::Problem(p)) if p.status == 403));
    let body = json!({ "id": waiting.id }).to_string();
    let call = format!(
        "POST /v1/requests/approve HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bob}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = UnixStream::connect(&scene.place.config.socket).expect("socket");
    socket.write_all(call.as_bytes()).expect("call");
    let read = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).map(|_| answer)
    });
    let answer = read.await.expect("thread").expect("answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    // Nor does a key give anything without its person's token.
    let ask = Request {
        iss: "alice".to_owned(),
        approve_until: now() + 600,
        ..host.request()
    };
    let public = SshKey::parse(&scene.hands.public("alice", "ed25519")).expect("key");
    let input = to_sign(&ask, &public).expect("a request");
    let signed = sealed(
        &input,
        &scene
            .hands
            .sign("alice", statement::asked::NAMESPACE, &input),
    );
    let jws = host.sign(&waiting);
    let sig = scene.hands.sign("bob", statement::sshsig::NAMESPACE, &jws);
    let asks = async |token: Option<&str>| {
        let got = client.submit_with(&signed, token).await;
        got.map(|s| s.status).map_err(|e| e.to_string())
    };
    let approves = async |token: Option<&str>| {
        let approve = api::Approve {
            id: waiting.id.clone(),
            sig: Some(sig.clone()),
            id_token: token.map(str::to_owned),
        };
        let got = client.approve(&approve).await;
        got.map(|s| s.status).map_err(|e| e.to_string())
    };
    for (got, want) in [
        (asks(None).await, "run `jitctl login`"),
        (asks(Some(&bob)).await, "the login bob's"),
        (approves(None).await, "run `jitctl login`"),
        (approves(Some(&alice)).await, "the login alice's"),
    ] {
        let why = got.expect_err(want);
        assert!(why.contains(want), "{why}");
    }
    // What is over is over, on the issuer's clock.
    ahead.0.store(400, Ordering::SeqCst);
    for why in [
        listed(&bob).await.expect_err("over"),
        approves(Some(&bob)).await.expect_err("over"),
        asks(Some(&alice)).await.expect_err("over"),
    ] {
        assert!(
            why.contains("it is over") && why.contains("jitctl login"),
            "{why}"
        );
    }
    ahead.0.store(0, Ordering::SeqCst);
    assert_eq!(asks(Some(&alice)).await, Ok(Status::Pending));
    assert_eq!(approves(Some(&bob)).await, Ok(Status::Accepted));

    // Alice gives up what she asked for, and bob cannot; nor does she deny what is not hers to decide.
    let give_up = Call::give_back(&GiveBack { id: ask.id.clone() }).expect("call");
    let by = async |call: &Call, token: &str| {
        let got: Result<serde_json::Value, Error> = client.call_as(call, token).await;
        got.map_err(|e| common::people::code(&e))
    };
    assert_eq!(
        by(&give_up, &bob).await.expect_err("not his"),
        "404 unknown-request"
    );
    let deny = Call::deny(&Deny {
        id: ask.id.clone(),
        reason: "no".to_owned(),
    });
    let carol = token("carol", "jit", "n").await;
    let not_hers = by(&deny.expect("call"), &carol).await;
    assert_eq!(not_hers.expect_err("not hers"), "404 unknown-request");
    by(&give_up, &alice).await.expect("given up");
    let shown: Waiting = client
        .call_as(&Call::show(&ask.id), &alice)
        .await
        .expect("hers");
    assert_eq!(shown.standing, Standing::Withdrawn);
    running.stop().await;

    // Where it is not required, the key alone is enough, and no other token is held against it.
    scene.place.config.login.as_mut().expect("login").required = false;
    let running = scene.place.start().await;
    let another = pending(&host, &client).await;
    let sig = scene
        .hands
        .sign("bob", statement::sshsig::NAMESPACE, &host.sign(&another));
    let approve = api::Approve {
        id: another.id.clone(),
        sig: Some(sig),
        id_token: Some(alice),
    };
    let got = client.approve(&approve).await.expect("approved");
    assert_eq!(got.status, Status::Accepted);
    running.stop().await;
}
