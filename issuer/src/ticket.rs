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
use policy::Policy;
use serde::Deserialize;
use serde_json::json;
use statement::claims::Request;
use statement::{limits, words};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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

    /// Says that the settings name roles that the policy does not have.
    pub fn warn_of_unknown(&self, policy: &Policy) {
        let unknown: Vec<&str> = self.unknown(policy).collect();
        if !unknown.is_empty() {
            crate::out::error(format_args!(
                "ticket.roles names {}, of which the policy has no role; whichever was meant, tickets of all roles are checked until that is mended",
                unknown.join(", ")
            ));
        }
    }

    fn unknown<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = &'a str> {
        let roles = self.roles.iter().map(String::as_str);
        roles.filter(|role| !policy.roles().contains_key(*role))
    }

    /// The sentence that denies the request, if one does by `deadline`.
    pub async fn denies(
        &self,
        request: &Request,
        host: &Host,
        policy: &Policy,
        deadline: Instant,
    ) -> Option<String> {
        // A name that means nothing may be any role misspelt.
        let all = self.roles.is_empty() || self.unknown(policy).next().is_some();
        if !all && !self.roles.contains(&request.role) {
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
        let said = tokio::time::timeout_at(deadline, self.ask(ticket, request, host)).await;
        match said.unwrap_or_else(|_| Err("no time was left for it".to_owned())) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use settings::outgoing::Outgoing as Allowed;
    use std::os::unix::fs::PermissionsExt;

    /// Whoever asked before it may have used up the time: no answer comes later than the caller waits.
    #[tokio::test]
    async fn a_check_ends_with_the_time_that_all_checks_have() {
        let dir = tempfile::TempDir::new().unwrap();
        let (ca, secret_file) = (dir.path().join("ca.pem"), dir.path().join("secret"));
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([]).unwrap();
        std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&secret_file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        // It takes calls, and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config {
            url: format!("http://{}/", silent.local_addr().unwrap()),
            secret_file,
            roles: vec![],
            required: true,
        };
        let outgoing = Outgoing::new(&Allowed {
            allow: vec!["127.0.0.1".to_owned()],
            ca: Some(ca),
        });
        let clock = Arc::new(clock::System) as Arc<dyn Clock>;
        let ticket = Ticket::new(&config, outgoing.unwrap(), clock).unwrap();
        let files = policy::Files::of_roles(include_str!("../../packaging/etc/policy/roles.toml"));
        let policy = policy::open(&files).unwrap();
        let request: Request = serde_json::from_value(json!({
            "ver": 1, "iss": "h", "iat": 0, "id": "R", "nonce": "", "sub": "s", "aud": ["h"], "role": "admin",
            "policy_ver": 1, "authorization_details": [], "not_before": 0, "dur": 60, "approve_until": 0,
            "reason": "x", "ticket": "T-1",
        }))
        .unwrap();
        let host = Host {
            id: "h".to_owned(),
            name: "h".to_owned(),
            jwk: serde_json::from_value(json!({ "kty": "OKP", "crv": "Ed25519", "x": "" }))
                .unwrap(),
            kid: String::new(),
            labels: [].into(),
            enrolled_at: 0,
            gone_at: None,
        };
        let start = Instant::now();
        let deadline = start + Duration::from_millis(50);
        let said = ticket.denies(&request, &host, &policy, deadline).await;
        assert!(said.unwrap().contains("could not be checked"));
        assert!(start.elapsed() < TIME);
    }
}
