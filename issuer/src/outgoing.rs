//! The calls that the issuer makes by itself, to places that an administrator set: what they answer is believed in nothing
//! but what it was asked for.
//!
//! Names are resolved once, every address that comes out is looked at, and the connection goes to one of exactly these: a name
//! that means another address a moment later leads nowhere else. Redirects are answers like others and are not followed.

use crate::error::Error;
use api::Roots;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use settings::outgoing::{Network, Outgoing as Config};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a whole call, from the name to the last byte.
const CALL: Duration = Duration::from_secs(10);
/// Bytes of an answer's head, and of its body.
const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 256 * 1024;
/// Addresses of one name that are tried.
const TRIED: usize = 4;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Url {
    /// # Errors
    /// Why it cannot be called.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || "this URL cannot be called".to_owned();
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let (name, port) = (authority.host(), authority.as_str());
        let port = match port.strip_prefix(name) {
            Some("") if tls => 443,
            Some("") => 80,
            _ => authority.port_u16().ok_or_else(bad)?,
        };
        let host = name.trim_start_matches('[').trim_end_matches(']');
        if authority.as_str().contains('@') || ServerName::try_from(host).is_err() {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            uri,
        })
    }
}

/// For logs: the host alone, as the rest of a hook's URL may be its secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}")
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failed {
    /// It must not be called.
    Forbidden(String),
    /// The name means nothing, or nobody listens, or TLS does not come about.
    Connect(io::Error),
    /// It broke off, or is no HTTP.
    Broken(String),
    TooLong,
    /// After so long.
    Timeout(Duration),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(why) => f.write_str(why),
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::Broken(why) => write!(f, "the call broke off: {why}"),
            Self::TooLong => write!(f, "the answer has more than {BODY_MAX} bytes"),
            Self::Timeout(time) => write!(f, "no answer within {} s", time.as_secs()),
        }
    }
}

impl std::error::Error for Failed {}

/// Makes calls.
#[derive(Clone, Debug)]
pub struct Outgoing {
    allowed: Vec<Network>,
    tls: Arc<ClientConfig>,
    /// For a whole call.
    time: Duration,
}

impl Outgoing {
    /// Reads the authorities once.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        let roots = match &config.ca {
            Some(file) => Roots::File(file.clone()),
            None => Roots::System,
        };
        let tls = roots.tls(None).map_err(|e| Error::Tls(e.to_string()))?;
        Ok(Self {
            allowed: config.networks(),
            tls,
            time: CALL,
        })
    }

    /// With another time for a whole call.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// # Errors
    /// [`Failed`]; any status is an answer.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failed> {
        self.call(Method::POST, url, headers, body).await
    }

    /// # Errors
    /// [`Failed`]; any status is an answer.
    pub async fn get(&self, url: &Url) -> Result<(StatusCode, Bytes), Failed> {
        self.call(Method::GET, url, HeaderMap::new(), Bytes::new())
            .await
    }

    async fn call(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let whole = async {
            let stream = self.connect(url).await?;
            exchange(stream, request(method, url, headers, body)?).await
        };
        tokio::time::timeout(self.time, whole)
            .await
            .map_err(|_| Failed::Timeout(self.time))?
    }

    async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, Failed> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((url.host.as_str(), url.port))
            .await
            .map_err(Failed::Connect)?
            .collect();
        // One that may not be called spoils the name: what it means is not to depend on the order of answers.
        for address in &found {
            self.look(url, address.ip()).map_err(Failed::Forbidden)?;
        }
        let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in found.iter().take(TRIED) {
            match TcpStream::connect(address).await {
                Ok(tcp) if url.tls => {
                    let name = ServerName::try_from(url.host.clone())
                        .map_err(|e| Failed::Broken(e.to_string()))?;
                    let connector = TlsConnector::from(Arc::clone(&self.tls));
                    let tls = connector.connect(name, tcp).await;
                    return Ok(Box::new(tls.map_err(Failed::Connect)?));
                }
                Ok(tcp) => return Ok(Box::new(tcp)),
                Err(e) => why = e,
            }
        }
        Err(Failed::Connect(why))
    }

    fn look(&self, url: &Url, address: IpAddr) -> Result<(), String> {
        let address = address.to_canonical();
        let allowed = self.allowed.iter().any(|net| net.holds(address));
        let is_ours = address.is_loopback() && allowed;
        if !(url.tls || is_ours) {
            return Err(format!(
                "{url} is not https, which only this box's loopback may be where `outgoing.allow` names it"
            ));
        }
        if allowed || is_public(address) {
            return Ok(());
        }
        Err(format!(
            "{url} leads to {address}, which is not public; name its network in `outgoing.allow` if it is meant"
        ))
    }
}

fn request(
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Failed> {
    let broken = |e: &dyn fmt::Display| Failed::Broken(e.to_string());
    let target = url.uri.path_and_query().map_or("/", |t| t.as_str());
    let host = url.uri.authority().map_or("", |a| a.as_str());
    let length = HeaderValue::from(body.len());
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(body))
        .map_err(|e| broken(&e))?;
    let all = request.headers_mut();
    *all = headers;
    all.insert(HOST, HeaderValue::try_from(host).map_err(|e| broken(&e))?);
    all.insert(USER_AGENT, HeaderValue::from_static("jit-issuer"));
    all.insert(CONNECTION, HeaderValue::from_static("close"));
    all.insert(CONTENT_LENGTH, length);
    Ok(request)
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failed> {
    let broken = |e: hyper::Error| Failed::Broken(e.to_string());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        match body {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(Failed::TooLong),
            Err(e) => Err(Failed::Broken(e.to_string())),
        }
    };
    // The connection is driven here and closed with it; what goes wrong with it reaches the answer.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer,
        () = drive => Err(Failed::Broken("closed".to_owned())),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is not anybody's own network, by the registers of IANA. `address` is canonical.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(one) => is_public_v4(one),
        IpAddr::V6(one) => {
            let [a, b, ..] = one.segments();
            // 2000::/3 without protocol assignments (Teredo, ORCHID, …), documentation, 6to4 and its like.
            let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8))
                || a == 0x2002
                || (a == 0x3fff && b < 0x1000);
            (0x2000..0x4000).contains(&a) && !special
        }
    }
}

fn is_public_v4(one: Ipv4Addr) -> bool {
    let [a, b, c, _] = one.octets();
    let special = match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    };
    // Azure answers there with what its machines are.
    !special && one != Ipv4Addr::new(168, 63, 129, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_somebodys_own_is_not_public() {
        for own in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "100::1",
        ] {
            let address: IpAddr = own.parse().unwrap();
            assert!(!is_public(address.to_canonical()), "{own}");
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn no_log_shows_more_of_a_url_than_its_host() {
        let url = Url::parse("https://chat.example.org:8443/hooks/SECRET?token=SECRET").unwrap();
        assert_eq!(url.to_string(), "https://chat.example.org:8443");
        let bad = Url::parse("https://u:SECRET@x/").unwrap_err();
        assert!(!bad.contains("SECRET"), "{bad}");
    }

    fn outgoing(allow: &[&str]) -> Outgoing {
        let dir = tempfile::TempDir::new().unwrap();
        let ca = dir.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([]).unwrap();
        std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        Outgoing::new(&Config {
            allow: allow.iter().map(|n| (*n).to_owned()).collect(),
            ca: Some(ca),
        })
        .unwrap()
    }

    /// A receiver that is never to be reached, and what came to it.
    async fn refused(allow: &[&str], url: &str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&url.replace("PORT", &port.to_string())).unwrap();
        let failed = outgoing(allow).get(&url).await.unwrap_err();
        assert!(matches!(failed, Failed::Forbidden(_)), "{url}: {failed}");
        let came = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(came.is_err(), "{url} was connected to");
        failed.to_string()
    }

    #[tokio::test]
    async fn no_connection_goes_to_what_is_not_public() {
        for url in [
            "https://127.0.0.1:PORT/",
            "https://localhost:PORT/",
            "https://[::ffff:127.0.0.1]:PORT/",
        ] {
            let why = refused(&["10.0.0.0/8"], url).await;
            assert!(why.contains("not public"), "{why}");
        }
        for url in ["http://127.0.0.1:PORT/", "http://localhost:PORT/"] {
            let why = refused(&["10.0.0.0/8"], url).await;
            assert!(why.contains("is not https"), "{why}");
        }
    }

    #[test]
    fn http_is_for_this_box_alone() {
        let out = outgoing(&["127.0.0.0/8", "10.0.0.0/8"]);
        let look = |url: &str, address: &str| {
            let url = Url::parse(url).unwrap();
            out.look(&url, address.parse().unwrap()).is_ok()
        };
        assert!(look("http://x/", "127.0.0.1"));
        assert!(!look("http://x/", "10.0.0.1") && !look("http://x/", "1.1.1.1"));
        assert!(look("https://x/", "10.0.0.1") && look("https://x/", "1.1.1.1"));
        assert!(!look("https://x/", "192.168.0.1") && !look("https://x/", "::1"));
    }

    #[test]
    fn what_cannot_be_called_is_said() {
        for url in [
            "",
            "x",
            "ftp://x/",
            "https://",
            "https://u@x/",
            "https://x:99999/",
            "/x",
            "https://x:/",
            "https://a b/",
            // Numbers that the C library takes for addresses.
            "https://2130706433/",
            "https://127.1/",
            "https://0177.0.0.1/",
        ] {
            assert!(Url::parse(url).is_err(), "{url}");
        }
        let url = Url::parse("https://[2001:4860:4860::8888]/a?b").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("2001:4860:4860::8888", 443));
    }

    /// Answers every connection with these bytes.
    async fn answering(bytes: Vec<u8>) -> Url {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = tcp.read(&mut head).await;
                let _ = tcp.write_all(&bytes).await;
            }
        });
        Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap()
    }

    #[tokio::test]
    async fn redirects_are_not_followed_and_long_answers_not_taken() {
        let out = outgoing(&["127.0.0.1"]);
        let elsewhere = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx".to_vec()).await;
        let redirect =
            format!("HTTP/1.1 307 Go\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
        let (status, body) = out
            .get(&answering(redirect.into_bytes()).await)
            .await
            .unwrap();
        assert_eq!((status.as_u16(), body.len()), (307, 0));
        let mut long = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        long.resize(long.len() + BODY_MAX, b'x');
        let url = answering(long.clone()).await;
        assert_eq!(out.get(&url).await.unwrap().1.len(), BODY_MAX);
        long.push(b'x');
        let failed = out.get(&answering(long).await).await.unwrap_err();
        assert!(matches!(failed, Failed::TooLong), "{failed}");
    }
}
