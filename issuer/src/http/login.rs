//! People who logged in at an OpenID provider: where that is, and what their tokens are good for. A token alone looks, denies
//! and gives back, and nothing else: those calls take their caller from [`who`], all others from `people::who`.

use super::App;
use super::calls::Answer;
use super::people;
use super::problem::Fault;
use super::table::Caller;
use crate::approvals::By;
use crate::clock;
use api::Login;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use statement::sshsig::SshSig;
use std::sync::Arc;

/// Scheme of the `Authorization` header, before the token.
const SCHEME: &str = "Bearer ";

fn refused(why: String) -> Fault {
    Fault::new(StatusCode::FORBIDDEN, "not-authentic", why)
}

/// The ID token that came with a call.
fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix(SCHEME)
}

/// Where people log in; with a token also whose it is.
pub async fn login(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer<Login> {
    let oidc = app.oidc.as_ref();
    let Some((oidc, login)) = oidc.and_then(|o| Some((o, o.login()?))) else {
        return Err(Fault::not_found(
            "no-login",
            "Nobody logs in at this issuer: it has no [login] in its issuer.toml.",
        ));
    };
    let person = match token(&headers) {
        Some(token) => Some(oidc.person(token).await.map_err(refused)?),
        None => None,
    };
    Ok(Json(Login { person, ..login }))
}

/// Who makes a call that gives nothing: also by a token alone.
///
/// # Errors
/// 403 `not-authentic`, `unknown-key`; 429 `too-many-calls`.
pub(super) async fn who(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    call: (&Method, &Uri, &[u8]),
) -> Result<By, Fault> {
    let Some(token) = token(headers) else {
        return people::who(app, caller, headers, call);
    };
    let Some(oidc) = &app.oidc else {
        return Err(refused("Nobody logs in at this issuer.".to_owned()));
    };
    let id = oidc.person(token).await.map_err(refused)?;
    let person = app.authority.ring().person(&id).cloned();
    person
        .map(By::Person)
        .ok_or_else(|| refused(format!("The trust statement knows no person {id}.")))
}

/// That whoever has this signature's key may sign now: where a login is wanted of him, his own comes with it. Whether the
/// signature is any good is looked at later.
///
/// # Errors
/// 403 `not-authentic`.
pub(super) async fn signs(app: &App, sig: &str, id_token: Option<&str>) -> Result<(), Fault> {
    let (Some(oidc), Ok(signature)) = (&app.oidc, SshSig::parse(sig)) else {
        return Ok(());
    };
    let ring = app.authority.ring();
    match ring.person_with(signature.key(), clock::unix()) {
        Some(person) => oidc.signs(&person.id, id_token).await.map_err(refused),
        None => Ok(()),
    }
}
