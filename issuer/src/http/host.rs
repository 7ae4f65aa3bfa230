//! Which host is calling: on this box the link's word is taken for it, from elsewhere the host's own, signed for this
//! one call.

use super::App;
use super::problem::Fault;
use super::table::Caller;
use crate::clock;
use crate::requests::SKEW;
use axum::http::{HeaderMap, StatusCode, header};
use statement::claims::{HostAuth, Purpose};
use statement::digest::sha256_b64;
use statement::verify_host_auth;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Words of one host that are remembered at once; one that makes more within their lives must wait.
const WORDS: usize = 64;

/// Words that were heard, each until it could not be said again. Only enrolled hosts come here.
#[derive(Default)]
pub struct Words(Mutex<HashMap<String, Vec<(String, u64)>>>);

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    New,
    Again,
    TooMany,
}

impl Words {
    fn hear(&self, host: &str, jti: &str, until: u64, now: u64) -> Heard {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = all.entry(host.to_owned()).or_default();
        words.retain(|(_, until)| *until > now);
        if words.iter().any(|(word, _)| word == jti) {
            return Heard::Again;
        }
        if words.len() >= WORDS {
            return Heard::TooMany;
        }
        words.push((jti.to_owned(), until));
        Heard::New
    }
}

/// That the call is that host's, or on this box one of those who may speak for it. `body`: what it hands in.
///
/// # Errors
/// 403 `decommissioned`; 404 `unknown-host` on this box; 403 `not-authentic` from elsewhere, which does not tell whether there is such a host;
/// 429 `too-many-calls`.
pub async fn check(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    host: &str,
    purpose: Purpose,
    body: Option<&[u8]>,
) -> Result<(), Fault> {
    let id = host.to_owned();
    let known = app.db.call(move |core| core.store.host(&id)).await?;
    if let Caller::Here(_) = caller {
        return match known {
            Some(_) => Ok(()),
            None => Err(Fault::not_found(
                "unknown-host",
                "No such host is enrolled.",
            )),
        };
    }
    let refused = |why: &str| Fault::new(StatusCode::FORBIDDEN, "not-authentic", why);
    let nobody = || refused("The call is not signed by an enrolled host.");
    let word = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .ok_or_else(nobody)?;
    let known = known.ok_or_else(nobody)?;
    let identity = app.authority.identity(&known)?;
    let word = verify_host_auth(word, &identity.key).map_err(|_| nobody())?;
    let now = clock::unix();
    fits(&word, app.authority.iss(), host, purpose, body, now).map_err(|why| refused(&why))?;
    if known.gone_at.is_some() {
        // Until its last grant is over it must hear that they are revoked.
        let id = host.to_owned();
        let reach = app.db.call(move |core| core.store.reach(&id)).await?;
        if reach <= now {
            return Err(Fault::new(
                StatusCode::FORBIDDEN,
                "decommissioned",
                "This host was decommissioned.",
            ));
        }
    }
    heard(app, host, &word.jti, word.exp + SKEW, now)
}

/// Takes a caller's word once; `until` it could be said again.
///
/// # Errors
/// 403 `not-authentic`, 429 `too-many-calls`.
pub fn heard(app: &App, caller: &str, word: &str, until: u64, now: u64) -> Result<(), Fault> {
    match app.words.hear(caller, word, until, now) {
        Heard::New => Ok(()),
        Heard::Again => Err(Fault::new(
            StatusCode::FORBIDDEN,
            "not-authentic",
            "The same call was made before.",
        )),
        Heard::TooMany => Err(Fault::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-calls",
            "Too many calls; try again in a minute.",
        )),
    }
}

/// Whether a word is for this call, at this time.
pub fn fits(
    word: &HostAuth,
    issuer: &str,
    host: &str,
    purpose: Purpose,
    body: Option<&[u8]>,
    now: u64,
) -> Result<(), String> {
    if word.iss != host || word.aud != issuer || word.purpose != purpose {
        return Err("The call is signed for another host, issuer or purpose.".to_owned());
    }
    if word.body != body.map(sha256_b64) {
        return Err("The call is signed for another body.".to_owned());
    }
    if word.iat > now + SKEW || word.exp + SKEW <= now {
        return Err(format!(
            "The call was signed {} s away from the issuer's time; at most {SKEW} s are taken. Is the clock right?",
            word.iat.abs_diff(now)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> HostAuth {
        HostAuth {
            ver: 1,
            iss: "h".to_owned(),
            aud: "i".to_owned(),
            iat: 1000,
            exp: 1060,
            jti: "j".to_owned(),
            purpose: Purpose::Receipt,
            body: Some(sha256_b64(b"b")),
        }
    }

    #[test]
    fn each_binding_counts() {
        let ask = |word: &HostAuth, now| fits(word, "i", "h", Purpose::Receipt, Some(b"b"), now);
        for now in [1000 - SKEW, 1000, 1059 + SKEW] {
            assert_eq!(ask(&word(), now), Ok(()), "{now}");
        }
        for now in [999 - SKEW, 1060 + SKEW] {
            assert!(ask(&word(), now).is_err(), "{now}");
        }
        let spoil: [fn(&mut HostAuth); 5] = [
            |w| w.iss = "x".to_owned(),
            |w| w.aud = "x".to_owned(),
            |w| w.purpose = Purpose::Enrol,
            |w| w.body = None,
            |w| w.body = Some(sha256_b64(b"x")),
        ];
        for (i, spoil) in spoil.iter().enumerate() {
            let mut word = word();
            spoil(&mut word);
            assert!(ask(&word, 1000).is_err(), "{i}");
        }
    }

    #[test]
    fn a_word_counts_once_while_it_could_be_said_again() {
        let words = Words::default();
        assert_eq!(words.hear("a", "1", 10, 0), Heard::New);
        assert_eq!(words.hear("a", "1", 10, 9), Heard::Again);
        assert_eq!(words.hear("b", "1", 10, 9), Heard::New);
        for n in 1..WORDS {
            assert_eq!(words.hear("a", &format!("x{n}"), 20, 9), Heard::New);
        }
        assert_eq!(words.hear("a", "more", 20, 9), Heard::TooMany);
        assert_eq!(words.hear("b", "more", 20, 9), Heard::New);
        assert_eq!(words.hear("a", "more", 20, 10), Heard::New);
    }
}
