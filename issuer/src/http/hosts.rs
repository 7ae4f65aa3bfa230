//! Making hosts known, and letting them go.

use super::App;
use super::again::Again;
use super::calls::{Answer, parse, read, read_bytes};
use super::host::{self, fits};
use super::problem::Fault;
use super::table::Caller;
use crate::authority::random;
use crate::clock;
use crate::config::Https;
use crate::files;
use crate::out;
use crate::store::{self, Host, Joining, NewBreakglass, Token};
use crate::witness::is_silent;
use api::token::{self, LIFE_MAX};
use api::{
    AddBreakglass, AddedBreakglass, Decommission, Enrol, Enrolled, HostAnswer, HostInfo, Hosts,
    Join, MadeToken, NewToken, Receipt, Rename, Seen,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use statement::claims::{Purpose, Target};
use statement::digest;
use statement::keys::PublicKey;
use statement::verify_host_auth;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a receipt says of requests at once, and the bytes of each reason.
const ANSWERS_MAX: usize = 16;
const WHY_MAX: usize = 200;
/// Bytes of the authorities' certificates in a token.
const CA_MAX: usize = 16 * 1024;

/// Root's word on this box.
pub async fn enrol(State(app): State<Arc<App>>, body: Body) -> Answer<Enrolled> {
    let Enrol {
        host_id,
        host_name,
        jwk,
    } = read(body).await?;
    if !app.authority.is_our_host(&host_id) {
        return Err(Fault::invalid(format!(
            "{host_id:?} is no host of this issuer's trust domain."
        )));
    }
    let key = PublicKey::from_jwk(&jwk).map_err(|e| Fault::invalid(format!("Bad key: {e}.")))?;
    let host = Host {
        id: host_id,
        name: host_name,
        kid: key.kid(),
        jwk: key.to_jwk(),
        labels: BTreeMap::new(),
        enrolled_at: clock::unix(),
        gone_at: None,
    };
    // First the statement, which checks all limits; a host that cannot be told is not stored.
    let enrolment = app.authority.enrolment(&host, host.enrolled_at)?;
    let id = host.id.clone();
    let stored = app.db.call(move |core| core.store.enrol(&host)).await?;
    if !stored {
        return Err(key_in_use());
    }
    out::info(format_args!("enrolled {id}"));
    enrolled(&app, enrolment).await
}

/// A host that holds a token.
pub async fn join(State(app): State<Arc<App>>, body: Body) -> Answer<Enrolled> {
    let Join { secret, jwk, proof } = read(body).await?;
    let refused = |why: &str| Fault::new(StatusCode::FORBIDDEN, "no-token", why);
    let no_token = || refused("There is no such token, its time is over, or it was used.");
    let key = PublicKey::from_jwk(&jwk).map_err(|e| Fault::invalid(format!("Bad key: {e}.")))?;
    let now = clock::unix();
    let hash = token::Token::hash(&secret);
    let wanted = hash.clone();
    let place = app
        .db
        .call(move |core| core.store.token(&wanted, now))
        .await?
        .ok_or_else(no_token)?;
    // That it holds the key that it wants enrolled, for this token.
    let proof = verify_host_auth(&proof, &key)
        .map_err(|e| refused(&format!("The proof of the host's key was refused: {e}.")))?;
    let iss = app.authority.iss();
    fits(
        &proof,
        iss,
        &place.host,
        Purpose::Enrol,
        Some(secret.as_bytes()),
        now,
    )
    .map_err(|why| refused(&why))?;
    let authority = Arc::clone(&app.authority);
    let (jwk, kid) = (key.to_jwk(), key.kid());
    let joining = app
        .db
        .call(move |core| {
            core.store.join(&hash, &jwk, &kid, now, &mut |host| {
                authority.enrolment(host, now)
            })
        })
        .await?;
    match joining {
        Joining::Done(enrolment) => {
            out::info(format_args!("enrolled {} by a token", place.host));
            enrolled(&app, enrolment).await
        }
        Joining::NoToken => Err(no_token()),
        Joining::KeyInUse => Err(key_in_use()),
        Joining::Known => Err(Fault::new(
            StatusCode::CONFLICT,
            "host-known",
            "A host of this name is enrolled with another key; make the token with --replace to let this one take its place.",
        )),
    }
}

async fn enrolled(app: &App, enrolment: String) -> Answer<Enrolled> {
    Ok(Json(Enrolled {
        trust: app.authority.trust().to_owned(),
        enrolment,
        policy: policy(app).await?,
    }))
}

/// The policy in force, as it was signed.
pub(super) async fn policy(app: &App) -> Result<String, Fault> {
    let policy = app.db.call(|core| core.store.policy()).await?;
    let policy = policy.ok_or_else(|| {
        Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-policy",
            "There is no policy yet.",
        )
    })?;
    Ok(policy.jws)
}

fn key_in_use() -> Fault {
    Fault::new(
        StatusCode::CONFLICT,
        "key-in-use",
        "Another host is enrolled with this key.",
    )
}

/// A place for a host, and the text that lets it take it.
pub async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer<MadeToken> {
    let bytes = read_bytes(body).await?;
    let again = Again::of(caller, &headers, (api::path::ENROL_TOKENS, &bytes))?;
    let NewToken {
        host: name,
        labels,
        life_s,
        replace,
    } = parse(&bytes)?;
    if !(1..=LIFE_MAX).contains(&life_s) {
        return Err(Fault::invalid("A token lives 1 to 900 seconds."));
    }
    let Some(Https {
        url: Some(url), ca, ..
    }) = &app.away
    else {
        return Err(Fault::invalid(
            "Hosts elsewhere cannot reach this issuer: `url` is not set in [https] of issuer.toml.",
        ));
    };
    let ca = ca
        .as_deref()
        .map(|path| files::read_text(path, CA_MAX))
        .transpose()?;
    let host = place_for(&app, &name).await?;
    let now = clock::unix();
    let secret = digest::encode(&random::<32>()?);
    let text = token::Token {
        url: url.clone(),
        ca,
        issuer: app.authority.iss().to_owned(),
        trust: app.authority.trust_hash().to_owned(),
        host: host.clone(),
        exp: now + life_s,
        secret: secret.clone(),
    };
    let place = Token {
        hash: token::Token::hash(&secret),
        host: host.clone(),
        name,
        labels,
        exp: text.exp,
        replaces: replace,
    };
    let token = text
        .encode()
        .map_err(|e| Fault::invalid(format!("No token can be made: {e}.")))?;
    let made = MadeToken {
        token,
        exp: text.exp,
    };
    let made = app
        .db
        .call(move |core| {
            if let Some(again) = &again
                && let Some(first) = again.before(core, now)?
            {
                return Ok(first);
            }
            core.store.add_token(&place, now)?;
            if let Some(again) = &again {
                again.keep(core, &made, now)?;
            }
            Ok(Ok(made))
        })
        .await??;
    out::info(format_args!("made a token for {host}"));
    Ok(Json(made))
}

/// The id of the host of that name: its own if it is known, else a new one.
async fn place_for(app: &App, name: &str) -> Result<String, Fault> {
    let id = app.authority.host_id(name).ok_or_else(bad_name)?;
    match find(app, name).await {
        Ok(known) => Ok(known.id),
        Err(_) => {
            let wanted = id.clone();
            let taken = app.db.call(move |core| core.store.host(&wanted)).await?;
            match taken {
                Some(other) => Err(Fault::new(
                    StatusCode::CONFLICT,
                    "host-known",
                    format!("The host {} was first enrolled by this name.", other.name),
                )),
                None => Ok(id),
            }
        }
    }
}

fn bad_name() -> Fault {
    Fault::invalid("A host's name has 1 to 64 of a-z, 0-9, - and ., a letter or digit first.")
}

pub async fn list(State(app): State<Arc<App>>) -> Answer<Hosts> {
    let (hosts, mut receipts, logs, head) = app
        .db
        .call(|core| {
            Ok((
                core.store.hosts()?,
                core.store.receipts()?,
                core.store.all_witnessed()?,
                core.store.head()?,
            ))
        })
        .await?;
    let hosts = hosts
        .into_iter()
        .map(|host| HostInfo {
            seen: receipts.remove(&host.id),
            witnessed: logs.get(&host.id).and_then(|known| witnessed(&app, known)),
            ..info(host)
        })
        .collect();
    Ok(Json(Hosts {
        rev_serial: head.rev_serial,
        hosts,
    }))
}

/// What a host says about itself. Nothing is decided by it: it is shown to people.
pub async fn receipt(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer<serde_json::Value> {
    let bytes = read_bytes(body).await?;
    let Receipt {
        host,
        rev_serial,
        at: _,
        version,
        log_next,
        log_chain,
        answers,
    } = parse(&bytes)?;
    host::check(
        &app,
        caller,
        &headers,
        &host,
        Purpose::Receipt,
        Some(&bytes),
    )
    .await?;
    let plain = |text: &str, most| text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic());
    if !plain(&version, 64) || !plain(&log_chain, 64) {
        return Err(Fault::invalid("A receipt has short, plain texts."));
    }
    let short = |a: &HostAnswer| {
        let why = &a.says.why;
        a.request.len() <= 64 && why.len() <= WHY_MAX && !why.chars().any(char::is_control)
    };
    if answers.len() > ANSWERS_MAX || !answers.iter().all(short) {
        return Err(Fault::invalid(
            "A receipt has few answers, with short, plain texts.",
        ));
    }
    let seen = Seen {
        at: clock::unix(),
        rev_serial,
        version,
        log_next,
        log_chain,
    };
    app.db
        .call(move |core| {
            for answer in &answers {
                core.store.host_says(&host, &answer.request, &answer.says)?;
            }
            core.store.receipt(&host, &seen)
        })
        .await?;
    Ok(Json(serde_json::json!({})))
}

/// Root keys' word for an emergency, to be brought to its host. The issuer can neither make nor open one.
pub async fn add_breakglass(State(app): State<Arc<App>>, body: Body) -> Answer<AddedBreakglass> {
    let AddBreakglass { statement } = read(body).await?;
    let claims = statement::breakglass::unverified(&statement)
        .map_err(|e| Fault::invalid(format!("{e}.")))?;
    let host = find(&app, &claims.host).await?;
    if host.gone_at.is_some() {
        return Err(Fault::invalid("The host was decommissioned."));
    }
    let me = app.authority.identity(&host)?;
    let now = clock::unix();
    let verified = app
        .authority
        .breakglass(&statement, &me)
        .map_err(|e| Fault::invalid(format!("{e}.")))?;
    if verified.claims().exp <= now {
        return Err(Fault::invalid("Its time is over."));
    }
    let new = app
        .db
        .call(move |core| {
            let claims = verified.claims();
            let new = NewBreakglass {
                id: &claims.id,
                host: &claims.host,
                exp: claims.exp,
                doc: verified.doc(),
            };
            core.store.add_breakglass(&new, now)
        })
        .await?;
    app.wake.notify_one();
    out::info(format_args!(
        "break-glass {} for {}",
        claims.id, claims.host
    ));
    Ok(Json(AddedBreakglass {
        id: claims.id,
        host: host.name,
        new,
    }))
}

pub async fn rename(State(app): State<Arc<App>>, body: Body) -> Answer<HostInfo> {
    let Rename { host, name } = read(body).await?;
    app.authority.host_id(&name).ok_or_else(bad_name)?;
    let known = find(&app, &host).await?;
    if find(&app, &name)
        .await
        .is_ok_and(|other| other.id != known.id)
    {
        return Err(Fault::new(
            StatusCode::CONFLICT,
            "host-known",
            "Another host has this name.",
        ));
    }
    let (id, new) = (known.id.clone(), name.clone());
    app.db
        .call(move |core| core.store.rename(&id, &new))
        .await?;
    out::info(format_args!("{} is called {name} now", known.id));
    Ok(Json(info(Host { name, ..known })))
}

/// Its grants are revoked for every host to see, and it gets nothing new.
pub async fn decommission(State(app): State<Arc<App>>, body: Body) -> Answer<HostInfo> {
    let Decommission { host, reason } = read(body).await?;
    if reason.trim().is_empty() {
        return Err(Fault::invalid("It needs a reason."));
    }
    let known = find(&app, &host).await?;
    let authority = Arc::clone(&app.authority);
    let id = known.id.clone();
    let at = app
        .db
        .call(move |core| {
            let now = clock::unix();
            // First no more is given, then what was given is taken.
            core.store.part(&id, now)?;
            let target = Target::Host(id);
            core.store.revoke(&target, 0, now, &mut |next| {
                authority.revocation(&target, &reason, now, next)
            })?;
            Ok(now)
        })
        .await?;
    app.wake.notify_one();
    out::info(format_args!("decommissioned {}", known.id));
    Ok(Json(info(Host {
        gone_at: known.gone_at.or(Some(at)),
        ..known
    })))
}

/// By id or by name.
pub(super) async fn find(app: &App, which: &str) -> Result<Host, Fault> {
    let which = which.to_owned();
    let hosts = app.db.call(|core| core.store.hosts()).await?;
    let mut named = hosts
        .into_iter()
        .filter(|h| h.id == which || h.name == which);
    match (named.next(), named.next()) {
        (Some(host), None) => Ok(host),
        (None, _) => Err(Fault::not_found(
            "unknown-host",
            "No such host is enrolled.",
        )),
        (Some(_), Some(_)) => Err(Fault::invalid(
            "Several hosts have this name; say the id of one.",
        )),
    }
}

pub(super) fn info(host: Host) -> HostInfo {
    HostInfo {
        id: host.id,
        name: host.name,
        labels: host.labels,
        enrolled_at: host.enrolled_at,
        decommissioned_at: host.gone_at,
        seen: None,
        witnessed: None,
    }
}

/// For people.
pub(super) fn witnessed(app: &App, known: &store::Witnessed) -> Option<api::Witnessed> {
    let head = journal::Claimed::parse(&known.note)?;
    Some(api::Witnessed {
        origin: head.origin,
        generation: known.generation,
        size: head.size,
        grew_at: known.grew_at,
        silent: is_silent(known, app.started, clock::unix(), app.silent_s),
        trouble: known.trouble.clone(),
        accepts: known.accepts,
        checkpoint: known
            .trouble
            .is_some()
            .then(|| format!("{}{}", known.note, known.cosignature)),
    })
}
