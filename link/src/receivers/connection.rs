//! One connection to a receiver.

use super::config::Receiver;
use super::relp::{self, Answers, Said};
use super::syslog::counted;
use rustix::net::sockopt;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// For the name, the connection, TLS and RELP's greeting together; and for one batch.
const PATIENCE: Duration = Duration::from_secs(20);
const BATCH: Duration = Duration::from_secs(60);
/// An idle connection is probed so often.
const PROBE: Duration = Duration::from_secs(15);

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Open, and greeted.
pub struct Connection {
    io: Box<dyn Io>,
    relp: Option<Relp>,
}

#[derive(Default)]
struct Relp {
    last: u32,
    answers: Answers,
    /// Commands without an answer.
    waiting: BTreeSet<u32>,
}

/// Why there is no connection any more; one sentence.
pub type Lost = String;

fn closed() -> Lost {
    "the receiver closed the connection".to_owned()
}

fn broken(e: &io::Error) -> Lost {
    format!("the connection broke: {e}")
}

impl Connection {
    /// # Errors
    /// Whatever step failed.
    pub async fn open(receiver: &Receiver) -> Result<Self, Lost> {
        match timeout(PATIENCE, Self::opened(receiver)).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no connection within {} s", PATIENCE.as_secs())),
        }
    }

    async fn opened(receiver: &Receiver) -> Result<Self, Lost> {
        let tcp = TcpStream::connect((receiver.host.as_str(), receiver.port))
            .await
            .map_err(|e| format!("cannot connect: {e}"))?;
        watched(&tcp, receiver.settle).map_err(|e| format!("cannot watch the connection: {e}"))?;
        let io: Box<dyn Io> = match &receiver.tls {
            None => Box::new(tcp),
            Some(tls) => {
                // Read each time: a renewed certificate counts from the next connection on.
                let config = tls
                    .roots
                    .tls(tls.identity.as_ref())
                    .map_err(|e| e.to_string())?;
                let name = ServerName::try_from(receiver.host.clone())
                    .map_err(|e| format!("{}: {e}", receiver.host))?;
                let tls = TlsConnector::from(config).connect(name, tcp);
                Box::new(tls.await.map_err(|e| format!("TLS: {e}"))?)
            }
        };
        let mut connection = Self {
            io,
            relp: receiver.relp.then(Relp::default),
        };
        if let Some(relp) = &mut connection.relp {
            let open = relp.command("open", relp::OFFERS);
            connection.write(&open).await?;
            connection.answered().await?;
        }
        Ok(connection)
    }

    /// Sends the messages; with RELP waits until the receiver has answered for each.
    ///
    /// # Errors
    /// The connection is lost, or the receiver refuses a message.
    pub async fn send(&mut self, messages: &[Vec<u8>]) -> Result<(), Lost> {
        let mut bytes = Vec::new();
        for message in messages {
            match &mut self.relp {
                Some(relp) => bytes.extend(relp.command("syslog", message)),
                None => bytes.extend(counted(message)),
            }
        }
        let work = async {
            self.write(&bytes).await?;
            self.answered().await
        };
        match timeout(BATCH, work).await {
            Ok(done) => done,
            Err(_) => Err(format!(
                "the receiver takes nothing for {} s",
                BATCH.as_secs()
            )),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.io.write_all(bytes).await.map_err(|e| broken(&e))?;
        self.io.flush().await.map_err(|e| broken(&e))
    }

    /// Waits for all answers that are due.
    async fn answered(&mut self) -> Result<(), Lost> {
        while self.relp.as_ref().is_some_and(|r| !r.waiting.is_empty()) {
            self.heard().await?;
        }
        Ok(())
    }

    /// Reads once. May be dropped while waiting. A receiver that only takes says nothing until it goes.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn heard(&mut self) -> Result<(), Lost> {
        let mut buffer = [0; 4096];
        let n = self.io.read(&mut buffer).await.map_err(|e| broken(&e))?;
        if n == 0 {
            return Err(closed());
        }
        let Some(relp) = &mut self.relp else {
            return Ok(());
        };
        relp.answers.feed(buffer.get(..n).unwrap_or_default());
        while let Some(said) = relp.answers.next()? {
            match said {
                Said::Done(number) if relp.waiting.remove(&number) => {}
                Said::Done(_) => return Err("the receiver answers what was not asked".to_owned()),
                Said::Refused(_, why) => {
                    return Err(format!("the receiver refused a record: {why}"));
                }
                Said::Close => return Err(closed()),
            }
        }
        Ok(())
    }

    /// Does an answer say that a message has arrived?
    pub fn answers(&self) -> bool {
        self.relp.is_some()
    }
}

impl Relp {
    fn command(&mut self, command: &str, data: &[u8]) -> Vec<u8> {
        self.last = relp::after(self.last);
        self.waiting.insert(self.last);
        relp::frame(self.last, command, data)
    }
}

/// The kernel ends a connection whose bytes the other end does not confirm within half of `settle`, so that one which
/// stands after `settle` has delivered them.
fn watched(tcp: &TcpStream, settle: Duration) -> io::Result<()> {
    let limit = u32::try_from(settle.as_millis() / 2).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(tcp, limit)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, PROBE)?;
    sockopt::set_tcp_keepintvl(tcp, PROBE)?;
    tcp.set_nodelay(true)
}
