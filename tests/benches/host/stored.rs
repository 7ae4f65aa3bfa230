//! Grants by the thousand, as the host's own issuer would have signed them: the bench takes its keys and writes the
//! agent's files. They start later; those that start now are put in force by the agent itself. Each person has at most
//! as many as the agent lets one have.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_tests::Host;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use statement::claims::{Grant, Request, Typ};
use statement::detail::Detail;
use statement::digest::sha256_b64;
use statement::sign::{Signer, bundle};

/// Grants of one person; the agent takes no further request of whoever has so many.
const OF_ONE: u64 = 32;
/// The first of those who hold them.
const FIRST_UID: u64 = 20_000;

pub struct Mint {
    root: PathBuf,
    issuer: Signer,
    host: Signer,
    /// A real one, as stored.
    like: Value,
    made: u64,
    stored: u64,
}

impl Mint {
    /// `like` is the id of a stored grant.
    pub fn new(host: &Host, like: &str) -> Self {
        let root = PathBuf::from(format!("/proc/{}/root", host.init()));
        let key = |path: &str| Signer::from_pkcs8(&fs::read(root.join(path)).unwrap()).unwrap();
        let file = format!("var/lib/jit/grants/{like}.json");
        Self {
            issuer: key("var/lib/jit-issuer/keys/grant.pk8"),
            host: key("var/lib/jit/host.key"),
            like: serde_json::from_slice(&fs::read(root.join(file)).unwrap()).unwrap(),
            root,
            made: 0,
            stored: 0,
        }
    }

    /// Makes people for so many grants, all eligible.
    pub fn people(host: &Host, grants: usize) {
        let last = FIRST_UID + grants as u64 / OF_ONE;
        let script = format!(
            "for uid in $(seq {FIRST_UID} {last}); do \
                echo \"p$uid:x:$uid:100::/:/bin/sh\" >&3; printf ',p%s' $uid >&4; \
             done 3>>/etc/passwd 4>/run/names; \
             sed -i \"/^jit-eligible:/ s/$/$(cat /run/names)/\" /etc/group; id p{last} | grep -q jit-eligible"
        );
        host.sh(&script).ok();
    }

    /// Stores grants that live from `from_s` on for so long. The agent reads them when it starts. Returns their ids.
    pub fn store(&mut self, count: usize, from_s: u64, life_s: u64) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let uid = FIRST_UID + self.stored / OF_ONE;
            self.stored += 1;
            let file = self.next(from_s, life_s, uid);
            ids.push(file["jti"].as_str().unwrap().to_owned());
            let name = format!("var/lib/jit/grants/{}.json", file["jti"].as_str().unwrap());
            fs::write(self.root.join(name), file.to_string()).unwrap();
        }
        ids
    }

    /// The logins of those who hold the first so many.
    pub fn holders(count: usize) -> Vec<String> {
        let count = (count as u64).div_ceil(OF_ONE);
        let uids = FIRST_UID..FIRST_UID + count;
        uids.map(|uid| format!("p{uid}")).collect()
    }

    fn next(&mut self, from_s: u64, life_s: u64, uid: u64) -> Value {
        let login = format!("p{uid}");
        let uid = u32::try_from(uid).unwrap();
        let parts: Value = serde_json::from_str(self.like["bundle"].as_str().unwrap()).unwrap();
        // Base64url once more.
        let request = URL_SAFE_NO_PAD.decode(parts["request"].as_str().unwrap());
        let request: Request = claims(&String::from_utf8(request.unwrap()).unwrap());
        let grant: Grant = claims(parts["grant"].as_str().unwrap());
        let until_s = from_s + life_s;
        let (_, of) = request.sub.split_once('@').unwrap();
        let sub = format!("local:{uid}@{of}");
        let for_him = |mut details: Vec<Detail>| {
            for detail in &mut details {
                detail.login.clone_from(&login);
                detail.uid = uid;
            }
            details
        };
        let request = Request {
            id: self.id(),
            sub: sub.clone(),
            authorization_details: for_him(request.authorization_details),
            dur: life_s,
            not_before: from_s,
            ..request
        };
        let id = request.id.clone();
        let request = self.host.sign(Typ::Request, &request).unwrap();
        let grant = Grant {
            jti: self.id(),
            sub,
            authorization_details: for_him(grant.authorization_details),
            nbf: from_s,
            exp: until_s,
            req_hash: sha256_b64(request.as_bytes()),
            ..grant
        };
        let mut file = self.like.clone();
        file["jti"] = json!(grant.jti);
        file["request"] = json!(id);
        file["login"] = json!(login);
        file["uid"] = json!(uid);
        file["bundle"] = json!(bundle(
            &self.issuer.sign(Typ::Grant, &grant).unwrap(),
            &request
        ));
        file["from_s"] = json!(from_s);
        file["until_s"] = json!(until_s);
        let boot_ns = file["until_boot_ns"].as_u64().unwrap() + 7200 * 1_000_000_000;
        file["until_boot_ns"] = json!(boot_ns);
        file["phase"] = json!("waiting");
        file["timers"] = json!(0);
        file
    }

    fn id(&mut self) -> String {
        self.made += 1;
        let mut random = [0x5a; 10];
        random[..8].copy_from_slice(&self.made.to_be_bytes());
        statement::id::ulid(now_s() * 1000, random)
    }
}

pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// The claims of a compact JWS, believed.
fn claims<T: DeserializeOwned>(jws: &str) -> T {
    let payload = jws.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
