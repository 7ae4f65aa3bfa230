//! Tokens that people get with their browsers: which person one is of, and that it was asked for by `jitctl login`.

use super::pinned::Pinned;
use serde_json::{Map, Value};
use settings::login::Login as Config;

/// Seconds that a token counts after it was made, however long its provider lets it live.
const AGE_MAX: u64 = 12 * 3600;

/// Where people log in.
pub struct Login {
    config: Config,
    pinned: Pinned,
}

impl Login {
    pub const fn new(config: Config, pinned: Pinned) -> Self {
        Self { config, pinned }
    }

    /// What `jitctl login` must know; nothing of it is secret.
    pub fn public(&self) -> api::Login {
        let openid = std::iter::once("openid".to_owned());
        api::Login {
            issuer: self.config.issuer.clone(),
            client_id: self.config.client_id.clone(),
            scopes: openid.chain(self.config.scopes.iter().cloned()).collect(),
            person: None,
        }
    }

    /// Whether what this person signs is taken only together with a token of his.
    pub fn wants(&self, person: &str) -> bool {
        self.config.required && self.config.knows(person)
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn person(&self, token: &str, now: u64) -> Result<&str, String> {
        let claims = self.pinned.claims(token, now).await?;
        asked_for(&claims, &self.config.client_id, now)?;
        let claim = &self.config.claim;
        let who = claims.get(claim).and_then(Value::as_str);
        let who = who.ok_or_else(|| format!("it has no {claim}"))?;
        // Else whoever may write any address into his profile is whom he likes.
        let is_yes = |v: &Value| v == &Value::Bool(true) || v.as_str() == Some("true");
        if claim == "email" && !claims.get("email_verified").is_some_and(is_yes) {
            return Err("its issuer does not say that the e-mail address is verified".to_owned());
        }
        let person = self.config.people.get(who);
        person
            .map(String::as_str)
            .ok_or_else(|| format!("its {claim} is nobody's in login.people"))
    }
}

/// By a client that asked with a nonce: what a device code leads to has none.
fn asked_for(claims: &Map<String, Value>, client: &str, now: u64) -> Result<(), String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("nonce").is_none_or(str::is_empty) {
        return Err("it was not asked for by `jitctl login`: it has no nonce".to_owned());
    }
    if claims.contains_key("azp") && text("azp") != Some(client) {
        return Err("it was given to another client".to_owned());
    }
    let made = claims.get("iat").and_then(Value::as_f64);
    match made {
        Some(made) if now as f64 <= made + AGE_MAX as f64 => Ok(()),
        _ => Err("it is older than 12 hours".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_asked_for_here_and_lately_counts() {
        let why = |change: Value| {
            let mut claims = json!({ "nonce": "n", "iat": 1000, "azp": "jit" });
            for (name, value) in change.as_object().unwrap() {
                claims[name] = value.clone();
            }
            asked_for(claims.as_object().unwrap(), "jit", 1000 + AGE_MAX)
        };
        assert_eq!(why(json!({})), Ok(()));
        for (change, want) in [
            (json!({ "nonce": null }), "no nonce"),
            (json!({ "nonce": "" }), "no nonce"),
            (json!({ "azp": "other" }), "another client"),
            (json!({ "azp": null }), "another client"),
            (json!({ "iat": 999 }), "older"),
            (json!({ "iat": "1000" }), "older"),
        ] {
            let got = why(change.clone()).unwrap_err();
            assert!(got.contains(want), "{change}: {got}");
        }
    }
}
