//! Hooks: whoever is set in `[hooks.NAME]` is told of what becomes of requests. Bodies are CloudEvents 1.0, signatures those of
//! Standard Webhooks 1.0; `docs/spec/hooks.md`.
//!
//! What is told is written into the store in the transaction of the change ([`event`]) and stays there until the receiver has
//! taken it ([`courier`]). A receiver that is away holds up nothing but its own events.

pub mod courier;
pub mod event;

use crate::error::Error;
use crate::files;
use crate::outgoing::Url;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use settings::outgoing::Hook as Config;
use std::path::Path;

/// Bytes of a file of secrets, and of one secret (Standard Webhooks).
const FILE_MAX: usize = 4096;
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

/// One receiver, ready to be told.
#[derive(Clone, Debug)]
pub struct Hook {
    pub name: String,
    pub url: Url,
    keys: Vec<hmac::Key>,
}

impl Hook {
    /// Reads its secrets.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Exposed`], [`Error::Config`].
    pub fn new(name: &str, config: &Config) -> Result<Self, Error> {
        Self::open(&format!("hooks.{name}"), &config.url, &config.secret_file).map(|hook| Self {
            name: name.to_owned(),
            ..hook
        })
    }

    /// `key`: of the settings, for whoever must change them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn open(key: &str, url: &str, path: &Path) -> Result<Self, Error> {
        files::not_for_others(path)?;
        let text = files::read_text(path, FILE_MAX)?;
        let wrong = |why: String| Error::Config {
            path: path.to_owned(),
            why,
        };
        let keys: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(|line| secret(line).ok_or_else(|| wrong(no_secret())))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(wrong(no_secret()));
        }
        let url = Url::parse(url).map_err(|why| Error::Config {
            path: Path::new("issuer.toml").to_owned(),
            why: format!("{key}.url: {why}"),
        })?;
        Ok(Self {
            name: key.to_owned(),
            url,
            keys,
        })
    }

    /// `at`: Unix seconds of this attempt, so that one who records it cannot play it back later.
    ///
    /// # Errors
    /// An id that is no header's value.
    pub fn headers(
        &self,
        id: &str,
        at: u64,
        body: &str,
        media_type: &'static str,
    ) -> Result<HeaderMap, Error> {
        let text = format!("{id}.{at}.{body}");
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(key, text.as_bytes()))))
            .collect();
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| Error::Random);
        Ok(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (HeaderName::from_static("webhook-id"), value(id)?),
            (
                HeaderName::from_static("webhook-timestamp"),
                HeaderValue::from(at),
            ),
            (
                HeaderName::from_static("webhook-signature"),
                value(&signatures.join(" "))?,
            ),
        ]))
    }
}

fn no_secret() -> String {
    format!(
        "a secret is whsec_ and the base64 of {} to {} random bytes: `echo whsec_$(head -c 32 /dev/urandom | base64)`",
        SECRET.start(),
        SECRET.end()
    )
}

fn secret(line: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(line.strip_prefix("whsec_")?).ok()?;
    SECRET
        .contains(&bytes.len())
        .then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}
