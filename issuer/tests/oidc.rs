//! ID tokens of a CI beside a person's key: a provider with real keys that rotate, and everything that a token may be instead of
//! the right one.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Client, Error, Status};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use common::people::{Hands, trust};
use common::{Host, Place, now};
use jit_issuer::clock::Clock;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use settings::outgoing::Oidc;
use statement::asked::{NAMESPACE, sealed, to_sign};
use statement::claims::Request;
use statement::sshsig::SshKey;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const AUDIENCE: &str = "https://issuer.example.org:8443";

/// Moved by hand.
#[derive(Debug)]
struct Hand(AtomicU64);

impl Hand {
    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn unix(&self) -> u64 {
        self.unix_ms() / 1000
    }
}

impl Clock for Hand {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn until(&self, _: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("key");
        Self::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("key"))
    }

    fn rsa(hands: &Hands) -> Self {
        let args = [
            "-q", "-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "", "-f", "rsa",
        ];
        let made = hands.keygen(&args, "");
        assert!(made.status.success(), "{made:?}");
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_file(hands.0.path().join("rsa")).expect("key");
        let key = RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).expect("key");
        Self::Rsa(key)
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": B64.encode(x), "y": B64.encode(y),
                    "kid": kid, "use": "sig", "alg": "ES256" })
            }
            Self::Rsa(key) => {
                let key = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": B64.encode(key.n), "e": B64.encode(key.e),
                    "kid": kid, "use": "sig", "alg": "RS256" })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = [header, claims]
            .map(|part| B64.encode(part.to_string()))
            .join(".");
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(key) => key
                .sign(&random, text.as_bytes())
                .expect("signature")
                .as_ref()
                .to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .expect("signature");
                signature
            }
        };
        format!("{text}.{}", B64.encode(signature))
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        self.sign(
            &json!({ "alg": self.alg(), "kid": kid, "typ": "JWT" }),
            claims,
        )
    }
}

/// What the provider says, and how often its keys were asked for.
#[derive(Clone, Default)]
struct Provider {
    says: Arc<Mutex<(Value, Value)>>,
    asked: Arc<AtomicU64>,
    discovered: Arc<AtomicU64>,
}

impl Provider {
    async fn serve() -> (Self, String) {
        let provider = Self::default();
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = format!("http://127.0.0.1:{port}");
        provider.speaks_for(&issuer, &format!("{issuer}/keys"));
        (provider, issuer)
    }

    fn speaks_for(&self, issuer: &str, keys: &str) {
        self.says.lock().expect("says").0 = json!({ "issuer": issuer, "jwks_uri": keys });
    }

    fn has(&self, keys: &[Value]) {
        self.says.lock().expect("says").1 = json!({ "keys": keys });
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn discovered(&self) -> u64 {
        self.discovered.load(Ordering::SeqCst)
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    provider.discovered.fetch_add(1, Ordering::SeqCst);
    Json(provider.says.lock().expect("says").0.clone())
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    Json(provider.says.lock().expect("says").1.clone())
}

struct Ci {
    hands: Hands,
    clock: Arc<Hand>,
    provider: Provider,
    issuer: String,
    place: Place,
}

impl Ci {
    /// Alice is a CI: she asks with her key and a token of this repository.
    async fn new() -> Self {
        let hands = Hands::new();
        let (provider, issuer) = Provider::serve().await;
        let mut place = Place::new();
        trust(&place, |c| c.people = hands.people());
        let clock = Arc::new(Hand(AtomicU64::new(now() * 1000)));
        place.tuning.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        place.config.outgoing.allow = vec!["127.0.0.1".to_owned()];
        let oidc = Oidc {
            person: "alice".to_owned(),
            issuer: issuer.clone(),
            audience: AUDIENCE.to_owned(),
            claims: [("repository", "org/app"), ("ref", "refs/heads/main")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        };
        place.config.oidc.insert("ci".to_owned(), oidc);
        Self {
            hands,
            clock,
            provider,
            issuer,
            place,
        }
    }

    fn claims(&self) -> Value {
        let now = self.clock.unix();
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": "repo:org/app", "iat": now, "nbf": now, "exp": now + 300,
            "repository": "org/app", "ref": "refs/heads/main" })
    }

    fn request(&self, host: &Host) -> String {
        let request = Request {
            iss: "alice".to_owned(),
            approve_until: now() + 600,
            ..host.request()
        };
        let public = SshKey::parse(&self.hands.public("alice", "ed25519")).expect("key");
        let input = to_sign(&request, &public).expect("a request");
        sealed(&input, &self.hands.sign("alice", NAMESPACE, &input))
    }

    async fn ask(&self, client: &Client, host: &Host, token: Option<&str>) -> Result<(), String> {
        match client.submit_with(&self.request(host), token).await {
            Ok(got) => {
                assert_eq!(got.status, Status::Accepted, "{}", got.detail);
                Ok(())
            }
            Err(Error::Problem(p)) => {
                assert_eq!((p.status, p.code()), (403, "not-authentic"));
                Err(p.detail)
            }
            Err(e) => panic!("{e}"),
        }
    }
}

#[tokio::test]
async fn the_key_alone_asks_for_nothing_and_no_other_token_helps_it() {
    let ci = Ci::new().await;
    let (ec, rsa, strange) = (Key::ec(), Key::rsa(&ci.hands), Key::ec());
    ci.provider.has(&[
        ec.jwk("e"),
        rsa.jwk("r"),
        json!({ "kty": "XYZ", "kid": "x" }),
    ]);
    let running = ci.place.start().await;
    let client = ci.place.client();
    let host = Host::enrolled("a", &client).await;

    for good in [ec.token("e", &ci.claims()), rsa.token("r", &ci.claims())] {
        ci.ask(&client, &host, Some(&good)).await.expect("a grant");
    }
    assert_eq!(ci.provider.asked(), 1, "keys are remembered");
    let none = ci.ask(&client, &host, None).await.expect_err("no token");
    assert!(none.contains("--id-token-file"), "{none}");

    let now = ci.clock.unix();
    let with = |member: &str, value: Value| {
        let mut claims = ci.claims();
        claims[member] = value;
        ec.token("e", &claims)
    };
    let without = |member: &str| {
        let mut claims = ci.claims();
        claims.as_object_mut().expect("claims").remove(member);
        ec.token("e", &claims)
    };
    let public = B64
        .decode(ec.jwk("e")["x"].as_str().expect("x"))
        .expect("x");
    let hs256 = {
        let text = [json!({ "alg": "HS256", "kid": "e" }), ci.claims()]
            .map(|p| B64.encode(p.to_string()))
            .join(".");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public);
        format!(
            "{text}.{}",
            B64.encode(ring::hmac::sign(&key, text.as_bytes()))
        )
    };
    let unsigned = {
        let parts = [json!({ "alg": "none", "kid": "e" }), ci.claims()];
        format!("{}.", parts.map(|p| B64.encode(p.to_string())).join("."))
    };
    let long = with("more", json!("x".repeat(9000)));
    let refused = [
        ("a word", "x".to_owned(), "cannot be read"),
        ("too long", long, "at most"),
        (
            "another repository",
            with("repository", json!("org/other")),
            "its repository is not",
        ),
        (
            "a list that holds it",
            with("repository", json!(["org/app"])),
            "its repository is not",
        ),
        (
            "another branch",
            with("ref", json!("refs/heads/x")),
            "its ref is not",
        ),
        ("no branch", without("ref"), "its ref is not"),
        (
            "for somebody else",
            with("aud", json!("https://other.example.org")),
            "for somebody else",
        ),
        (
            "for others as well",
            with("aud", json!([AUDIENCE, "x"])),
            "for us alone",
        ),
        ("for nobody", without("aud"), "cannot be read"),
        (
            "of another issuer",
            with("iss", json!("https://x.example.org")),
            "of another issuer",
        ),
        ("over", with("exp", json!(now - 60)), "it is over"),
        ("without an end", without("exp"), "cannot be read"),
        ("made later", with("iat", json!(now + 120)), "not made yet"),
        ("made at no time", without("iat"), "not made yet"),
        (
            "not yet",
            with("nbf", json!(now + 120)),
            "does not count yet",
        ),
        (
            "of a strange key",
            strange.token("e", &ci.claims()),
            "signature is wrong",
        ),
        (
            "of the other key",
            rsa.token("e", &ci.claims()),
            "RS256 or ES256",
        ),
        (
            "of a key without a kind",
            ec.token("x", &ci.claims()),
            "is refused",
        ),
        (
            "of no key",
            ec.sign(&json!({ "alg": "ES256" }), &ci.claims()),
            "names no key",
        ),
        (
            "of an unknown key",
            ec.token("n", &ci.claims()),
            "key is not known",
        ),
        ("with the public key as secret", hs256, "RS256 or ES256"),
        ("unsigned", unsigned, "is refused"),
    ];
    for (what, token, want) in refused {
        let why = ci.ask(&client, &host, Some(&token)).await.expect_err(what);
        assert!(why.contains(want), "{what}: {why}");
    }
    // A list of one is one.
    let one = with("aud", json!([AUDIENCE]));
    ci.ask(&client, &host, Some(&one)).await.expect("a grant");
    running.stop().await;
}

#[tokio::test]
async fn an_entry_for_somebody_whom_nobody_knows_is_no_start() {
    let mut ci = Ci::new().await;
    ci.place.config.oidc.get_mut("ci").expect("ci").person = "alcie".to_owned();
    let Err(why) = ci.place.try_start().await else {
        panic!("it started");
    };
    let why = why.to_string();
    assert!(
        why.contains("oidc.ci.person") && why.contains("\"alcie\""),
        "{why}"
    );
    ci.place.config.oidc.clear();
    ci.place.config.login = Some(settings::login::Login {
        issuer: ci.issuer.clone(),
        client_id: "jit".to_owned(),
        claim: "sub".to_owned(),
        people: [("1".to_owned(), "bbo".to_owned())].into(),
        claims: [].into(),
        scopes: vec![],
        required: true,
    });
    let Err(why) = ci.place.try_start().await else {
        panic!("it started");
    };
    assert!(why.to_string().contains("\"bbo\""), "{why}");
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_entries_share_its_keys() {
    let mut ci = Ci::new().await;
    let one = ci.place.config.oidc["ci"].clone();
    let other = Oidc {
        claims: [("ref".to_owned(), "refs/heads/other".to_owned())].into(),
        ..one
    };
    ci.place.config.oidc.insert("branch".to_owned(), other);
    let key = Key::ec();
    ci.provider.has(&[key.jwk("e")]);
    let running = ci.place.start().await;
    let client = ci.place.client();
    let host = Host::enrolled("a", &client).await;
    let good = key.token("e", &ci.claims());
    let ask = async || ci.ask(&client, &host, Some(&good)).await;

    // It speaks for somebody else, which is as good as away: the first asks, the others do not.
    ci.provider
        .speaks_for("https://x.example.org", &format!("{}/keys", ci.issuer));
    for _ in 0..3 {
        let why = ask().await.expect_err("no keys");
        assert!(why.contains("cannot be had at present"), "{why}");
    }
    assert_eq!(ci.provider.discovered(), 1);
    ci.provider
        .speaks_for(&ci.issuer, &format!("{}/keys", ci.issuer));
    ask().await.expect_err("too soon");
    ci.clock.pass(31);
    ask().await.expect("a grant");
    // Both entries were looked at, with one set of keys.
    assert_eq!((ci.provider.discovered(), ci.provider.asked()), (2, 1));
    running.stop().await;
}

#[tokio::test]
async fn keys_rotate_and_what_cannot_be_had_is_not_believed_from_before() {
    let ci = Ci::new().await;
    let (old, new) = (Key::ec(), Key::ec());
    ci.provider.has(&[old.jwk("old")]);
    let running = ci.place.start().await;
    let client = ci.place.client();
    let host = Host::enrolled("a", &client).await;
    let by = |key: &Key, kid: &str| key.token(kid, &ci.claims());
    let ask = async |token: String| ci.ask(&client, &host, Some(&token)).await;
    ask(by(&old, "old")).await.expect("a grant");

    // Strangers' names of keys have the provider asked once in half a minute.
    ci.provider.has(&[new.jwk("new")]);
    ask(by(&new, "new")).await.expect_err("too soon");
    ask(by(&new, "new")).await.expect_err("too soon");
    assert_eq!(ci.provider.asked(), 1);
    ci.clock.pass(31);
    ask(by(&new, "new")).await.expect("a grant");
    let gone = ask(by(&old, "old")).await.expect_err("the key is gone");
    assert!(gone.contains("not known"), "{gone}");

    // After an hour they are looked for again, and a provider that speaks for somebody else is not one.
    ci.clock.pass(3601);
    ci.provider
        .speaks_for("https://x.example.org", &format!("{}/keys", ci.issuer));
    let why = ask(by(&new, "new")).await.expect_err("another provider");
    assert!(why.contains("cannot be had"), "{why}");
    ci.clock.pass(31);
    // Nor do its keys lie where we may not look.
    ci.provider
        .speaks_for(&ci.issuer, "https://169.254.169.254/keys");
    ask(by(&new, "new")).await.expect_err("keys elsewhere");
    ci.clock.pass(31);
    ci.provider
        .speaks_for(&ci.issuer, &format!("{}/keys", ci.issuer));
    ask(by(&new, "new")).await.expect("a grant");
    running.stop().await;
}
