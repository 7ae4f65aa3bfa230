//! The way to the issuer: a Unix socket on one box, HTTPS to a fleet's.

use crate::tls::{BadRoots, Roots};
use hyper::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Port of an `https:` address that names none.
const PORT: u16 = 443;

/// Where the issuer listens, as it is written in configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:/run/jit-issuer/api.sock`
    Unix(PathBuf),
    /// `https://issuer.example.org:8443`; a name or an address, without a path.
    Https { host: String, port: u16 },
}

/// An address that names no transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no issuer address: write unix:/run/jit-issuer/api.sock or https://HOST[:PORT]",
            self.0
        )
    }
}

impl std::error::Error for BadUrl {}

impl Address {
    /// Reads an address from configuration.
    ///
    /// # Errors
    /// Anything but `unix:` and an absolute path, or `https://`, a host and perhaps a port.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl(url.to_owned());
        if let Some(path) = url.strip_prefix("unix:") {
            return if path.starts_with('/') && !path.contains('\0') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err(bad())
            };
        }
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("https") || !bare || authority.as_str().contains('@') {
            return Err(bad());
        }
        // Of a bad port nothing is left but its text.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => PORT,
            _ => authority.port_u16().ok_or_else(bad)?,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if ServerName::try_from(host).is_err() {
            return Err(bad());
        }
        Ok(Self::Https {
            host: host.to_owned(),
            port,
        })
    }

    /// Not on this box: it knows a caller by his signature alone.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Https { .. })
    }

    /// `Host:` of a request: `localhost` for a socket of this box.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Https { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Https { host, port } => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Https { .. } => write!(f, "https://{}", self.authority()),
        }
    }
}

/// A connected byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An address with all that a connection to it needs.
#[derive(Clone, Debug)]
pub struct Transport {
    address: Address,
    /// Of `https:` alone.
    tls: Option<Arc<ClientConfig>>,
}

impl Transport {
    /// `roots` are read once, here, and only for `https:`.
    ///
    /// # Errors
    /// [`BadRoots`].
    pub fn new(address: Address, roots: &Roots) -> Result<Self, BadRoots> {
        let tls = match address {
            Address::Unix(_) => None,
            Address::Https { .. } => Some(roots.client()?),
        };
        Ok(Self { address, tls })
    }

    /// The issuer on this box.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            address: Address::Unix(path.into()),
            tls: None,
        }
    }

    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match (&self.address, &self.tls) {
            (Address::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await?)),
            (Address::Https { host, port }, Some(tls)) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                let connector = TlsConnector::from(Arc::clone(tls));
                Ok(Box::new(connector.connect(name, tcp).await?))
            }
            // `new` makes none such.
            (Address::Https { .. }, None) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
