//! Calls that make one more of something each time they come: whoever may have lost the answer sends them again with the same
//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), and gets the first answer. All other calls are known by what
//! they say, and need none.
//!
//! The answer is kept in the transaction of what it tells of. It may hold a secret, so it is sealed with the key itself, of
//! which the store has the hash alone. Calls that come at once are jobs of the store one after the other, so the second
//! finds the answer of the first.

use super::problem::Fault;
use super::table::{Caller, Peer, Refusal};
use crate::authority::random;
use crate::error::Error;
use crate::store::{Answered, Core};
use axum::http::{HeaderMap, StatusCode};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use statement::digest::{encode, sha256_b64};

/// The header.
const NAME: &str = "idempotency-key";
/// Characters of a key: as many as make one that nobody guesses, and no more than anybody needs.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=128;
/// Seconds that an answer is kept.
const KEPT: u64 = 24 * 3600;

/// One call with its key.
#[derive(Debug)]
pub(super) struct Again {
    caller: u32,
    /// Hash of the key.
    key: String,
    what: String,
    seal: [u8; 32],
}

/// Why the first answer is none for this call.
#[derive(Debug)]
pub(super) struct Reused;

impl From<Reused> for Fault {
    fn from(_: Reused) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key-reused",
            "This Idempotency-Key was sent with another call or body within the last day; take a new one.",
        )
    }
}

impl Again {
    /// `None`: the call has no key, and is done whenever it comes.
    ///
    /// # Errors
    /// 400 for what is no key; 403 for one of whom no uid is known.
    pub fn of(
        caller: Caller,
        headers: &HeaderMap,
        (path, body): (&str, &[u8]),
    ) -> Result<Option<Self>, Fault> {
        let mut all = headers.get_all(NAME).iter();
        let (first, more) = (all.next(), all.next());
        let Some(first) = first else { return Ok(None) };
        let Caller::Here(Peer { uid }) = caller else {
            return Err(Fault::from(Refusal::NotAllowed));
        };
        let key = first.to_str().ok().filter(|_| more.is_none());
        let key = key.and_then(key_in).ok_or_else(|| {
            Fault::malformed("An Idempotency-Key is one text of 16 to 128 letters, digits, - and _ in double quotes.")
        })?;
        let derive = |purpose: &str| {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
                purpose.as_bytes(),
            );
            let mut bytes = [0; 32];
            bytes.copy_from_slice(tag.as_ref());
            bytes
        };
        Ok(Some(Self {
            caller: uid,
            key: encode(&derive("jit-issuer: name of the answer")),
            what: sha256_b64(&[path.as_bytes(), b"\n", body].concat()),
            seal: derive("jit-issuer: seal of the answer"),
        }))
    }

    /// What the call answered when it came first; asked in the job that would do it.
    ///
    /// # Errors
    /// The store's.
    pub fn before<A: DeserializeOwned>(
        &self,
        core: &mut Core,
        now: u64,
    ) -> Result<Option<Result<A, Reused>>, Error> {
        let since = now.saturating_sub(KEPT);
        let Some(kept) = core.store.answered((self.caller, &self.key), since)? else {
            return Ok(None);
        };
        if kept.what != self.what {
            return Ok(Some(Err(Reused)));
        }
        let answer = self
            .open(kept.answer)
            .ok_or(Error::Damaged("a kept answer cannot be opened".to_owned()))?;
        Ok(Some(Ok(answer)))
    }

    /// Keeps the answer, in the job that did it.
    ///
    /// # Errors
    /// The store's.
    pub fn keep(&self, core: &mut Core, answer: &impl Serialize, now: u64) -> Result<(), Error> {
        let mut sealed = serde_json::to_vec(answer).map_err(|e| Error::Damaged(e.to_string()))?;
        let nonce = random::<NONCE_LEN>()?;
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(|_| Error::Random)?;
        let kept = Answered {
            what: self.what.clone(),
            answer: [&nonce[..], &sealed].concat(),
        };
        let since = now.saturating_sub(KEPT);
        core.store
            .keep_answer((self.caller, &self.key), &kept, (now, since))
    }

    fn open<A: DeserializeOwned>(&self, mut sealed: Vec<u8>) -> Option<A> {
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let open = self
            .cipher()
            .ok()?
            .open_in_place(nonce, Aad::empty(), sealed);
        serde_json::from_slice(open.ok()?).ok()
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.seal).map_err(|_| Error::Random)?;
        Ok(LessSafeKey::new(key))
    }
}

/// A string of RFC 9651 (structured fields), of characters that need no escape.
fn key_in(value: &str) -> Option<&str> {
    let key = value.trim().strip_prefix('"')?.strip_suffix('"')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (LENGTH.contains(&key.len()) && key.bytes().all(plain)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Db, Sqlite};
    use axum::http::HeaderValue;
    use std::sync::Arc;

    const DAY: u64 = 86_400;
    const KEY: &str = "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";

    fn of(uid: u32, key: &str, call: (&str, &str)) -> Result<Option<Again>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_str(key).unwrap());
        let caller = Caller::Here(Peer { uid });
        let (path, body) = call;
        Again::of(caller, &headers, (path, body.as_bytes())).map_err(|_| ())
    }

    #[tokio::test]
    async fn an_answer_is_one_callers_for_one_body_for_a_day_and_the_store_cannot_read_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (db, thread) = Db::start(Box::new(Sqlite::open(file.path()).unwrap()), 1).unwrap();
        let first = Arc::new(of(0, KEY, ("/a", "{}")).unwrap().unwrap());
        let keep = Arc::clone(&first);
        db.call(move |core| keep.keep(core, &"secret-token", 1000))
            .await
            .unwrap();
        let ask = async |uid: u32, key: &str, call: (&str, &str), at: u64| {
            let again = of(uid, key, call).unwrap().unwrap();
            let found = db.call(move |core| again.before::<String>(core, at)).await;
            found.unwrap().map(|answer| answer.map_err(|Reused| ()))
        };
        let same = Some(Ok("secret-token".to_owned()));
        assert_eq!(ask(0, KEY, ("/a", "{}"), 1000 + DAY).await, same);
        assert_eq!(ask(0, KEY, ("/a", "{ }"), 1001).await, Some(Err(())));
        assert_eq!(ask(0, KEY, ("/b", "{}"), 1001).await, Some(Err(())));
        assert_eq!(ask(991, KEY, ("/a", "{}"), 1001).await, None);
        assert_eq!(
            ask(0, "\"another-key-of-mine\"", ("/a", "{}"), 1001).await,
            None
        );
        assert_eq!(ask(0, KEY, ("/a", "{}"), 1001 + DAY).await, None);
        // It goes when another comes.
        let other = of(991, KEY, ("/a", "{}")).unwrap().unwrap();
        db.call(move |core| other.keep(core, &"x", 1001 + DAY))
            .await
            .unwrap();
        assert_eq!(ask(0, KEY, ("/a", "{}"), 1000).await, None);
        drop(db);
        thread.join().unwrap();
        let stored = std::fs::read(file.path()).unwrap();
        let holds = |text: &str| stored.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(!holds("secret-token") && !holds(KEY.trim_matches('"')));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [
            "",
            "\"\"",
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
            "\"short\"",
            "\"8e03978e 40d5-43e8-bc93\"",
            "7",
        ] {
            assert!(of(0, bad, ("/a", "{}")).is_err(), "{bad}");
        }
        let long = format!("\"{}\"", "x".repeat(129));
        assert!(of(0, &long, ("/a", "{}")).is_err());
    }
}
