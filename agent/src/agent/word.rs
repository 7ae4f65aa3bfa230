//! This host's word to an issuer elsewhere: short-lived, for one call, in a form nobody else chooses. Whoever owns the
//! link can ask for it, and can with it do what the link does: read signed statements that are this host's anyway.

use super::elevate::error;
use super::{Agent, random};
use crate::clock;
use crate::paths::JOURNAL_HEAD;
use statement::claims::{HostAuth, Purpose, Typ};
use statement::limits::MAX_HOST_AUTH_LIFE;
use std::path::Path;
use wire::cli::{Code, Error, Reply};
use wire::link::Down;

/// Between two receipts without news.
const RECEIPT_EVERY_NS: u64 = 60_000_000_000;

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Agent {
    /// A word of this host. `body`: hash of what is handed in.
    pub(super) fn word(
        &self,
        host: String,
        issuer: String,
        purpose: Purpose,
        body: Option<String>,
    ) -> Result<String, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        // The issuer compares it with its own clock, so the mark does not matter here.
        let iat = now.wall_s();
        let claims = HostAuth {
            ver: 1,
            iss: host,
            aud: issuer,
            iat,
            exp: iat + MAX_HOST_AUTH_LIFE,
            jti: statement::id::ulid(now.wall_ms, random()?),
            purpose,
            body,
        };
        self.signer
            .sign(Typ::HostAuth, &claims)
            .map_err(|e| e.to_string())
    }

    /// That this host holds its key, to an issuer that is to enrol it.
    ///
    /// # Errors
    /// No clock, no random numbers.
    pub fn prove_key(
        &self,
        host: String,
        issuer: String,
        secret_hash: String,
    ) -> Result<Reply, Error> {
        self.word(host, issuer, Purpose::Enrol, Some(secret_hash))
            .map(|proof| Reply::KeyProof { proof })
            .map_err(|why| error(Code::Internal, why, None))
    }

    /// Tells the issuer how far this host is: at once after a revocation (`news`), else once a minute. Its fleet's people see
    /// it; nothing rests on it.
    pub(super) fn send_receipt(&self, news: bool) {
        let Ok(now) = clock::now() else { return };
        let (host, issuer, serial, answers) = {
            let mut core = self.core.borrow_mut();
            let quiet = core
                .link
                .receipt_ns
                .is_some_and(|then| now.boot_ns.saturating_sub(then) < RECEIPT_EVERY_NS);
            if core.link.tx.is_none() || (quiet && !news) {
                return;
            }
            core.link.receipt_ns = Some(now.boot_ns);
            let answers = core.link.answers();
            let Some(e) = &core.enrolled else { return };
            (
                e.me.host.clone(),
                e.ring.iss().to_owned(),
                core.state.rev_serial,
                answers,
            )
        };
        let (next, chain) = match journal::head(Path::new(JOURNAL_HEAD)) {
            journal::Found::Head(head) => (head.next, hex(&head.chain)),
            // A receipt without it shows that something is wrong there.
            journal::Found::Missing | journal::Found::Damaged(_) => (0, String::new()),
        };
        let mut body = serde_json::json!({
            "host": host, "rev_serial": serial, "at": now.wall_s(),
            "version": env!("CARGO_PKG_VERSION"), "log_next": next, "log_chain": chain,
        });
        if !answers.is_empty() {
            body["answers"] = serde_json::Value::Array(answers);
        }
        let body = body.to_string();
        let hash = statement::digest::sha256_b64(body.as_bytes());
        match self.word(host, issuer, Purpose::Receipt, Some(hash)) {
            Ok(word) => {
                if let Some(link) = &self.core.borrow().link.tx {
                    let _ = link.send(Down::Receipt { body, word });
                }
            }
            Err(why) => self.alert_rarely(&format!("no receipt was sent: {why}")),
        }
    }

    /// The link needs one to read. Without an enrolment there is nobody to read from, and no answer.
    pub(super) fn word_for_link(&self, id: u64) {
        let names = self
            .core
            .borrow()
            .enrolled
            .as_ref()
            .map(|e| (e.me.host.clone(), e.ring.iss().to_owned()));
        let Some((host, issuer)) = names else { return };
        match self.word(host, issuer, Purpose::Read, None) {
            Ok(word) => {
                if let Some(link) = &self.core.borrow().link.tx {
                    let _ = link.send(Down::Word { id, word });
                }
            }
            Err(why) => self.alert_rarely(&format!("the link got no word for the issuer: {why}")),
        }
    }
}
