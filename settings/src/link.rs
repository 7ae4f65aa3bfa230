//! `link.toml`: where the issuer is, and how it is known.

use crate::{Settings, Wrong, absolute};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `link.toml`. That `issuer` is an address is looked at by whoever reads it, with `api::Address`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// `unix:PATH` or `https://HOST[:PORT]`.
    pub issuer: String,
    /// PEM: who must have certified an issuer at `https:`; none: one of the system's.
    pub ca: Option<PathBuf>,
    /// The agent's socket.
    pub agent: PathBuf,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            issuer: "unix:/run/jit-issuer/api.sock".to_owned(),
            ca: None,
            agent: "/run/jit/link.sock".into(),
        }
    }
}

/// What to say of an `issuer` that is no address.
#[must_use]
pub fn no_address(url: &str) -> Wrong {
    Wrong::new(
        "issuer",
        format!("{url:?} is no issuer address"),
        "write unix:/run/jit-issuer/api.sock or https://HOST[:PORT]",
    )
}

impl Settings for Link {
    const NAME: &'static str = "link";
    // An authority belongs to the issuer it stands beside: another issuer does not inherit it.
    const BELONGS: &'static [(&'static str, &'static str)] = &[("issuer", "ca")];

    fn check(&self) -> Result<(), Wrong> {
        absolute("agent", &self.agent)?;
        self.ca.as_ref().map_or(Ok(()), |ca| absolute("ca", ca))
    }
}
