//! The keys of a person's ssh-agent (draft-ietf-sshm-ssh-agent): which there are, and a signature by one of them. Blocking;
//! nothing of a private key ever comes here. Each signature is verified before it is handed out.

use statement::sshsig::{self, SshKey, SshSig};
use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const VARIABLE: &str = "SSH_AUTH_SOCK";
/// For an answer the agent has ready.
const QUICK: Duration = Duration::from_secs(5);
/// For one that may wait for a person: a confirmation, the touch of a token.
const PERSON: Duration = Duration::from_secs(120);
/// Bytes of an answer, as OpenSSH's own limit.
const ANSWER_MAX: usize = 256 * 1024;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Why there is no key or no signature.
#[derive(Debug)]
pub enum SshAgentError {
    /// `SSH_AUTH_SOCK` is not set.
    None,
    /// The agent cannot be reached, or went away.
    Io(PathBuf, io::Error),
    /// It has no key of a kind that approvals know.
    NoKey,
    /// It refused: locked, not confirmed, not touched.
    Refused,
    /// Its answer is not of this protocol, or the signature does not fit.
    Garbled,
}

impl fmt::Display for SshAgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "there is no ssh-agent: {VARIABLE} is not set"),
            Self::Io(path, why) => write!(f, "the ssh-agent at {}: {why}", path.display()),
            Self::NoKey => f.write_str(
                "the ssh-agent holds no Ed25519 or ECDSA P-256 key (`ssh-add -l` lists what it has)",
            ),
            Self::Refused => f.write_str(
                "the ssh-agent did not sign: it is locked, or nobody confirmed or touched the token",
            ),
            Self::Garbled => f.write_str("the ssh-agent's answer does not fit the question"),
        }
    }
}

impl std::error::Error for SshAgentError {}

/// A key that the agent can sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub key: SshKey,
    /// As it was added, often a file's name; from elsewhere, so not to be printed raw.
    pub comment: String,
}

/// An open connection to an ssh-agent.
pub struct SshAgent {
    path: PathBuf,
    stream: UnixStream,
}

impl SshAgent {
    /// The one of this session.
    ///
    /// # Errors
    /// [`SshAgentError::None`], [`SshAgentError::Io`].
    pub fn of_session() -> Result<Self, SshAgentError> {
        match env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
            Some(path) => Self::connect(Path::new(&path)),
            None => Err(SshAgentError::None),
        }
    }

    /// # Errors
    /// [`SshAgentError::Io`].
    pub fn connect(path: &Path) -> Result<Self, SshAgentError> {
        let stream = UnixStream::connect(path)
            .and_then(|s| s.set_write_timeout(Some(QUICK)).map(|()| s))
            .map_err(|e| SshAgentError::Io(path.to_owned(), e))?;
        Ok(Self {
            path: path.to_owned(),
            stream,
        })
    }

    /// The keys that can approve: software first, because a token must be touched for each try.
    ///
    /// # Errors
    /// [`SshAgentError`]; [`SshAgentError::NoKey`] rather than an empty list.
    pub fn keys(&mut self) -> Result<Vec<Held>, SshAgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], QUICK)?;
        let mut held = identities(&answer).ok_or(SshAgentError::Garbled)?;
        held.sort_by_key(|h| h.key.is_on_token());
        if held.is_empty() {
            return Err(SshAgentError::NoKey);
        }
        Ok(held)
    }

    /// The armoured signature (`ssh-keygen -Y sign`) of `key` over exactly these bytes, for this purpose.
    ///
    /// # Errors
    /// [`SshAgentError`].
    pub fn sign(
        &mut self,
        key: &SshKey,
        namespace: &str,
        message: &[u8],
    ) -> Result<String, SshAgentError> {
        let mut ask = vec![SIGN_REQUEST];
        for part in [key.blob(), &sshsig::to_sign(namespace, message)] {
            ask.extend(length(part)?);
            ask.extend(part);
        }
        // No flags: they are RSA's.
        ask.extend([0; 4]);
        let answer = self.ask(&ask, PERSON)?;
        let mut parts = Parts(&answer);
        let signature = match parts.byte() {
            Some(SIGN_RESPONSE) => parts.string().ok_or(SshAgentError::Garbled)?,
            Some(_) => return Err(SshAgentError::Refused),
            None => return Err(SshAgentError::Garbled),
        };
        let armour = key.armour(namespace, signature);
        SshSig::parse(&armour)
            .and_then(|s| s.verify(namespace, message))
            .map_err(|_| SshAgentError::Garbled)?;
        Ok(armour)
    }

    fn ask(&mut self, message: &[u8], patience: Duration) -> Result<Vec<u8>, SshAgentError> {
        let mut framed = length(message)?.to_vec();
        framed.extend(message);
        let mut talk = || {
            self.stream.set_read_timeout(Some(patience))?;
            self.stream.write_all(&framed)?;
            let mut head = [0; 4];
            self.stream.read_exact(&mut head)?;
            let size = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
            if size > ANSWER_MAX {
                return Ok(None);
            }
            let mut answer = vec![0; size];
            self.stream.read_exact(&mut answer)?;
            Ok(Some(answer))
        };
        talk()
            .map_err(|e| SshAgentError::Io(self.path.clone(), e))?
            .ok_or(SshAgentError::Garbled)
    }
}

fn length(part: &[u8]) -> Result<[u8; 4], SshAgentError> {
    u32::try_from(part.len())
        .map(u32::to_be_bytes)
        .map_err(|_| SshAgentError::Garbled)
}

/// Keys of other kinds are left out; anything else that is wrong spoils the answer.
fn identities(answer: &[u8]) -> Option<Vec<Held>> {
    let mut parts = Parts(answer);
    if parts.byte()? != IDENTITIES_ANSWER {
        return None;
    }
    let mut held = Vec::new();
    for _ in 0..parts.number()? {
        let (blob, comment) = (parts.string()?, parts.string()?);
        if let Some(key) = SshKey::from_blob(blob) {
            let comment = String::from_utf8_lossy(comment).into_owned();
            held.push(Held { key, comment });
        }
    }
    parts.0.is_empty().then_some(held)
}

/// SSH's data types (RFC 4251 §5).
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let n = self.number()?;
        self.take(usize::try_from(n).ok()?)
    }
}
