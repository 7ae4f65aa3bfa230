//! Hosts elsewhere: from a token to an enrolment, and away again.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::token::Token;
use api::{Client, Decommission, Error, Kind, NewToken, Rename, Status};
use common::{Host, Place, next, until_state};
use statement::claims::{HostAuth, Purpose, Target};

async fn token(client: &Client, host: &str, replace: bool) -> Token {
    let made = client
        .new_token(&NewToken {
            host: host.to_owned(),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            life_s: 900,
            replace,
        })
        .await
        .expect("token");
    let token = Token::decode(&made.token).expect("a token");
    assert_eq!(token.exp, made.exp);
    token
}

fn code<T>(answer: Result<T, Error>) -> (u16, String) {
    match answer.err().expect("refused") {
        Error::Problem(p) => (p.status, p.code().to_owned()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_token_enrols_one_host_and_says_all_it_needs() {
    let mut place = Place::new();
    place.https();
    let running = place.start().await;
    let here = place.client();
    let token = token(&here, "web1", false).await;
    let mut host = Host::new("x");
    let got = host.join(&token, |_| {}).await.expect("enrolment");
    let enrolment = statement::verify_enrol(&got.enrolment, host.ring()).expect("enrolment");
    assert_eq!(enrolment.host, "spiffe://local.test/host/web1");
    assert_eq!(enrolment.jwk, host.key.public().to_jwk());
    assert_eq!(enrolment.labels["env"], "prod");
    assert_eq!(enrolment.labels["name"], "web1");
    let got = here.submit(&host.sign(&host.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);

    // Nothing of the secret is at rest.
    for file in std::fs::read_dir(&place.config.state_dir).expect("state") {
        let path = file.expect("file").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("file");
            let secret = token.secret.as_bytes();
            let found = bytes.windows(secret.len()).any(|w| w == secret);
            assert!(!found, "the secret is in {}", path.display());
        }
    }
    // An answer may be lost; another key finds the token used.
    host.join(&token, |_| {}).await.expect("again");
    let mut other = Host::new("x");
    assert_eq!(
        code(other.join(&token, |_| {}).await),
        (403, "no-token".to_owned())
    );
    running.stop().await;
}

#[tokio::test]
async fn without_the_right_proof_a_token_is_worth_nothing() {
    let mut place = Place::new();
    place.https();
    let running = place.start().await;
    let token = token(&place.client(), "web1", false).await;
    let spoil: [fn(&mut HostAuth); 5] = [
        |p| p.iss.push('x'),
        |p| p.aud.push('x'),
        |p| p.body = Some(Token::hash("another secret")),
        |p| (p.purpose, p.body) = (Purpose::Read, None),
        |p| (p.iat, p.exp) = (p.iat - 400, p.exp - 400),
    ];
    for (i, spoil) in spoil.into_iter().enumerate() {
        let mut host = Host::new("x");
        let answer = code(host.join(&token, spoil).await);
        assert_eq!(answer, (403, "no-token".to_owned()), "{i}");
    }
    // A proof by another key than the one handed in.
    let mut thief = Host::new("x");
    let owner = Host::new("web1");
    let proof = HostAuth {
        purpose: Purpose::Enrol,
        body: Some(Token::hash(&token.secret)),
        ..owner.word()
    };
    let join = api::Join {
        secret: token.secret.clone(),
        jwk: thief.key.public().to_jwk(),
        proof: owner.say(&proof),
    };
    assert_eq!(code(place.client().join(&join).await).0, 403);
    // A wrong secret.
    let mut wrong = token.clone();
    wrong.secret.replace_range(
        ..1,
        if wrong.secret.starts_with('A') {
            "B"
        } else {
            "A"
        },
    );
    assert_eq!(code(thief.join(&wrong, |_| {}).await).0, 403);
    // None of it used the token up.
    thief.join(&token, |_| {}).await.expect("enrolment");
    running.stop().await;
}

#[tokio::test]
async fn tokens_have_limits() {
    let mut place = Place::new();
    let running = place.start().await;
    let ask = |host: &str, life_s| NewToken {
        host: host.to_owned(),
        labels: [].into(),
        life_s,
        replace: false,
    };
    let e = place.client().new_token(&ask("web1", 60)).await;
    assert_eq!(code(e).0, 422, "nobody can reach it");
    running.stop().await;
    place.https();
    let running = place.start().await;
    for (host, life_s) in [
        ("web1", 0),
        ("web1", 901),
        ("", 60),
        ("a/b", 60),
        ("A", 60),
        ("-a", 60),
        ("a b", 60),
    ] {
        let e = place.client().new_token(&ask(host, life_s)).await;
        assert_eq!(code(e).0, 422, "{host:?} {life_s}");
    }
    let made = place.client().new_token(&ask("web1", 1)).await;
    let token = Token::decode(&made.expect("token").token).expect("token");
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let mut host = Host::new("x");
    assert_eq!(code(host.join(&token, |_| {}).await).1, "no-token");
    running.stop().await;
}

#[tokio::test]
async fn a_host_is_replaced_renamed_and_let_go() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let (here, away) = (place.client(), place.away(&ca.roots()));
    let mut first = Host::new("x");
    let place_of_first = token(&here, "web1", false).await;
    first
        .join(&place_of_first, |_| {})
        .await
        .expect("enrolment");

    // Made anew: only a token that says so takes its place.
    let mut second = Host::new("x");
    let careful = token(&here, "web1", false).await;
    assert_eq!(code(second.join(&careful, |_| {}).await).1, "host-known");
    let bold = token(&here, "web1", true).await;
    second.join(&bold, |_| {}).await.expect("enrolment");
    let answer = away.submit(&first.sign(&first.request())).await;
    assert_eq!(code(answer).1, "not-authentic");

    let rename = |host: &str, name: &str| Rename {
        host: host.to_owned(),
        name: name.to_owned(),
    };
    let renamed = here.rename(&rename("web1", "db1")).await.expect("renamed");
    assert_eq!((renamed.name.as_str(), &renamed.id), ("db1", &second.id));
    assert_eq!(code(here.rename(&rename("web1", "x")).await).0, 404);
    assert_eq!(code(here.rename(&rename("db1", "a b")).await).0, 422);
    // The old name made an id that is still taken.
    let ask = NewToken {
        host: "web1".to_owned(),
        labels: [].into(),
        life_s: 60,
        replace: false,
    };
    assert_eq!(code(here.new_token(&ask).await).1, "host-known");

    let got = away.submit(&second.sign(&second.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);
    let word = second.say(&second.word());
    let mut events = away
        .stream(&second.id, 0, Some(&word))
        .await
        .expect("stream");
    until_state(&mut events).await;
    let gone = here
        .decommission(&Decommission {
            host: "db1".to_owned(),
            reason: "sold".to_owned(),
        })
        .await
        .expect("gone");
    assert!(gone.decommissioned_at.is_some());
    // It hears that its grants are revoked, on this stream and on a later one, and gets no new ones.
    let revocation = loop {
        let event = next(&mut events).await;
        if event.kind == Kind::Revocation {
            break second.revocation(&event);
        }
    };
    assert_eq!(revocation.target, Target::Host(second.id.clone()));
    let answer = away.submit(&second.sign(&second.request())).await;
    assert_eq!(code(answer).1, "not-authentic");
    let word = second.say(&second.word());
    let again = away.stream(&second.id, 0, Some(&word)).await;
    let kinds: Vec<Kind> = until_state(&mut again.expect("stream"))
        .await
        .iter()
        .map(|e| e.kind)
        .collect();
    assert!(kinds.contains(&Kind::Revocation), "{kinds:?}");

    // One that never had a grant has nothing to hear.
    let mut idle = Host::new("x");
    let its = token(&here, "idle", false).await;
    idle.join(&its, |_| {}).await.expect("enrolment");
    let which = Decommission {
        host: idle.id.clone(),
        reason: "sold".to_owned(),
    };
    here.decommission(&which).await.expect("gone");
    let word = idle.say(&idle.word());
    let answer = away.stream(&idle.id, 0, Some(&word)).await;
    assert_eq!(code(answer).1, "decommissioned");
    let known = here.hosts().await.expect("hosts").hosts;
    let shown: Vec<_> = known
        .iter()
        .map(|h| (h.name.as_str(), h.decommissioned_at.is_some()))
        .collect();
    assert_eq!(shown, [("db1", true), ("idle", true)]);
    running.stop().await;
}

#[tokio::test]
async fn a_receipt_says_how_far_a_host_is() {
    let mut place = Place::new();
    let ca = place.https();
    let running = place.start().await;
    let (here, away) = (place.client(), place.away(&ca.roots()));
    let mut host = Host::new("x");
    let its = token(&here, "web1", false).await;
    host.join(&its, |_| {}).await.expect("enrolment");
    let seen = async || here.hosts().await.expect("hosts").hosts[0].seen.clone();
    assert_eq!(seen().await, None);
    let body = |serial: u64, version: &str| {
        serde_json::json!({
            "host": host.id, "rev_serial": serial, "at": 1, "version": version,
            "log_next": 7, "log_chain": "ab",
        })
        .to_string()
    };
    let word = |body: &str| {
        host.say(&HostAuth {
            purpose: Purpose::Receipt,
            body: Some(statement::digest::sha256_b64(body.as_bytes())),
            ..host.word()
        })
    };
    let good = body(3, "0.1.0");
    away.receipt(good.clone(), &word(&good))
        .await
        .expect("taken");
    let shown = seen().await.expect("a receipt");
    assert_eq!((shown.rev_serial, shown.log_next), (3, 7));
    assert_eq!(
        (shown.version.as_str(), shown.log_chain.as_str()),
        ("0.1.0", "ab")
    );

    // The link can neither change it, nor make one of a word for reading, nor say it twice.
    let changed = body(9, "0.1.0");
    let reading = host.say(&host.word());
    let used = word(&good);
    away.receipt(good.clone(), &used).await.expect("taken");
    for (body, word) in [(&changed, word(&good)), (&good, reading), (&good, used)] {
        assert_eq!(
            code(away.receipt(body.clone(), &word).await).1,
            "not-authentic"
        );
    }
    for version in ["", "two words", &"x".repeat(65)] {
        let body = body(4, version);
        let answer = away.receipt(body.clone(), &word(&body)).await;
        assert_eq!(answer.is_ok(), version.is_empty(), "{version:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_watches_the_box_is_told_numbers_and_no_names() {
    let mut place = Place::new();
    place.https();
    let running = place.start().await;
    let here = place.client();
    let mut host = Host::new("x");
    let its = token(&here, "web1", false).await;
    host.join(&its, |_| {}).await.expect("enrolment");
    here.submit("nonsense").await.expect_err("refused");
    let raw = async |path: &str| {
        let mut s = tokio::net::UnixStream::connect(&place.config.socket)
            .await
            .expect("connect");
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut s, ask.as_bytes())
            .await
            .expect("write");
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut s, &mut text)
            .await
            .expect("read");
        text
    };
    assert!(raw("/v1/readyz").await.starts_with("HTTP/1.1 200"));
    let text = raw("/metrics").await;
    assert!(
        text.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    for line in [
        "jit_issuer_hosts 1",
        "jit_issuer_policy_version 1",
        "jit_issuer_revocation_serial 0",
        "jit_issuer_hosts_behind 1",
        "jit_issuer_calls_total{result=\"refused\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("web1") && !text.contains("spiffe"), "{text}");
    running.stop().await;
}
