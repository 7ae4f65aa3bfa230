//! What must stand in a token: issuer, audience, a time that is now, and whatever else is pinned.

use super::keys::Keys;
use super::verify;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seconds between the clock of whoever made a token and ours.
const SKEW: u64 = 60;
/// Bytes of a token.
const TOKEN_MAX: usize = 8 * 1024;

pub struct Pinned {
    pub issuer: String,
    pub audience: String,
    pub claims: BTreeMap<String, String>,
    /// Shared by all that pin this issuer.
    pub keys: Arc<Keys>,
}

impl Pinned {
    /// What the token says, if it is one of these and counts at `now`.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn claims(&self, token: &str, now: u64) -> Result<Map<String, Value>, String> {
        if token.len() > TOKEN_MAX {
            return Err(format!("a token has at most {TOKEN_MAX} bytes"));
        }
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
        Ok(claims)
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
