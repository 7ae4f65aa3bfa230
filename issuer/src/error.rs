//! What can stop the issuer or one of its calls.

use statement::Refused;
use statement::sign::SignError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Error {
    /// A file or directory cannot be used.
    File { path: PathBuf, why: io::Error },
    /// A configuration file is wrong; `why` names the line.
    Config { path: PathBuf, why: String },
    /// What is set is wrong.
    Settings(settings::Fault),
    /// `init` was run a second time.
    AlreadyInitialised(PathBuf),
    /// `serve` without `init`.
    NotInitialised(PathBuf),
    /// A key or the state directory belongs to somebody else or is open to others.
    Exposed { path: PathBuf, why: String },
    /// Another issuer works on this state, or listens there.
    InUse(PathBuf),
    /// The running issuer refused, or does not answer.
    Asked(api::Error),
    /// Nobody can listen there.
    Listen { listen: SocketAddr, why: io::Error },
    /// `[https]` without `listen`, and no socket of systemd.
    NoSocket,
    /// Certificate and key for HTTPS cannot be used.
    Tls(String),
    /// Key, trust statement and each other do not fit.
    Keys(String),
    /// The store.
    Store(rusqlite::Error),
    /// What was done together with others could not be made durable.
    NotKept(String),
    /// The store is not whole.
    Damaged(String),
    /// The store was written by another version.
    Schema(i64),
    /// Signing failed.
    Sign(SignError),
    /// What was signed would be refused by hosts; nothing was stored or sent.
    OwnStatement(Refused),
    /// The policy is wrong and there is none before it.
    Policy { path: PathBuf, why: String },
    /// The system gave no random bytes.
    Random,
    /// The store's thread is gone.
    Worker,
    /// Service manager or runtime.
    System(io::Error),
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |why| Self::File {
            path: path.to_owned(),
            why,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Config { path, why } | Self::Policy { path, why } => {
                write!(f, "{}: {why}", path.display())
            }
            Self::Settings(fault) => write!(f, "{fault}"),
            Self::AlreadyInitialised(dir) => {
                write!(
                    f,
                    "{} is initialised already; nothing was changed",
                    dir.display()
                )
            }
            Self::NotInitialised(dir) => write!(
                f,
                "{} holds no keys: run `jit-issuer init` as the user jit-issuer",
                dir.display()
            ),
            Self::Exposed { path, why } => write!(f, "{}: {why}", path.display()),
            Self::InUse(path) => write!(f, "{} is in use by another issuer", path.display()),
            Self::Asked(why) => write!(f, "{why}"),
            Self::Listen { listen, why } => write!(f, "cannot listen at {listen}: {why}"),
            Self::NoSocket => f.write_str(
                "[https] names no address and systemd hands over no socket: enable jit-issuer-https.socket",
            ),
            Self::Keys(why) | Self::Tls(why) => f.write_str(why),
            Self::Store(why) => write!(f, "the store failed: {why}"),
            Self::NotKept(why) => f.write_str(why),
            Self::Damaged(why) => write!(f, "the store is damaged: {why}"),
            Self::Schema(found) => write!(
                f,
                "the store has schema {found}, which this version does not know"
            ),
            Self::Sign(why) => write!(f, "cannot sign: {why}"),
            Self::OwnStatement(why) => write!(f, "would have signed what hosts refuse: {why}"),
            Self::Random => f.write_str("the system gave no random bytes"),
            Self::Worker => f.write_str("the store's thread is gone"),
            Self::System(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        Self::Store(e)
    }
}

impl From<SignError> for Error {
    fn from(e: SignError) -> Self {
        Self::Sign(e)
    }
}
