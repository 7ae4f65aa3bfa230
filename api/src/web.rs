//! Calls of a server that is no issuer of ours: an OpenID provider. HTTPS, or HTTP to this machine's own loopback; as with the
//! issuer one connection a call, one deadline, a cap on the answer, no redirect followed.

use crate::tls::{BadRoots, Roots};
use crate::transport::Stream;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a whole call.
const CALL: Duration = Duration::from_secs(10);
/// Bytes of an answer's body.
const BODY_MAX: usize = 256 * 1024;
/// Bytes of an answer's head.
const HEAD_MAX: usize = 32 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

/// Whether nobody between could read or answer a call of this address.
#[must_use]
pub fn is_guarded(url: &str) -> bool {
    url.parse().is_ok_and(|uri| place(&uri).is_some())
}

/// Host, port, and whether TLS is to be spoken.
fn place(uri: &Uri) -> Option<(&str, u16, bool)> {
    let authority = uri.authority()?;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" if host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) => false,
        _ => return None,
    };
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") if tls => 443,
        Some("") => 80,
        _ => authority.port_u16()?,
    };
    let named = !authority.as_str().contains('@') && ServerName::try_from(host).is_ok();
    named.then_some((host, port, tls))
}

/// Makes the calls.
#[derive(Clone, Debug)]
pub struct Web {
    tls: Arc<ClientConfig>,
}

impl Web {
    /// # Errors
    /// [`BadRoots`].
    pub fn new(roots: &Roots) -> Result<Self, BadRoots> {
        let tls = roots.client()?;
        Ok(Self { tls })
    }

    /// # Errors
    /// No answer; any status is one.
    pub async fn call(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, NoAnswer> {
        let uri = request.uri().clone();
        let to = uri.authority().map_or("", |a| a.as_str()).to_owned();
        let said = |why: &dyn fmt::Display| NoAnswer(format!("{to}: {why}"));
        let whole = async {
            let (host, port, tls) =
                place(&uri).ok_or_else(|| said(&"only https:// addresses are called"))?;
            let stream = self.connect(host, port, tls).await;
            let stream = stream.map_err(|e| said(&e))?;
            exchange(stream, request, &uri).await.map_err(|e| said(&e))
        };
        tokio::time::timeout(CALL, whole)
            .await
            .map_err(|_| said(&format_args!("no answer within {} s", CALL.as_secs())))?
    }

    async fn connect(&self, host: &str, port: u16, tls: bool) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((host, port)).await?;
        if !tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        Ok(Box::new(connector.connect(name, tcp).await?))
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Vec<u8>>,
    uri: &Uri,
) -> Result<Response<Vec<u8>>, String> {
    let (mut parts, body) = request.into_parts();
    let target = uri.path_and_query().map_or("/", |t| t.as_str());
    parts.uri = target.parse().map_err(|_| "it has no path".to_owned())?;
    let host = uri.authority().map_or("", |a| a.as_str());
    let host = HeaderValue::try_from(host).map_err(|e| e.to_string())?;
    parts.headers.insert(HOST, host);
    let fixed = [
        (USER_AGENT, HeaderValue::from_static("jitctl")),
        (CONNECTION, HeaderValue::from_static("close")),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
    ];
    parts.headers.extend(fixed);
    let request = Request::from_parts(parts, Full::new(Bytes::from(body)));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await;
        let (parts, body) = response.map_err(|e| e.to_string())?.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes().to_vec();
        Ok(Response::from_parts(parts, body))
    };
    // The connection is driven here and closed with it; what goes wrong with it reaches the answer.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer,
        () = drive => Err("closed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine_alone() {
        for good in [
            "https://id.example.org/a?b",
            "https://id.example.org:8443/",
            "http://127.0.0.1:80/x",
            "http://[::1]:80/x",
        ] {
            assert!(is_guarded(good), "{good}");
        }
        for bad in [
            "http://id.example.org/",
            "http://localhost/",
            "http://127.0.0.1.example.org/",
            "http://127.0.0.1@example.org/",
            "https://u@id.example.org/",
            "https://id.example.org:x/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "/x",
            "",
        ] {
            assert!(!is_guarded(bad), "{bad}");
        }
    }
}
