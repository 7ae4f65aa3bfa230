//! The issuer's keys, one for each use, so that a stolen one is worth as little as possible.

use crate::error::Error;
use crate::files;
use statement::sign::Signer;
use statement::trust::Use;
use std::path::{Path, PathBuf};

/// Bytes; PKCS#8 of an Ed25519 or P-256 key is far shorter.
const KEY_MAX: u64 = 4096;

/// Uses that a running issuer signs for, and the names of their files.
pub const USES: [(Use, &str); 5] = [
    (Use::Grant, "grant"),
    (Use::Revocation, "revocation"),
    (Use::State, "state"),
    (Use::Enrol, "enrol"),
    (Use::Policy, "policy"),
];

/// The key that signs trust statements. `serve` never reads it.
pub const ROOT: &str = "root";

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

/// # Errors
/// [`Error::File`], [`Error::Exposed`], [`Error::Keys`].
pub fn load(dir: &Path, name: &str) -> Result<Signer, Error> {
    let path = file(dir, name);
    let bytes = files::read_secret(&path, KEY_MAX)?;
    signer(&path, &bytes)
}

/// The key among systemd's credentials, so that it need not lie on the disk in the clear: `jit.issuer.NAME`, which the unit
/// takes from `/etc/credstore.encrypted` where it is there. Nobody but this service is shown it (systemd.exec(5)).
///
/// # Errors
/// [`Error::File`], [`Error::Keys`].
pub fn credential(name: &str) -> Result<Option<Signer>, Error> {
    let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        return Ok(None);
    };
    let path = Path::new(&dir).join(format!("jit.issuer.{name}"));
    match std::fs::read(&path) {
        Ok(bytes) => signer(&path, &bytes).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file(&path)(e)),
    }
}

fn signer(path: &Path, pkcs8: &[u8]) -> Result<Signer, Error> {
    Signer::from_pkcs8(pkcs8).map_err(|e| Error::Keys(format!("{}: {e}", path.display())))
}
