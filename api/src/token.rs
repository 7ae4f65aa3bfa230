//! The text that lets one host enrol: where its issuer is, who must have certified it, which trust statement it starts
//! from, and a secret for one use. A host that holds it believes nothing that it did not get with it.

use crate::transport::Address;
use serde::{Deserialize, Serialize};
use statement::digest;
use std::fmt;

const PREFIX: &str = "jit-enrol-1.";
/// Bytes of the text; a certificate is the most of it.
const TEXT_MAX: usize = 64 * 1024;
/// Longest life, seconds.
pub const LIFE_MAX: u64 = 900;

/// What the text says. Its secret is shown by no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The issuer's `https:` address.
    pub url: String,
    /// PEM of the authorities that may have certified it; none: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The issuer's id.
    pub issuer: String,
    /// SHA-256 of the trust statement to start from, base64url.
    pub trust: String,
    /// The host's id.
    pub host: String,
    /// Unix seconds.
    pub exp: u64,
    /// 32 random bytes, base64url.
    pub secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("url", &self.url)
            .field("host", &self.host)
            .field("exp", &self.exp)
            .finish_non_exhaustive()
    }
}

/// Not such a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no enrolment token, or a part of it is missing")
    }
}

impl std::error::Error for BadToken {}

impl Token {
    /// The text, one line.
    ///
    /// # Errors
    /// [`BadToken`] for what the reader would refuse.
    pub fn encode(&self) -> Result<String, BadToken> {
        let json = serde_json::to_vec(self).map_err(|_| BadToken)?;
        let text = format!("{PREFIX}{}", digest::encode(&json));
        Self::decode(&text).map(|_| text)
    }

    /// # Errors
    /// [`BadToken`].
    pub fn decode(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.len() > TEXT_MAX {
            return Err(BadToken);
        }
        let body = text.strip_prefix(PREFIX).ok_or(BadToken)?;
        let json = digest::decode(body).ok_or(BadToken)?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| BadToken)?;
        let away = Address::parse(&token.url).is_ok_and(|a| a.is_away());
        let secret = digest::decode(&token.secret).is_some_and(|s| s.len() == 32);
        if away && secret {
            Ok(token)
        } else {
            Err(BadToken)
        }
    }

    /// What the issuer keeps of the secret, and what a host's proof is over.
    #[must_use]
    pub fn hash(secret: &str) -> String {
        digest::sha256_b64(secret.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            url: "https://issuer.example:8443".to_owned(),
            ca: Some("PEM".to_owned()),
            issuer: "spiffe://x/issuer".to_owned(),
            trust: "t".to_owned(),
            host: "spiffe://x/host/web1".to_owned(),
            exp: 1,
            secret: digest::encode(&[7; 32]),
        }
    }

    #[test]
    fn it_comes_back_and_hides_its_secret() {
        let text = token().encode().unwrap();
        assert_eq!(Token::decode(&format!(" {text}\n")), Ok(token()));
        assert!(!format!("{:?}", token()).contains(&token().secret));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused() {
        let text = token().encode().unwrap();
        for cut in [0, 5, PREFIX.len(), text.len() / 2, text.len() - 1] {
            assert_eq!(Token::decode(&text[..cut]), Err(BadToken), "{cut}");
        }
        for spoil in [
            |t: &mut Token| t.url = "http://x".to_owned(),
            |t: &mut Token| t.url = "unix:/x".to_owned(),
            |t: &mut Token| t.secret = digest::encode(&[7; 31]),
        ] {
            let mut token = token();
            spoil(&mut token);
            assert_eq!(token.encode(), Err(BadToken));
        }
    }
}
