//! The ticket check: who is asked, and what his answer, or none, makes of a request.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::Status;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use common::{Host, Place, web};
use serde_json::{Value, json};
use settings::outgoing::Ticket;
use standardwebhooks::Webhook;
use statement::claims::Request;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

type Asked = Arc<Mutex<Vec<Value>>>;

/// Answers by the name of the ticket.
async fn answer(
    State(asked): State<Asked>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let judge = Webhook::new(SECRET).expect("secret");
    judge.verify(&body, &headers).expect("a good signature");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let ticket = body["ticket"].as_str().expect("ticket").to_owned();
    asked.lock().expect("asked").push(body);
    let (status, said) = match ticket.as_str() {
        "GOOD" => (200, json!({ "allow": true, "more": 1 }).to_string()),
        "CLOSED" => (
            200,
            json!({ "allow": false, "why": "it is closed" }).to_string(),
        ),
        "FORGED" => (200, json!({ "allow": false, "why": "a\nb" }).to_string()),
        "WORD" => (200, "yes".to_owned()),
        "TEXT" => (200, json!({ "allow": "true" }).to_string()),
        "CREATED" => (201, json!({ "allow": true }).to_string()),
        _ => (503, json!({ "allow": true }).to_string()),
    };
    (StatusCode::from_u16(status).expect("status"), said)
}

async fn serve() -> (String, Asked) {
    let asked = Asked::default();
    let router = Router::new()
        .route("/", post(answer))
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://127.0.0.1:{port}/"), asked)
}

fn checked(url: &str, required: bool, roles: &[&str]) -> Place {
    let mut place = Place::new();
    let secret_file = place.dir.path().join("secret");
    std::fs::write(&secret_file, SECRET).expect("secret");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret_file, private).expect("mode");
    place.config.ticket = Some(Ticket {
        url: url.to_owned(),
        secret_file,
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        required,
    });
    place.config.outgoing.allow = vec!["127.0.0.1".to_owned()];
    place
}

async fn ask(host: &Host, client: &api::Client, ticket: Option<&str>) -> (Status, String) {
    let request = Request {
        ticket: ticket.map(str::to_owned),
        ..host.request()
    };
    let got = client.submit(&host.sign(&request)).await.expect("answer");
    (got.status, got.detail)
}

#[tokio::test]
async fn where_a_ticket_is_required_nothing_but_a_yes_lets_the_request_on() {
    let (url, asked) = serve().await;
    let place = checked(&url, true, &[]);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    assert_eq!(ask(&host, &client, Some("GOOD")).await.0, Status::Accepted);
    let unchecked = |t: &str| format!("The ticket {t} could not be checked; ask again later.");
    for (ticket, want) in [
        (
            Some("CLOSED"),
            "The ticket CLOSED does not bear it: it is closed.".to_owned(),
        ),
        (
            Some("FORGED"),
            "The ticket FORGED does not bear it.".to_owned(),
        ),
        (Some("WORD"), unchecked("WORD")),
        (Some("TEXT"), unchecked("TEXT")),
        (Some("CREATED"), unchecked("CREATED")),
        (Some("DOWN"), unchecked("DOWN")),
        (
            None,
            "Role admin is only given with a ticket: name one.".to_owned(),
        ),
    ] {
        let got = ask(&host, &client, ticket).await;
        assert_eq!(got, (Status::Denied, want), "{ticket:?}");
    }
    let first = asked.lock().expect("asked")[0].clone();
    for (member, want) in [
        ("ticket", json!("GOOD")),
        ("login", json!("alice")),
        ("uid", json!(1000)),
        ("host", json!(host.id)),
        ("role", json!("admin")),
        ("reason", json!("test")),
        ("seconds", json!(60)),
        ("root_equal", json!("any command as root")),
    ] {
        assert_eq!(first[member], want, "{member}");
    }
    // The same bytes again: the same answer, and nobody is asked.
    let request = Request {
        ticket: Some("GOOD".to_owned()),
        ..host.request()
    };
    let jws = host.sign(&request);
    let one = client.submit(&jws).await.expect("answer");
    let count = asked.lock().expect("asked").len();
    assert_eq!(client.submit(&jws).await.expect("answer"), one);
    assert_eq!(asked.lock().expect("asked").len(), count);
    running.stop().await;
}

#[tokio::test]
async fn where_it_is_not_required_only_a_no_counts() {
    let (url, _) = serve().await;
    let place = checked(&url, false, &[]);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    for ticket in [Some("GOOD"), Some("DOWN"), Some("WORD"), None] {
        let got = ask(&host, &client, ticket).await;
        assert_eq!(got.0, Status::Accepted, "{ticket:?}");
    }
    assert_eq!(ask(&host, &client, Some("CLOSED")).await.0, Status::Denied);
    running.stop().await;
}

#[tokio::test]
async fn nobody_is_asked_about_other_roles_and_nobody_is_there_who_may_not_be_called() {
    let (url, asked) = serve().await;
    let mut place = checked(&url, true, &["admin"]);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let request = Request {
        role: "web".to_owned(),
        authorization_details: vec![web()],
        ticket: None,
        ..host.request()
    };
    let got = client.submit(&host.sign(&request)).await.expect("answer");
    assert_eq!(got.status, Status::Accepted);
    assert!(asked.lock().expect("asked").is_empty());
    running.stop().await;

    // A name that means nothing may be any role misspelt, so all are asked about.
    if let Some(ticket) = &mut place.config.ticket {
        ticket.roles = vec!["amdin".to_owned()];
    }
    let running = place.start().await;
    let client = place.client();
    let request = Request {
        id: host.request().id,
        ..request
    };
    let got = client.submit(&host.sign(&request)).await.expect("answer");
    let without = "Role web is only given with a ticket: name one.";
    assert_eq!((got.status, got.detail.as_str()), (Status::Denied, without));
    running.stop().await;

    place.config.outgoing.allow.clear();
    let running = place.start().await;
    let client = place.client();
    assert_eq!(ask(&host, &client, Some("GOOD")).await.0, Status::Denied);
    assert!(asked.lock().expect("asked").is_empty());
    running.stop().await;
}
