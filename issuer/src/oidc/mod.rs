//! ID tokens of a CI (OpenID Connect): for a person who has an entry in `[oidc.NAME]`, his key alone asks for nothing. The
//! token must say that it is from that place, for us, and what else is pinned.
//!
//! A token only lets a caller in: it names no account, gives no right and never reaches a host. `docs/how-to/ci.md`.

mod keys;
mod verify;

use crate::clock::Clock;
use crate::config::Oidc as Config;
use crate::error::Error;
use crate::outgoing::Outgoing;
use keys::Keys;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seconds between the clock of whoever made a token and ours.
const SKEW: u64 = 60;
/// Bytes of a token.
const TOKEN_MAX: usize = 8 * 1024;

/// All entries.
pub struct Oidc {
    entries: Vec<Entry>,
    clock: Arc<dyn Clock>,
}

struct Entry {
    name: String,
    person: String,
    issuer: String,
    audience: String,
    claims: BTreeMap<String, String>,
    keys: Keys,
}

impl Oidc {
    /// # Errors
    /// [`Error::Tls`] without cryptography to verify with; [`Error::Config`] for an issuer that cannot be called.
    pub fn new(
        config: &BTreeMap<String, Config>,
        outgoing: &Outgoing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        verify::install();
        let entries = config
            .iter()
            .map(|(name, one)| {
                Ok(Entry {
                    name: name.clone(),
                    person: one.person.clone(),
                    issuer: one.issuer.clone(),
                    audience: one.audience.clone(),
                    claims: one.claims.clone(),
                    keys: Keys::new(&one.issuer, outgoing.clone(), Arc::clone(&clock))?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { entries, clock })
    }

    /// That `person` asks from where one of his entries says; one who has none needs no token.
    ///
    /// # Errors
    /// The sentence for whoever asked.
    pub async fn admits(&self, person: &str, token: Option<&str>) -> Result<(), String> {
        let his: Vec<&Entry> = self.entries.iter().filter(|e| e.person == person).collect();
        if his.is_empty() {
            return Ok(());
        }
        let token = token.ok_or_else(|| {
            format!("{person} asks with an ID token of the CI beside the key (--id-token-file).")
        })?;
        if token.len() > TOKEN_MAX {
            return Err(format!("An ID token has at most {TOKEN_MAX} bytes."));
        }
        let mut why = String::new();
        for entry in his {
            match entry.admits(token, self.clock.unix_ms() / 1000).await {
                Ok(()) => return Ok(()),
                Err(e) => why = format!("The ID token is refused by oidc.{}: {e}.", entry.name),
            }
        }
        Err(why)
    }
}

impl Entry {
    async fn admits(&self, token: &str, now: u64) -> Result<(), String> {
        let kid = verify::kid(token)?;
        // Whose it says it is, before anybody is asked for keys.
        if verify::unverified_issuer(token)? != self.issuer {
            return Err("it is of another issuer".to_owned());
        }
        let key = self.keys.find(&kid).await?;
        let claims = verify::claims(token, &key, &self.issuer, &self.audience)?;
        in_time(&claims, now)?;
        for (name, want) in &self.claims {
            if claims.get(name).and_then(Value::as_str) != Some(want) {
                return Err(format!("its {name} is not the one that is pinned"));
            }
        }
        Ok(())
    }
}

fn in_time(claims: &Map<String, Value>, now: u64) -> Result<(), String> {
    // Numbers of seconds, which the specification lets have a fraction.
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = now as f64;
    let skew = SKEW as f64;
    match time("exp") {
        Some(exp) if now < exp + skew => {}
        Some(_) => return Err("it is over".to_owned()),
        None => return Err("it has no end".to_owned()),
    }
    match time("iat") {
        Some(iat) if iat <= now + skew => {}
        _ => return Err("it is not made yet, or does not say when".to_owned()),
    }
    match claims.get("nbf") {
        None => Ok(()),
        Some(_) if time("nbf").is_some_and(|nbf| nbf <= now + skew) => Ok(()),
        Some(_) => Err("it does not count yet".to_owned()),
    }
}
