//! The link between a scripted agent and a real issuer, or a scripted one where it must misbehave.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use api::{Address, Client, Enrol, Revoke, Roots, Transport};
use jit_issuer::config::{Config, Https};
use jit_issuer::http::table::Uids;
use jit_issuer::init;
use jit_issuer::serve::{Hooks, Order, Tuning, serve};
use jit_link::{Backoff, Options};
use ring::rand::{SecureRandom, SystemRandom};
use statement::HostIdentity;
use statement::claims::{HostAuth, Purpose, Request, Target, Typ};
use statement::digest::sha256_b64;
use statement::keys::KeyRing;
use statement::sign::Signer;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use wire::frame;
use wire::link::{Answer, Down, Kind, Up};

const SOON: Duration = Duration::from_secs(10);
const ROLES: &str = include_str!("../../packaging/etc/policy/roles.toml");

struct Place {
    dir: TempDir,
    /// Where it serves hosts elsewhere, and the authority that certified it.
    away: Option<(Https, Roots)>,
}

struct Issuer {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<(), jit_issuer::Error>>,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: TempDir::new().expect("directory"),
            away: None,
        }
    }

    /// An issuer that is reached over HTTPS.
    fn away() -> Self {
        let mut place = Self::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let https = Https {
            listen: Some(free.local_addr().expect("its number")),
            url: None,
            ca: None,
            cert: place.path("cert.pem"),
            key: place.path("key.pem"),
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("pair");
        std::fs::write(&https.cert, made.cert.pem()).expect("certificate");
        std::fs::write(&https.key, made.signing_key.serialize_pem()).expect("key");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&https.key, private).expect("mode");
        place.away = Some((https, Roots::Pem(made.cert.pem())));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self) -> Client {
        Client::unix(self.path("issuer"))
    }

    async fn issuer(&self) -> Issuer {
        let config = Config {
            socket: self.path("issuer"),
            state_dir: self.path("state"),
            roles: self.path("roles.toml"),
            https: self.away.as_ref().map(|(https, _)| https.clone()),
            ..Config::default()
        };
        std::fs::write(&config.roles, ROLES).expect("roles");
        init::init(&config.state_dir, "local.test", true).expect("init");
        // Whoever runs the tests is the link and the issuer.
        let me = std::fs::metadata(self.dir.path()).expect("directory").uid();
        let uids = Uids {
            root: u32::MAX - 1,
            link: Some(me),
            issuer: me,
        };
        let (orders, rx) = mpsc::channel(1);
        let (tell, ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            let hooks = Hooks {
                socket: None,
                ready: Box::new(|| {
                    let _ = tell.send(());
                }),
                alive: Box::new(|| {}),
            };
            serve(&config, &Tuning::default(), uids, rx, hooks).await
        });
        ready.await.expect("a running issuer");
        Issuer { orders, task }
    }

    /// The agent's side of `link.sock`, and a link that connects to it.
    fn link(&self, idle: Duration) -> (UnixListener, Link) {
        let agent = UnixListener::bind(self.path("agent")).expect("bind");
        let issuer = match &self.away {
            None => self.client(),
            Some((https, roots)) => {
                let url = format!(
                    "https://localhost:{}",
                    https.listen.expect("an address").port()
                );
                let address = Address::parse(&url).expect("address");
                Client::new(Transport::new(address, roots).expect("roots"))
            }
        };
        let issuer = issuer.with_limits(Duration::from_secs(5), idle);
        let mut options = Options::new(self.path("agent"), issuer);
        options.backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
        (agent, Link(tokio::spawn(jit_link::run(options))))
    }
}

impl Issuer {
    async fn stop(self) {
        self.orders.send(Order::Stop).await.expect("order");
        self.task.await.expect("task").expect("a good end");
    }
}

struct Link(JoinHandle<()>);

impl Drop for Link {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One connection of the link, as the agent sees it.
struct Agent(UnixStream);

impl Agent {
    /// Takes the next connection and its greeting.
    async fn accept(listener: &UnixListener) -> Self {
        let accept = tokio::time::timeout(SOON, listener.accept());
        let (stream, _) = accept.await.expect("a link in time").expect("accept");
        let mut agent = Self(stream);
        match agent.next().await {
            Up::Hello { version, name } => {
                assert_eq!((version, name.as_str()), (wire::VERSION, "jit-link"));
            }
            other => panic!("{other:?}"),
        }
        agent
    }

    async fn next(&mut self) -> Up {
        let read = async {
            let mut head = [0; frame::HEAD];
            self.0.read_exact(&mut head).await.expect("head");
            let len = frame::body_len(head, frame::LINK).expect("length");
            let mut body = vec![0; len];
            self.0.read_exact(&mut body).await.expect("body");
            frame::decode(&body).expect("message")
        };
        tokio::time::timeout(SOON, read)
            .await
            .expect("a message in time")
    }

    async fn say(&mut self, message: &Down) {
        let bytes = frame::encode(message, frame::LINK).expect("frame");
        self.0.write_all(&bytes).await.expect("write");
    }

    async fn welcome(&mut self, host: &str, after: u64) {
        let message = Down::Welcome {
            version: wire::VERSION,
            host: host.to_owned(),
            after,
        };
        self.say(&message).await;
    }

    async fn statement(&mut self, kind: Kind) -> (Option<u64>, String) {
        match self.next().await {
            Up::Statement { n, kind: k, blob } if k == kind => (n, blob),
            other => panic!("{kind:?} expected: {other:?}"),
        }
    }

    async fn connected(&mut self) {
        assert_eq!(self.next().await, Up::Connected);
    }

    async fn disconnected(&mut self) -> String {
        match self.next().await {
            Up::Disconnected { why } => why,
            other => panic!("{other:?}"),
        }
    }
}

struct Host {
    id: String,
    key: Signer,
    ring: KeyRing,
}

impl Host {
    async fn enrolled(client: &Client) -> Self {
        let (key, _) = Signer::generate().expect("key");
        let id = "spiffe://local.test/host/a".to_owned();
        let got = client
            .enrol(&Enrol {
                host_id: id.clone(),
                host_name: "a".to_owned(),
                jwk: key.public().to_jwk(),
            })
            .await
            .expect("enrolment");
        let pin = sha256_b64(got.trust.as_bytes());
        let ring = statement::trust::verify_first(&got.trust, &pin)
            .expect("trust")
            .ring();
        Self { id, key, ring }
    }

    fn request(&self, dur: u64) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("clock")
            .as_secs();
        let mut random = [0; 10];
        SystemRandom::new().fill(&mut random).expect("random");
        let policy = policy_of(ROLES);
        let request = Request {
            ver: 1,
            iss: self.id.clone(),
            iat: now,
            id: statement::id::ulid(now * 1000, random),
            nonce: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            sub: format!("local:1000@{}", self.id),
            aud: vec![self.id.clone()],
            role: "admin".to_owned(),
            policy_ver: 1,
            authorization_details: vec![policy],
            not_before: 0,
            dur,
            approve_until: now + 60,
            reason: "test".to_owned(),
            ticket: None,
            extends: None,
        };
        self.key.sign(Typ::Request, &request).expect("signature")
    }

    fn grant(&self, bundle: &str) -> statement::VerifiedGrant {
        let me = HostIdentity {
            host: self.id.clone(),
            groups: vec![],
            key: self.key.public(),
        };
        statement::verify_grant(bundle, &self.ring, &me).expect("grant")
    }
}

impl Agent {
    /// Answers the link's next question for a word, which must be the next message.
    async fn word(&mut self, host: &Host, change: impl FnOnce(&mut HostAuth)) {
        let Up::Word { id } = self.next().await else {
            panic!("no question");
        };
        self.answer(id, host, change).await;
    }

    /// The next message that is no such question; those are answered well.
    async fn next_but_words(&mut self, host: &Host) -> Up {
        loop {
            match self.next().await {
                Up::Word { id } => self.answer(id, host, |_| {}).await,
                other => return other,
            }
        }
    }

    async fn answer(&mut self, id: u64, host: &Host, change: impl FnOnce(&mut HostAuth)) {
        let iat = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("clock")
            .as_secs();
        let mut random = [0; 10];
        SystemRandom::new().fill(&mut random).expect("random");
        let mut word = HostAuth {
            ver: 1,
            iss: host.id.clone(),
            aud: "spiffe://local.test/issuer".to_owned(),
            iat,
            exp: iat + 60,
            jti: statement::id::ulid(iat * 1000, random),
            purpose: Purpose::Read,
            body: None,
        };
        change(&mut word);
        let word = host.key.sign(Typ::HostAuth, &word).expect("signature");
        self.say(&Down::Word { id, word }).await;
    }
}

#[tokio::test]
async fn an_issuer_elsewhere_hears_the_hosts_word_for_each_connection() {
    let place = Place::away();
    let issuer = place.issuer().await;
    let host = Host::enrolled(&place.client()).await;
    let (listener, _link) = place.link(SOON);
    let mut agent = Agent::accept(&listener).await;
    agent.welcome(&host.id, 0).await;
    // A wrong word is told to the agent, and the next try asks for another one.
    agent.word(&host, |w| w.iss.push('x')).await;
    let why = agent.disconnected().await;
    assert!(why.contains("another host"), "{why}");
    agent.word(&host, |_| {}).await;
    agent.connected().await;
    agent.statement(Kind::Policy).await;
    agent.statement(Kind::State).await;
    issuer.stop().await;
    let why = agent.disconnected().await;
    assert!(why.contains("issuer"), "{why}");

    // Requests need no word, and go on where the log was left.
    let issuer = place.issuer().await;
    let request = host.request(60);
    agent.say(&Down::Submit { id: 1, request }).await;
    let (mut answered, mut granted) = (false, false);
    while !answered || !granted {
        match agent.next_but_words(&host).await {
            Up::Answer {
                id: 1,
                answer: Answer::Accepted,
            } => answered = true,
            Up::Statement {
                n: Some(2),
                kind: Kind::Grant,
                blob,
            } => {
                host.grant(&blob);
                granted = true;
            }
            Up::Connected | Up::Disconnected { .. } => {}
            Up::Statement {
                kind: Kind::State, ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
    issuer.stop().await;
}

fn policy_of(text: &str) -> statement::detail::Detail {
    policy::load(text).expect("roles").roles()["admin"].expand("admin", "alice", 1000)
}

#[tokio::test]
async fn requests_go_up_and_statements_come_down() {
    let place = Place::new();
    let issuer = place.issuer().await;
    let host = Host::enrolled(&place.client()).await;
    let (listener, _link) = place.link(SOON);
    let mut agent = Agent::accept(&listener).await;

    // Not enrolled yet: nothing happens but answers to requests.
    agent.say(&Down::NotEnrolled).await;
    agent
        .say(&Down::Submit {
            id: 1,
            request: "no".to_owned(),
        })
        .await;
    match agent.next().await {
        Up::Answer {
            id: 1,
            answer: Answer::Denied { detail },
        } => {
            assert_eq!(detail, "This is not a signed request.");
        }
        other => panic!("{other:?}"),
    }
    agent.welcome(&host.id, 0).await;
    agent.connected().await;
    let (n, policy) = agent.statement(Kind::Policy).await;
    assert_eq!(n, Some(1));
    statement::verify_policy(&policy, &host.ring).expect("policy");
    let (n, state) = agent.statement(Kind::State).await;
    assert_eq!(n, None);
    statement::verify_state(&state, &host.ring).expect("state");

    let request = host.request(60);
    agent
        .say(&Down::Submit {
            id: 7,
            request: request.clone(),
        })
        .await;
    // The answer and the grant come on two ways; either may be first.
    let (mut answered, mut granted) = (false, None);
    while !answered || granted.is_none() {
        match agent.next().await {
            Up::Answer {
                id: 7,
                answer: Answer::Accepted,
            } => answered = true,
            Up::Statement {
                n: Some(2),
                kind: Kind::Grant,
                blob,
            } => granted = Some(blob),
            other => panic!("{other:?}"),
        }
    }
    let grant = host.grant(&granted.expect("grant"));
    assert_eq!(grant.request_hash(), sha256_b64(request.as_bytes()));

    agent
        .say(&Down::Submit {
            id: 8,
            request: host.request(7200),
        })
        .await;
    match agent.next().await {
        Up::Answer {
            id: 8,
            answer: Answer::Denied { detail },
        } => {
            assert_eq!(detail, "Role admin lasts at most 1h; 2h was asked for.");
        }
        other => panic!("{other:?}"),
    }

    let revoke = Revoke {
        target: Target::Grant(grant.claims().jti.clone()),
        reason: "test".to_owned(),
    };
    assert_eq!(
        place.client().revoke(&revoke).await.expect("serial").serial,
        1
    );
    let (n, revocation) = agent.statement(Kind::Revocation).await;
    assert_eq!(n, Some(3));
    let revocation = statement::verify_revocation(&revocation, &host.ring).expect("revocation");
    let (_, state) = agent.statement(Kind::State).await;
    let state = statement::verify_state(&state, &host.ring).expect("state");
    assert_eq!((state.rev_serial, &state.rev_head), (1, &revocation.hash()));
    issuer.stop().await;
}

#[tokio::test]
async fn the_issuer_may_come_late_go_and_come_back() {
    let place = Place::new();
    let issuer = place.issuer().await;
    let host = Host::enrolled(&place.client()).await;
    issuer.stop().await;

    let (listener, _link) = place.link(SOON);
    let mut agent = Agent::accept(&listener).await;
    agent.welcome(&host.id, 0).await;
    let why = agent.disconnected().await;
    assert!(
        why.starts_with("cannot reach the issuer at unix:/"),
        "{why}"
    );
    agent
        .say(&Down::Submit {
            id: 1,
            request: host.request(60),
        })
        .await;
    match agent.next().await {
        Up::Answer {
            id: 1,
            answer: Answer::Failed { why },
        } => {
            assert!(why.starts_with("cannot reach the issuer"), "{why}");
        }
        other => panic!("{other:?}"),
    }

    let issuer = place.issuer().await;
    // Nothing was said twice meanwhile.
    agent.connected().await;
    assert_eq!(agent.statement(Kind::Policy).await.0, Some(1));
    agent.statement(Kind::State).await;

    issuer.stop().await;
    let why = agent.disconnected().await;
    assert_eq!(why, "the issuer closed the stream");
    // Another sentence for another trouble, if it got that far; then back, after what was read.
    let issuer = place.issuer().await;
    loop {
        match agent.next().await {
            Up::Disconnected { why } => assert!(why.starts_with("cannot reach"), "{why}"),
            Up::Connected => break,
            other => panic!("{other:?}"),
        }
    }
    agent.statement(Kind::State).await;
    issuer.stop().await;
}

#[tokio::test]
async fn the_agent_may_come_back_and_says_where_to_go_on() {
    let place = Place::new();
    let issuer = place.issuer().await;
    let host = Host::enrolled(&place.client()).await;
    let (listener, _link) = place.link(SOON);
    for after in [0, 1, 0] {
        let mut agent = Agent::accept(&listener).await;
        agent.welcome(&host.id, after).await;
        agent.connected().await;
        if after == 0 {
            assert_eq!(agent.statement(Kind::Policy).await.0, Some(1));
        }
        agent.statement(Kind::State).await;
    }
    // A new word of welcome on the same connection, as after an enrolment, starts the stream anew.
    let mut agent = Agent::accept(&listener).await;
    agent.welcome(&host.id, 1).await;
    agent.connected().await;
    agent.statement(Kind::State).await;
    agent.welcome(&host.id, 0).await;
    agent.connected().await;
    assert_eq!(agent.statement(Kind::Policy).await.0, Some(1));
    agent.statement(Kind::State).await;
    // And it is the only one: what comes now comes once, and nobody reports an end.
    for id in 0..5 {
        let request = host.request(60);
        agent.say(&Down::Submit { id, request }).await;
        let (mut answered, mut granted) = (0, 0);
        while (answered, granted) != (1, 1) {
            match agent.next().await {
                Up::Answer {
                    answer: Answer::Accepted,
                    ..
                } => answered += 1,
                Up::Statement {
                    kind: Kind::Grant, ..
                } => granted += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    issuer.stop().await;
}

#[tokio::test]
async fn an_agent_that_talks_nonsense_is_called_again() {
    let place = Place::new();
    let (listener, _link) = place.link(SOON);
    for bytes in [
        &b"\xff\xff\xff\xff"[..],
        b"\0\0\0\0",
        b"\0\0\0\x02{}",
        b"\0\0\0\x10{\"v\":1",
        b"",
    ] {
        let mut agent = Agent::accept(&listener).await;
        agent.0.write_all(bytes).await.expect("write");
        agent.0.shutdown().await.expect("end");
        // The link lets go by itself.
        let mut rest = Vec::new();
        let end = tokio::time::timeout(SOON, agent.0.read_to_end(&mut rest));
        let _ = end.await.expect("an end in time");
        assert!(rest.is_empty(), "{bytes:?}");
    }
    Agent::accept(&listener).await;
}

/// An issuer that answers each stream with this, and then holds the line.
fn scripted(place: &Place, events: &str) -> JoinHandle<()> {
    let listener = UnixListener::bind(place.path("issuer")).expect("bind");
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}");
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.write_all(answer.as_bytes()).await.expect("write");
            held.push(stream);
        }
    })
}

#[tokio::test]
async fn a_stream_without_heartbeat_is_opened_again() {
    let place = Place::new();
    let _issuer = scripted(&place, "event: state\ndata: x\n\n");
    let (listener, _link) = place.link(Duration::from_millis(100));
    let mut agent = Agent::accept(&listener).await;
    agent.welcome("h", 0).await;
    for _ in 0..3 {
        agent.connected().await;
        assert_eq!(agent.statement(Kind::State).await, (None, "x".to_owned()));
        assert_eq!(
            agent.disconnected().await,
            "the issuer's stream fell silent"
        );
    }
}

#[tokio::test]
async fn what_it_carries_is_not_looked_at() {
    let place = Place::new();
    let odd = "{\"not\": [\"a statement\u{1}\"]} \\ \u{2028} ''";
    let huge = "\u{1}".repeat(90_000);
    let events = format!(
        "id: 5\nevent: trust\ndata: {odd}\n\nid: 6\nevent: grant\ndata: {huge}\n\nid: 7\nevent: revocation\ndata:\n\n"
    );
    let _issuer = scripted(&place, &events);
    let (listener, _link) = place.link(SOON);
    let mut agent = Agent::accept(&listener).await;
    agent.welcome("h", 4).await;
    agent.connected().await;
    assert_eq!(
        agent.statement(Kind::Trust).await,
        (Some(5), odd.to_owned())
    );
    // What fits no frame is left out and holds up nothing.
    assert_eq!(
        agent.statement(Kind::Revocation).await,
        (Some(7), String::new())
    );
}

#[tokio::test]
async fn a_malformed_or_endless_event_ends_the_stream() {
    for (events, want) in [
        (
            "event: gift\ndata: x\n\n".to_owned(),
            "an event of the stream is malformed",
        ),
        ("x".repeat(200_000), "an event of the stream is too long"),
    ] {
        let place = Place::new();
        let _issuer = scripted(&place, &events);
        let (listener, _link) = place.link(SOON);
        let mut agent = Agent::accept(&listener).await;
        agent.welcome("h", 0).await;
        agent.connected().await;
        let why = agent.disconnected().await;
        assert!(why.ends_with(want), "{why}");
    }
}

#[test]
fn the_program_is_ready_at_once_and_pets_the_watchdog() {
    let place = Place::new();
    let notify = UnixDatagram::bind(place.path("notify")).expect("bind");
    notify.set_read_timeout(Some(SOON)).expect("timeout");
    let config = place.path("link.toml");
    let text = format!(
        "issuer = \"unix:{}\"\nagent = {:?}\n",
        place.path("issuer").display(),
        place.path("agent")
    );
    std::fs::write(&config, text).expect("config");
    let mut child = Command::new(env!("CARGO_BIN_EXE_jit-link"))
        .arg("--config")
        .arg(&config)
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "300000")
        .stderr(Stdio::null())
        .spawn()
        .expect("program");
    let mut heard = Vec::new();
    while heard.iter().filter(|m| m == &"WATCHDOG=1").count() < 2 {
        let mut buffer = [0; 64];
        let n = notify.recv(&mut buffer).expect("a word in time");
        heard.push(String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned());
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(heard.first().map(String::as_str), Some("READY=1"));

    std::fs::write(&config, "isuer = 1").expect("config");
    let mut child = Command::new(env!("CARGO_BIN_EXE_jit-link"))
        .arg("--config")
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .expect("program");
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("stderr")
        .read_to_string(&mut said)
        .expect("text");
    assert_eq!(child.wait().expect("wait").code(), Some(1));
    assert!(
        said.contains("link.toml: line 1: unknown key `isuer`; did you mean `issuer`?"),
        "{said}"
    );
}
