//! Requests that people must approve: who must, who has, and the grant when they all have.
//!
//! The policy says whom to ask, level after level; the trust statement says without whom no host takes the grant. Both are
//! demanded. What was demanded and who counts is worked out anew at each step, from the policy and the people of that
//! moment, by the very code with which hosts check the grant.

mod reach;

use crate::authority::Authority;
use crate::clock;
use crate::error::Error;
use crate::out;
use crate::requests::{self, GRANTS_KEY_REVOKED, Revoked, Verdict};
use crate::rules::{InForce, Rules};
use crate::store::{Asked, Core, Db, Given, Host, Settled, Waiting};
use api::{Standing, Status};
use reach::{Reach, verified};
use statement::asked::is_persons;
use statement::claims::Request;
use statement::keys::KeyRing;
use statement::people::{Approval, MAX_APPROVALS, Need, Person, in_words};
use statement::sshsig::SshSig;
use statement::{HostIdentity, Verified};
use std::sync::Arc;

/// Open requests of one user of a host, of a host, and in all.
const OPEN: (u64, u64, u64) = (8, 64, 10_000);

/// Why an approval, a denial or a withdrawal changes nothing.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such request that the caller may decide.
    Unknown,
    /// It is decided.
    Closed(Settled),
    /// The signature is no approval of this request by somebody the root keys know.
    NotAuthentic(String),
    /// This person is not asked, or has no place to fill any more.
    NotAsked(String),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// Who decides.
#[derive(Clone, Debug)]
pub enum By {
    /// Root on the issuer's box.
    Root,
    Person(Person),
}

impl By {
    fn name(&self) -> &str {
        match self {
            Self::Root => "root of the issuer's box",
            Self::Person(person) => &person.id,
        }
    }

    /// Whether he asked for it himself, from elsewhere.
    fn asked(&self, waiting: &Waiting) -> bool {
        let Self::Person(person) = self else {
            return false;
        };
        let jws = &waiting.asked.jws;
        is_persons(jws) && statement::unverified_request(jws).is_ok_and(|r| r.iss == person.id)
    }

    /// Whether it is his business: root's always is, a person's when one of the groups that are asked is his.
    pub(crate) fn may_see(&self, waiting: &Waiting, role: &str, ring: &KeyRing) -> bool {
        let Self::Person(person) = self else {
            return true;
        };
        let needs = ring.needs(role).unwrap_or_default();
        waiting
            .levels
            .iter()
            .chain(needs)
            .any(|need| person.groups.contains(&need.group))
    }
}

/// Keeps a new request until people have decided it.
///
/// # Errors
/// The store's.
pub fn wait(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    request: &Verified<Request>,
    asked: &Asked,
    levels: &[Need],
) -> Result<Settled, Error> {
    let (of_user, of_host, in_all) = core.store.open_count(&asked.host, &asked.sub)?;
    if of_user >= OPEN.0 || of_host >= OPEN.1 || in_all >= OPEN.2 {
        let why = "Too many requests wait for approval already; withdraw one, or wait.";
        return core.store.deny(asked, why);
    }
    let reach = Reach::of(
        &in_force.policy,
        authority.ring(),
        request,
        levels,
        &[],
        asked.at,
    );
    let waiting_for = in_words(&reach.lacks);
    if !core
        .store
        .wait(asked, request.approve_until, levels, &waiting_for)?
    {
        return core.store.deny(asked, "Another request has this id.");
    }
    Ok(pending(&asked.id, waiting_for))
}

fn pending(id: &str, waiting_for: String) -> Settled {
    Settled {
        id: id.to_owned(),
        status: Status::Pending,
        detail: waiting_for,
    }
}

/// Takes an open request as far as its approvals reach: to its grant, its denial, or its next level.
///
/// # Errors
/// The store's and the signer's.
pub fn advance(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    waiting: &Waiting,
) -> Result<Settled, Error> {
    let now_ms = clock::unix_ms();
    let now = now_ms / 1000;
    let asked = &waiting.asked;
    if now > waiting.until {
        core.store.expire(now)?;
    }
    if let Some(settled) = core.store.settled(&asked.hash)? {
        return Ok(settled);
    }
    let identity = authority.identity(host)?;
    let (request, levels, rule) = match judged(core, authority, in_force, host, &identity, waiting)?
    {
        Ok(known) => known,
        Err(why) => return core.store.deny(asked, &why),
    };
    let reach = Reach::of(
        &in_force.policy,
        authority.ring(),
        &request,
        &levels,
        &waiting.approvals,
        now,
    );
    if reach.lacks.is_empty() {
        let settled = requests::give(
            core,
            authority,
            in_force,
            &identity,
            &request,
            &Asked {
                at: now,
                ..asked.clone()
            },
            (&rule, &reach.counted, now_ms),
        )?;
        let by: Vec<&str> = reach.counted.iter().map(|a| a.by.as_str()).collect();
        out::info(format_args!(
            "request {} approved by {}",
            asked.id,
            by.join(", ")
        ));
        return Ok(settled);
    }
    let waiting_for = in_words(&reach.lacks);
    if waiting_for != waiting.waiting_for || levels != waiting.levels {
        core.store.waits(&asked.hash, &levels, &waiting_for)?;
    }
    Ok(pending(&asked.id, waiting_for))
}

type Judged = Result<(Verified<Request>, Vec<Need>, String), String>;

/// What the policy of this moment makes of it: the people it wants now, or the sentence that denies it.
fn judged(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    identity: &HostIdentity,
    waiting: &Waiting,
) -> Result<Judged, Error> {
    if host.gone_at.is_some() {
        return Ok(Err("This host was decommissioned.".to_owned()));
    }
    let request = match authority.request(&waiting.asked.jws, identity, clock::unix()) {
        Ok(request) => request,
        Err(why) => {
            return Ok(Err(format!(
                "What it was asked with counts no more: {why}."
            )));
        }
    };
    // Hosts would refuse what is given all the same.
    match requests::revoked_key(core, request.kid(), authority.grant_kid())? {
        Some(Revoked::Askers) => {
            return Ok(Err("The key it was asked with was revoked.".to_owned()));
        }
        Some(Revoked::Grants) => return Ok(Err(GRANTS_KEY_REVOKED.to_owned())),
        None => {}
    }
    let verdict = requests::judge(core, authority, in_force, host, identity, &request)?;
    Ok(match verdict {
        Verdict::Deny(why) => Err(why),
        // People were asked, so people decide, though nobody would be asked now.
        Verdict::Grant { rule } => Ok((request, waiting.levels.clone(), rule)),
        Verdict::Ask { rule, levels } => Ok((request, levels, rule)),
    })
}

/// The open requests that are a caller's business, the oldest first.
///
/// # Errors
/// The store's.
pub async fn list(db: &Db, authority: &Arc<Authority>, by: By) -> Result<Vec<Waiting>, Error> {
    let authority = Arc::clone(authority);
    db.call(move |core| {
        core.store.expire(clock::unix())?;
        let mut open = core.store.open()?;
        open.retain(|w| by.may_see(w, &role(w), authority.ring()));
        Ok(open)
    })
    .await
}

/// Of a stored request, which was verified when it came.
fn role(waiting: &Waiting) -> String {
    statement::unverified_request(&waiting.asked.jws)
        .map(|r| r.role)
        .unwrap_or_default()
}

/// One request, whatever became of it.
///
/// # Errors
/// [`Refusal::Unknown`]; the store's.
pub async fn show(
    db: &Db,
    authority: &Arc<Authority>,
    by: By,
    id: String,
) -> Result<Waiting, Refusal> {
    let authority = Arc::clone(authority);
    let found = db
        .call(move |core| {
            core.store.expire(clock::unix())?;
            let found = core.store.waiting_called(&id)?;
            Ok(found.filter(|w| by.asked(w) || by.may_see(w, &role(w), authority.ring())))
        })
        .await?;
    found.ok_or(Refusal::Unknown)
}

/// Takes an approval: `sig` over the request's bytes by one who is asked, or `None` for root's word on the issuer's box.
///
/// # Errors
/// [`Refusal`].
pub async fn approve(
    db: &Db,
    authority: &Arc<Authority>,
    rules: &Rules,
    id: String,
    sig: Option<String>,
) -> Result<Settled, Refusal> {
    let (authority, in_force) = (Arc::clone(authority), rules.in_force());
    // What the store cannot do is an error of the job; what the caller may not do is a result.
    db.call(move |core| {
        match open(core, &id)? {
            Err(Refusal::Closed(settled)) if settled.status == Status::Accepted => {
                // Whoever's approval led there asks whether it did.
                let counted = sig.is_some_and(|sig| has_approved(core, &authority, &id, &sig));
                Ok(if counted {
                    Ok(settled)
                } else {
                    Err(Refusal::Closed(settled))
                })
            }
            Err(refusal) => Ok(Err(refusal)),
            Ok((host, waiting)) => match sig {
                Some(sig) => add(core, &authority, &in_force, &host, waiting, sig),
                None => override_by_root(core, &authority, &in_force, &host, &waiting),
            },
        }
    })
    .await?
}

fn has_approved(core: &mut Core, authority: &Authority, id: &str, sig: &str) -> bool {
    let Ok(signature) = SshSig::parse(sig) else {
        return false;
    };
    let person = authority
        .ring()
        .person_with(signature.key(), clock::unix())
        .map(|p| p.id.as_str());
    let waiting = core.store.waiting_called(id).ok().flatten();
    waiting.is_some_and(|w| {
        w.approvals
            .iter()
            .any(|g| Some(g.person.as_str()) == person)
    })
}

/// An open request and its host.
fn open(core: &mut Core, id: &str) -> Result<Result<(Host, Waiting), Refusal>, Error> {
    core.store.expire(clock::unix())?;
    let Some(waiting) = core.store.waiting_called(id)? else {
        return Ok(Err(Refusal::Unknown));
    };
    if let Some(settled) = core.store.settled(&waiting.asked.hash)? {
        return Ok(Err(Refusal::Closed(settled)));
    }
    let host = core.store.host(&waiting.asked.host)?;
    Ok(host.map(|h| (h, waiting)).ok_or(Refusal::Unknown))
}

fn add(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    mut waiting: Waiting,
    sig: String,
) -> Result<Result<Settled, Refusal>, Error> {
    let now = clock::unix();
    let ring = authority.ring();
    let not_authentic = |why: String| Ok(Err(Refusal::NotAuthentic(why)));
    let identity = authority.identity(host)?;
    let (request, levels, _) = match judged(core, authority, in_force, host, &identity, &waiting)? {
        Ok(known) => known,
        Err(why) => {
            let settled = core.store.deny(&waiting.asked, &why)?;
            return Ok(Err(Refusal::Closed(settled)));
        }
    };
    let person = match SshSig::parse(&sig) {
        Ok(signature) => ring.person_with(signature.key(), now).map(|p| p.id.clone()),
        Err(e) => return not_authentic(format!("This is no signature: {e}.")),
    };
    let Some(person) = person else {
        return Ok(Err(Refusal::NotAsked(
            "The trust statement knows nobody with this key.".to_owned(),
        )));
    };
    let given = Given {
        person: person.clone(),
        at: now,
        sig,
    };
    if let Err(e) = verified(ring, &request, &given, now) {
        return not_authentic(format!("This is no approval of the request: {e}."));
    }
    // Whoever repeats himself gets the same answer.
    if !waiting.approvals.iter().any(|g| g.person == person) {
        let reach =
            |given: &[Given]| Reach::of(&in_force.policy, ring, &request, &levels, given, now);
        let before = reach(&waiting.approvals);
        waiting.approvals.push(given.clone());
        if waiting.approvals.len() > MAX_APPROVALS || !reach(&waiting.approvals).is_beyond(&before)
        {
            return Ok(Err(Refusal::NotAsked(format!(
                "The request waits for {}, and {person} fills no place of it.",
                in_words(&before.lacks)
            ))));
        }
        core.store.approve(&waiting.asked.hash, &given)?;
        out::info(format_args!(
            "request {}: {person} approves",
            waiting.asked.id
        ));
    }
    advance(core, authority, in_force, host, &waiting).map(Ok)
}

/// Root of the issuer's box could change the policy, so its word stands in for the policy's people; never for those that
/// the root keys demand.
fn override_by_root(
    core: &mut Core,
    authority: &Authority,
    in_force: &InForce,
    host: &Host,
    waiting: &Waiting,
) -> Result<Result<Settled, Refusal>, Error> {
    let identity = authority.identity(host)?;
    let (request, _, rule) = match judged(core, authority, in_force, host, &identity, waiting)? {
        Ok(known) => known,
        Err(why) => {
            let settled = core.store.deny(&waiting.asked, &why)?;
            return Ok(Err(Refusal::Closed(settled)));
        }
    };
    if !authority.ring().may_be_automatic(&request.role) {
        return Ok(Err(Refusal::NotAsked(format!(
            "The trust statement demands people for role {}: approve with a key of one of them.",
            request.role
        ))));
    }
    let now_ms = clock::unix_ms();
    let rule = format!("{rule}; approved by root of the issuer's box");
    let asked = Asked {
        at: now_ms / 1000,
        ..waiting.asked.clone()
    };
    let by = (rule.as_str(), &[] as &[Approval], now_ms);
    requests::give(core, authority, in_force, &identity, &request, &asked, by).map(Ok)
}

/// Denies an open request, for good.
///
/// # Errors
/// [`Refusal`].
pub async fn deny(
    db: &Db,
    authority: &Arc<Authority>,
    by: By,
    id: String,
    reason: String,
) -> Result<Settled, Refusal> {
    let authority = Arc::clone(authority);
    db.call(move |core| {
        let waiting = core.store.waiting_called(&id)?;
        if !waiting.is_some_and(|w| by.may_see(&w, &role(&w), authority.ring())) {
            return Ok(Err(Refusal::Unknown));
        }
        Ok(match open(core, &id)? {
            Err(Refusal::Closed(settled)) if settled.status == Status::Denied => Ok(settled),
            Err(refusal) => Err(refusal),
            Ok((_, waiting)) => {
                let why = format!("{} denied it: {reason}", by.name());
                let settled = core.store.close(&waiting.asked, Standing::Denied, &why)?;
                out::info(format_args!(
                    "request {}: {}",
                    waiting.asked.id,
                    why.escape_debug()
                ));
                Ok(settled)
            }
        })
    })
    .await?
}

/// The host takes a request of its own back. One that is settled stays as it is.
///
/// # Errors
/// The store's.
pub async fn withdraw(db: &Db, host: String, hash: String) -> Result<(), Error> {
    db.call(move |core| {
        let waiting = core.store.waiting(&hash)?;
        if let Some(waiting) = waiting.filter(|w| w.asked.host == host) {
            core.store
                .close(&waiting.asked, Standing::Withdrawn, "It was withdrawn.")?;
        }
        Ok(())
    })
    .await
}
