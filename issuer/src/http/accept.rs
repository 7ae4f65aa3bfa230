//! Connections on this box: one Unix socket.

use super::App;
use super::table::{Caller, Peer, is_ours};
use crate::error::Error;
use crate::out;
use crate::stop::Stop;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// For the head of a request; also how long a connection may be idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(5);
/// Bytes of a head.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// Lines of a head.
pub(super) const HEADERS_MAX: usize = 32;
/// Connections of root, the link and ourselves, and of everybody else. Others may only ask for our health: they
/// must not be able to keep the link out.
const OURS: usize = 1024;
const OTHERS: usize = 16;
/// How long the last answers may take when the issuer stops.
pub(super) const DRAIN: Duration = Duration::from_secs(3);

/// Listens at a path. Mode 0666: who may call what is decided by credentials, call by call, and the health is
/// everybody's.
///
/// # Errors
/// [`Error::InUse`] when somebody answers there; [`Error::File`].
pub async fn bind(path: &Path) -> Result<UnixListener, Error> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(Error::InUse(path.to_owned()));
            }
            fs::remove_file(path).map_err(Error::file(path))?;
        }
        Ok(_) => return Err(Error::file(path)(io::ErrorKind::AlreadyExists.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::file(path)(e)),
    }
    let listener = UnixListener::bind(path).map_err(Error::file(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(Error::file(path))?;
    Ok(listener)
}

/// Takes connections until the issuer stops.
pub struct Server {
    app: Arc<App>,
    router: Router,
    http: http1::Builder,
    ours: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Server {
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX);
        Self {
            router: super::router(Arc::clone(&app)),
            app,
            http,
            ours: Arc::new(Semaphore::new(OURS)),
            others: Arc::new(Semaphore::new(OTHERS)),
        }
    }

    /// Runs until `stop`, then lets answers that are under way finish.
    pub async fn run(self, listener: UnixListener, mut stop: Stop) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.said() => break,
                Some(_) = open.join_next() => {}
                taken = listener.accept() => match taken {
                    Ok((stream, _)) => {
                        if let Some((peer, permit)) = self.admit(&stream) {
                            open.spawn(self.serve(stream, peer, permit));
                        }
                    }
                    Err(e) => {
                        // Out of descriptors: wait for some to come back instead of spinning.
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

    /// Who connected, if there is room for him.
    fn admit(&self, stream: &UnixStream) -> Option<(Peer, OwnedSemaphorePermit)> {
        let peer = Peer {
            uid: stream.peer_cred().ok()?.uid(),
        };
        let room = if is_ours(peer, &self.app.uids) {
            &self.ours
        } else {
            &self.others
        };
        let permit = Arc::clone(room).try_acquire_owned().ok()?;
        Some((peer, permit))
    }

    /// One connection of a caller who is known.
    fn serve(
        &self,
        stream: UnixStream,
        peer: Peer,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + 'static {
        let router = self
            .router
            .clone()
            .layer(axum::Extension(Caller::Here(peer)));
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut stop = self.app.stop.clone();
        async move {
            let _permit = permit;
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // How it ended is the caller's business.
                _ = connection.as_mut() => return,
                () = stop.said() => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
