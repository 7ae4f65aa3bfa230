//! A receiver as the link needs it; its shape in `link.toml` is in `settings`.

use api::{Identity, Roots};
pub use settings::receiver::Format;
use std::time::Duration;

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub relp: bool,
    pub tls: Option<Tls>,
    pub format: Format,
    /// Without a protocol that acknowledges: what was sent so long ago, on a connection that still stands, has arrived.
    pub settle: Duration,
}

/// Whom to believe, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub roots: Roots,
    pub identity: Option<Identity>,
}

impl Receiver {
    /// From what was set and checked; none where the address is none.
    #[must_use]
    pub fn new(name: String, set: settings::receiver::Receiver) -> Option<Self> {
        let (host, port) = set.host_and_port()?;
        let identity = match (set.certificate, set.key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            _ => None,
        };
        let roots = set.ca.map_or(Roots::System, Roots::File);
        Some(Self {
            name,
            host,
            port,
            relp: set.transport.relp(),
            tls: set.transport.tls().then_some(Tls { roots, identity }),
            format: set.format,
            settle: Duration::from_secs(set.settle_s),
        })
    }
}
