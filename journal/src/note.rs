//! Signed tree heads: C2SP signed-note, tlog-checkpoint. Pure.

use crate::merkle::{Hash, sha256_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Signature type of signed-note: Ed25519.
const ED25519_TYPE: u8 = 1;

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `None` for anything but canonical base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A public Ed25519 key under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    /// What signature lines call it. For a host's own key this is the log's origin.
    pub name: String,
    pub public: [u8; 32],
}

impl NoteKey {
    pub(crate) fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519_TYPE, &self.public)
    }

    /// The key as verifiers are told it: `name+id+base64`.
    #[must_use]
    pub fn vkey(&self) -> String {
        let key = base64(&[&[ED25519_TYPE], &self.public[..]].concat());
        format!("{}+{}+{key}", self.name, crate::text::hex(&self.id()))
    }

    fn line(&self, signature: &[u8; 64]) -> String {
        let bytes = [&self.id()[..], signature].concat();
        format!("\u{2014} {} {}\n", self.name, base64(&bytes))
    }

    /// Did this key sign `text`?
    pub fn verifies(&self, text: &str, signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}

/// What signed-note calls a key beside its name.
pub fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let sum = sha256_of(&[name.as_bytes(), b"\n", &[kind], public]);
    [sum[0], sum[1], sum[2], sum[3]]
}

/// The host's long-lived key, which says whose log this is.
#[derive(Debug)]
pub struct HostKey(pub(crate) Ed25519KeyPair);

impl HostKey {
    /// From PKCS#8 as the agent keeps it; `None` when it is no Ed25519 key.
    #[must_use]
    pub fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
            .ok()
            .map(Self)
    }

    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    pub(crate) fn sign(&self, text: &str) -> [u8; 64] {
        raw(&self.0, text)
    }
}

/// Signs with ring, whose signature has no fixed size in its type.
pub fn raw(pair: &Ed25519KeyPair, text: &str) -> [u8; 64] {
    let mut signature = [0; 64];
    signature.copy_from_slice(pair.sign(text.as_bytes()).as_ref());
    signature
}

/// The three lines that are signed.
pub fn checkpoint(origin: &str, size: u64, root: &Hash) -> String {
    format!("{origin}\n{size}\n{}\n", base64(root))
}

/// Can this be an origin and the name of a key? Signed-note forbids spaces and `+`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c != '+' && c.is_ascii_graphic())
}

/// A note: the text, an empty line, the signatures.
pub fn signed(text: &str, signatures: &[(NoteKey, [u8; 64])]) -> String {
    let lines: String = signatures.iter().map(|(key, s)| key.line(s)).collect();
    format!("{text}\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_line_are_none() {
        assert!(is_name("jit/0a1b/ff"));
        for bad in ["", "a b", "a+b", "a\nb", "é"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
