//! A person's word for one call, signed with the own SSH key: no password, no session, no identity provider. It names the
//! issuer as the caller reaches it, the call, the body and the time, so that it is good for nothing else.

use crate::transport::Address;
use serde::{Deserialize, Serialize};
use statement::digest;

/// What a word is signed under. An approval is signed under another one: neither can stand for the other.
pub const NAMESPACE: &str = "jit-call-v1@jitctl";
/// Scheme of the `Authorization` header.
pub const SCHEME: &str = "Sshsig";
/// Bytes of the header's value.
const WORD_MAX: usize = 4096;
/// Bytes of a nonce.
pub const NONCE_MAX: usize = 64;

/// As it stands in the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Unix seconds.
    pub at: u64,
    /// Heard once; 1..=64 letters, digits, `-` and `_`.
    pub nonce: String,
    /// Armoured SSH signature over [`text`].
    pub sig: String,
}

/// The lines that are signed.
#[must_use]
pub fn text(issuer: &Address, call: (&str, &str, &[u8]), at: u64, nonce: &str) -> String {
    let (method, target, body) = call;
    format!(
        "jit call\n{}\n{method} {target}\n{}\n{at}\n{nonce}\n",
        issuer.authority(),
        digest::sha256_b64(body)
    )
}

impl Word {
    /// The header's value.
    #[must_use]
    pub fn encode(&self) -> String {
        // Numbers and strings always become JSON.
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{SCHEME} {}", digest::encode(&json))
    }

    /// From the header's value; `None` for anything else.
    #[must_use]
    pub fn decode(value: &str) -> Option<Self> {
        let body = value.strip_prefix(SCHEME)?.strip_prefix(' ')?;
        if body.len() > WORD_MAX {
            return None;
        }
        let word: Self = serde_json::from_slice(&digest::decode(body)?).ok()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let good = (1..=NONCE_MAX).contains(&word.nonce.len()) && word.nonce.bytes().all(plain);
        good.then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_for_one_issuer_one_call_one_body_one_moment() {
        let away = |url| Address::parse(url).unwrap();
        let a = away("https://a.example");
        let base = text(&a, ("GET", "/v1/requests", b""), 7, "n");
        assert!(base.starts_with("jit call\na.example:443\nGET /v1/requests\n"));
        for other in [
            text(
                &away("https://b.example"),
                ("GET", "/v1/requests", b""),
                7,
                "n",
            ),
            text(&a, ("POST", "/v1/requests", b""), 7, "n"),
            text(&a, ("GET", "/v1/requests?id=x", b""), 7, "n"),
            text(&a, ("GET", "/v1/requests", b"x"), 7, "n"),
            text(&a, ("GET", "/v1/requests", b""), 8, "n"),
            text(&a, ("GET", "/v1/requests", b""), 7, "m"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_its_own_form_is_read() {
        let word = Word {
            at: 7,
            nonce: "abc-_9".to_owned(),
            sig: "s".to_owned(),
        };
        assert_eq!(Word::decode(&word.encode()), Some(word.clone()));
        for bad in [
            "Bearer x".to_owned(),
            "Sshsig".to_owned(),
            format!("{} ", word.encode()),
            format!(
                "Sshsig {}",
                digest::encode(br#"{"at":1,"nonce":"a","sig":"","x":1}"#)
            ),
            format!(
                "Sshsig {}",
                digest::encode(br#"{"at":1,"nonce":"","sig":""}"#)
            ),
            format!(
                "Sshsig {}",
                digest::encode(br#"{"at":1,"nonce":"a b","sig":""}"#)
            ),
            format!("Sshsig {}", "A".repeat(WORD_MAX + 1)),
        ] {
            assert_eq!(Word::decode(&bad), None, "{bad:.60}");
        }
    }
}
