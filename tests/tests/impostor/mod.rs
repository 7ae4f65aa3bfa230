//! The test in the place of a host's `jit-link`, with statements forged by the issuer's own keys.
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_tests::grants::{elevate, records};
use jit_tests::{Carrier, Host, Shell};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use statement::claims::{Grant, Request};
use statement::digest::sha256_b64;
use statement::sign::Signer;
use wire::frame::{self, LINK};
use wire::link::{Answer, Down, Kind, Up};

pub const SOON: Duration = Duration::from_secs(5);

/// The test in the place of `jit-link`.
pub struct Link(pub Carrier);

impl Link {
    /// Connects as `jit-link` does, and says hello. Returns the host's id and its place in the issuer's log, too.
    pub fn connect(host: &Host) -> (Self, String, u64) {
        let socket = "/run/jit/link.sock";
        let mut link = Self(host.carrier("jit-link", "jit-link", socket).unwrap());
        let hello = Up::Hello {
            version: wire::VERSION,
            name: "jit-link".into(),
        };
        assert!(link.up(&hello));
        assert!(link.up(&Up::Connected));
        match link.down() {
            Down::Welcome { host, after, .. } => (link, host, after),
            other => panic!("{other:?}"),
        }
    }

    pub fn up(&mut self, message: &Up) -> bool {
        self.0.send(&frame::encode(message, LINK).unwrap())
    }

    /// The next message but receipts, heads for the witness, and questions about what was taken, which come by their own time.
    pub fn down(&mut self) -> Down {
        loop {
            let head = self.0.take(frame::HEAD, SOON).expect("an open connection");
            let length = frame::body_len(head.try_into().unwrap(), LINK).unwrap();
            match frame::decode(&self.0.take(length, SOON).unwrap()).unwrap() {
                Down::Receipt { .. } | Down::Withdraw { .. } | Down::Witness { .. } => {}
                Down::Submit { id, request } if !is_new(&request) => {
                    let answer = Answer::Accepted;
                    self.up(&Up::Answer { id, answer });
                }
                other => return other,
            }
        }
    }

    pub fn deliver(&mut self, kind: Kind, blob: &str) {
        let (n, blob) = (None, blob.to_owned());
        assert!(self.up(&Up::Statement { n, kind, blob }));
    }

    /// The next request of the host, which is told that the issuer took it.
    pub fn take_request(&mut self) -> String {
        match self.down() {
            Down::Submit { id, request } => {
                let answer = Answer::Accepted;
                assert!(self.up(&Up::Answer { id, answer }));
                request
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whether no link of this run has taken this request before.
fn is_new(request: &str) -> bool {
    static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    TAKEN.lock().unwrap().insert(request.to_owned())
}

/// What a thief of everything the issuer has could sign with.
pub struct Keys {
    pub grant: Signer,
    pub revocation: Signer,
    pub state: Signer,
    pub policy: Signer,
    /// Signs trust statements; on one box it lies beside the others.
    pub root: Signer,
    /// The host's own.
    pub host: Signer,
}

impl Keys {
    pub fn steal(host: &Host) -> Self {
        let root = format!("/proc/{}/root", host.init());
        let key = |path: &str| Signer::from_pkcs8(&fs::read(format!("{root}{path}")).unwrap());
        let issuer = |name| key(&format!("/var/lib/jit-issuer/keys/{name}.pk8")).unwrap();
        Self {
            grant: issuer("grant"),
            revocation: issuer("revocation"),
            state: issuer("state"),
            policy: issuer("policy"),
            root: issuer("root"),
            host: key("/var/lib/jit/host.key").unwrap(),
        }
    }
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

pub fn new_id() -> String {
    let (_, random) = Signer::generate().unwrap();
    let end = random.len() - 10;
    statement::id::ulid(now() * 1000, random[end..].try_into().unwrap())
}

/// The claims of a compact JWS, believed.
pub fn claims<T: DeserializeOwned>(jws: &str) -> T {
    let payload = jws.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap())
}

/// Another character at the place, one that base64url has as well.
pub fn altered(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// The grant that the issuer would give for the request. `like` is one that it gave.
pub fn honest(like: &Grant, request: &str) -> Grant {
    let asked: Request = claims(request);
    let iat = now();
    Grant {
        iat,
        jti: new_id(),
        seq: like.seq + 1,
        nbf: iat,
        exp: iat + asked.dur,
        role: asked.role,
        authorization_details: asked.authorization_details,
        req_hash: sha256_b64(request.as_bytes()),
        reason: asked.reason,
        ticket: asked.ticket,
        ..like.clone()
    }
}

/// Has the wrong statements delivered; each must be refused with its sentence, journaled, and give nothing.
#[track_caller]
pub fn all_refused(host: &Host, link: &mut Link, wrong: &[(&str, Kind, String, &str)]) {
    for (_, kind, blob, _) in wrong {
        link.deliver(*kind, blob);
    }
    let of = |record: &Value, kind: Kind, blob: &str| {
        record["detail"]["hash"] == sha256_b64(blob.as_bytes()).as_str()
            && record["detail"]["what"] == serde_json::to_value(kind).unwrap()
    };
    let (_, kind, blob, _) = wrong.last().unwrap();
    host.wait_record("the last refusal", |r| of(r, *kind, blob));
    let records = records(host);
    for (name, kind, blob, why) in wrong {
        let record = records
            .iter()
            .rfind(|r| of(r, *kind, blob))
            .unwrap_or_else(|| panic!("{name}: no record"));
        assert_eq!(record["type"], "refused", "{name}: {record}");
        assert_eq!(record["decision"], "deny", "{name}: {record}");
        let said = record["detail"]["why"].as_str().unwrap();
        assert!(
            said.contains(why),
            "{name}: expected {why:?}, found {said:?}"
        );
    }
}

/// No unit, no membership, no grant on disk.
#[track_caller]
pub fn nothing_given(host: &Host, alice: &mut Shell) {
    host.sh("test -z \"$(systemctl list-units --all --no-legend 'jit-0*')\"; ")
        .ok();
    host.sh("test -z \"$(ls /run/userdb /var/lib/jit/grants | grep -e alice -e json)\"")
        .ok();
    host.sh("id -nG alice").ok().hides("jit-admin");
    alice
        .run("sudo -n id")
        .refused()
        .hides("uid=0")
        .says("jitctl elevate");
    alice.run("jitctl status").exits(6);
}

/// Waits until alice can use the grant: its record comes first.
pub fn in_force(host: &Host, id: &str) {
    let shown = format!("runuser -u alice -- jitctl status | grep -q {id}");
    host.wait_for("the grant is in force", SOON, &shown);
}

/// Waits until alice has no grant and the proof of the last one is journaled.
pub fn drop_all(host: &Host, alice: &mut Shell) {
    alice.run("jitctl drop --all").ok();
    host.wait_for(
        "the end of the grant",
        SOON,
        "! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json",
    );
}

/// Alice asks; the test gets the request in the place of the issuer. It stays open.
pub fn ask(alice: &mut Shell, link: &mut Link, life: &str) -> String {
    alice.send(&format!(
        "jitctl elevate --no-wait --for {life} --reason 'asked of the link'\n"
    ));
    let request = link.take_request();
    alice.run("true").ok();
    request
}

/// What the issuer has for this host after entry `after`: kind, blob.
pub fn stream(host: &Host, id: &str, after: u64) -> Vec<(String, String)> {
    let said = host.sh(&format!(
        "curl -sN --max-time 1 --unix-socket /run/jit-issuer/api.sock 'http://x/v1/stream?host={id}&after={after}'"
    ));
    let mut events = Vec::new();
    let mut kind = String::new();
    for line in said.stdout.lines() {
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut kind);
        } else if let Some(data) = line.strip_prefix("data:") {
            events.push((kind.clone(), data.trim().to_owned()));
        }
    }
    assert!(!events.is_empty(), "{said}");
    events
}

pub fn of_kind(events: &[(String, String)], kind: &str) -> Vec<String> {
    let mine = events.iter().filter(|(k, _)| k == kind);
    mine.map(|(_, blob)| blob.clone()).collect()
}

/// A host whose link is played by the test, and a grant that its issuer really gave and that is over.
pub fn without_link() -> (Host, Shell, Keys, String) {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let id = elevate(&mut alice, "--for 60s").id;
    let file: Value =
        serde_json::from_str(&host.read(&format!("/var/lib/jit/grants/{id}.json"))).unwrap();
    let real = file["bundle"].as_str().unwrap().to_owned();
    drop_all(&host, &mut alice);
    host.run(&["systemctl", "stop", "jit-link"]).ok();
    let keys = Keys::steal(&host);
    (host, alice, keys, real)
}

pub fn grant_of(bundle: &str) -> Grant {
    let parts: Value = serde_json::from_str(bundle).unwrap();
    claims(parts["grant"].as_str().unwrap())
}
