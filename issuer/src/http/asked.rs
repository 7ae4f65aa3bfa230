//! The calls of people who ask from elsewhere: what they need to make a request, what became of it, and giving back.
//! Each but the request itself is signed for this one call; the request says itself who signed it.

use super::App;
use super::calls::{Answer, parse, read_bytes};
use super::hosts;
use super::login;
use super::people::who;
use super::problem::Fault;
use super::table::Caller;
use crate::approvals::By;
use crate::clock;
use crate::error::Error;
use crate::out;
use crate::store::{Core, Db, Next, Revoking};
use api::{AskAs, AskFor, GaveBack, GiveBack, Given, Standing};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde::Deserialize;
use statement::asked::is_persons;
use statement::claims::Target;
use statement::digest::sha256_b64;
use statement::people::Person;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct For {
    host: String,
}

/// A caller who is a person: root of this box has no account anywhere.
fn person(by: By) -> Result<Person, Fault> {
    match by {
        By::Person(person) => Ok(person),
        By::Root => Err(Fault::new(
            StatusCode::FORBIDDEN,
            "not-authentic",
            "Whoever asks for a right signs it with a key of his own.",
        )),
    }
}

pub async fn target(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    which: Result<Query<For>, QueryRejection>,
) -> Answer<AskFor> {
    let person = person(who(&app, caller, &headers, (&method, &uri, b""))?)?;
    let Query(For { host }) = which.map_err(|e| Fault::malformed(e.body_text()))?;
    let host = hosts::find(&app, &host).await?;
    if host.gone_at.is_some() {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "decommissioned",
            "This host was decommissioned.",
        ));
    }
    let accounts = app.authority.ring().accounts_of(&person, &host.id);
    let policy = hosts::policy(&app).await?;
    Ok(Json(AskFor {
        host: host.id,
        host_name: host.name,
        person: person.id,
        accounts: accounts
            .into_iter()
            .map(|a| AskAs {
                login: a.login,
                uid: a.uid,
            })
            .collect(),
        policy,
    }))
}

/// The grant that a person's request got, if it got one. Whoever has the request's bytes may know.
pub async fn granted(db: &Db, request: &str) -> Result<Option<Given>, Fault> {
    let hash = sha256_b64(request.as_bytes());
    let found = db
        .call(move |core| {
            let Some(jti) = core.store.granted_for(&hash)? else {
                return Ok(None);
            };
            let said = core.store.host_said(&hash)?;
            Ok(core.store.granted(&jti)?.map(|given| (jti, given, said)))
        })
        .await?;
    let Some((id, given, host_says)) = found else {
        return Ok(None);
    };
    let asked = statement::unverified_request(request)
        .map_err(|e| Fault::malformed(format!("Bad request: {e}.")))?;
    Ok(Some(Given {
        id,
        from: given.exp.saturating_sub(asked.dur),
        until: given.exp,
        host_says,
    }))
}

/// What somebody asked for from elsewhere is given back: withdrawn while it is open, else its grant is revoked.
pub async fn give_back(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer<GaveBack> {
    let bytes = read_bytes(body).await?;
    let by = login::who(&app, caller, &headers, (&method, &uri, &bytes)).await?;
    let person = person(by)?;
    let GiveBack { id } = parse(&bytes)?;
    let (authority, by) = (Arc::clone(&app.authority), app.uids.issuer);
    let whose = person.id.clone();
    let done = app
        .db
        .call(move |core| {
            let now = clock::unix();
            core.store.expire(now)?;
            if let Some(answer) = withdrawn(core, &person, &id)? {
                return Ok(Some(answer));
            }
            let Some((request, jti)) = live(core, &person, &id, now)? else {
                return Ok(None);
            };
            let reason = format!("given back by {}", person.id);
            let target = Target::Grant(jti.clone());
            let sign = &mut |next: &Next| authority.revocation(&target, &reason, now, next);
            match core.store.revoke(&target, by, now, sign)? {
                Revoking::Done { .. } | Revoking::Before { .. } => Ok(Some(GaveBack {
                    id: request,
                    grant: Some(jti),
                })),
                Revoking::Unknown => Ok(None),
            }
        })
        .await?;
    app.wake.notify_one();
    let done = done.ok_or_else(|| {
        Fault::not_found(
            "unknown-request",
            "You have asked for nothing of this id that is open or live.",
        )
    })?;
    out::info(format_args!("request {} given back by {whose}", done.id));
    Ok(Json(done))
}

/// Whether these bytes are a request that this person signed; they were verified when they came.
fn is_his(jws: &str, person: &Person) -> bool {
    is_persons(jws) && statement::unverified_request(jws).is_ok_and(|r| r.iss == person.id)
}

/// An open request of his is taken back.
fn withdrawn(core: &mut Core, person: &Person, id: &str) -> Result<Option<GaveBack>, Error> {
    let waiting = core.store.waiting_called(id)?;
    let open = waiting.filter(|w| w.standing == Standing::Open && is_his(&w.asked.jws, person));
    let Some(waiting) = open else { return Ok(None) };
    core.store
        .close(&waiting.asked, Standing::Withdrawn, "It was withdrawn.")?;
    Ok(Some(GaveBack {
        id: waiting.asked.id,
        grant: None,
    }))
}

/// A live grant of a request of his: the request's id and the grant's.
fn live(
    core: &mut Core,
    person: &Person,
    id: &str,
    now: u64,
) -> Result<Option<(String, String)>, Error> {
    for asked in core.store.settled_called(id)? {
        if !is_his(&asked.jws, person) {
            continue;
        }
        if let Some(jti) = core.store.granted_for(&asked.hash)?
            && core.store.granted(&jti)?.is_some_and(|g| g.exp > now)
        {
            return Ok(Some((asked.id, jti)));
        }
    }
    Ok(None)
}
