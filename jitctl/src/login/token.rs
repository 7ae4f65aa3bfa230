//! What `jitctl` itself looks at in an ID token.

use serde_json::{Map, Value};
use statement::digest;

/// Seconds that a token counts at an issuer, at most.
const COUNTS_S: u64 = 12 * 3600;

/// The end of a token that is for this login. It came from the provider over a connection of our own, so its signature is left
/// to the issuer (OpenID Connect Core, 3.1.3.7, 6).
///
/// # Errors
/// Why it is not.
pub fn checked(
    token: &str,
    (issuer, client, nonce): (&str, &str, &str),
    now: u64,
) -> Result<u64, String> {
    let mut parts = token.split('.');
    let claims = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(claims), Some(_), None) => digest::decode(claims),
        _ => None,
    };
    let claims = claims.and_then(|c| serde_json::from_slice::<Map<String, Value>>(&c).ok());
    let claims = claims.ok_or("what it gave is no ID token")?;
    let is = |name: &str, want: &str| claims.get(name).and_then(Value::as_str) == Some(want);
    if !is("iss", issuer) {
        return Err("the ID token is of another provider".to_owned());
    }
    let alone = claims.get("aud").and_then(Value::as_array);
    if !(is("aud", client) || alone.is_some_and(|all| all == &[Value::from(client)])) {
        return Err("the ID token is for somebody else".to_owned());
    }
    if !is("nonce", nonce) {
        return Err("the ID token is of another login (its nonce is wrong)".to_owned());
    }
    let exp = claims.get("exp").and_then(Value::as_f64);
    match exp {
        // Made just now; the issuer counts from then, however long the provider lets it live.
        Some(exp) if exp > now as f64 => Ok((exp as u64).min(now + COUNTS_S)),
        _ => Err("the ID token is over already".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(change: Value) -> Result<u64, String> {
        let mut claims = json!({ "iss": "https://i", "aud": "jit", "nonce": "n", "exp": 101.5 });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let text = format!("x.{}.y", digest::encode(claims.to_string().as_bytes()));
        checked(&text, ("https://i", "jit", "n"), 100)
    }

    #[test]
    fn a_token_is_of_this_provider_for_us_for_this_login_and_lives() {
        assert_eq!(token(json!({})), Ok(101));
        assert_eq!(token(json!({ "aud": ["jit"] })), Ok(101));
        assert_eq!(token(json!({ "exp": 1e9 })), Ok(100 + COUNTS_S));
        for (change, want) in [
            (json!({ "iss": "https://j" }), "another provider"),
            (json!({ "aud": "other" }), "somebody else"),
            (json!({ "aud": ["jit", "other"] }), "somebody else"),
            (json!({ "aud": [] }), "somebody else"),
            (json!({ "nonce": "m" }), "nonce"),
            (json!({ "nonce": null }), "nonce"),
            (json!({ "exp": 100 }), "over"),
            (json!({ "exp": "101" }), "over"),
        ] {
            let got = token(change.clone()).unwrap_err();
            assert!(got.contains(want), "{change}: {got}");
        }
        for text in ["", "a.b", "a.b.c", "a.b.c.d"] {
            assert!(checked(text, ("https://i", "jit", "n"), 100).is_err());
        }
    }
}
