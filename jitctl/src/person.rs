//! The issuer as people reach it: where it is, and calls signed with a key of their ssh-agent.
//!
//! `jitctl.toml` of this host, then `jit/jitctl.toml` in the own configuration folder, then options: each overrules the one
//! before. Without any it is the issuer of this box.

use crate::args;
use crate::exit::Code;
use crate::failure::Failure;
use crate::host::ISSUER_SOCK;
use crate::interrupt::runtime;
use crate::login::Kept;
use crate::revoke::refusal;
use api::ssh_agent::{Held, SshAgent};
use api::word::{self, Word};
use api::{Address, Call, Client, Error, Roots, Transport};
use serde::de::DeserializeOwned;
use settings::Places;
use settings::jitctl::Jitctl;
use statement::sign::SshSigner;
use statement::sshsig::SshKey;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

const OWN_FILE: &str = "jit/jitctl.toml";
/// Keys that are tried before it is given up: ssh servers stop at about as many.
const TRIED: usize = 6;

/// What one place says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    issuer: Option<String>,
    ca: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Said {
    fn read(places: &Places) -> Result<Self, Failure> {
        let read = places
            .read::<Jitctl>(|_| Ok(()))
            .map_err(|fault| Failure::new(Code::Usage, format!("{fault}.")))?;
        let set = |key: &str| {
            read.entries()
                .iter()
                .any(|e| e.key == key && e.origin.is_some())
        };
        let issuer = set("issuer").then(|| read.value.issuer.clone());
        Ok(Self {
            issuer,
            ca: read.value.ca,
            key: read.value.key,
        })
    }

    /// An authority belongs to the issuer it stands beside.
    fn over(self, before: Self) -> Self {
        let ca = match self.issuer {
            Some(_) => self.ca,
            None => self.ca.or(before.ca),
        };
        Self {
            issuer: self.issuer.or(before.issuer),
            ca,
            key: self.key.or(before.key),
        }
    }
}

fn own_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let folder = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&set("HOME")?).join(".config")))?;
    Some(folder.join(OWN_FILE))
}

/// An issuer and the keys to sign calls with.
pub struct Issuer {
    client: Client,
    /// Root on the issuer's box: the socket says who calls.
    root: bool,
    /// The only key to sign with, if one was named.
    only: Option<SshKey>,
    /// The private key to sign with, if one was named.
    own: Option<Rc<SshSigner>>,
    /// The key the issuer knew.
    known: Option<SshKey>,
    /// Who is logged in there.
    login: Option<Kept>,
}

impl Issuer {
    /// # Errors
    /// A faulty file or option.
    pub fn find(args: &args::Issuer) -> Result<Self, Failure> {
        let mut before = Said::read(&Places::host())?;
        if let Some(path) = own_file() {
            before = Said::read(&Places::File(path))?.over(before);
        }
        let options = Said {
            issuer: args.issuer.clone(),
            ca: args.ca.clone(),
            key: args.key.clone(),
        };
        Self::new(options.over(before))
    }

    fn new(said: Said) -> Result<Self, Failure> {
        let usage = |why: &dyn std::fmt::Display| Failure::new(Code::Usage, format!("{why}."));
        let default = format!("unix:{ISSUER_SOCK}");
        let address =
            Address::parse(said.issuer.as_deref().unwrap_or(&default)).map_err(|e| usage(&e))?;
        let login = Kept::live(&address);
        let root = !address.is_away() && nix::unistd::geteuid().is_root();
        let roots = said.ca.map_or(Roots::System, Roots::File);
        let named = said.key.as_deref().map(named_key).transpose()?;
        let (only, own) = match named {
            Some(Named::Public(key)) => (Some(key), None),
            Some(Named::Private(own)) => (None, Some(own)),
            None => (None, None),
        };
        // Whoever names a private key speaks as its person, also on this box.
        let root = root && own.is_none();
        Ok(Self {
            client: Client::new(Transport::new(address, &roots).map_err(|e| usage(&e))?),
            root,
            only,
            own,
            known: None,
            login,
        })
    }

    /// Whether this needs no key: root on the issuer's box.
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// The client, for calls that sign something else.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        self.client.transport().address()
    }

    /// The ID token of who is logged in there, for what he signs.
    pub fn id_token(&self) -> Option<String> {
        self.login.as_ref().map(|kept| kept.token.clone())
    }

    /// Makes a call that gives nothing: a login is enough for it, where no key was named.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub fn look<A: DeserializeOwned>(&mut self, call: &Call) -> Result<A, Failure> {
        let named = self.root || self.only.is_some() || self.own.is_some();
        let Some(kept) = self.login.as_ref().filter(|_| !named) else {
            return self.call(call);
        };
        match runtime()?.block_on(self.client.call_as(call, &kept.token)) {
            // What a key can do does not wait for a login.
            Err(Error::Problem(p)) if p.status == 403 && SshAgent::of_session().is_ok() => {
                self.call(call)
            }
            answer => answer.map_err(|e| refused(&e)),
        }
    }

    /// Makes a call, signed with the first key of the ssh-agent that the issuer knows.
    ///
    /// # Errors
    /// The refusal; no agent, no key; no issuer.
    pub fn call<A: DeserializeOwned>(&mut self, call: &Call) -> Result<A, Failure> {
        if self.root {
            return runtime()?
                .block_on(self.client.call(call, None))
                .map_err(|e| refused(&e));
        }
        let mut hand = self.hand()?;
        let mut last = None;
        for key in self.keys(&mut hand)?.iter().take(TRIED) {
            let word = self.word(&mut hand, key, call)?;
            match runtime()?.block_on(self.client.call(call, Some(&word))) {
                Ok(answer) => {
                    self.known = Some(key.clone());
                    return Ok(answer);
                }
                Err(e) if is_unknown_key(&e) => last = Some(e),
                Err(e) => return Err(refused(&e)),
            }
        }
        Err(match last {
            Some(e) => refused(&e).hint("Is the right key in the ssh-agent? See `ssh-add -l`."),
            None => Failure::new(Code::Denied, "The ssh-agent does not hold the key to use.")
                .hint("Add it with `ssh-add`."),
        })
    }

    fn keys(&self, hand: &mut Hand) -> Result<Vec<SshKey>, Failure> {
        let agent = match hand {
            Hand::File(own) => return Ok(vec![own.key().clone()]),
            Hand::Agent(agent) => agent,
        };
        let held: Vec<Held> = agent.keys().map_err(|e| no_key(&e))?;
        let want = self.known.as_ref().or(self.only.as_ref());
        let fits = |key: &SshKey| want.is_none_or(|w| w == key);
        Ok(held.into_iter().map(|h| h.key).filter(fits).collect())
    }

    fn word(&self, hand: &mut Hand, key: &SshKey, call: &Call) -> Result<Word, Failure> {
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        let nonce = nonce()?;
        let text = self.client.to_sign(call, at, &nonce);
        let sig = hand.sign(key, word::NAMESPACE, text.as_bytes())?;
        Ok(Word { at, nonce, sig })
    }

    /// The key the issuer knew signs these bytes as an approval.
    ///
    /// # Errors
    /// No agent, no key, not signed.
    pub fn sign_approval(&self, request: &str) -> Result<String, Failure> {
        let mut hand = self.hand()?;
        let key = match &self.known {
            Some(key) => key.clone(),
            None => self.keys(&mut hand)?.into_iter().next().ok_or_else(|| {
                Failure::new(Code::Denied, "The ssh-agent does not hold the key to use.")
            })?,
        };
        let namespace = statement::sshsig::NAMESPACE;
        hand.sign(&key, namespace, request.as_bytes())
    }

    /// The key the issuer knew, once it has answered a call; it is what a person asks with.
    ///
    /// # Errors
    /// No call was made, as root of the issuer's box: nobody asks as root.
    pub fn known_key(&self) -> Result<SshKey, Failure> {
        self.known.clone().ok_or_else(|| {
            Failure::new(
                Code::Denied,
                "A right is asked for with a key of one's own.",
            )
        })
    }

    /// That key signs these bytes for this purpose.
    ///
    /// # Errors
    /// No agent, no key, not signed.
    pub fn sign(&self, namespace: &str, message: &str) -> Result<String, Failure> {
        let key = self.known_key()?;
        self.hand()?.sign(&key, namespace, message.as_bytes())
    }

    fn hand(&self) -> Result<Hand, Failure> {
        match &self.own {
            Some(own) => Ok(Hand::File(Rc::clone(own))),
            None => SshAgent::of_session()
                .map(Hand::Agent)
                .map_err(|e| no_key(&e)),
        }
    }
}

/// What signs.
enum Hand {
    Agent(SshAgent),
    /// A private key in a file.
    File(Rc<SshSigner>),
}

impl Hand {
    fn sign(&mut self, key: &SshKey, namespace: &str, message: &[u8]) -> Result<String, Failure> {
        match self {
            Hand::Agent(agent) => agent
                .sign(key, namespace, message)
                .map_err(|e| no_key(&e).hint(touch(key))),
            Hand::File(own) => own
                .sign(namespace, message)
                .map_err(|e| Failure::new(Code::Internal, format!("Nothing was signed: {e}."))),
        }
    }
}

fn touch(key: &SshKey) -> &'static str {
    match key.is_on_token() {
        true => "Touch the token when it blinks.",
        false => "See `ssh-add -l`.",
    }
}

/// What `--key` names.
enum Named {
    Public(SshKey),
    Private(Rc<SshSigner>),
}

/// A `.pub` file, or a private key as `ssh-keygen` writes it, without a passphrase and nobody else's to read.
fn named_key(path: &Path) -> Result<Named, Failure> {
    let wrong = |why: String| Failure::new(Code::Usage, format!("{}: {why}.", path.display()));
    let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    if text.starts_with("-----BEGIN") {
        let mode = fs::metadata(path).map_err(|e| wrong(e.to_string()))?.mode();
        if mode & 0o077 != 0 {
            return Err(wrong("others can read this private key".to_owned())
                .hint(format!("Make it yours alone: chmod 600 {}", path.display())));
        }
        return SshSigner::from_openssh(&text)
            .map(|own| Named::Private(Rc::new(own)))
            .map_err(|e| wrong(e.to_string()));
    }
    let words: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
    SshKey::parse(&words.join(" "))
        .map(Named::Public)
        .map_err(|e| wrong(e.to_string()))
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| Failure::new(Code::Internal, format!("There are no random numbers: {e}.")))?;
    Ok(bytes)
}

fn nonce() -> Result<String, Failure> {
    Ok(statement::digest::encode(&random::<16>()?))
}

fn no_key(why: &api::ssh_agent::SshAgentError) -> Failure {
    Failure::new(Code::Denied, format!("Nothing can be signed: {why}."))
        .hint("Start one with `eval $(ssh-agent)`, add the key with `ssh-add`.")
}

fn is_unknown_key(e: &Error) -> bool {
    matches!(e, Error::Problem(p) if p.code() == "unknown-key")
}

/// What the issuer's answer means for who decides about requests.
pub fn refused(e: &Error) -> Failure {
    let failure = refusal(e);
    match e {
        Error::Problem(p) if p.status == 404 => Failure {
            code: Code::NotFound,
            ..failure
        },
        Error::Problem(p) if p.status == 409 => Failure {
            code: Code::Denied,
            ..failure
        },
        Error::Connect { .. } => Failure {
            hint: Some(format!(
                "Is it the right issuer? It is named by --issuer, ~/.config/{OWN_FILE} or /etc/jit/jitctl.toml."
            )),
            ..failure
        },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Said, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jitctl.toml");
        fs::write(&file, text).unwrap();
        Said::read(&Places::File(file))
    }

    #[test]
    fn the_nearer_file_wins_and_an_authority_stays_with_its_issuer() {
        let file = |text: &str| said(text).unwrap();
        let global = file("issuer = \"https://a\"\nca = \"/ca\"\nkey = \"/k\"");
        let own = file("issuer = \"https://b\"");
        let both = own.over(global.clone());
        assert_eq!(both.issuer.as_deref(), Some("https://b"));
        assert_eq!(both.ca, None);
        assert_eq!(both.key.as_deref(), Some(Path::new("/k")));
        assert_eq!(
            file("ca = \"/other\"").over(global).issuer.as_deref(),
            Some("https://a")
        );
        assert!(said("isuer = \"x\"").is_err_and(|f| f.to_string().contains("isuer")));
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = include_str!("../../packaging/etc/jitctl.toml");
        assert_eq!(said(sample).unwrap(), Said::default());
        let shown = said(&sample.replace("#> ", "")).unwrap();
        assert_eq!(shown.issuer.unwrap(), format!("unix:{ISSUER_SOCK}"));
        let other = said(&sample.replace("#+ ", "")).unwrap();
        assert!(other.ca.is_some() && other.key.is_some());
    }

    #[test]
    fn decided_and_unknown_have_their_codes() {
        let problem = |status| {
            let problem = api::Problem {
                kind: "about:blank".to_owned(),
                title: String::new(),
                status,
                detail: "no".to_owned(),
            };
            refused(&Error::Problem(problem)).code
        };
        assert_eq!(problem(404), Code::NotFound);
        assert_eq!(problem(409), Code::Denied);
        assert_eq!(problem(403), Code::Denied);
    }
}
