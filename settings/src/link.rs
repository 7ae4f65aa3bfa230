//! `link.toml`: where the issuer is, and how it is known.

use crate::receiver::{MOST, Receiver};
use crate::{Settings, Wrong, absolute};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// Who gets the journal's records, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub receiver: BTreeMap<String, Receiver>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            issuer: "unix:/run/jit-issuer/api.sock".to_owned(),
            ca: None,
            agent: "/run/jit/link.sock".into(),
            receiver: BTreeMap::new(),
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
        if let Some(ca) = &self.ca {
            absolute("ca", ca)?;
        }
        if self.receiver.len() > MOST {
            let what = format!("{} receivers", self.receiver.len());
            let hint = format!("at most {MOST}");
            return Err(Wrong::new("receiver", what, hint));
        }
        self.receiver
            .iter()
            .try_for_each(|(name, receiver)| receiver.check(name))
    }
}
