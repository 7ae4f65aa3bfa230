//! The witness's call and the administrator's word about a log.

use super::App;
use super::calls::{Answer, read, read_bytes};
use super::hosts::{find, info, witnessed};
use super::problem::Fault;
use crate::out;
use crate::witness::{self, Said};
use api::{AcceptLog, HostInfo};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use journal::AddCheckpoint;
use serde::Deserialize;
use std::sync::Arc;

/// Whose log it is: without it every host's key would have to be tried.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    host: String,
}

/// `add-checkpoint`. Nobody is asked who he is: the checkpoint is signed by the host.
pub async fn add_checkpoint(
    State(app): State<Arc<App>>,
    whose: Result<Query<Whose>, QueryRejection>,
    body: Body,
) -> Result<Response, Fault> {
    let Query(Whose { host }) = whose.map_err(|e| Fault::malformed(e.body_text()))?;
    if app.authority.witness().is_none() {
        let what = "This issuer is no witness: its trust statement names no key for it.";
        return Err(Fault::not_found("no-witness", what));
    }
    let bytes = read_bytes(body).await?;
    let add = std::str::from_utf8(&bytes)
        .ok()
        .and_then(AddCheckpoint::parse);
    let add = add.ok_or_else(|| Fault::malformed("This is no body of add-checkpoint."))?;
    let id = host.clone();
    let known = app.db.call(move |core| core.store.host(&id)).await?;
    let known = known
        .filter(|known| known.gone_at.is_none())
        .ok_or_else(|| Fault::not_found("unknown-host", "No such host is enrolled."))?;
    let key = app.authority.identity(&known)?.key.ed25519();
    let signed = key.is_some_and(|public| {
        let key = witness::key_of(&add.checkpoint.origin, public);
        add.checkpoint.is_signed_by(&key)
    });
    if !signed {
        let what = "The checkpoint is not signed by this host's key.";
        return Err(Fault::new(StatusCode::FORBIDDEN, "not-authentic", what));
    }
    let (authority, kid) = (Arc::clone(&app.authority), known.kid);
    let said = app.db.call(move |core| match authority.witness() {
        Some(witness) => witness::take(core, witness, &host, &kid, &add),
        None => Ok(Said::UnknownLog),
    });
    answer(said.await?)
}

fn unknown() -> Fault {
    Fault::not_found("unknown-log", "No such log of this host is witnessed here.")
}

fn answer(said: Said) -> Result<Response, Fault> {
    let conflict = |what| Fault::new(StatusCode::CONFLICT, "other-root", what);
    match said {
        Said::Cosigned(lines) => Ok(lines.into_response()),
        Said::Known(size) => {
            let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            Ok((StatusCode::CONFLICT, kind, format!("{size}\n")).into_response())
        }
        Said::OtherRoot => Err(conflict("Another tree of this size was cosigned.")),
        Said::Backwards => Err(Fault::malformed(
            "The old size is greater than the new one.",
        )),
        Said::UnknownLog => Err(unknown()),
        Said::ClosedLog => Err(Fault::not_found(
            "closed-log",
            "Another log was accepted in the place of this one.",
        )),
        Said::NoProof => Err(Fault::invalid(
            "The proof does not show that the tree goes on from the one that was cosigned.",
        )),
    }
}

/// An administrator accepts that a host's log is another one from now on. It is said aloud, and holds for one log.
pub async fn accept_log(State(app): State<Arc<App>>, body: Body) -> Answer<HostInfo> {
    let AcceptLog { host, reason } = read(body).await?;
    if reason.trim().is_empty() || reason.len() > 256 {
        return Err(Fault::invalid("It needs a reason, of at most 256 bytes."));
    }
    let host = find(&app, &host).await?;
    let id = host.id.clone();
    let kept = app
        .db
        .call(move |core| {
            let Some(mut known) = core.store.witnessed(&id)? else {
                return Ok(None);
            };
            known.accepts = true;
            core.store.keep_witnessed(&id, &known, None)?;
            Ok(Some(known))
        })
        .await?;
    let Some(kept) = kept else {
        return Err(Fault::invalid(
            "Nothing of its journal was witnessed yet: its first head is taken.",
        ));
    };
    out::warn(format_args!(
        "journal of {}: another log is accepted after generation {}: {}",
        host.id,
        kept.generation,
        reason.escape_debug()
    ));
    Ok(Json(HostInfo {
        witnessed: witnessed(&app, &kept),
        ..info(host)
    }))
}
