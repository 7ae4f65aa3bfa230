//! The people of the world and their SSH keys.

use super::{Key, T0, b64, grant, request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use statement::claims::{Grant, Mode, Request, Typ};
use statement::digest::sha256_b64;
use statement::keys::Alg;
use statement::people::{Account, Approval, Format, Need, Person, PersonKey};
use statement::sshsig::NAMESPACE;

/// One of SSH's strings (RFC 4251 §5).
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A positive number in its only spelling.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let start = bytes
        .iter()
        .position(|b| *b != 0)
        .unwrap_or(bytes.len() - 1);
    let mut bytes = bytes[start..].to_vec();
    if bytes[0] >= 0x80 {
        bytes.insert(0, 0);
    }
    string(&bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

/// A key as SSH has it, in software or as on a token.
pub struct Ssh {
    pub key: Key,
    pub token: bool,
    /// What the token says of the touch.
    pub flags: u8,
}

impl Ssh {
    pub fn seeded(seed: u8) -> Ssh {
        Ssh {
            key: Key::seeded(seed),
            token: false,
            flags: 1,
        }
    }

    pub fn on_token(key: Key) -> Ssh {
        Ssh {
            key,
            token: true,
            flags: 1,
        }
    }

    pub fn name(&self) -> &'static str {
        match (self.key.signer.public().alg(), self.token) {
            (Alg::Ed25519, false) => "ssh-ed25519",
            (Alg::Es256, false) => "ecdsa-sha2-nistp256",
            (Alg::Ed25519, true) => "sk-ssh-ed25519@openssh.com",
            (Alg::Es256, true) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    pub fn blob(&self) -> Vec<u8> {
        let jwk = self.key.signer.public().to_jwk();
        let point = match &jwk.y {
            None => string(&super::unb64(&jwk.x)),
            Some(y) => {
                let q = [&[4][..], &super::unb64(&jwk.x), &super::unb64(y)].concat();
                [string(b"nistp256"), string(&q)].concat()
            }
        };
        let application = if self.token { string(b"ssh:") } else { vec![] };
        [string(self.name().as_bytes()), point, application].concat()
    }

    /// As in a `.pub` file.
    pub fn public(&self) -> String {
        format!("{} {}", self.name(), STANDARD.encode(self.blob()))
    }

    /// The whole signature, not armoured; `hash` is named and used.
    pub fn sign_blob(&self, namespace: &str, hash: &str, message: &[u8]) -> Vec<u8> {
        let hashed = match hash {
            "sha256" => sha256(message),
            _ => ring::digest::digest(&ring::digest::SHA512, message)
                .as_ref()
                .to_vec(),
        };
        let common = [
            string(namespace.as_bytes()),
            string(b""),
            string(hash.as_bytes()),
        ]
        .concat();
        let signed = [b"SSHSIG", &common[..], &string(&hashed)].concat();
        let touched = [&[self.flags][..], &7u32.to_be_bytes()].concat();
        let raw = if self.token {
            let input = [sha256(b"ssh:"), touched.clone(), sha256(&signed)].concat();
            self.key.raw(&input)
        } else {
            self.key.raw(&signed)
        };
        let body = match self.key.signer.public().alg() {
            Alg::Ed25519 => string(&raw),
            Alg::Es256 => string(&[mpint(&raw[..32]), mpint(&raw[32..])].concat()),
        };
        let mut signature = [string(self.name().as_bytes()), body].concat();
        if self.token {
            signature.extend(touched);
        }
        [
            b"SSHSIG\0\0\0\x01",
            &string(&self.blob())[..],
            &common,
            &string(&signature),
        ]
        .concat()
    }

    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        armour(&self.sign_blob(namespace, "sha512", message))
    }
}

pub fn armour(blob: &[u8]) -> String {
    let text = STANDARD.encode(blob);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(70)
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        lines.join("\n")
    )
}

/// The keys of the people below.
pub struct Hands {
    pub alice: Ssh,
    pub bob: Ssh,
    pub bobs_other: Ssh,
    pub carol: Ssh,
    pub dave: Ssh,
    pub nobody: Ssh,
}

impl Hands {
    pub fn new() -> Hands {
        Hands {
            alice: Ssh::seeded(41),
            bob: Ssh::seeded(42),
            bobs_other: Ssh::seeded(43),
            carol: Ssh::on_token(Key::seeded(44)),
            dave: Ssh::seeded(45),
            nobody: Ssh::seeded(46),
        }
    }

    /// The two whom the role `dba` needs.
    pub fn two(&self) -> [(&'static str, &Ssh); 2] {
        [("bob", &self.bob), ("carol", &self.carol)]
    }
}

/// Alice has two accounts, bob two keys; dave's key ended at [`T0`].
pub fn people() -> Vec<Person> {
    let hands = Hands::new();
    let person =
        |id: &str, groups: &[&str], keys: &[(&Ssh, u64)], accounts: &[(&str, u32)]| Person {
            id: id.to_owned(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            accounts: accounts
                .iter()
                .map(|(login, uid)| Account {
                    login: (*login).to_owned(),
                    uid: *uid,
                    domain: "local.test".to_owned(),
                })
                .collect(),
            keys: keys
                .iter()
                .map(|(key, exp)| PersonKey {
                    ssh: key.public(),
                    nbf: T0 - 86_400,
                    exp: *exp,
                })
                .collect(),
        };
    let later = T0 + 86_400;
    vec![
        person(
            "alice",
            &["ops"],
            &[(&hands.alice, later)],
            &[("alice", 1000), ("alice-adm", 1001)],
        ),
        person(
            "bob",
            &["ops"],
            &[(&hands.bob, later), (&hands.bobs_other, later)],
            &[("bob", 1002)],
        ),
        person("carol", &["ops", "security"], &[(&hands.carol, later)], &[]),
        person("dave", &["security"], &[(&hands.dave, T0)], &[]),
    ]
}

pub fn needs() -> [(&'static str, Vec<Need>); 2] {
    let need = |group: &str, count| Need {
        group: group.to_owned(),
        count,
    };
    [
        ("dba", vec![need("ops", 2)]),
        ("root-all", vec![need("ops", 1), need("security", 1)]),
    ]
}

/// [`request`] and [`grant`], for a role that people must approve.
pub fn asked(role: &str) -> (Request, Grant) {
    let details = vec![super::role().expand(role, "alice", 1000)];
    let asked = Request {
        role: role.to_owned(),
        authorization_details: details.clone(),
        ..request()
    };
    let given = Grant {
        role: role.to_owned(),
        authorization_details: details,
        mode: Mode::Approved,
        ..grant()
    };
    (asked, given)
}

pub fn approval(by: &str, key: &Ssh, request: &[u8]) -> Approval {
    Approval {
        fmt: Format::Sshsig,
        by: by.to_owned(),
        sig: key.sign(NAMESPACE, request),
    }
}

impl super::World {
    /// A bundle with the approvals that `approve` makes of the request's bytes.
    pub fn approved(
        &self,
        asked: &Request,
        given: &Grant,
        approve: &dyn Fn(&[u8]) -> Vec<Approval>,
    ) -> String {
        let request = self.host.signer.sign(Typ::Request, asked).unwrap();
        let given = Grant {
            req_hash: sha256_b64(request.as_bytes()),
            ..given.clone()
        };
        let grant = self.grant.signer.sign(Typ::Grant, &given).unwrap();
        json!({"v": 1, "grant": grant, "request": b64(&request), "approvals": approve(request.as_bytes())})
            .to_string()
    }

    /// The role `dba`, approved by these.
    pub fn dba(&self, by: &[(&str, &Ssh)]) -> String {
        let (asked, given) = asked("dba");
        self.approved(&asked, &given, &|request| {
            by.iter()
                .map(|(who, key)| approval(who, key, request))
                .collect()
        })
    }
}
