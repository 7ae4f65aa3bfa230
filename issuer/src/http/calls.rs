//! The calls with one answer.

use super::App;
use super::again::Again;
use super::asked;
use super::people;
use super::problem::Fault;
use super::table::{Caller, Peer, Refusal};
use crate::backup;
use crate::clock;
use crate::out;
use crate::requests;
use crate::store::{Next, Revoking};
use api::{BackedUp, Health, Revoke, Revoked, Submit, Submitted};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use statement::claims::Target;
use statement::limits::{MAX_AHEAD, MAX_LIFE};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a call's body: the longest request and its JSON.
const BODY_MAX: usize = 32 * 1024;
/// For the whole body: a caller who drips holds a place no longer.
const BODY_TIME: Duration = Duration::from_secs(5);

pub(super) type Answer<T> = Result<Json<T>, Fault>;

pub async fn healthz(State(app): State<Arc<App>>) -> Answer<Health> {
    // Through the store, so that "ok" means it answers.
    let head = app.db.call(|core| core.store.head()).await?;
    Ok(Json(Health {
        status: "ok".to_owned(),
        policy_ver: head.policy_ver,
    }))
}

pub async fn requests(State(app): State<Arc<App>>, body: Body) -> Answer<Submitted> {
    let Submit { request, id_token } = read(body).await?;
    let asked = statement::asked::is_persons(&request).then(|| request.clone());
    let settled = requests::submit(&app, request, id_token).await?;
    app.wake.notify_one();
    let mut answer = people::submitted(settled);
    if let Some(request) = asked {
        // A host hears of its grant by the stream; a person elsewhere has nothing but this answer.
        answer.grant = asked::granted(&app.db, &request).await?;
    }
    Ok(Json(answer))
}

pub async fn revocations(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Revoked> {
    // The table lets nobody else come here.
    let Caller::Here(Peer { uid: by }) = caller else {
        return Err(Fault::from(Refusal::NotAllowed));
    };
    let bytes = read_bytes(body).await?;
    let again = Again::of(caller, &headers, (api::path::REVOCATIONS, &bytes))?;
    let Revoke { target, reason } = parse(&bytes)?;
    if matches!(target, Target::Approver(_)) {
        return Err(Fault::invalid(
            "A target is a grant, a sub, a host, a kid or issued_before.",
        ));
    }
    if reason.trim().is_empty() {
        return Err(Fault::invalid("A revocation needs a reason."));
    }
    let now = clock::unix();
    let reach = reach(&app, &target, now).await?;
    let authority = Arc::clone(&app.authority);
    let what = target.clone();
    let done = app
        .db
        .call(move |core| {
            if let Some(again) = &again
                && let Some(first) = again.before::<Revoked>(core, now)?
            {
                return Ok(first.map(|Revoked { serial }| Revoking::Before { serial }));
            }
            let done = core.store.revoke(&target, by, now, &mut |next| {
                let next = Next {
                    reach: next.reach.max(reach),
                    ..next.clone()
                };
                authority.revocation(&target, &reason, now, &next)
            })?;
            if let (Some(again), Revoking::Done { serial } | Revoking::Before { serial }) =
                (&again, &done)
            {
                again.keep(core, &Revoked { serial: *serial }, now)?;
            }
            Ok(Ok(done))
        })
        .await??;
    app.wake.notify_one();
    match done {
        Revoking::Done { serial } => {
            out::info(format_args!("revocation {serial} of {what:?} by uid {by}"));
            Ok(Json(Revoked { serial }))
        }
        Revoking::Before { serial } => Ok(Json(Revoked { serial })),
        Revoking::Unknown => Err(match what {
            Target::Host(_) => Fault::not_found("unknown-host", "No such host is enrolled."),
            Target::Sub(_) => {
                Fault::not_found("unknown-subject", "This subject never had a grant.")
            }
            _ => Fault::not_found("unknown-grant", "There is no such grant."),
        }),
    }
}

/// Latest end of a grant that a key may still bear, and whether there is such a key at all; whether a time has come.
async fn reach(app: &App, target: &Target, now: u64) -> Result<u64, Fault> {
    match target {
        Target::IssuedBefore(t) if *t > now + 1 => Err(Fault::invalid(
            "What is to be given later cannot be revoked now.",
        )),
        Target::Kid(kid) => {
            let which = kid.clone();
            let host = app.db.call(move |core| core.store.host_by_kid(&which));
            let ring = app.authority.ring();
            let until = match (
                app.authority.signs_grants_until(kid),
                ring.persons_key_until(kid),
            ) {
                (Some(until), _) => until,
                // Whoever has it and a grants' key could use it as long as the root keys let it count.
                (None, Some(until)) => {
                    let which = kid.clone();
                    app.db
                        .call(move |core| core.store.persons_key(&which))
                        .await?;
                    until
                }
                // Nothing is given for it from now on.
                (None, None) if host.await?.is_some() => now,
                (None, None) => {
                    return Err(Fault::not_found(
                        "unknown-key",
                        "No host and no person has this key, and it signs no grants.",
                    ));
                }
            };
            Ok(until + MAX_AHEAD + MAX_LIFE)
        }
        _ => Ok(0),
    }
}

pub async fn backup(State(app): State<Arc<App>>) -> Answer<BackedUp> {
    let to = backup::place(&app.at)?;
    let path = to.display().to_string();
    app.db
        .alone(move |core| backup::copy(core.store.as_mut(), &to))
        .await?;
    out::info(format_args!("copied the store to {path}"));
    Ok(Json(BackedUp { path }))
}

pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Fault> {
    parse(&read_bytes(body).await?)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|e| Fault::malformed(format!("Bad body: {e}.")))
}

pub(super) async fn read_bytes(body: Body) -> Result<Bytes, Fault> {
    let whole = Limited::new(body, BODY_MAX).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("A body has at most {BODY_MAX} bytes."),
        )),
        Ok(Err(_)) => Err(Fault::malformed("The body broke off.")),
        Err(_) => Err(Fault::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "The body took too long.",
        )),
    }
}
