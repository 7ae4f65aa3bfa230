//! SHA-256 and base64url, as every statement uses them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Length of a SHA-256 in base64url without padding.
pub const SHA256_B64_LEN: usize = 43;

/// SHA-256 of `bytes`, base64url without padding: 43 characters.
pub fn sha256_b64(bytes: &[u8]) -> String {
    encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Base64url without padding (RFC 7515 §2).
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Strict: no padding, no whitespace, no trailing bits. So one value has exactly one spelling.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// True for exactly the strings [`sha256_b64`] can return.
pub(crate) fn is_sha256_b64(text: &str) -> bool {
    text.len() == SHA256_B64_LEN && decode(text).is_some_and(|b| b.len() == 32)
}
