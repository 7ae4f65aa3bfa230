//! Connections from elsewhere: HTTPS. Nobody is known here before a call has shown a signature, so everything has a
//! limit: handshakes at once, connections in all and of one address, the time for a handshake, a head, a body, and
//! the time a connection may stay without a call. None of it touches the socket of this box.

use super::App;
use super::accept::{DRAIN, HEAD_MAX, HEAD_TIME, HEADERS_MAX};
use super::activity::{Activity, Held};
use super::table::Caller;
use crate::config::Limits;
use crate::error::Error;
use crate::out;
use crate::stop::Stop;
use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// TLS handshakes under way at once; they are the dear part of a connection.
const HANDSHAKES: usize = 256;
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Without a call.
const IDLE: Duration = Duration::from_secs(10);
/// A peer who acknowledges nothing for so long is gone (`TCP_USER_TIMEOUT`, tcp(7)).
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Calls at once on one HTTP/2 connection: a host has a stream and some requests.
const CALLS: u32 = 16;
/// HTTP/2 pings, for peers who vanished.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);

/// Listens where the configuration says, or at the socket that systemd made (`jit-issuer-https.socket`): then the
/// service itself needs no network and has none.
///
/// # Errors
/// [`Error::Listen`], [`Error::NoSocket`].
pub async fn bind(
    listen: Option<SocketAddr>,
    handed: Option<std::net::TcpListener>,
) -> Result<TcpListener, Error> {
    match (listen, handed) {
        (Some(listen), _) => TcpListener::bind(listen)
            .await
            .map_err(|why| Error::Listen { listen, why }),
        (None, Some(socket)) => {
            socket.set_nonblocking(true).map_err(Error::System)?;
            TcpListener::from_std(socket).map_err(Error::System)
        }
        (None, None) => Err(Error::NoSocket),
    }
}

/// Open connections of each address.
struct Addresses {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

/// One of them; gives its place back when dropped.
struct Address {
    of: Arc<Addresses>,
    ip: IpAddr,
}

impl Addresses {
    fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Address> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Address {
            of: Arc::clone(self),
            ip,
        })
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut open = self.of.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

/// A connection's places.
struct Places {
    _all: OwnedSemaphorePermit,
    _address: Address,
}

/// Takes connections until the issuer stops.
pub struct Server {
    app: Arc<App>,
    router: Router,
    tls: TlsAcceptor,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    all: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    handshakes: Arc<Semaphore>,
}

impl Server {
    #[must_use]
    pub fn new(app: Arc<App>, tls: Arc<ServerConfig>, limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS)
            .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        Self {
            router: super::router(Arc::clone(&app)).layer(axum::Extension(Caller::Away)),
            app,
            tls: TlsAcceptor::from(tls),
            http1,
            http2,
            all: Arc::new(Semaphore::new(limits.connections)),
            addresses: Arc::new(Addresses {
                open: Mutex::default(),
                most: limits.connections_per_address,
            }),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        }
    }

    /// Runs until `stop`, then lets answers that are under way finish.
    pub async fn run(self, listener: TcpListener, mut stop: Stop) {
        let server = Arc::new(self);
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.said() => break,
                Some(_) = open.join_next() => {}
                taken = listener.accept() => match taken {
                    Ok((tcp, from)) => {
                        // No place: closed at once, which costs the least.
                        if let Some(places) = server.admit(from.ip()) {
                            let server = Arc::clone(&server);
                            open.spawn(async move { server.serve(tcp, places).await });
                        }
                    }
                    Err(e) => {
                        out::error(format_args!("cannot take a connection: {e}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        drop(listener);
        let _ =
            tokio::time::timeout(DRAIN, async { while open.join_next().await.is_some() {} }).await;
    }

    fn admit(&self, ip: IpAddr) -> Option<Places> {
        Some(Places {
            _address: self.addresses.take(ip)?,
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
        })
    }

    async fn serve(&self, tcp: TcpStream, places: Places) {
        let _places = places;
        let Some(tls) = self.handshake(tcp).await else {
            return;
        };
        let activity = Arc::new(Activity::default());
        let router = TowerToHyperService::new(self.router.clone());
        let seen = Arc::clone(&activity);
        let service = service_fn(move |request| {
            let busy = seen.enter();
            let answer = router.call(request);
            async move {
                answer
                    .await
                    .map(|answer| answer.map(|body| Held::new(body, busy)))
            }
        });
        let mut stop = self.app.stop.clone();
        let idle = activity.idle(IDLE);
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(tls);
        // The same for both protocols, whose types have nothing in common. How a connection ended is the caller's
        // business.
        macro_rules! drive {
            ($connection:expr) => {{
                let mut connection = std::pin::pin!($connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = idle => return,
                    () = stop.said() => {}
                }
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }};
        }
        if is_http2 {
            drive!(self.http2.serve_connection(io, service));
        } else {
            drive!(self.http1.serve_connection(io, service));
        }
    }

    async fn handshake(&self, tcp: TcpStream) -> Option<TlsStream<TcpStream>> {
        tcp.set_nodelay(true).ok()?;
        let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
        setsockopt(&tcp, sockopt::TcpUserTimeout, &patience).ok()?;
        let shaken = async {
            let _place = self.handshakes.acquire().await.ok()?;
            self.tls.accept(tcp).await.ok()
        };
        tokio::time::timeout(HANDSHAKE_TIME, shaken).await.ok()?
    }
}
