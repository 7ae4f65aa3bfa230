//! From a signed request to a grant or a denial.
//!
//! What is not authentic is refused and leaves no trace. What is authentic is settled once, by its bytes: granted
//! or denied with a sentence, the same whenever it comes again.

use crate::authority::{Authority, Terms, too_large};
use crate::clock;
use crate::error::Error;
use crate::extends;
use crate::limits::{Over, Shares};
use crate::out;
use crate::rules::{InForce, Rules};
use crate::store::{Asked, Core, Db, Host, Settled};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::{Ask, Outcome};
use serde::Deserialize;
use statement::claims::{PolicyRef, Request};
use statement::detail::Detail;
use statement::digest::sha256_b64;
use statement::limits::MAX_AHEAD;
use statement::{HostIdentity, Verified, scope};
use std::sync::Arc;

/// Seconds between the host's clock and ours.
pub const SKEW: u64 = 120;

/// Why a request is not even settled.
#[derive(Debug)]
pub enum Rejected {
    /// Not of an enrolled host, not signed by it, not a request.
    NotAuthentic(String),
    /// Too many from this host or user.
    TooMany(Over),
    Failed(Error),
}

impl From<Error> for Rejected {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// Settles one request.
///
/// # Errors
/// [`Rejected`].
pub async fn submit(
    db: &Db,
    authority: &Arc<Authority>,
    rules: &Rules,
    shares: &Shares,
    jws: String,
) -> Result<Settled, Rejected> {
    let not_authentic = |why: &str| Rejected::NotAuthentic(why.to_owned());
    let kid = claimed_key(&jws).ok_or_else(|| not_authentic("This is not a signed request."))?;
    let hash = sha256_b64(jws.as_bytes());
    let ours = authority.grant_kid().to_owned();
    let (host, before, revoked) = db
        .call(move |core| {
            let host = core.store.host_by_kid(&kid)?;
            let revoked = [
                core.store.kid_revoked(&kid)?,
                core.store.kid_revoked(&ours)?,
            ];
            Ok((host, core.store.settled(&hash)?, revoked))
        })
        .await?;
    let Some(host) = host else {
        return Err(not_authentic(
            "The request is not signed by an enrolled host.",
        ));
    };
    if host.gone_at.is_some() {
        return Err(not_authentic("This host was decommissioned."));
    }
    // Hosts would refuse what is given all the same.
    match revoked {
        [true, _] => {
            return Err(not_authentic(
                "This host's key was revoked; enrol it again with a new one.",
            ));
        }
        [_, true] => {
            return Err(not_authentic(
                "The issuer's key for grants was revoked; its people must rotate it.",
            ));
        }
        [false, false] => {}
    }
    let identity = authority.identity(&host)?;
    let request = statement::verify_request(&jws, &identity.key)
        .map_err(|e| Rejected::NotAuthentic(format!("The request was refused: {e}.")))?;
    if request.iss != host.id {
        return Err(not_authentic(
            "The request names another host than the one that signed it.",
        ));
    }
    // After the signature: nobody can use up another host's share. A repetition costs nothing.
    if let Some(settled) = before {
        return Ok(settled);
    }
    shares
        .take(&host.id, &request.sub)
        .map_err(Rejected::TooMany)?;
    let in_force = rules.in_force();
    let authority = Arc::clone(authority);
    let settled = db
        .call(move |core| settle(core, &authority, &in_force, &host, &identity, &request))
        .await?;
    Ok(settled)
}

/// The key id in the header, to find the host by. Nothing of it is believed: the verifier compares it again.
fn claimed_key(jws: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Header {
        kid: String,
    }
    let header = jws.split('.').next().filter(|h| h.len() <= 512)?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some(header.kid)
}

fn settle(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    identity: &HostIdentity,
    request: &Verified<Request>,
) -> Result<Settled, Error> {
    let now_ms = clock::unix_ms();
    let now = now_ms / 1000;
    let asked = Asked {
        hash: request.hash(),
        id: request.id.clone(),
        host: host.id.clone(),
        sub: request.sub.clone(),
        jws: request.jws().to_owned(),
        at: now,
    };
    let verdict = match &request.extends {
        Some(jti) => extends::refusal(core.store.as_mut(), identity, request, jti, now)?,
        None => None,
    }
    .map_or_else(|| decide(in_force, host, request, now), Err);
    let settled = match verdict {
        Err(why) => core.store.deny(&asked, &why)?,
        Ok(rule) => {
            let max_stale = in_force
                .policy
                .roles()
                .get(&request.role)
                .map_or(0, |role| role.max_stale_s);
            let granted = core.store.grant(&asked, &mut |seq| {
                let terms = Terms {
                    now_ms,
                    seq,
                    max_stale,
                    policy: PolicyRef {
                        digest: in_force.policy.digest().to_owned(),
                        rule: rule.clone(),
                    },
                    host: identity,
                };
                authority.grant(request, &terms)
            });
            match granted {
                Err(e) => match too_large(&e) {
                    Some(why) => core
                        .store
                        .deny(&asked, &format!("The grant is too long: {why}."))?,
                    None => return Err(e),
                },
                Ok(settled) => settled,
            }
        }
    };
    out::info(format_args!(
        "request {} of {} for {} role {}: {:?} {}",
        settled.id,
        asked.host,
        asked.sub.escape_debug(),
        request.role,
        settled.status,
        settled.detail.escape_debug()
    ));
    Ok(settled)
}

/// The name of the rule that grants it, or the sentence that denies it.
fn decide(in_force: &InForce, host: &Host, request: &Request, now: u64) -> Result<String, String> {
    if request.iat.abs_diff(now) > SKEW {
        return Err(format!(
            "The request was made {} s away from the issuer's time; at most {SKEW} s are taken. Is the clock right?",
            request.iat.abs_diff(now)
        ));
    }
    if request.aud != [host.id.as_str()] {
        return Err("A host may only ask for itself.".to_owned());
    }
    if now > request.approve_until {
        return Err("The request's time to be granted is over.".to_owned());
    }
    if request.not_before > now + MAX_AHEAD {
        return Err("A grant may start at most seven days from now.".to_owned());
    }
    let Some(first) = request.authorization_details.first() else {
        return Err("The request asks for nothing.".to_owned());
    };
    // Limits make all details of one request name the same account.
    if request.sub != format!("local:{}@{}", first.uid, host.id) {
        return Err("A host may only ask for its own users.".to_owned());
    }
    let rule = match in_force.policy.decide(&ask(host, request, first, now)) {
        Outcome::Automatic { rule, terms } => match terms.unheld() {
            None => rule,
            Some(why) => return Err(why),
        },
        Outcome::Approve { levels, .. } => {
            return Err(format!(
                "Role {} needs the approval of {}, and this issuer cannot ask people yet.",
                request.role,
                policy::in_words(&levels)
            ));
        }
        Outcome::Deny { why } => return Err(why),
    };
    let Some(role) = in_force.policy.roles().get(&request.role) else {
        return Err(format!("There is no role {}.", request.role));
    };
    let whole = role.expand(&request.role, &first.login, first.uid);
    for detail in &request.authorization_details {
        scope::subset(detail, &whole)
            .map_err(|gap| format!("The request goes beyond role {}: {gap}.", request.role))?;
    }
    Ok(rule)
}

/// What the policy may look at. Limits make all details of one request name the same account.
pub(crate) fn ask(host: &Host, request: &Request, first: &Detail, now: u64) -> Ask {
    Ask {
        requester: policy::Requester {
            login: first.login.clone(),
            uid: first.uid,
        },
        host: policy::Host {
            id: host.id.clone(),
            name: host.name.clone(),
            labels: host.labels.clone(),
        },
        role: request.role.clone(),
        duration: request.dur,
        reason: request.reason.clone(),
        ticket: request.ticket.clone(),
        at: now,
        details: request.authorization_details.clone(),
    }
}

impl Rejected {
    /// For the answer.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotAuthentic(why) => why.clone(),
            Self::TooMany(Over::Host) => {
                "Too many requests from this host; try again in a minute.".to_owned()
            }
            Self::TooMany(Over::User) => {
                "Too many requests from this user; try again in a minute.".to_owned()
            }
            Self::Failed(_) => "The issuer failed; its log says why.".to_owned(),
        }
    }
}
