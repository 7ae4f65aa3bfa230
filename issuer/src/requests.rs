//! From a signed request to a grant or a denial.
//!
//! What is not authentic is refused and leaves no trace. What is authentic is settled once, by its bytes: granted
//! or denied with a sentence, the same whenever it comes again.

use crate::approvals;
use crate::authority::{Authority, Terms, too_large};
use crate::clock;
use crate::error::Error;
use crate::extends;
use crate::http::App;
use crate::limits::Over;
use crate::out;
use crate::rules::InForce;
use crate::store::{Asked, Core, Host, Settled};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::{Ask, Outcome};
use serde::Deserialize;
use statement::claims::{PolicyRef, Request};
use statement::detail::Detail;
use statement::digest::sha256_b64;
use statement::limits::MAX_AHEAD;
use statement::people::{Approval, Need};
use statement::{HostIdentity, Refused, Verified, asked, scope};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Seconds between the host's clock and ours.
pub const SKEW: u64 = 120;

/// For all whom the issuer asks before it answers: a caller gives up after 10 s, and would not hear what became of it.
const CHECKS: Duration = Duration::from_secs(8);

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
pub async fn submit(app: &App, jws: String, id_token: Option<String>) -> Result<Settled, Rejected> {
    let (db, authority) = (&app.db, &app.authority);
    let not_authentic = |why: &str| Rejected::NotAuthentic(why.to_owned());
    let kid = claimed_key(&jws).ok_or_else(|| not_authentic("This is not a signed request."))?;
    let hash = sha256_b64(jws.as_bytes());
    let ours = authority.grant_kid().to_owned();
    let persons = asked::is_persons(&jws);
    let for_host = match persons {
        true => Some(wanted_host(&jws)?),
        false => None,
    };
    let (host, before, waits, revoked) = db
        .call(move |core| {
            let host = match for_host {
                Some(id) => core.store.host(&id)?,
                None => core.store.host_by_kid(&kid)?,
            };
            let waits = core.store.waiting(&hash)?.is_some();
            let revoked = revoked_key(core, &kid, &ours)?;
            Ok((host, core.store.settled(&hash)?, waits, revoked))
        })
        .await?;
    let Some(host) = host else {
        return Err(not_authentic(match persons {
            // Whether there is such a host is told to those who show who they are.
            true => {
                "The request is not for a host of this issuer, or not signed by one of its people."
            }
            false => "The request is not signed by an enrolled host.",
        }));
    };
    if host.gone_at.is_some() && !persons {
        return Err(not_authentic("This host was decommissioned."));
    }
    // Hosts would refuse what is given all the same.
    match revoked {
        Some(Revoked::Askers) => {
            return Err(not_authentic(match persons {
                true => "This key was revoked.",
                false => "This host's key was revoked; enrol it again with a new one.",
            }));
        }
        Some(Revoked::Grants) => return Err(not_authentic(GRANTS_KEY_REVOKED)),
        None => {}
    }
    let identity = authority.identity(&host)?;
    let request = authority
        .request(&jws, &identity, clock::unix())
        .map_err(|e| match e {
            Refused::NotOurRequest => {
                not_authentic("The request names another host than the one that signed it.")
            }
            e => Rejected::NotAuthentic(format!("The request was refused: {e}.")),
        })?;
    if host.gone_at.is_some() {
        return Err(not_authentic("This host was decommissioned."));
    }
    // After the signature: nobody can use up another host's share. A repetition costs nothing.
    if let Some(settled) = before {
        return Ok(settled);
    }
    if !waits {
        // A person who asks from elsewhere uses up a share of his own, never that of the host and its users.
        let whose = match persons {
            true => format!("person {}", request.iss),
            false => host.id.clone(),
        };
        app.shares
            .take(&whose, &request.sub)
            .map_err(Rejected::TooMany)?;
    }
    let deadline = Instant::now() + CHECKS;
    // After its own signature and share: strangers have nobody called.
    if let (Some(oidc), true, false) = (&app.oidc, persons, waits) {
        let admitted = oidc.admits(&request.iss, id_token.as_deref());
        let admitted = tokio::time::timeout_at(deadline, admitted).await;
        admitted
            .unwrap_or_else(|_| Err("The ID token could not be checked in time.".to_owned()))
            .map_err(Rejected::NotAuthentic)?;
    }
    // Before policy and people: what they approve is a request whose ticket bears it.
    let ticket = match &app.ticket {
        Some(ticket) if !waits => {
            let policy = &app.rules.in_force().policy;
            ticket.denies(&request, &host, policy, deadline).await
        }
        _ => None,
    };
    let in_force = app.rules.in_force();
    let authority = Arc::clone(authority);
    let settled = db
        .call(move |core| {
            settle(
                core,
                &authority,
                &in_force,
                (&host, &identity),
                &request,
                ticket,
            )
        })
        .await?;
    Ok(settled)
}

/// What is said while nothing can be granted.
pub(crate) const GRANTS_KEY_REVOKED: &str =
    "The issuer's key for grants was revoked; its people must rotate it.";

/// A key that was revoked, so that no host takes what is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// The one a request was signed with.
    Askers,
    /// Ours for grants.
    Grants,
}

/// Whether a request signed by the key `kid` can lead to anything.
///
/// # Errors
/// The store's.
pub(crate) fn revoked_key(
    core: &mut Core,
    kid: &str,
    grant_kid: &str,
) -> Result<Option<Revoked>, Error> {
    Ok(if core.store.kid_revoked(kid)? {
        Some(Revoked::Askers)
    } else if core.store.kid_revoked(grant_kid)? {
        Some(Revoked::Grants)
    } else {
        None
    })
}

/// The one host that a person's request is for. Nothing of it is believed: the verifier compares it again.
fn wanted_host(jws: &str) -> Result<String, Rejected> {
    let refused = |why: String| Rejected::NotAuthentic(why);
    let claims = statement::unverified_request(jws)
        .map_err(|e| refused(format!("The request was refused: {e}.")))?;
    match claims.aud.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(refused("A person's request is for one host.".to_owned())),
    }
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
    (host, identity): (&Host, &HostIdentity),
    request: &Verified<Request>,
    ticket: Option<String>,
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
    if let Some(waiting) = core.store.waiting(&asked.hash)? {
        return approvals::advance(core, authority, in_force, host, &waiting);
    }
    let verdict = match fresh(request, now) {
        Ok(()) => judge(core, authority, in_force, host, identity, request)?,
        Err(why) => Verdict::Deny(why),
    };
    let verdict = match (verdict, ticket) {
        (Verdict::Grant { .. } | Verdict::Ask { .. }, Some(why)) => Verdict::Deny(why),
        (verdict, _) => verdict,
    };
    let settled = match verdict {
        Verdict::Deny(why) => core.store.deny(&asked, &why)?,
        Verdict::Ask { levels, .. } => {
            approvals::wait(core, authority, in_force, request, &asked, &levels)?
        }
        Verdict::Grant { rule } => {
            let by = (rule.as_str(), &[] as &[Approval], now_ms);
            give(core, authority, in_force, identity, request, &asked, by)?
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

/// Signs and stores the grant: by which rule, with whose approvals (none: an automatic one), at which millisecond.
pub(crate) fn give(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    identity: &HostIdentity,
    request: &Verified<Request>,
    asked: &Asked,
    (rule, approvals, now_ms): (&str, &[Approval], u64),
) -> Result<Settled, Error> {
    let max_stale = in_force
        .policy
        .roles()
        .get(&request.role)
        .map_or(0, |role| role.max_stale_s);
    let granted = core.store.grant(asked, &mut |seq| {
        let terms = Terms {
            now_ms,
            seq,
            max_stale,
            policy: PolicyRef {
                digest: in_force.policy.digest().to_owned(),
                rule: rule.to_owned(),
            },
            host: identity,
            approvals,
        };
        authority.grant(request, &terms)
    });
    match granted {
        Err(e) => match too_large(&e) {
            Some(why) => core
                .store
                .deny(asked, &format!("The grant is too long: {why}.")),
            None => Err(e),
        },
        Ok(settled) => Ok(settled),
    }
}

/// What is to become of an authentic request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Granted without people, by the rule of this name.
    Grant { rule: String },
    /// People must approve: these levels of the policy, and beside them those that the trust statement demands.
    Ask { rule: String, levels: Vec<Need> },
    /// The sentence for the user.
    Deny(String),
}

/// Only when it comes: later its own end counts.
fn fresh(request: &Request, now: u64) -> Result<(), String> {
    if request.iat.abs_diff(now) > SKEW {
        return Err(format!(
            "The request was made {} s away from the issuer's time; at most {SKEW} s are taken. Is the clock right?",
            request.iat.abs_diff(now)
        ));
    }
    Ok(())
}

/// What policy, trust statement and the grant that is to be extended make of a request now.
///
/// # Errors
/// The store's.
pub(crate) fn judge(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    identity: &HostIdentity,
    request: &Request,
) -> Result<Verdict, Error> {
    let now = clock::unix();
    if let Some(jti) = &request.extends
        && let Some(why) = extends::refusal(core.store.as_mut(), identity, request, jti, now)?
    {
        return Ok(Verdict::Deny(why));
    }
    Ok(decide(authority, in_force, host, request, now).unwrap_or_else(Verdict::Deny))
}

/// What is granted, or asked of people; or the sentence that denies it.
fn decide(
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    request: &Request,
    now: u64,
) -> Result<Verdict, String> {
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
    let (rule, levels, terms) = match in_force.policy.decide(&ask(host, request, first, now)) {
        Outcome::Automatic { rule, terms } => (rule, Vec::new(), terms),
        Outcome::Approve {
            rule,
            levels,
            terms,
        } => (rule, levels, terms),
        Outcome::Deny { why } => return Err(why),
    };
    if let Some(why) = terms.unheld() {
        return Err(why);
    }
    let Some(role) = in_force.policy.roles().get(&request.role) else {
        return Err(format!("There is no role {}.", request.role));
    };
    let whole = role.expand(&request.role, &first.login, first.uid);
    for detail in &request.authorization_details {
        scope::subset(detail, &whole)
            .map_err(|gap| format!("The request goes beyond role {}: {gap}.", request.role))?;
    }
    // What no host would take is not asked of people, and not signed.
    let ring = authority.ring();
    let demanded = ring.needs(&request.role).is_some();
    if !demanded && !ring.may_be_automatic(&request.role) {
        return Err(format!(
            "The trust statement lets role {} be neither automatic nor approved by anybody.",
            request.role
        ));
    }
    if levels.is_empty() && !demanded {
        return Ok(Verdict::Grant { rule });
    }
    if demanded && ring.person_of(&first.login, first.uid, &host.id).is_none() {
        return Err(format!(
            "Role {} needs approvals, and the trust statement does not say which person {} (uid {}) on {} is.",
            request.role, first.login, first.uid, host.id
        ));
    }
    Ok(Verdict::Ask { rule, levels })
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
                "Too many requests from this host or person; try again in a minute.".to_owned()
            }
            Self::TooMany(Over::User) => {
                "Too many requests from this user; try again in a minute.".to_owned()
            }
            Self::Failed(_) => "The issuer failed; its log says why.".to_owned(),
        }
    }
}
