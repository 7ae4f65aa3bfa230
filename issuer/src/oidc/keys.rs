//! The keys of an OpenID provider: fetched when they are needed, believed for an hour.

use crate::clock::Clock;
use crate::error::Error;
use crate::outgoing::{Outgoing, Url};
use hyper::StatusCode;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// For one document: whoever asked waits for it.
const TIME: Duration = Duration::from_secs(4);
/// Milliseconds for which keys are believed without another look.
const FRESH_MS: u64 = 3_600_000;
/// Milliseconds between two looks: for a key that is not known, and for a provider that did not answer.
const AGAIN_MS: u64 = 30_000;

const UNKNOWN: &str = "its key is not known";
const AWAY: &str = "the keys of its issuer cannot be had at present";

/// Keys of one issuer.
pub struct Keys {
    issuer: String,
    discovery: Url,
    outgoing: Outgoing,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Jwk>,
    /// Unix milliseconds: when they came, and when they were last looked for.
    at: u64,
    tried: u64,
    /// The last look brought none.
    is_away: bool,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    /// # Errors
    /// [`Error::Config`] for an issuer that cannot be called.
    pub fn new(issuer: &str, outgoing: Outgoing, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let at = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let discovery = Url::parse(&at).map_err(|why| Error::Config {
            path: Path::new("issuer.toml").to_owned(),
            why,
        })?;
        Ok(Self {
            issuer: issuer.to_owned(),
            discovery,
            outgoing: outgoing.within(TIME),
            clock,
            known: Mutex::new(Known::default()),
        })
    }

    /// The key of this name; those that are not known are looked for, not more often than every half minute.
    ///
    /// # Errors
    /// There is none, or nobody answers.
    pub async fn find(self: &Arc<Self>, kid: &str) -> Result<Jwk, String> {
        let (keys, kid) = (Arc::clone(self), kid.to_owned());
        // Not as a part of the call: a caller who hangs up would leave a look behind that has brought nothing, and no other
        // begins for half a minute.
        let look = tokio::spawn(async move { keys.look(&kid).await });
        look.await.unwrap_or_else(|_| Err(AWAY.to_owned()))
    }

    async fn look(&self, kid: &str) -> Result<Jwk, String> {
        let mut known = self.known.lock().await;
        let now = self.clock.unix_ms();
        let is_fresh = now.saturating_sub(known.at) < FRESH_MS;
        if let Some(key) = known.get(kid).filter(|_| is_fresh) {
            return Ok(key);
        }
        if now.saturating_sub(known.tried) < AGAIN_MS {
            return Err(match known.is_away {
                true => AWAY.to_owned(),
                false => UNKNOWN.to_owned(),
            });
        }
        known.tried = now;
        known.is_away = true;
        // What was known before is believed for its hour and no longer, whether or not something comes.
        known.keys = self.fetch().await.map_err(|why| {
            crate::out::warn(format_args!("keys of {}: {why}", self.issuer));
            AWAY.to_owned()
        })?;
        known.at = now;
        known.is_away = false;
        known.get(kid).ok_or_else(|| UNKNOWN.to_owned())
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, String> {
        let found: Discovery = self.get(&self.discovery).await?;
        if found.issuer != self.issuer {
            return Err(format!("{} speaks for {:?}", self.discovery, found.issuer));
        }
        let keys: JwkSet = self.get(&Url::parse(&found.jwks_uri)?).await?;
        Ok(keys.keys)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<T, String> {
        match self.outgoing.get(url).await {
            Ok((StatusCode::OK, body)) => {
                serde_json::from_slice(&body).map_err(|e| format!("{url}: {e}"))
            }
            Ok((status, _)) => Err(format!("{url} answered {status}")),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Known {
    fn get(&self, kid: &str) -> Option<Jwk> {
        let named = |key: &&Jwk| key.common.key_id.as_deref() == Some(kid);
        self.keys.iter().find(named).cloned()
    }
}
