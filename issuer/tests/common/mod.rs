//! An issuer in a temporary directory, and hosts that ask it.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part; a failed expectation is a failed test"
)]

pub mod people;

use api::token::Token;
use api::{Address, Client, Enrol, Enrolled, Error, Event, Events, Join, Kind, Roots, Transport};
use jit_issuer::config::{Config, Https};
use jit_issuer::http::table::Uids;
use jit_issuer::init;
use jit_issuer::serve::{Hooks, Order, Tuning, serve};
use ring::rand::{SecureRandom, SystemRandom};
use statement::HostIdentity;
use statement::claims::{HostAuth, Purpose, Request, State, Typ};
use statement::detail::{AllOr, Auth, Command, Detail, Door, OnEnd, Record};
use statement::digest::sha256_b64;
use statement::keys::KeyRing;
use statement::sign::Signer;
use statement::trust;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub const DOMAIN: &str = "local.test";

pub const ROLES: &str = r#"default = "admin"
[roles.admin]
max = "1h"
max_stale = "2m"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
shell = true
auth = "none"
[roles.web]
max = "15m"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/bin/systemctl", args = ["restart", "nginx"] }]
[roles.unruled]
max = "1h"
doors = []
groups = ["adm"]
[[approve]]
name = "test"
roles = ["admin", "web"]
effect = "automatic"
"#;

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("clock")
        .as_secs()
}

pub fn me() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// A state directory that was initialised, with a policy.
pub struct Place {
    pub dir: TempDir,
    pub config: Config,
    pub tuning: Tuning,
    pub uids: Uids,
}

impl Place {
    pub fn new() -> Self {
        Self::new_in(std::env::temp_dir())
    }

    pub fn new_in(parent: impl AsRef<std::path::Path>) -> Self {
        let dir = TempDir::new_in(parent).expect("directory");
        let config = Config {
            socket: dir.path().join("s"),
            state_dir: dir.path().join("state"),
            roles: dir.path().join("roles.toml"),
            ..Config::default()
        };
        std::fs::write(&config.roles, ROLES).expect("roles");
        init::init(&config.state_dir, DOMAIN, false).expect("init");
        Self {
            dir,
            config,
            tuning: Tuning::default(),
            // Whoever runs the tests is the link and the issuer.
            uids: Uids {
                root: u32::MAX - 1,
                link: Some(me()),
                issuer: me(),
            },
        }
    }

    /// Lets it serve HTTPS on this machine's loopback, certified for `localhost` by an authority of its own.
    pub fn https(&mut self) -> Authority {
        let authority = Authority::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = free.local_addr().expect("its number");
        let https = Https {
            listen: Some(listen),
            cert: self.dir.path().join("cert.pem"),
            key: self.dir.path().join("key.pem"),
            url: Some(format!("https://localhost:{}", listen.port())),
            ca: Some(self.dir.path().join("ca.pem")),
        };
        authority.certify(&https, "localhost");
        std::fs::write(self.dir.path().join("ca.pem"), &authority.pem).expect("authority");
        self.config.https = Some(https);
        authority
    }

    /// The same for the settings of a program.
    pub fn https_text(&self) -> String {
        let Some(https) = &self.config.https else {
            return String::new();
        };
        format!(
            "[https]\nlisten = \"{}\"\ncert = {:?}\nkey = {:?}\nurl = {:?}\nca = {:?}\n",
            self.address(),
            https.cert,
            https.key,
            https.url.as_deref().unwrap_or_default(),
            https.ca.as_deref().unwrap_or(self.dir.path()),
        )
    }

    pub fn address(&self) -> std::net::SocketAddr {
        let https = self.config.https.as_ref().expect("HTTPS");
        https.listen.expect("an address")
    }

    /// A client that comes from elsewhere.
    pub fn away(&self, roots: &Roots) -> Client {
        let port = self.address().port();
        let address = Address::parse(&format!("https://localhost:{port}")).expect("address");
        Client::new(Transport::new(address, roots).expect("roots"))
    }

    pub fn roles(&self, text: &str) {
        std::fs::write(&self.config.roles, text).expect("roles");
    }

    pub fn client(&self) -> Client {
        Client::unix(&self.config.socket)
    }

    pub fn trust_file(&self) -> PathBuf {
        self.config.state_dir.join("trust.json")
    }

    /// Starts it and returns when it takes calls.
    pub async fn start(&self) -> Running {
        match self.try_start().await {
            Ok(running) => running,
            Err(e) => panic!("did not start: {e}"),
        }
    }

    pub async fn try_start(&self) -> Result<Running, jit_issuer::Error> {
        let (orders, rx) = mpsc::channel(1);
        let (tell, ready) = oneshot::channel();
        let (config, tuning, uids) = (self.config.clone(), self.tuning.clone(), self.uids);
        let task = tokio::spawn(async move {
            let hooks = Hooks {
                socket: None,
                ready: Box::new(|| {
                    let _ = tell.send(());
                }),
                alive: Box::new(|| {}),
            };
            serve(&config, &tuning, uids, rx, hooks).await
        });
        match ready.await {
            Ok(()) => Ok(Running { orders, task }),
            Err(_) => match task.await.expect("task") {
                Err(e) => Err(e),
                Ok(()) => panic!("ended before it was ready"),
            },
        }
    }
}

pub struct Running {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<(), jit_issuer::Error>>,
}

impl Running {
    pub async fn order(&self, order: Order) {
        self.orders.send(order).await.expect("order");
    }

    pub async fn stop(self) {
        self.order(Order::Stop).await;
        self.task.await.expect("task").expect("a good end");
    }
}

/// A certification authority.
pub struct Authority {
    key: rcgen::KeyPair,
    params: rcgen::CertificateParams,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::new([]).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("certificate").pem();
        Self { key, params, pem }
    }

    pub fn roots(&self) -> Roots {
        Roots::Pem(self.pem.clone())
    }

    /// Writes a new key and its certificate.
    pub fn certify(&self, https: &Https, name: &str) {
        let key = rcgen::KeyPair::generate().expect("key");
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("parameters");
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("certificate");
        std::fs::write(&https.cert, certificate.pem()).expect("certificate");
        std::fs::write(&https.key, key.serialize_pem()).expect("key");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&https.key, private).expect("mode");
    }
}

/// A host with its key, once enrolled with all it needs to verify.
pub struct Host {
    pub id: String,
    pub key: Signer,
    pub ring: Option<KeyRing>,
}

impl Host {
    pub fn new(name: &str) -> Self {
        let (key, _) = Signer::generate().expect("key");
        Self {
            id: format!("spiffe://{DOMAIN}/host/{name}"),
            key,
            ring: None,
        }
    }

    pub async fn enrolled(name: &str, client: &Client) -> Self {
        let mut host = Self::new(name);
        host.enrol(client).await;
        host
    }

    pub async fn enrol(&mut self, client: &Client) -> Enrolled {
        let got = client
            .enrol(&Enrol {
                host_id: self.id.clone(),
                host_name: "test".to_owned(),
                jwk: self.key.public().to_jwk(),
            })
            .await
            .expect("enrolment");
        let pin = sha256_b64(got.trust.as_bytes());
        let trust = trust::verify_first(&got.trust, &pin).expect("trust statement");
        self.ring = Some(trust.ring());
        got
    }

    pub fn ring(&self) -> &KeyRing {
        self.ring.as_ref().expect("enrolled")
    }

    pub fn identity(&self) -> HostIdentity {
        HostIdentity {
            host: self.id.clone(),
            groups: vec![],
            key: self.key.public(),
        }
    }

    /// A good request; change it before it is signed.
    pub fn request(&self) -> Request {
        let iat = now();
        Request {
            ver: 1,
            iss: self.id.clone(),
            iat,
            id: statement::id::ulid(iat * 1000, random()),
            nonce: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            sub: format!("local:1000@{}", self.id),
            aud: vec![self.id.clone()],
            role: "admin".to_owned(),
            policy_ver: 1,
            authorization_details: vec![admin()],
            not_before: 0,
            dur: 60,
            approve_until: iat + 60,
            reason: "test".to_owned(),
            ticket: Some("T-1".to_owned()),
            extends: None,
        }
    }

    pub fn sign(&self, request: &Request) -> String {
        self.key.sign(Typ::Request, request).expect("signature")
    }

    /// This host's word for a call that reads the log; change it before it is signed.
    pub fn word(&self) -> HostAuth {
        let iat = now();
        HostAuth {
            ver: 1,
            iss: self.id.clone(),
            aud: format!("spiffe://{DOMAIN}/issuer"),
            iat,
            exp: iat + 60,
            jti: statement::id::ulid(iat * 1000, random()),
            purpose: Purpose::Read,
            body: None,
        }
    }

    /// Uses a token as `jitctl enrol` does; change the proof before it is signed.
    pub async fn join(
        &mut self,
        token: &Token,
        change: impl FnOnce(&mut HostAuth),
    ) -> Result<Enrolled, Error> {
        self.id.clone_from(&token.host);
        let mut proof = HostAuth {
            purpose: Purpose::Enrol,
            body: Some(Token::hash(&token.secret)),
            ..self.word()
        };
        change(&mut proof);
        let join = Join {
            secret: token.secret.clone(),
            jwk: self.key.public().to_jwk(),
            proof: self.say(&proof),
        };
        let roots = token.ca.clone().map_or(Roots::System, Roots::Pem);
        let address = Address::parse(&token.url).expect("address");
        let client = Client::new(Transport::new(address, &roots).expect("roots"));
        let got = client.join(&join).await?;
        let trust = trust::verify_first(&got.trust, &token.trust).expect("trust statement");
        self.ring = Some(trust.ring());
        Ok(got)
    }

    pub fn say(&self, word: &HostAuth) -> String {
        self.key.sign(Typ::HostAuth, word).expect("signature")
    }

    pub fn state(&self, event: &Event) -> State {
        assert_eq!(event.kind, Kind::State);
        assert_eq!(event.id, None);
        (*statement::verify_state(&event.data, self.ring()).expect("state")).clone()
    }

    pub fn grant(&self, event: &Event) -> statement::VerifiedGrant {
        assert_eq!(event.kind, Kind::Grant);
        statement::verify_grant(&event.data, self.ring(), &self.identity()).expect("grant")
    }

    pub fn revocation(&self, event: &Event) -> statement::Verified<statement::claims::Revocation> {
        assert_eq!(event.kind, Kind::Revocation);
        statement::verify_revocation(&event.data, self.ring()).expect("revocation")
    }
}

fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    SystemRandom::new().fill(&mut bytes).expect("random");
    bytes
}

/// What the role `admin` stands for, for alice.
pub fn admin() -> Detail {
    policy::load(ROLES).expect("roles").roles()["admin"].expand("admin", "alice", 1000)
}

pub fn web() -> Detail {
    policy::load(ROLES).expect("roles").roles()["web"].expand("web", "alice", 1000)
}

pub fn command(path: &str) -> AllOr<Command> {
    AllOr::List(vec![Command {
        path: path.to_owned(),
        args: vec![],
    }])
}

/// Nothing but the two names.
pub fn nothing() -> Detail {
    Detail {
        kind: statement::detail::DETAIL_TYPE.to_owned(),
        login: "alice".to_owned(),
        uid: 1000,
        doors: vec![Door::Sudo],
        groups: vec![],
        runas: AllOr::List(vec![]),
        commands: AllOr::List(vec![]),
        shell: false,
        sudoedit: vec![],
        cwd: vec![],
        env: vec![],
        tty: false,
        once: false,
        auth: Auth::None,
        record: Record::None,
        on_end: OnEnd::Kill,
        unlock: vec![],
        witnessed: None,
    }
}

pub async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .expect("an event in time")
        .expect("a good stream")
        .expect("an open stream")
}

/// Everything up to and with the next state.
pub async fn until_state(events: &mut Events) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let event = next(events).await;
        let kind = event.kind;
        all.push(event);
        if kind == Kind::State {
            return all;
        }
    }
}
