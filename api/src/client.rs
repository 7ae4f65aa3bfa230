//! The client: one connection a call, one deadline a call, a cap on every answer.

use crate::error::Error;
use crate::sse;
use crate::transport::Transport;
use crate::types::{
    AcceptLog, AddBreakglass, AddedBreakglass, Approve, BackedUp, Decommission, Deny, Enrol,
    Enrolled, Event, GiveBack, Health, HostInfo, Hosts, Join, Login, MadeToken, NewToken,
    PROBLEM_TYPE, Problem, Rename, Revoke, Revoked, Submit, Submitted,
};
use crate::word::{self, Word};
use crate::{BODY_MAX, path};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;

/// For a whole call, and for the head of the stream's answer.
const CALL: Duration = Duration::from_secs(10);
/// Three heartbeats missed.
const IDLE: Duration = Duration::from_secs(3 * crate::HEARTBEAT_S);
/// Bytes of an answer's head.
const HEAD_MAX: usize = 16 * 1024;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Bytes of a witness's answer: a few signature lines.
const SAID_MAX: usize = 16 * 1024;

/// What a witness says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// HTTP status; C2SP tlog-witness says what each means.
    pub status: u16,
    /// What came; of a problem document its code.
    pub body: String,
}

/// Calls the issuer. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    call: Duration,
    idle: Duration,
}

impl Client {
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            call: CALL,
            idle: IDLE,
        }
    }

    /// The issuer on this box.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Transport::unix(path))
    }

    /// Other limits: for a whole call, and for the silence after which a stream counts as dead.
    #[must_use]
    pub fn with_limits(mut self, call: Duration, idle: Duration) -> Self {
        self.call = call;
        self.idle = idle;
        self
    }

    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Hands in a signed request. The same bytes twice get the same answer.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn submit(&self, request: &str) -> Result<Submitted, Error> {
        self.submit_with(request, None).await
    }

    /// The same with the ID token of a CI.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn submit_with(
        &self,
        request: &str,
        id_token: Option<&str>,
    ) -> Result<Submitted, Error> {
        let body = Submit {
            request: request.to_owned(),
            id_token: id_token.map(str::to_owned),
        };
        self.post(path::REQUESTS, &body).await
    }

    /// # Errors
    /// [`Error`]; a problem with status 404 for a target the issuer does not know.
    pub async fn revoke(&self, revoke: &Revoke) -> Result<Revoked, Error> {
        self.post(path::REVOCATIONS, revoke).await
    }

    /// The same, once: an answer that is lost is asked for again. `key`: made for this call alone, 16 to 128 letters, digits,
    /// `-` and `_`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_once(&self, revoke: &Revoke, key: &str) -> Result<Revoked, Error> {
        self.post_once(path::REVOCATIONS, revoke, key).await
    }

    /// Makes a host known, on the issuer's box.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn enrol(&self, enrol: &Enrol) -> Result<Enrolled, Error> {
        self.post(path::HOSTS, enrol).await
    }

    /// Uses a token. The same key may do so again while it lives.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn join(&self, join: &Join) -> Result<Enrolled, Error> {
        self.post(path::ENROL, join).await
    }

    /// # Errors
    /// [`Error`].
    pub async fn new_token(&self, ask: &NewToken) -> Result<MadeToken, Error> {
        self.post(path::ENROL_TOKENS, ask).await
    }

    /// The same, once; as [`Self::revoke_once`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn new_token_once(&self, ask: &NewToken, key: &str) -> Result<MadeToken, Error> {
        self.post_once(path::ENROL_TOKENS, ask, key).await
    }

    /// Hands in what a host signed about itself: exactly these bytes of a [`crate::Receipt`], with its word for them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn receipt(&self, body: String, word: &str) -> Result<(), Error> {
        let mut request = self.request(Method::POST, path::RECEIPTS, Bytes::from(body))?;
        bear(&mut request, word)?;
        let _: serde::de::IgnoredAny = self.whole(request).await?;
        Ok(())
    }

    /// Hands in a head of a host's journal (a body of C2SP `add-checkpoint`). Whatever the witness says is an answer.
    ///
    /// # Errors
    /// [`Error`], when there is none.
    pub async fn add_checkpoint(&self, host: &str, body: String) -> Result<Said, Error> {
        let target = format!("{}?host={}", path::ADD_CHECKPOINT, percent(host));
        let request = self.request(Method::POST, &target, Bytes::from(body))?;
        self.timed(async {
            let (response, _connection) = self.send(request).await?;
            let status = response.status().as_u16();
            if !matches!(status, 200 | 409) || is_problem(&response) {
                return match problem(response).await? {
                    Error::Problem(said) => Ok(Said {
                        status,
                        body: said.code().to_owned(),
                    }),
                    other => Err(other),
                };
            }
            let body = collect(response).await?;
            let text = String::from_utf8(body.to_vec()).ok();
            let body = text
                .filter(|text| text.len() <= SAID_MAX)
                .unwrap_or_default();
            Ok(Said { status, body })
        })
        .await
    }

    /// # Errors
    /// [`Error`]; 404 for a host the issuer does not know.
    pub async fn accept_log(&self, which: &AcceptLog) -> Result<HostInfo, Error> {
        self.post(path::ACCEPT_LOG, which).await
    }

    /// Hands in a break-glass statement for its host.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_breakglass(&self, add: &AddBreakglass) -> Result<AddedBreakglass, Error> {
        self.post(path::BREAKGLASS, add).await
    }

    /// Hands in that a host takes a request back: exactly these bytes of a [`crate::Withdraw`], with its word for them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn withdraw(&self, body: String, word: &str) -> Result<(), Error> {
        let mut request = self.request(Method::POST, path::WITHDRAW, Bytes::from(body))?;
        bear(&mut request, word)?;
        let _: serde::de::IgnoredAny = self.whole(request).await?;
        Ok(())
    }

    /// Approves a request. The same signature again changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn approve(&self, approve: &Approve) -> Result<Submitted, Error> {
        self.post(path::APPROVE, approve).await
    }

    /// What a person signs, in [`word::NAMESPACE`], to make a call.
    #[must_use]
    pub fn to_sign(&self, call: &Call, at: u64, nonce: &str) -> String {
        let parts = (call.method.as_str(), call.target.as_str(), &call.body[..]);
        word::text(self.transport.address(), parts, at, nonce)
    }

    /// Where people log in.
    ///
    /// # Errors
    /// [`Error`]; 404 where nobody does.
    pub async fn login(&self) -> Result<Login, Error> {
        let request = self.request(Method::GET, path::LOGIN, Bytes::new())?;
        self.whole(request).await
    }

    /// Makes a call that gives nothing with an ID token of a person who logged in.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call_as<A: DeserializeOwned>(
        &self,
        call: &Call,
        id_token: &str,
    ) -> Result<A, Error> {
        let body = Bytes::from(call.body.clone());
        let mut request = self.request(call.method.clone(), &call.target, body)?;
        bear(&mut request, id_token)?;
        self.whole(request).await
    }

    /// Makes a person's call; without a word, as root on the issuer's box.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call<A: DeserializeOwned>(
        &self,
        call: &Call,
        word: Option<&Word>,
    ) -> Result<A, Error> {
        let body = Bytes::from(call.body.clone());
        let mut request = self.request(call.method.clone(), &call.target, body)?;
        if let Some(word) = word {
            authorize(&mut request, &word.encode())?;
        }
        self.whole(request).await
    }

    /// Has the store copied.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn backup(&self) -> Result<BackedUp, Error> {
        self.post(path::BACKUP, &serde_json::json!({})).await
    }

    /// # Errors
    /// [`Error`].
    pub async fn hosts(&self) -> Result<Hosts, Error> {
        let request = self.request(Method::GET, path::HOSTS, Bytes::new())?;
        self.whole(request).await
    }

    /// # Errors
    /// [`Error`]; 404 for a host the issuer does not know.
    pub async fn rename(&self, rename: &Rename) -> Result<HostInfo, Error> {
        self.post(path::RENAME, rename).await
    }

    /// # Errors
    /// [`Error`]; 404 for a host the issuer does not know.
    pub async fn decommission(&self, which: &Decommission) -> Result<HostInfo, Error> {
        self.post(path::DECOMMISSION, which).await
    }

    /// # Errors
    /// [`Error`].
    pub async fn health(&self) -> Result<Health, Error> {
        let request = self.request(Method::GET, path::HEALTHZ, Bytes::new())?;
        self.whole(request).await
    }

    /// Opens the stream of a host (its `spiffe://` id), with everything after a position of the issuer's log. `word`:
    /// the host's `jit-hostauth+jwt`, which an issuer elsewhere demands.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn stream(
        &self,
        host: &str,
        after: u64,
        word: Option<&str>,
    ) -> Result<Events, Error> {
        let target = format!("{}?host={}&after={after}", path::STREAM, percent(host));
        self.events(&target, word).await
    }

    /// The same for a network that lets no stream through: everything after a position, or after at most `wait`
    /// seconds nothing but a state. Then it ends.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sync(
        &self,
        host: &str,
        after: u64,
        wait: u64,
        word: Option<&str>,
    ) -> Result<Events, Error> {
        let host = percent(host);
        let target = format!("{}?host={host}&after={after}&wait={wait}", path::SYNC);
        self.events(&target, word).await
    }

    async fn events(&self, target: &str, word: Option<&str>) -> Result<Events, Error> {
        let mut request = self.request(Method::GET, target, Bytes::new())?;
        if let Some(word) = word {
            bear(&mut request, word)?;
        }
        let (response, connection) = self.timed(self.send(request)).await?;
        if response.status() != StatusCode::OK {
            return Err(self.timed(problem(response)).await?);
        }
        Ok(Events {
            body: response.into_body(),
            reader: sse::Reader::default(),
            idle: self.idle,
            _connection: connection,
        })
    }

    async fn post<A: DeserializeOwned>(&self, to: &str, body: &impl Serialize) -> Result<A, Error> {
        let body = serde_json::to_vec(body).map_err(|e| Error::Garbled(e.to_string()))?;
        let request = self.request(Method::POST, to, Bytes::from(body))?;
        self.whole(request).await
    }

    /// With a key that makes the issuer do it once; whether the first try reached it does not matter then.
    async fn post_once<A: DeserializeOwned>(
        &self,
        to: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<A, Error> {
        let body = serde_json::to_vec(body).map_err(|e| Error::Garbled(e.to_string()))?;
        let body = Bytes::from(body);
        let key = HeaderValue::try_from(format!("\"{key}\""))
            .map_err(|e| Error::Garbled(e.to_string()))?;
        let post = async || {
            let mut request = self.request(Method::POST, to, body.clone())?;
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
            self.whole(request).await
        };
        match post().await {
            Err(Error::Broken(_)) => post().await,
            answer => answer,
        }
    }

    fn request(
        &self,
        method: Method,
        to: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        Request::builder()
            .method(method)
            .uri(to)
            .header(HOST, self.transport.address().authority())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(Full::new(body))
            .map_err(|e| Error::Garbled(e.to_string()))
    }

    async fn whole<A: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<A, Error> {
        self.timed(async {
            let (response, _connection) = self.send(request).await?;
            if response.status() != StatusCode::OK {
                return Err(problem(response).await?);
            }
            let body = collect(response).await?;
            serde_json::from_slice(&body).map_err(|e| Error::Garbled(e.to_string()))
        })
        .await
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(self.call, call)
            .await
            .map_err(|_| Error::Timeout)?
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Connection), Error> {
        let stream = self
            .transport
            .connect()
            .await
            .map_err(|why| Error::Connect {
                to: self.transport.address().to_string(),
                why,
            })?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        let connection = Connection(tokio::spawn(async move {
            // A fault of the connection reaches the caller through the request or the body.
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        Ok((response, connection))
    }
}

/// Adds a host's word or an ID token; no log shows it.
fn bear(request: &mut Request<Full<Bytes>>, word: &str) -> Result<(), Error> {
    authorize(request, &format!("Bearer {word}"))
}

fn authorize(request: &mut Request<Full<Bytes>>, value: &str) -> Result<(), Error> {
    let mut value = HeaderValue::try_from(value).map_err(|e| Error::Garbled(e.to_string()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

/// A call that a person makes.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    target: String,
    body: Vec<u8>,
}

impl Call {
    /// What waits for the caller; answered by [`crate::WaitingList`].
    #[must_use]
    pub fn list() -> Self {
        Self {
            method: Method::GET,
            target: path::REQUESTS.to_owned(),
            body: Vec::new(),
        }
    }

    /// Whose token the call is made with; answered by [`crate::Login`].
    #[must_use]
    pub fn login() -> Self {
        Self {
            method: Method::GET,
            target: path::LOGIN.to_owned(),
            body: Vec::new(),
        }
    }

    /// One request, also one that is decided; answered by [`crate::Waiting`].
    #[must_use]
    pub fn show(id: &str) -> Self {
        Self {
            method: Method::GET,
            target: format!("{}?id={}", path::SHOW, percent(id)),
            body: Vec::new(),
        }
    }

    /// What is needed to ask for a right on a host, named by its id or name; answered by [`crate::AskFor`].
    #[must_use]
    pub fn target(host: &str) -> Self {
        Self {
            method: Method::GET,
            target: format!("{}?host={}", path::FOR, percent(host)),
            body: Vec::new(),
        }
    }

    /// Answered by [`crate::GaveBack`].
    ///
    /// # Errors
    /// [`Error::Garbled`].
    pub fn give_back(back: &GiveBack) -> Result<Self, Error> {
        Ok(Self {
            method: Method::POST,
            target: path::GIVE_BACK.to_owned(),
            body: serde_json::to_vec(back).map_err(|e| Error::Garbled(e.to_string()))?,
        })
    }

    /// Answered by [`Submitted`].
    ///
    /// # Errors
    /// [`Error::Garbled`].
    pub fn deny(deny: &Deny) -> Result<Self, Error> {
        Ok(Self {
            method: Method::POST,
            target: path::DENY.to_owned(),
            body: serde_json::to_vec(deny).map_err(|e| Error::Garbled(e.to_string()))?,
        })
    }
}

/// Closes the connection when dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An open stream.
pub struct Events {
    body: Incoming,
    reader: sse::Reader,
    idle: Duration,
    _connection: Connection,
}

impl Events {
    /// The next event; `None` when the issuer closed the stream in good order. May be dropped while waiting:
    /// nothing is lost.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no whole event came within three heartbeats. After any error the stream is dead.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        let idle = self.idle;
        tokio::time::timeout(idle, self.read())
            .await
            .map_err(|_| Error::Timeout)?
    }

    async fn read(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.reader.pop() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(bytes) = frame.map_err(|e| broken(&e))?.into_data() {
                self.reader
                    .push(&bytes)
                    .map_err(|e| Error::Garbled(e.to_string()))?;
            }
        }
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Error> {
    match Limited::new(response.into_body(), BODY_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            Err(Error::Garbled("too long".to_owned()))
        }
        Err(e) => Err(Error::Broken(e.to_string())),
    }
}

fn is_problem(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_TYPE.as_bytes()))
}

/// Any status but 200, as an error; a body that is no problem document leaves the status.
async fn problem(response: Response<Incoming>) -> Result<Error, Error> {
    let status = response.status().as_u16();
    let is_problem = is_problem(&response);
    let body = collect(response).await?;
    let mut problem: Problem = is_problem
        .then(|| serde_json::from_slice(&body).ok())
        .flatten()
        .unwrap_or_else(|| Problem {
            kind: "about:blank".to_owned(),
            title: String::new(),
            status,
            detail: String::new(),
        });
    // The status line decides, whatever the body says; its sentence goes to terminals and logs.
    problem.status = status;
    problem.detail = problem
        .detail
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(1000)
        .collect();
    Ok(Error::Problem(problem))
}

fn broken(e: &hyper::Error) -> Error {
    Error::Broken(e.to_string())
}

/// RFC 3986 percent-encoding of everything but the unreserved characters.
fn percent(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}
