//! Where the browser comes back to: a port of 127.0.0.1 that listens for one answer. Everybody on this machine, and every page
//! in the browser, can call it, so all that is not the answer is told so and changes nothing.

use oauth2::url::form_urlencoded;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PATH: &str = "/callback";
/// Bytes of a call's head, and how long it may take.
const HEAD_MAX: usize = 16 * 1024;
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Calls at once; browsers open some for later.
const CALLS: usize = 16;

/// What the provider has the browser say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// A code, or the name of an error.
    pub outcome: Result<String, String>,
    /// RFC 9207.
    pub iss: Option<String>,
}

/// Listens.
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// # Errors
    /// There is no port.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where to.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the answer with this state; then nothing listens any more.
    pub async fn answer(self, state: &str) -> Came {
        let state: Arc<str> = state.into();
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                Some(done) = calls.join_next() => {
                    if let Ok(Some(came)) = done {
                        return came;
                    }
                }
                taken = self.listener.accept(), if calls.len() < CALLS => match taken {
                    Ok((stream, _)) => {
                        calls.spawn(serve(stream, self.port, Arc::clone(&state)));
                    }
                    // Out of descriptors: wait for some to come back instead of spinning.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }
}

async fn serve(mut stream: TcpStream, port: u16, state: Arc<str>) -> Option<Came> {
    let head = tokio::time::timeout(HEAD_TIME, head(&mut stream)).await;
    let judged = match head {
        Ok(Ok(head)) => judge(&head, port, &state),
        _ => return None,
    };
    let (status, text) = match &judged {
        Ok(_) => (
            "200 OK",
            "Received. The terminal says what came of it; this page can be closed.\n",
        ),
        Err(no) => *no,
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // Whether the browser shows it changes nothing.
    let _ = tokio::time::timeout(HEAD_TIME, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
    judged.ok()
}

/// Up to the empty line; what comes after it is nobody's business.
async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while head.len() < HEAD_MAX {
        let n = stream.read(&mut part).await?;
        head.extend(part.get(..n).unwrap_or_default());
        if n == 0 || head.windows(4).any(|w| w == b"\r\n\r\n") {
            return Ok(head);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// A status line and a sentence.
type No = (&'static str, &'static str);

const MALFORMED: No = ("400 Bad Request", "This is no call.\n");
const STRANGE: No = (
    "400 Bad Request",
    "This is not the answer that is waited for.\n",
);

/// Whether this is the answer.
fn judge(head: &[u8], port: u16, state: &str) -> Result<Came, No> {
    let text = std::str::from_utf8(head).map_err(|_| MALFORMED)?;
    let (head, _) = text.split_once("\r\n\r\n").ok_or(MALFORMED)?;
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words[..] else {
        return Err(MALFORMED);
    };
    // A name that somebody made lead here is not ours.
    let mut hosts = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim());
    if hosts.next() != Some(&format!("127.0.0.1:{port}")) || hosts.next().is_some() {
        return Err(STRANGE);
    }
    if method != "GET" {
        return Err(("405 Method Not Allowed", "This is only read.\n"));
    }
    let Some((PATH, query)) = target.split_once('?') else {
        return Err(("404 Not Found", "There is nothing here.\n"));
    };
    let one = |name: &str| {
        let mut all = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name);
        match (all.next(), all.next()) {
            (Some((_, value)), None) => Ok(Some(value.into_owned())),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(STRANGE),
        }
    };
    if one("state")?.as_deref() != Some(state) {
        return Err(STRANGE);
    }
    let outcome = match (one("code")?, one("error")?) {
        (Some(code), None) if !code.is_empty() => Ok(code),
        (None, Some(error)) => Err(error),
        _ => return Err(STRANGE),
    };
    Ok(Came {
        outcome,
        iss: one("iss")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(target: &str) -> Result<Came, No> {
        let head = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1:7\r\n\r\n");
        judge(head.as_bytes(), 7, "s t")
    }

    #[test]
    fn the_answer_is_one_code_or_one_error_with_our_state() {
        let came = call("/callback?code=a%2Bb&state=s+t&iss=https%3A%2F%2Fi").unwrap();
        assert_eq!(came.outcome, Ok("a+b".to_owned()));
        assert_eq!(came.iss.as_deref(), Some("https://i"));
        let came = call("/callback?error=access_denied&state=s%20t&error_description=x").unwrap();
        assert_eq!(came.outcome, Err("access_denied".to_owned()));
        assert_eq!(came.iss, None);
    }

    #[test]
    fn everything_else_is_not() {
        for target in [
            "/",
            "/favicon.ico",
            "/callback",
            "/callback/?code=a&state=s+t",
            "//callback?code=a&state=s+t",
            "http://127.0.0.1:7/callback?code=a&state=s+t",
            "/callback?code=a",
            "/callback?code=a&state=",
            "/callback?code=a&state=s",
            "/callback?code=a&state=x&state=s+t",
            "/callback?code=a&code=b&state=s+t",
            "/callback?code=&state=s+t",
            "/callback?code=a&error=b&state=s+t",
            "/callback?state=s+t",
            "/callback?code=a&state=s+t&iss=a&iss=b",
        ] {
            assert!(call(target).is_err(), "{target}");
        }
        let good = "/callback?code=a&state=s+t";
        for head in [
            format!("POST {good} HTTP/1.1\r\nhost: 127.0.0.1:7\r\n\r\n"),
            format!("GET {good} HTTP/1.1\r\nhost: evil.example:7\r\n\r\n"),
            format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1:8\r\n\r\n"),
            format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1:7\r\nhost: 127.0.0.1:7\r\n\r\n"),
            format!("GET {good} HTTP/1.1\r\n\r\n"),
            format!("GET {good} HTTP/1.1\r\nhost: 127.0.0.1:7\r\n"),
            format!("GET {good}\r\nhost: 127.0.0.1:7\r\n\r\n"),
            String::new(),
        ] {
            assert!(judge(head.as_bytes(), 7, "s t").is_err(), "{head}");
        }
        assert!(judge(b"GET \xff HTTP/1.1\r\n\r\n", 7, "s t").is_err());
    }
}
