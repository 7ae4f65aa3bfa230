//! A private SSH key in a file, for machines that ask by themselves: Ed25519 or ECDSA P-256 as `ssh-keygen` writes it
//! (OpenSSH PROTOCOL.key), without a passphrase. People's keys stay in their ssh-agent.

use crate::sign::SignError;
use crate::sshsig::{Reader, SshKey, SshSig, string, to_sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use std::fmt;

/// Bytes of a key file; one with a long comment is far below.
const MAX_FILE: usize = 16 * 1024;
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

/// A key that signs as `ssh-keygen -Y sign` does. It shows only its public half.
pub struct SshSigner {
    key: SshKey,
    pair: Pair,
}

impl fmt::Debug for SshSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshSigner")
            .field("key", &self.key.text())
            .finish_non_exhaustive()
    }
}

impl SshSigner {
    /// From the text of a key file.
    ///
    /// # Errors
    /// [`SignError::SshKey`]: another kind of key, one with a passphrase, damaged.
    pub fn from_openssh(text: &str) -> Result<SshSigner, SignError> {
        let not_a_key = SignError::SshKey("not a private key as ssh-keygen writes it");
        let blob = unwrapped(text).ok_or(not_a_key.clone())?;
        let mut r = Reader(&blob);
        r.take(MAGIC.len())
            .filter(|m| *m == MAGIC)
            .ok_or(not_a_key.clone())?;
        if r.string() != Some(b"none") {
            return Err(SignError::SshKey(
                "it has a passphrase: add it to an ssh-agent, or make one without for this machine alone",
            ));
        }
        SshSigner::plain(r).ok_or(SignError::SshKey(
            "not one sound Ed25519 or ECDSA P-256 key in software",
        ))
    }

    /// What follows the name of the cipher, which is none.
    fn plain(mut r: Reader<'_>) -> Option<SshSigner> {
        r.string().filter(|kdf| *kdf == b"none")?;
        r.string().filter(|options| options.is_empty())?;
        r.take(4).filter(|keys| *keys == [0, 0, 0, 1])?;
        let key = SshKey::from_blob(r.string()?)?;
        let secret = r.string()?;
        r.end()?;
        let mut s = Reader(secret);
        let check = s.take(4)?;
        s.take(4).filter(|again| *again == check)?;
        let pair = match s.string()? {
            b"ssh-ed25519" => {
                let public = s.string()?;
                let (seed, same) = s.string()?.split_at_checked(32)?;
                (same == public).then_some(())?;
                Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?)
            }
            b"ecdsa-sha2-nistp256" => {
                s.string().filter(|curve| *curve == b"nistp256")?;
                let public = s.string()?;
                let private = s.number()?;
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let random = SystemRandom::new();
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(alg, &private, public, &random);
                Pair::Es256(pair.ok()?)
            }
            _ => return None,
        };
        let signer = SshSigner { key, pair };
        // That the private half is that of the public one: nothing is signed under another name.
        signer.sign("check", b"").ok()?;
        Some(signer)
    }

    /// The public half.
    pub fn key(&self) -> &SshKey {
        &self.key
    }

    /// The armoured signature over exactly these bytes, for this purpose.
    ///
    /// # Errors
    /// [`SignError::Signature`].
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let input = to_sign(namespace, message);
        let (name, body) = match &self.pair {
            Pair::Ed25519(pair) => ("ssh-ed25519", pair.sign(&input).as_ref().to_vec()),
            Pair::Es256(pair) => {
                let fixed = pair
                    .sign(&SystemRandom::new(), &input)
                    .map_err(|_| SignError::Signature)?;
                let (r, s) = fixed
                    .as_ref()
                    .split_at_checked(32)
                    .ok_or(SignError::Signature)?;
                let mut body = Vec::new();
                for number in [r, s] {
                    string(&mut body, &shortest(number));
                }
                ("ecdsa-sha2-nistp256", body)
            }
        };
        let mut signature = Vec::new();
        string(&mut signature, name.as_bytes());
        string(&mut signature, &body);
        let armoured = self.key.armour(namespace, &signature);
        SshSig::parse(&armoured)
            .and_then(|s| s.verify(namespace, message))
            .map_err(|_| SignError::Signature)?;
        Ok(armoured)
    }
}

/// A positive number as SSH writes it: no needless zero before it, one where the first bit would be a sign.
fn shortest(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|b| *b != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    let mut out = Vec::new();
    if digits.first().is_some_and(|b| *b >= 0x80) {
        out.push(0);
    }
    out.extend(digits);
    out
}

/// The base64 between the two lines.
fn unwrapped(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_FILE {
        return None;
    }
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let joined: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(joined).ok()
}
