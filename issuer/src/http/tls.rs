//! The issuer's certificate: read at the start, and again when told. A faulty file changes nothing.

use crate::config::Https;
use crate::error::Error;
use crate::files;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of each file.
const FILE_MAX: usize = 256 * 1024;

/// The certificate in use. Connections that are open keep the one they began with.
#[derive(Debug)]
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// # Errors
    /// [`Error::File`], [`Error::Exposed`], [`Error::Tls`].
    pub fn load(https: &Https) -> Result<Self, Error> {
        Ok(Self(RwLock::new(read(https)?)))
    }

    /// Takes what the files hold now; after an error the one before stays.
    ///
    /// # Errors
    /// As [`Certificate::load`].
    pub fn reload(&self, https: &Https) -> Result<(), Error> {
        let fresh = read(https)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

/// TLS 1.2 and 1.3 with ring; HTTP/2 and 1.1.
///
/// # Errors
/// [`Error::Tls`].
pub fn server(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(https: &Https) -> Result<Arc<CertifiedKey>, Error> {
    let wrong =
        |path: &Path, why: &dyn std::fmt::Display| Error::Tls(format!("{}: {why}", path.display()));
    let text = files::read_text(&https.cert, FILE_MAX)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, pem::Error>>()
        .map_err(|e| wrong(&https.cert, &e))?;
    if chain.is_empty() {
        return Err(wrong(&https.cert, &"there is no certificate in it"));
    }
    files::not_for_others(&https.key)?;
    let text = files::read_text(&https.key, FILE_MAX)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| wrong(&https.key, &e))?;
    // It also compares the key with the certificate.
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|e| wrong(&https.cert, &e))?;
    Ok(Arc::new(certified))
}
