//! Why a call gave no answer.

use crate::types::Problem;
use std::fmt;
use std::io;

/// Each variant tells the caller what he may do about it.
#[derive(Debug)]
pub enum Error {
    /// Nobody there; nothing was sent.
    Connect { to: String, why: io::Error },
    /// No answer in time; the call may or may not have been carried out.
    Timeout,
    /// The connection broke; the call may or may not have been carried out.
    Broken(String),
    /// The answer is not of this protocol, or too large.
    Garbled(String),
    /// The issuer says no, with its reason.
    Problem(Problem),
}

impl Error {
    /// The same call may succeed later: the issuer is away, slow or overloaded.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout | Self::Broken(_) => true,
            Self::Garbled(_) => false,
            Self::Problem(p) => p.status >= 500 || p.status == 429 || p.status == 408,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { to, why } => write!(f, "cannot reach the issuer at {to}: {why}"),
            Self::Timeout => f.write_str("the issuer did not answer in time"),
            Self::Broken(why) => write!(f, "the connection to the issuer broke: {why}"),
            Self::Garbled(why) => write!(f, "the issuer's answer makes no sense: {why}"),
            Self::Problem(p) if !p.detail.is_empty() => f.write_str(&p.detail),
            Self::Problem(p) => write!(f, "the issuer refused with status {}", p.status),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { why, .. } => Some(why),
            _ => None,
        }
    }
}
