//! Signatures of people, as `ssh-keygen -Y sign` and ssh-agent make them (OpenSSH PROTOCOL.sshsig, PROTOCOL.u2f).
//!
//! Ed25519 and ECDSA P-256, in software or on a FIDO token. The parser is strict: one signature has one spelling,
//! nothing is skipped, nothing may follow. Certificates, RSA and other curves do not exist here.

use crate::Refused;
use crate::keys::{Alg, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA512, digest};

/// What an approval is signed under: a signature made for another purpose approves nothing.
pub const NAMESPACE: &str = "jit-approval-v1@jitctl";
/// Largest armoured signature, bytes. One of a token with a long application name is below 1 kB.
pub const MAX_SSHSIG: usize = 2048;
/// Largest public key in its text form, bytes.
pub const MAX_SSH_KEY: usize = 1024;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----";
const ED25519: &str = "ssh-ed25519";
const ECDSA: &str = "ecdsa-sha2-nistp256";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const CURVE: &[u8] = b"nistp256";
/// What we hash with when we have something signed, as `ssh-keygen` does.
const HASH: &[u8] = b"sha512";
/// Characters of a line of armour.
const LINE: usize = 70;
/// Flag of a token: somebody touched it.
const USER_PRESENT: u8 = 1;

/// A person's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// As SSH writes it; two keys are the same when this is.
    blob: Vec<u8>,
    /// Name of its type, which its signatures repeat.
    name: &'static str,
    key: PublicKey,
    /// The application a FIDO token signs for.
    application: Option<Vec<u8>>,
}

impl SshKey {
    /// From one line of a `.pub` file without its comment: type, one blank, base64.
    ///
    /// # Errors
    /// [`Refused::Sshsig`].
    pub fn parse(text: &str) -> Result<SshKey, Refused> {
        let refused = Refused::Sshsig {
            why: "not an Ed25519 or ECDSA P-256 public key of SSH",
        };
        let read = || {
            let (name, b64) = text.split_once(' ').filter(|_| text.len() <= MAX_SSH_KEY)?;
            let key = SshKey::from_blob(&STANDARD.decode(b64).ok()?)?;
            (key.name == name).then_some(key)
        };
        read().ok_or(refused)
    }

    /// The bytes SSH knows the key by.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// As in a `.pub` file, without a comment.
    pub fn text(&self) -> String {
        format!("{} {}", self.name, STANDARD.encode(&self.blob))
    }

    /// RFC 7638 thumbprint of its public key: what requests and revocations name it by.
    pub fn kid(&self) -> String {
        self.key.kid()
    }

    /// Whether it lies on a FIDO token, which wants to be touched for each signature.
    pub fn is_on_token(&self) -> bool {
        self.application.is_some()
    }

    /// The armour around what this key signed, which was [`to_sign`]'s answer for the same namespace.
    pub fn armour(&self, namespace: &str, signature: &[u8]) -> String {
        let mut blob = MAGIC.to_vec();
        blob.extend([0, 0, 0, 1]);
        for part in [&self.blob, namespace.as_bytes(), b"", HASH, signature] {
            string(&mut blob, part);
        }
        let mut text = BEGIN.to_owned();
        let base64 = STANDARD.encode(blob);
        for (n, c) in base64.chars().enumerate() {
            if n > 0 && n % LINE == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text + "\n" + END + "\n"
    }

    /// From the bytes SSH knows it by; `None` for a kind that does not exist here.
    pub fn from_blob(blob: &[u8]) -> Option<SshKey> {
        let mut r = Reader(blob);
        let (name, alg, on_token) = match r.string()? {
            n if n == ED25519.as_bytes() => (ED25519, Alg::Ed25519, false),
            n if n == ECDSA.as_bytes() => (ECDSA, Alg::Es256, false),
            n if n == SK_ED25519.as_bytes() => (SK_ED25519, Alg::Ed25519, true),
            n if n == SK_ECDSA.as_bytes() => (SK_ECDSA, Alg::Es256, true),
            _ => return None,
        };
        let bytes = match alg {
            Alg::Ed25519 => r.string().filter(|k| k.len() == 32)?,
            Alg::Es256 => {
                r.string().filter(|curve| *curve == CURVE)?;
                r.string().filter(|q| q.len() == 65 && q[0] == 4)?
            }
        };
        let application = if on_token {
            Some(r.string()?.to_vec())
        } else {
            None
        };
        r.end()?;
        Some(SshKey {
            blob: blob.to_vec(),
            name,
            key: PublicKey::from_raw(alg, bytes),
            application,
        })
    }

    /// Whether the signature part of an SSHSIG over `signed` is this key's.
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> Option<()> {
        let mut r = Reader(signature);
        r.string().filter(|name| *name == self.name.as_bytes())?;
        let body = r.string()?;
        let fixed = match self.key.alg() {
            Alg::Ed25519 => body.to_vec(),
            Alg::Es256 => {
                let mut numbers = Reader(body);
                let fixed = [numbers.number()?, numbers.number()?].concat();
                numbers.end()?;
                fixed
            }
        };
        let message = match &self.application {
            None => signed.to_vec(),
            Some(application) => {
                let flags = *r.take(1)?.first()?;
                let counter = r.take(4)?;
                if flags & USER_PRESENT == 0 {
                    return None;
                }
                [
                    digest(&SHA256, application).as_ref(),
                    &[flags],
                    counter,
                    digest(&SHA256, signed).as_ref(),
                ]
                .concat()
            }
        };
        r.end()?;
        self.key.verifies(&message, &fixed).then_some(())
    }
}

/// A signature whose form is right and which nobody has verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSig {
    key: SshKey,
    namespace: Vec<u8>,
    hash: Vec<u8>,
    signature: Vec<u8>,
}

impl SshSig {
    /// From the armour that `ssh-keygen -Y sign` writes.
    ///
    /// # Errors
    /// [`Refused::TooLarge`], [`Refused::Sshsig`].
    pub fn parse(armoured: &str) -> Result<SshSig, Refused> {
        if armoured.len() > MAX_SSHSIG {
            return Err(Refused::TooLarge {
                what: "SSH signature",
                bytes: armoured.len(),
                limit: MAX_SSHSIG,
            });
        }
        let refuse = |why| Refused::Sshsig { why };
        let blob = unarmour(armoured).ok_or(refuse("not in the armour of ssh-keygen"))?;
        SshSig::from_blob(&blob).ok_or(refuse("not a well-formed signature of a known key type"))
    }

    fn from_blob(blob: &[u8]) -> Option<SshSig> {
        let mut r = Reader(blob);
        r.take(MAGIC.len()).filter(|m| *m == MAGIC)?;
        r.take(4).filter(|version| *version == [0, 0, 0, 1])?;
        let key = SshKey::from_blob(r.string()?)?;
        let namespace = r.string()?.to_vec();
        // Reserved: nothing is written there.
        r.string().filter(|reserved| reserved.is_empty())?;
        let hash = r
            .string()
            .filter(|h| matches!(*h, b"sha256" | b"sha512"))?
            .to_vec();
        let signature = r.string()?.to_vec();
        r.end()?;
        Some(SshSig {
            key,
            namespace,
            hash,
            signature,
        })
    }

    /// Says who claims to have signed.
    pub fn key(&self) -> &SshKey {
        &self.key
    }

    /// Verifies it over these bytes and for this purpose.
    ///
    /// # Errors
    /// [`Refused::Sshsig`].
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), Refused> {
        let refuse = |why| Refused::Sshsig { why };
        if self.namespace != namespace.as_bytes() {
            return Err(refuse("made for another purpose"));
        }
        let signed = signed_data(&self.namespace, &self.hash, message);
        self.key
            .verifies(&signed, &self.signature)
            .ok_or(refuse("the signature does not match"))
    }
}

/// What the key signs: magic, namespace, nothing, the hash's name, the hash of the message.
fn signed_data(namespace: &[u8], hash: &[u8], message: &[u8]) -> Vec<u8> {
    let hashed = match hash {
        b"sha256" => digest(&SHA256, message),
        _ => digest(&SHA512, message),
    };
    let mut out = MAGIC.to_vec();
    for part in [namespace, b"", hash, hashed.as_ref()] {
        string(&mut out, part);
    }
    out
}

/// What a key must sign so that the signature is one over `message`: for an ssh-agent. See [`SshKey::armour`].
pub fn to_sign(namespace: &str, message: &[u8]) -> Vec<u8> {
    signed_data(namespace.as_bytes(), HASH, message)
}

pub(crate) fn string(out: &mut Vec<u8>, part: &[u8]) {
    // Parts are short: a namespace of ours, names, hashes, keys, signatures.
    out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(part);
}

/// The base64 between the two lines, broken as `ssh-keygen` breaks it: 70 characters a line.
fn unarmour(text: &str) -> Option<Vec<u8>> {
    let body = text.strip_prefix(BEGIN)?;
    let body = body.strip_suffix('\n').unwrap_or(body).strip_suffix(END)?;
    let lines: Vec<&str> = body.strip_suffix('\n')?.split('\n').collect();
    let (last, full) = lines.split_last()?;
    let well_broken = full.iter().all(|l| l.len() == LINE) && (1..=LINE).contains(&last.len());
    let joined = well_broken.then(|| lines.concat())?;
    STANDARD.decode(joined).ok()
}

/// SSH's data types (RFC 4251 §5).
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length: [u8; 4] = self.take(4)?.try_into().ok()?;
        self.take(usize::try_from(u32::from_be_bytes(length)).ok()?)
    }

    /// A positive number of at most 256 bits in its only spelling, as 32 bytes.
    pub(crate) fn number(&mut self) -> Option<[u8; 32]> {
        let bytes = match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => rest,
            [first, ..] if *first == 0 || *first >= 0x80 => return None,
            bytes => bytes,
        };
        let mut out = [0; 32];
        let at = out
            .len()
            .checked_sub(bytes.len())
            .filter(|at| *at < out.len())?;
        out[at..].copy_from_slice(bytes);
        Some(out)
    }

    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
