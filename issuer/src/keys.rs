//! The issuer's keys, one for each use, so that a stolen one is worth as little as possible.

use crate::error::Error;
use crate::files;
use journal::Witness;
use statement::keys::KeyRing;
use statement::sign::Signer;
use statement::trust::Use;
use std::path::{Path, PathBuf};

/// Bytes; PKCS#8 of an Ed25519 or P-256 key is far shorter.
const KEY_MAX: u64 = 4096;

/// Uses that a running issuer signs for, and the names of their files.
pub const USES: [(Use, &str); 6] = [
    (Use::Grant, "grant"),
    (Use::Revocation, "revocation"),
    (Use::State, "state"),
    (Use::Enrol, "enrol"),
    (Use::Policy, "policy"),
    (Use::Witness, "witness"),
];

/// The key that signs trust statements. `serve` never reads it.
pub const ROOT: &str = "root";

/// Does this ring give the key this use?
#[must_use]
pub fn may(ring: &KeyRing, kid: &str, key_use: Use) -> bool {
    match key_use.typ() {
        Some(typ) => ring.find(kid, typ).is_some(),
        None => ring.witnesses().iter().any(|w| w.kid == kid),
    }
}

/// Name of the key that a coming trust statement names for this use.
#[must_use]
pub fn coming(name: &str) -> String {
    format!("{name}.next")
}

/// `<state>/keys/<name>.pk8`
#[must_use]
pub fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pk8"))
}

/// Makes a new Ed25519 key.
///
/// # Errors
/// [`Error::File`] when the file exists; [`Error::Sign`].
pub fn generate(dir: &Path, name: &str) -> Result<(), Error> {
    let (_, pkcs8) = Signer::generate()?;
    files::create_secret(&file(dir, name), &pkcs8)
}

/// Is there such a key?
#[must_use]
pub fn exists(dir: &Path, name: &str) -> bool {
    credential(name).is_some() || file(dir, name).exists()
}

/// # Errors
/// [`Error::File`], [`Error::Exposed`], [`Error::Keys`].
pub fn load(dir: &Path, name: &str) -> Result<Signer, Error> {
    let (path, pkcs8) = read(dir, name)?;
    Signer::from_pkcs8(&pkcs8).map_err(|e| Error::Keys(format!("{}: {e}", path.display())))
}

/// The key that cosigns heads of journals, under this name.
///
/// # Errors
/// As [`load`].
pub fn witness(dir: &Path, name: &str, called: &str) -> Result<Witness, Error> {
    let (path, pkcs8) = read(dir, name)?;
    let bad = || Error::Keys(format!("{} is no Ed25519 key", path.display()));
    Witness::from_pkcs8(called, &pkcs8).ok_or_else(bad)
}

/// A key as PKCS#8, and where it lay: among systemd's credentials, or in its file.
fn read(dir: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
    let (path, pkcs8) = match credential(name) {
        // Nobody but this service is shown it.
        Some(path) => {
            let pkcs8 = std::fs::read(&path).map_err(Error::file(&path))?;
            (path, pkcs8)
        }
        None => {
            let path = file(dir, name);
            let pkcs8 = files::read_secret(&path, KEY_MAX)?;
            (path, pkcs8)
        }
    };
    Ok((path, pkcs8))
}

/// The credential `jit.issuer.NAME`, which the unit takes from `/etc/credstore.encrypted` where it is there, so that the key
/// need not lie on the disk in the clear (systemd.exec(5)).
fn credential(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(&dir).join(format!("jit.issuer.{name}"));
    path.exists().then_some(path)
}
