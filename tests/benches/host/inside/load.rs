//! A fleet in one program: hosts that are enrolled with the issuer of this box and hold a stream of it over TLS each, as
//! their links do, but no agent behind it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::{Address, Client, Enrol, Event, Kind, Revoke, Roots, Transport};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use statement::claims::{HostAuth, Purpose, Target, Typ};
use statement::digest::sha256_b64;
use statement::keys::KeyRing;
use statement::sign::Signer;
use statement::trust;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use super::calls::micros;
use super::number;

const SOCKET: &str = "/run/jit-issuer/api.sock";
/// Handshakes under way at once; the issuer takes 256.
const AT_ONCE: usize = 64;
/// For one revocation to reach the last host.
const PATIENCE: Duration = Duration::from_secs(60);

/// All hosts so far, and what they hear.
pub struct Fleet {
    runtime: Handle,
    hosts: Vec<Arc<Host>>,
    issuer: String,
    ring: KeyRing,
    away: Client,
    tell: Sender<Heard>,
    heard: Receiver<Heard>,
    revoked: usize,
    /// How far the fleet has read the issuer's log: a host that comes back starts there.
    after: u64,
}

struct Host {
    id: String,
    key: Signer,
}

/// One revocation at one host, or why its stream ended.
type Heard = Result<(Instant, Event), String>;

impl Fleet {
    pub fn new(question: &Value) -> Result<Self, String> {
        let url = question["url"].as_str().ok_or("no url")?;
        let ca = question["ca"].as_str().ok_or("no ca")?;
        let pem = std::fs::read_to_string(ca).map_err(|e| format!("{ca}: {e}"))?;
        let address = Address::parse(url).map_err(|e| e.to_string())?;
        let transport = Transport::new(address, &Roots::Pem(pem)).map_err(|e| e.to_string())?;
        let path = "/var/lib/jit-issuer/trust.json";
        let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        let pin = sha256_b64(text.as_bytes());
        let trust = trust::verify_first(&text, &pin).map_err(|e| e.to_string())?;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| e.to_string())?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|e| e.to_string())?;
        let (tell, heard) = channel();
        Ok(Self {
            runtime: runtime()?,
            hosts: Vec::new(),
            issuer: trust.claims().iss.clone(),
            ring: trust.ring(),
            // A host has its processor for itself; here ten thousand handshakes wait for one.
            away: Client::new(transport).with_limits(PATIENCE, PATIENCE),
            tell,
            heard,
            revoked: 0,
            after: 0,
        })
    }

    /// Makes `count` more hosts known, each with a key of its own.
    pub fn enrol(&mut self, question: &Value) -> Result<Value, String> {
        let domain = self.issuer.trim_end_matches("/issuer").to_owned();
        let client = Client::unix(SOCKET);
        let begun = Instant::now();
        let count = number(&question["count"])?;
        let first = self.hosts.len() as u64;
        for n in first..first + count {
            let (key, _) = Signer::generate().map_err(|e| e.to_string())?;
            let id = format!("{domain}/host/load{n}");
            let asked = Enrol {
                host_id: id.clone(),
                host_name: format!("load{n}"),
                jwk: key.public().to_jwk(),
            };
            let done = self.runtime.block_on(client.enrol(&asked));
            done.map_err(|e| format!("enrolment of {id}: {e}"))?;
            self.hosts.push(Arc::new(Host { id, key }));
        }
        Ok(json!({ "took_us": micros(begun.elapsed()) }))
    }

    /// Opens the streams of the last `count` hosts; each is open when its first state has come. Says how many were in
    /// time.
    pub fn connect(&mut self, question: &Value) -> Result<Value, String> {
        let limit = Duration::from_secs(number(&question["limit_s"])?);
        let count = usize::try_from(number(&question["count"])?).map_err(|e| e.to_string())?;
        let first = self.hosts.len().checked_sub(count).ok_or("too few hosts")?;
        let begun = Instant::now();
        let mut waiting = self.hosts[first..].iter();
        let open = self.runtime.block_on(async {
            let mut under_way = JoinSet::new();
            let mut open = 0;
            loop {
                while under_way.len() < AT_ONCE && begun.elapsed() < limit {
                    let Some(host) = waiting.next() else { break };
                    let opening = open_stream(
                        self.away.clone(),
                        Arc::clone(host),
                        (self.issuer.clone(), self.after),
                        self.tell.clone(),
                    );
                    under_way.spawn_on(opening, &self.runtime);
                }
                match under_way.join_next().await {
                    None => return Ok(open),
                    Some(done) => done.map_err(|e| e.to_string())??,
                }
                open += 1;
            }
        });
        let open: usize = open.map_err(|e: String| format!("a stream: {e}"))?;
        Ok(json!({ "open": open, "took_us": micros(begun.elapsed()) }))
    }

    /// Revokes what one host may have, and says after how many microseconds each of `count` hosts had heard it.
    pub fn fan_out(&mut self, question: &Value) -> Result<Value, String> {
        let count = number(&question["count"])?;
        if let Ok(early) = self.heard.try_recv() {
            let what = early.map_or_else(|why| why, |_| "something nobody said".to_owned());
            return Err(format!("before the revocation, a host heard: {what}"));
        }
        let revoked = &self.hosts[self.revoked % self.hosts.len()];
        self.revoked += 1;
        let revoke = Revoke {
            target: Target::Host(revoked.id.clone()),
            reason: "bench".to_owned(),
        };
        let begun = Instant::now();
        let done = self.runtime.block_on(Client::unix(SOCKET).revoke(&revoke));
        let serial = done.map_err(|e| format!("the revocation: {e}"))?.serial;
        let mut us = Vec::new();
        let mut first: Option<Event> = None;
        for n in 0..count {
            let left = (begun + PATIENCE).saturating_duration_since(Instant::now());
            let (at, event) = match self.heard.recv_timeout(left) {
                Ok(heard) => heard.map_err(|why| format!("a stream ended: {why}"))?,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{n} of {count} hosts heard it in {PATIENCE:?}"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err("nobody listens".to_owned()),
            };
            if first.get_or_insert_with(|| event.clone()) != &event {
                return Err("hosts heard different things".to_owned());
            }
            us.push(micros(at.saturating_duration_since(begun)));
        }
        // Each host does this for itself, on its own processor.
        let first = first.ok_or("no hosts")?;
        let heard = statement::verify_revocation(&first.data, &self.ring);
        let heard = heard.map_err(|e| e.to_string())?;
        self.after = first.id.unwrap_or(self.after);
        if (heard.serial, &heard.target) != (serial, &revoke.target) {
            return Err(format!("revocation {serial} came as {}", heard.serial));
        }
        Ok(json!({ "us": us }))
    }
}

/// Reads the streams beside whoever asks.
fn runtime() -> Result<Handle, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

/// Returns when the stream is open and has said its first state; goes on listening.
async fn open_stream(
    client: Client,
    host: Arc<Host>,
    (issuer, after): (String, u64),
    tell: Sender<Heard>,
) -> Result<(), String> {
    let word = host.word(issuer)?;
    let opened = client.stream(&host.id, after, Some(&word)).await;
    let mut events = opened.map_err(|e| format!("{}: {e}", host.id))?;
    let mut open = false;
    while !open {
        let event = events.next().await.map_err(|e| e.to_string())?;
        // What was revoked before is no news.
        open = event.ok_or("it ended at once")?.kind == Kind::State;
    }
    tokio::spawn(async move {
        loop {
            let heard = match events.next().await {
                Ok(Some(event)) if event.kind == Kind::Revocation => Ok((Instant::now(), event)),
                Ok(Some(_)) => continue,
                Ok(None) => Err("the issuer closed it".to_owned()),
                Err(e) => Err(e.to_string()),
            };
            let over = heard.is_err();
            if tell.send(heard).is_err() || over {
                return;
            }
        }
    });
    Ok(())
}

impl Host {
    /// What the agent signs for its link.
    fn word(&self, issuer: String) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|e| e.to_string())?.as_secs();
        let auth = HostAuth {
            ver: 1,
            iss: self.id.clone(),
            aud: issuer,
            iat: now,
            exp: now + 60,
            // One word a host.
            jti: statement::id::ulid(now * 1000, [0x5a; 10]),
            purpose: Purpose::Read,
            body: None,
        };
        let signed = self.key.sign(Typ::HostAuth, &auth);
        signed.map_err(|e| e.to_string())
    }
}
