//! Whom the other end of a TLS connection must be certified by. TLS 1.2 and 1.3, with ring; there is no way to skip the check.

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a file of certificates; a distribution's whole bundle has a quarter of a megabyte.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Certification authorities that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system's trust store.
    System,
    /// Only those of this PEM file.
    File(PathBuf),
    /// Only those of this PEM text.
    Pem(String),
}

/// Why nobody can be believed.
#[derive(Debug)]
pub enum BadRoots {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// No certificate in it, or one that is none.
    Wrong(String),
    /// TLS itself cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for BadRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Wrong(why) => f.write_str(why),
            Self::Tls(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for BadRoots {}

/// Who this end is, for a peer that asks for a certificate: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate, then those above it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BadRoots> {
        let wrong = |path: &PathBuf, why: &dyn fmt::Display| {
            BadRoots::Wrong(format!("{}: {why}", path.display()))
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(read(&self.certificate)?.as_bytes())
            .collect::<Result<_, pem::Error>>()
            .map_err(|e| wrong(&self.certificate, &format_args!("not PEM: {e}")))?;
        if chain.is_empty() {
            return Err(wrong(&self.certificate, &"there is no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(read(&self.key)?.as_bytes())
            .map_err(|_| wrong(&self.key, &"there is no private key in it"))?;
        Ok((chain, key))
    }
}

/// The text of a file of certificates.
fn read(path: &PathBuf) -> Result<String, BadRoots> {
    let mut text = String::new();
    File::open(path)
        .and_then(|f| f.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|e| BadRoots::Read(path.clone(), e))?;
    Ok(text)
}

impl Roots {
    /// TLS for a protocol other than HTTP. Without an identity a peer that asks for one refuses us.
    ///
    /// # Errors
    /// Files that cannot be read or hold something else.
    pub fn tls(&self, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, BadRoots> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(BadRoots::Tls)?
            .with_root_certificates(self.read()?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(BadRoots::Tls)?
            }
        };
        Ok(Arc::new(config))
    }

    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, BadRoots> {
        let mut config = ClientConfig::clone(&*self.tls(None)?);
        // One call a connection: nothing would be gained by HTTP/2 here.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn read(&self) -> Result<RootCertStore, BadRoots> {
        match self {
            Self::System => {
                let mut store = RootCertStore::empty();
                let found = rustls_native_certs::load_native_certs();
                // Some systems carry certificates that nobody can parse; the others count.
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    return Err(BadRoots::Wrong(
                        "the system has no certification authorities (package ca-certificates)"
                            .to_owned(),
                    ));
                }
                Ok(store)
            }
            Self::File(path) => {
                let text = read(path)?;
                from_pem(&text).map_err(|why| BadRoots::Wrong(format!("{}: {why}", path.display())))
            }
            Self::Pem(text) => from_pem(text).map_err(BadRoots::Wrong),
        }
    }
}

fn from_pem(text: &str) -> Result<RootCertStore, String> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, pem::Error>>()
            .map_err(|e| format!("not PEM: {e}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate).map_err(|e| e.to_string())?;
    }
    Ok(store)
}
