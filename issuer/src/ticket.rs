//! The ticket check: a URL of the administrator's is asked whether a request's ticket bears it, before policy or people give
//! anything. `docs/spec/ticket.md`.

use crate::clock::Clock;
use crate::config::Ticket as Config;
use crate::error::Error;
use crate::hooks::Hook;
use crate::outgoing::Outgoing;
use crate::store::Host;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::json;
use statement::claims::Request;
use statement::{limits, words};
use std::sync::Arc;
use std::time::Duration;

/// For the whole check: whoever asked still waits for his answer.
const TIME: Duration = Duration::from_secs(5);
/// Bytes of the sentence that comes with an answer.
const WHY_MAX: usize = 200;

/// Whom to ask, and about what.
pub struct Ticket {
    to: Hook,
    outgoing: Outgoing,
    roles: Vec<String>,
    required: bool,
    clock: Arc<dyn Clock>,
}

/// What is answered. Further members are passed over.
#[derive(Deserialize)]
struct Said {
    allow: bool,
    #[serde(default)]
    why: String,
}

impl Ticket {
    /// # Errors
    /// As [`Hook::open`], [`Outgoing::new`].
    pub fn new(config: &Config, outgoing: Outgoing, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self {
            to: Hook::open("ticket", &config.url, &config.secret_file)?,
            outgoing: outgoing.within(TIME),
            roles: config.roles.clone(),
            required: config.required,
            clock,
        })
    }

    /// The sentence that denies the request, if one does.
    pub async fn denies(&self, request: &Request, host: &Host) -> Option<String> {
        if !self.roles.is_empty() && !self.roles.contains(&request.role) {
            return None;
        }
        let Some(ticket) = &request.ticket else {
            let none = || {
                format!(
                    "Role {} is only given with a ticket: name one.",
                    request.role
                )
            };
            return self.required.then(none);
        };
        match self.ask(ticket, request, host).await {
            Ok(Said { allow: true, .. }) => None,
            Ok(Said { why, .. }) => {
                let why = Some(why).filter(|w| w.len() <= WHY_MAX && limits::reason(w).is_ok());
                let why = why.map_or_else(String::new, |w| format!(": {w}"));
                Some(format!("The ticket {ticket} does not bear it{why}."))
            }
            Err(why) => {
                crate::out::warn(format_args!("ticket of request {}: {why}", request.id));
                // Why it failed is the administrator's business.
                self.required
                    .then(|| format!("The ticket {ticket} could not be checked; ask again later."))
            }
        }
    }

    /// # Errors
    /// Why nothing is known.
    async fn ask(&self, ticket: &str, request: &Request, host: &Host) -> Result<Said, String> {
        let first = request.authorization_details.first();
        let body = json!({
            "ticket": ticket,
            "request": request.id,
            "host": host.id,
            "host_name": host.name,
            "login": first.map(|d| &d.login),
            "uid": first.map(|d| d.uid),
            "role": request.role,
            "reason": request.reason,
            "seconds": request.dur,
            "root_equal": words::root_equal(request),
        });
        let body = body.to_string();
        let now = self.clock.unix_ms() / 1000;
        let headers = self.to.headers(
            &format!("ticket_{}", request.id),
            now,
            &body,
            "application/json",
        );
        let headers = headers.map_err(|e| e.to_string())?;
        let said = self
            .outgoing
            .post(&self.to.url, headers, Bytes::from(body))
            .await;
        match said.map_err(|e| e.to_string())? {
            (StatusCode::OK, said) => {
                serde_json::from_slice(&said).map_err(|e| format!("no answer of ours: {e}"))
            }
            (status, _) => Err(format!("it answered {status}")),
        }
    }
}
