//! People with SSH keys, and their calls.

use super::{DOMAIN, Place, now};
use api::word::{self, Word};
use api::{Call, Client, Error};
use statement::digest::sha256_b64;
use statement::people::{Account, Person, PersonKey};
use statement::sign::{self, Signer};
use statement::trust::{self, TrustClaims};
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Keys of people, as files.
pub struct Hands(pub TempDir);

impl Hands {
    pub fn new() -> Self {
        Self(TempDir::new().expect("directory"))
    }

    pub fn keygen(&self, args: &[&str], stdin: &str) -> std::process::Output {
        let mut child = Command::new("ssh-keygen")
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ssh-keygen, of the package openssh-client");
        let mut to = child.stdin.take().expect("stdin");
        to.write_all(stdin.as_bytes()).expect("stdin");
        drop(to);
        child.wait_with_output().expect("ssh-keygen")
    }

    /// The public half of a key, which is made when it is first named.
    pub fn public(&self, key: &str, kind: &str) -> String {
        let file = self.0.path().join(format!("{key}.pub"));
        if !file.exists() {
            let made = self.keygen(&["-q", "-t", kind, "-N", "", "-C", "", "-f", key], "");
            assert!(made.status.success(), "{made:?}");
        }
        let text = std::fs::read_to_string(file).expect("public key");
        text.trim().to_owned()
    }

    pub fn sign(&self, key: &str, namespace: &str, text: &str) -> String {
        let signed = self.keygen(&["-Y", "sign", "-q", "-f", key, "-n", namespace], text);
        assert!(signed.status.success(), "{signed:?}");
        String::from_utf8(signed.stdout).expect("armour")
    }

    pub fn person(&self, id: &str, groups: &[&str], keys: &[&str]) -> Person {
        let key = |name: &&str| PersonKey {
            ssh: self.public(name, if *name == "carol" { "ecdsa" } else { "ed25519" }),
            nbf: now() - 60,
            exp: now() + 3600,
        };
        Person {
            id: id.to_owned(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            accounts: vec![],
            keys: keys.iter().map(key).collect(),
        }
    }

    /// alice has uid 1000 on hosts, and is of ops herself; bob has two keys.
    pub fn people(&self) -> Vec<Person> {
        let alice = Account {
            login: "alice".to_owned(),
            uid: 1000,
            domain: DOMAIN.to_owned(),
        };
        vec![
            Person {
                accounts: vec![alice],
                ..self.person("alice", &["ops"], &["alice"])
            },
            self.person("bob", &["ops"], &["bob", "bobs-other"]),
            self.person("carol", &["security"], &["carol"]),
            self.person("dave", &["others"], &["dave"]),
        ]
    }
}

/// Gives the issuer another first trust statement, before anybody has seen one.
pub fn trust(place: &Place, change: impl FnOnce(&mut TrustClaims)) {
    let path = place.trust_file();
    let doc = std::fs::read_to_string(&path).expect("trust");
    let mut claims = trust::unverified(&doc).expect("claims");
    change(&mut claims);
    let root = std::fs::read(place.config.state_dir.join("keys/root.pk8")).expect("key");
    let root = Signer::from_pkcs8(&root).expect("key");
    std::fs::write(&path, sign::trust(&claims, &[&root]).expect("signed")).expect("trust");
}

pub fn code(e: &Error) -> String {
    match e {
        Error::Problem(p) => format!("{} {}", p.status, p.code()),
        other => panic!("{other}"),
    }
}

/// A person's call, signed as `jitctl` does; the word may be spoilt first.
pub async fn call<A: serde::de::DeserializeOwned>(
    client: &Client,
    hands: &Hands,
    key: &str,
    call: &Call,
    spoil: impl FnOnce(&mut Word),
) -> Result<A, String> {
    let at = now();
    let nonce = sha256_b64(format!("{key}{:?}", std::time::Instant::now()).as_bytes());
    let text = client.to_sign(call, at, &nonce);
    let mut word = Word {
        at,
        nonce,
        sig: hands.sign(key, word::NAMESPACE, &text),
    };
    spoil(&mut word);
    client.call(call, Some(&word)).await.map_err(|e| code(&e))
}
