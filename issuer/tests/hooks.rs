//! Hooks: who is told what, in which order, through an hour without a receiver. Signatures are checked by the library of the
//! Standard Webhooks project.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Approve, Client, Deny, Revoke, Status};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use common::people::{Hands, trust};
use common::{Authority, Host, Place, ROLES, now, until_state, web};
use jit_issuer::clock::Clock;
use serde_json::Value;
use settings::outgoing::{Hook, Outgoing, What};
use standardwebhooks::Webhook;
use statement::claims::{Request, Target};
use statement::people::Need;
use statement::sshsig::NAMESPACE;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HOUR_MS: u64 = 3_600_000;

/// `web` is automatic, `admin` wants one of ops, then one of security.
fn roles() -> String {
    let automatic = ROLES.replace("roles = [\"admin\", \"web\"]", "roles = [\"web\"]");
    automatic
        + r#"
[[approve]]
name = "two levels"
roles = ["admin"]
effect = "approve"
levels = [{ group = "ops", count = 1 }, { group = "security", count = 1 }]
"#
}

/// Stands still until it is moved.
#[derive(Debug)]
struct Sim {
    now: watch::Sender<u64>,
    /// What somebody waits for.
    waits: watch::Sender<u64>,
}

impl Sim {
    fn new(unix_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            now: watch::Sender::new(unix_ms),
            waits: watch::Sender::new(0),
        })
    }

    /// Moves to the time that is waited for, once somebody waits.
    async fn step(&self) -> u64 {
        let now = *self.now.borrow();
        let mut waits = self.waits.subscribe();
        let at = *waits.wait_for(|at| *at > now).await.expect("waits");
        self.now.send_replace(at);
        at
    }
}

impl Clock for Sim {
    fn unix_ms(&self) -> u64 {
        *self.now.borrow()
    }

    fn until(&self, unix_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.waits.send_replace(unix_ms);
        Box::pin(async move {
            let mut now = self.now.subscribe();
            let _ = now.wait_for(|now| *now >= unix_ms).await;
        })
    }
}

type Came = (HeaderMap, Bytes);

/// Takes what comes, or refuses it as one that is down behind its balancer.
#[derive(Clone)]
struct Receiver {
    is_up: watch::Sender<bool>,
    refused: Arc<Mutex<Vec<Came>>>,
    taken: watch::Sender<Vec<Came>>,
}

impl Receiver {
    fn new(is_up: bool) -> Self {
        Self {
            is_up: watch::Sender::new(is_up),
            refused: Arc::default(),
            taken: watch::Sender::new(Vec::new()),
        }
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/in", post(take))
            .with_state(self.clone())
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://127.0.0.1:{port}/in")
    }

    /// Once so many were taken.
    async fn taken(&self, count: usize) -> Vec<Came> {
        let mut taken = self.taken.subscribe();
        let all = taken.wait_for(|all| all.len() >= count).await;
        all.expect("taken").clone()
    }
}

async fn take(State(to): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if *to.is_up.borrow() {
        to.taken.send_modify(|all| all.push((headers, body)));
        StatusCode::NO_CONTENT
    } else {
        to.refused.lock().expect("refused").push((headers, body));
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn hook(place: &mut Place, url: &str, events: &[What]) {
    let secret_file = place.dir.path().join("secret");
    std::fs::write(&secret_file, format!("{SECRET}\n{OTHER}\n")).expect("secret");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret_file, private).expect("mode");
    let hook = Hook {
        url: url.to_owned(),
        secret_file,
        events: events.to_vec(),
    };
    place.config.hooks.insert("chat".to_owned(), hook);
    place.config.outgoing.allow = vec!["127.0.0.0/8".to_owned()];
}

fn event((headers, body): &Came) -> Value {
    for secret in [SECRET, OTHER] {
        let judge = Webhook::new(secret).expect("secret");
        judge.verify(body, headers).expect("a good signature");
        let mut other = body.to_vec();
        other[10] ^= 1;
        assert!(judge.verify(&other, headers).is_err());
    }
    let event: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["source"], "spiffe://local.test/issuer");
    assert_eq!(event["id"], headers["webhook-id"].to_str().expect("id"));
    event
}

/// Subject and kind of each, in the order they came.
fn told(came: &[Came]) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    came.iter()
        .map(event)
        .map(|e| (text(&e["subject"]), text(&e["type"])))
        .collect()
}

fn of(all: &[(String, String)], subject: &str) -> Vec<String> {
    let mine = all.iter().filter(|(s, _)| s == subject);
    mine.map(|(_, t)| t.replace("org.jitctl.", "").replace(".v1", ""))
        .collect()
}

async fn approve(client: &Client, hands: &Hands, key: &str, id: &str, jws: &str) {
    let sig = Some(hands.sign(key, NAMESPACE, jws));
    let id = id.to_owned();
    client
        .approve(&Approve {
            id,
            sig,
            id_token: None,
        })
        .await
        .expect("approval");
}

fn automatic(host: &Host) -> Request {
    Request {
        role: "web".to_owned(),
        authorization_details: vec![web()],
        ..host.request()
    }
}

#[tokio::test]
async fn after_an_hour_without_its_receiver_every_event_arrives_once_in_order() {
    let hands = Hands::new();
    let mut place = Place::new();
    place.roles(&roles());
    trust(&place, |c| {
        c.people = hands.people();
        let need = |group: &str| Need {
            group: group.to_owned(),
            count: 1,
        };
        let both = vec![need("ops"), need("security")];
        c.rules.approval = [("admin".to_owned(), both)].into();
    });
    // Deliveries are at its end, and the judge takes five minutes to either side of the machine's time.
    let start = now() * 1000 - HOUR_MS - 150_000;
    let sim = Sim::new(start);
    place.tuning.clock = Arc::clone(&sim) as Arc<dyn Clock>;
    // Requests nobody decides are looked for at each beat.
    place.tuning.heartbeat = Duration::from_millis(100);
    let receiver = Receiver::new(false);
    hook(&mut place, &receiver.serve().await, &What::ALL);

    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut stream = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut stream).await;

    let whole = Request {
        approve_until: now() + 600,
        ..host.request()
    };
    let jws = host.sign(&whole);
    client.submit(&jws).await.expect("answer");
    approve(&client, &hands, "bob", &whole.id, &jws).await;
    approve(&client, &hands, "carol", &whole.id, &jws).await;
    let granted = until_grant(&mut stream, &host).await;
    let revoke = Revoke {
        target: Target::Grant(granted),
        reason: "over".to_owned(),
    };
    client.revoke(&revoke).await.expect("revocation");

    let denied = host.request();
    client.submit(&host.sign(&denied)).await.expect("answer");
    let deny = Deny {
        id: denied.id.clone(),
        reason: "not now".to_owned(),
    };
    let call = api::Call::deny(&deny).expect("call");
    common::people::call::<api::Submitted>(&client, &hands, "bob", &call, |_| {})
        .await
        .expect("denial");

    let short = Request {
        approve_until: now() + 5,
        ..host.request()
    };
    client.submit(&host.sign(&short)).await.expect("answer");

    // Half an hour with the first issuer, half an hour with the next one.
    while sim.step().await < start + HOUR_MS / 2 {}
    running.stop().await;
    let running = place.start().await;
    let mut many = Vec::new();
    for _ in 0..20 {
        let request = automatic(&host);
        let got = client.submit(&host.sign(&request)).await.expect("answer");
        assert_eq!(got.status, Status::Accepted);
        many.push(request.id);
    }
    while sim.step().await < start + HOUR_MS {}
    assert!(receiver.taken.borrow().is_empty());
    let refused = receiver.refused.lock().expect("refused").clone();
    assert!(refused.len() > 3 * 15, "{} tries", refused.len());
    let heads: BTreeSet<Bytes> = refused.into_iter().map(|(_, body)| body).collect();
    assert_eq!(heads.len(), 3 + many.len(), "one of each request");

    receiver.is_up.send_replace(true);
    let all = 6 + 2 + 2 + many.len();
    let moving = async {
        loop {
            sim.step().await;
        }
    };
    let came = tokio::select! {
        came = receiver.taken(all) => came,
        () = moving => unreachable!("it moves for ever"),
    };
    let told = told(&came);
    let one = |id: &str| of(&told, id);
    let levels = [
        "waiting", "approved", "waiting", "approved", "granted", "revoked",
    ];
    assert_eq!(one(&whole.id), levels);
    assert_eq!(one(&denied.id), ["waiting", "denied"]);
    assert_eq!(one(&short.id), ["waiting", "expired"]);
    for id in &many {
        assert_eq!(one(id), ["granted"]);
    }
    let ids: BTreeSet<_> = came
        .iter()
        .map(|(h, _)| h["webhook-id"].as_bytes())
        .collect();
    assert_eq!((came.len(), ids.len()), (all, all), "each once");
    running.stop().await;
}

async fn until_grant(stream: &mut api::Events, host: &Host) -> String {
    loop {
        let event = stream.next().await.expect("stream").expect("event");
        if event.kind == api::Kind::Grant {
            return host.grant(&event).claims().jti.clone();
        }
    }
}

#[tokio::test]
async fn the_text_holds_what_an_approver_needs() {
    let hands = Hands::new();
    let mut place = Place::new();
    place.roles(&roles());
    trust(&place, |c| c.people = hands.people());
    let receiver = Receiver::new(true);
    hook(
        &mut place,
        &receiver.serve().await,
        &[What::Waiting, What::Withdrawn],
    );
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let asked = host.request();
    let jws = host.sign(&asked);
    client.submit(&jws).await.expect("answer");
    // Nobody wants to hear of this one.
    client
        .submit(&host.sign(&automatic(&host)))
        .await
        .expect("answer");
    let withdraw = api::Withdraw {
        host: host.id.clone(),
        request: statement::digest::sha256_b64(jws.as_bytes()),
    };
    let body = serde_json::to_string(&withdraw).expect("JSON");
    client.withdraw(body, "").await.expect("withdrawal");

    let came = receiver.taken(2).await;
    assert_eq!(of(&told(&came), &asked.id), ["waiting", "withdrawn"]);
    let first = event(&came[0]);
    let data = &first["data"];
    for (member, want) in [
        ("login", "alice"),
        ("role", "admin"),
        ("host_name", "test"),
        ("ticket", "T-1"),
        ("waiting_for", "1 of ops"),
        ("root_equal", "any command as root"),
    ] {
        assert_eq!(data[member], want, "{member}");
    }
    let text = data["text"].as_str().expect("text");
    for want in [
        "alice (uid 1000) on test as admin: waits for 1 of ops.",
        &format!("\nhost: {}", host.id),
        "\ncommands: ANY",
        "\nrisk: ROOT-EQUAL: any command as root",
        "\nhow long: 1m",
        "\nwhy: test",
        "\nticket: T-1",
        &format!("\nto approve: jitctl approve {}", asked.id),
    ] {
        assert!(text.contains(want), "{want:?} is missing in:\n{text}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_own_approval_is_told_loudly() {
    let hands = Hands::new();
    let mut place = Place::new();
    place.roles(&roles());
    trust(&place, |c| {
        c.people = hands.people();
        let need = Need {
            group: "ops".to_owned(),
            count: 1,
        };
        c.rules.approval = [("admin".to_owned(), vec![need])].into();
        c.rules.self_approval = vec!["admin".to_owned()];
    });
    let receiver = Receiver::new(true);
    let url = receiver.serve().await;
    hook(&mut place, &url, &[What::Waiting, What::Approved]);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let asked = host.request();
    let jws = host.sign(&asked);
    client.submit(&jws).await.expect("answer");
    approve(&client, &hands, "alice", &asked.id, &jws).await;
    let came = receiver.taken(2).await;
    let (waiting, approved) = (event(&came[0]), event(&came[1]));
    assert_eq!(waiting["data"]["self_approval"], "alice");
    assert_eq!(approved["data"]["own_request"], true);
    let said = |event: &Value| event["data"]["text"].as_str().expect("text").to_owned();
    assert!(
        said(&waiting).contains("\nself-approval: alice asks, and may be one of those who approve")
    );
    assert!(said(&approved).contains("alice APPROVED THE OWN REQUEST"));
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_with_https_must_be_certified() {
    let mut place = Place::new();
    let authority = place.https();
    let https = place.config.https.take().expect("HTTPS");
    let receiver = Receiver::new(true);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let (router, roots) = (receiver.router(), place.dir.path().join("ca.pem"));
    let acceptor = acceptor(&https);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let service = hyper_util::service::TowerToHyperService::new(router);
                let io = hyper_util::rt::TokioIo::new(tls);
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(io, service).await;
            });
        }
    });
    hook(
        &mut place,
        &format!("https://localhost:{port}/in"),
        &What::ALL,
    );
    // `localhost` may have both addresses, and only what is named is called.
    place.config.outgoing = Outgoing {
        allow: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
        ca: Some(roots),
    };
    let ask = async |place: &Place| {
        let running = place.start().await;
        let client = place.client();
        let host = Host::enrolled("a", &client).await;
        client
            .submit(&host.sign(&host.request()))
            .await
            .expect("answer");
        running
    };
    let sim = Sim::new(now() * 1000);
    place.tuning.clock = Arc::clone(&sim) as Arc<dyn Clock>;
    let stranger = place.dir.path().join("stranger.pem");
    std::fs::write(&stranger, Authority::new().pem).expect("authority");
    let known = place.config.outgoing.ca.replace(stranger);
    let running = ask(&place).await;
    // It waits for another try: the first came to nothing.
    sim.step().await;
    running.stop().await;
    assert!(receiver.taken.borrow().is_empty());
    place.config.outgoing.ca = known;
    let running = place.start().await;
    let came = tokio::select! {
        came = receiver.taken(1) => came,
        () = async { loop { sim.step().await; } } => unreachable!("it moves for ever"),
    };
    assert_eq!(told(&came).len(), 1);
    running.stop().await;
    drop(authority);
}

fn acceptor(https: &settings::issuer::Https) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(&https.cert).expect("certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificate");
    let key = PrivateKeyDer::from_pem_file(&https.key).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("configuration");
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn secrets_that_others_read_and_secrets_that_are_none_are_refused() {
    let mut place = Place::new();
    hook(&mut place, "https://chat.example.org/in", &What::ALL);
    let file = place.config.hooks["chat"].secret_file.clone();
    let fails = async |place: &Place| match place.try_start().await {
        Ok(_) => panic!("it started"),
        Err(e) => e.to_string(),
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
    assert!(fails(&place).await.contains("others must not"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
    for text in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!"] {
        std::fs::write(&file, text).expect("secret");
        assert!(
            fails(&place).await.contains("whsec_ and the base64"),
            "{text:?}"
        );
    }
}
