//! The calls of people who approve: each is signed for this one call with an SSH key that the trust statement knows. On
//! this box root needs no signature.

use super::App;
use super::calls::{Answer, parse, read, read_bytes};
use super::host;
use super::login;
use super::problem::Fault;
use super::table::Caller;
use crate::approvals::{self, By, Refusal};
use crate::clock;
use crate::requests::SKEW;
use crate::store::{Settled, Waiting as Stored};
use api::word::{self, Word};
use api::{Address, Approve, Deny, Status, Submitted, Waiting, WaitingList, Withdraw};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use serde::Deserialize;
use statement::claims::Purpose;
use statement::keys::KeyRing;
use statement::people::{Approval, Format};
use statement::sshsig::SshSig;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of the reason of a denial.
const REASON_MAX: usize = 256;

/// Who makes this call.
///
/// # Errors
/// 403 `not-authentic`, `unknown-key`; 429 `too-many-calls`.
pub(super) fn who(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    (method, uri, body): (&Method, &Uri, &[u8]),
) -> Result<By, Fault> {
    let refused = |why: String| Fault::new(StatusCode::FORBIDDEN, "not-authentic", why);
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return match caller {
            Caller::Here(peer) if peer.uid == app.uids.root || peer.uid == app.uids.issuer => {
                Ok(By::Root)
            }
            _ => Err(refused("The call is not signed.".to_owned())),
        };
    };
    let word = value.to_str().ok().and_then(Word::decode);
    let word = word.ok_or_else(|| refused("The call's signature cannot be read.".to_owned()))?;
    let signature = SshSig::parse(&word.sig).map_err(|e| refused(format!("{e}.")))?;
    let here = called(app, caller).map_err(refused)?;
    let target = uri.path_and_query().map_or("/", |t| t.as_str());
    let call = (method.as_str(), target, body);
    let text = word::text(&here, call, word.at, &word.nonce);
    signature
        .verify(word::NAMESPACE, text.as_bytes())
        .map_err(|_| {
            refused(format!(
                "The call is signed for something else; this issuer is called {}.",
                here.authority()
            ))
        })?;
    let now = clock::unix();
    if word.at.abs_diff(now) > SKEW {
        return Err(refused(format!(
            "The call was signed {} s away from the issuer's time; at most {SKEW} s are taken. Is the clock right?",
            word.at.abs_diff(now)
        )));
    }
    let person = app.authority.ring().person_with(signature.key(), now);
    let person = person.cloned().ok_or_else(|| {
        Fault::new(
            StatusCode::FORBIDDEN,
            "unknown-key",
            "The trust statement knows nobody with this key.",
        )
    })?;
    let until = word.at + SKEW + 1;
    host::heard(
        app,
        &format!("person {}", person.id),
        &word.nonce,
        until,
        now,
    )?;
    Ok(By::Person(person))
}

/// What the caller calls this issuer.
fn called(app: &App, caller: Caller) -> Result<Address, String> {
    let url = match caller {
        Caller::Here(_) => "unix:/".to_owned(),
        Caller::Away => app
            .away
            .as_ref()
            .and_then(|https| https.url.clone())
            .ok_or("The issuer does not know its own address: set `url` in its issuer.toml.")?,
    };
    Address::parse(&url).map_err(|e| format!("{e}."))
}

pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<WaitingList> {
    let by = login::who(&app, caller, &headers, (&method, &uri, b"")).await?;
    let open = approvals::list(&app.db, &app.authority, by).await?;
    let names = names(&app).await?;
    let ring = app.authority.ring();
    let requests = open.into_iter().map(|w| shown(w, &names, ring)).collect();
    Ok(Json(WaitingList { requests }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    id: String,
}

pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Waiting> {
    let by = login::who(&app, caller, &headers, (&method, &uri, b"")).await?;
    let Query(Which { id }) = which.map_err(|e| Fault::malformed(e.body_text()))?;
    let found = approvals::show(&app.db, &app.authority, by, id).await?;
    let names = names(&app).await?;
    Ok(Json(shown(found, &names, app.authority.ring())))
}

/// The signature over the request says who it is; without one it is root of this box.
pub async fn approve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer<Submitted> {
    let Approve { id, sig, id_token } = read(body).await?;
    match &sig {
        Some(sig) => login::signs(&app, sig, id_token.as_deref()).await?,
        // Nobody's word but root's is taken without one.
        None => match who(&app, caller, &headers, (&method, &uri, b""))? {
            By::Root => {}
            By::Person(_) => {
                return Err(Fault::invalid(
                    "An approval is signed over the request's bytes.",
                ));
            }
        },
    }
    let settled = approvals::approve(&app.db, &app.authority, &app.rules, id, sig).await?;
    app.wake.notify_one();
    Ok(Json(submitted(settled)))
}

pub async fn deny(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer<Submitted> {
    let bytes = read_bytes(body).await?;
    let by = login::who(&app, caller, &headers, (&method, &uri, &bytes)).await?;
    let Deny { id, reason } = parse(&bytes)?;
    if reason.len() > REASON_MAX || statement::limits::reason(&reason).is_err() {
        return Err(Fault::invalid(
            "A denial needs a reason: at most 256 bytes, no control characters.",
        ));
    }
    let settled = approvals::deny(&app.db, &app.authority, by, id, reason).await?;
    Ok(Json(submitted(settled)))
}

/// The host's word, as with a receipt.
pub async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer<serde_json::Value> {
    let bytes = read_bytes(body).await?;
    let Withdraw { host, request } = parse(&bytes)?;
    host::check(
        &app,
        caller,
        &headers,
        &host,
        Purpose::Withdraw,
        Some(&bytes),
    )
    .await?;
    approvals::withdraw(&app.db, host, request).await?;
    Ok(Json(serde_json::json!({})))
}

/// Of all hosts, by id.
async fn names(app: &App) -> Result<BTreeMap<String, String>, Fault> {
    let hosts = app.db.call(|core| core.store.hosts()).await?;
    Ok(hosts.into_iter().map(|h| (h.id, h.name)).collect())
}

fn shown(stored: Stored, names: &BTreeMap<String, String>, ring: &KeyRing) -> Waiting {
    // It was verified when it came.
    let request = statement::unverified_request(&stored.asked.jws).ok();
    let own = request.and_then(|r| ring.self_approver(&r).map(|p| p.id.clone()));
    Waiting {
        self_approval: own,
        host_name: names.get(&stored.asked.host).cloned().unwrap_or_default(),
        id: stored.asked.id,
        request: stored.asked.jws,
        standing: stored.standing,
        waiting_for: stored.waiting_for,
        detail: stored.detail,
        at: stored.asked.at,
        until: stored.until,
        approvals: stored
            .approvals
            .into_iter()
            .map(|given| Approval {
                fmt: Format::Sshsig,
                by: given.person,
                sig: given.sig,
            })
            .collect(),
    }
}

/// Of a pending one the detail says whom it waits for.
pub(super) fn submitted(settled: Settled) -> Submitted {
    let (detail, waiting_for) = match settled.status {
        Status::Pending => (String::new(), Some(settled.detail)),
        Status::Accepted | Status::Denied => (settled.detail, None),
    };
    Submitted {
        id: settled.id,
        status: settled.status,
        detail,
        waiting_for,
        grant: None,
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::not_found(
                "unknown-request",
                "There is no such request that you may decide.",
            ),
            Refusal::Closed(settled) => {
                let what = match settled.status {
                    Status::Denied => format!("It is decided. {}", settled.detail),
                    Status::Accepted | Status::Pending => "It was approved already.".to_owned(),
                };
                Self::new(StatusCode::CONFLICT, "decided", what)
            }
            Refusal::NotAuthentic(why) => Self::new(StatusCode::FORBIDDEN, "not-authentic", why),
            Refusal::NotAsked(why) => Self::new(StatusCode::FORBIDDEN, "not-asked", why),
            Refusal::Failed(e) => Self::from(e),
        }
    }
}
