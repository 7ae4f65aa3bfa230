//! `jitctl.toml`: the issuer whose requests are shown, approved and denied, and the key that signs.

use crate::{Settings, Wrong, absolute};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `jitctl.toml`. That `issuer` is an address is looked at by whoever reads it, with `api::Address`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jitctl {
    /// `unix:PATH` or `https://HOST[:PORT]`.
    pub issuer: String,
    /// PEM: who must have certified an issuer at `https:`; none: one of the system's.
    pub ca: Option<PathBuf>,
    /// Public key to sign with; none: the first of the ssh-agent that the issuer knows.
    pub key: Option<PathBuf>,
}

impl Default for Jitctl {
    fn default() -> Self {
        Self {
            issuer: "unix:/run/jit-issuer/api.sock".to_owned(),
            ca: None,
            key: None,
        }
    }
}

impl Settings for Jitctl {
    const NAME: &'static str = "jitctl";
    // As in `link.toml`.
    const BELONGS: &'static [(&'static str, &'static str)] = &[("issuer", "ca")];

    fn check(&self) -> Result<(), Wrong> {
        for (key, path) in [("ca", &self.ca), ("key", &self.key)] {
            if let Some(path) = path {
                absolute(key, path)?;
            }
        }
        Ok(())
    }
}
