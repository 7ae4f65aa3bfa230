//! `/v1`. Who may call what is in [`table`]; connections are taken in [`accept`] (this box) and [`away`] (HTTPS).

pub mod accept;
mod activity;
mod again;
mod asked;
pub mod away;
mod calls;
mod host;
mod hosts;
mod login;
mod metrics;
mod openapi;
mod people;
mod problem;
mod stream;
pub mod table;
pub mod tls;
mod witness;

use crate::authority::Authority;
use crate::config::Https;
use crate::hub::Hub;
use crate::init::Layout;
use crate::limits::Shares;
use crate::oidc::Oidc;
use crate::rules::Rules;
use crate::stop::Stop;
use crate::store::Db;
use crate::ticket::Ticket;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use problem::Fault;
use std::sync::Arc;
use table::{Caller, Uids};
use tokio::sync::Notify;

/// What the calls share.
pub struct App {
    pub db: Db,
    pub authority: Arc<Authority>,
    pub rules: Rules,
    pub hub: Arc<Hub>,
    /// Tells the tail task of a new entry.
    pub wake: Arc<Notify>,
    pub shares: Shares,
    /// None: nobody is asked about tickets.
    pub ticket: Option<Ticket>,
    /// None: no person shows more than his key.
    pub oidc: Option<Oidc>,
    pub uids: Uids,
    pub words: Words,
    pub at: Layout,
    pub counters: Counters,
    pub beats: Arc<Beats>,
    /// What enrolment tokens say of the way here; none: only this box.
    pub away: Option<Https>,
    pub streams: stream::Places,
    pub stop: Stop,
    /// Seconds after which a host whose journal says nothing new is silent.
    pub silent_s: u64,
    /// Unix seconds; when the issuer started.
    pub started: u64,
}

pub use host::Words;
pub use metrics::{Beats, Counters};
pub use stream::Places;

/// All calls, behind the table.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(api::path::HEALTHZ, get(calls::healthz))
        .route(api::path::READYZ, get(metrics::readyz))
        .route(api::path::METRICS, get(metrics::metrics))
        .route(api::path::OPENAPI, get(openapi::document))
        .route(api::path::REQUESTS, post(calls::requests).get(people::list))
        .route(api::path::SHOW, get(people::show))
        .route(api::path::APPROVE, post(people::approve))
        .route(api::path::DENY, post(people::deny))
        .route(api::path::FOR, get(asked::target))
        .route(api::path::GIVE_BACK, post(asked::give_back))
        .route(api::path::LOGIN, get(login::login))
        .route(api::path::WITHDRAW, post(people::withdraw))
        .route(api::path::REVOCATIONS, post(calls::revocations))
        .route(api::path::RECEIPTS, post(hosts::receipt))
        .route(api::path::ENROL, post(hosts::join))
        .route(api::path::ENROL_TOKENS, post(hosts::new_token))
        .route(api::path::BREAKGLASS, post(hosts::add_breakglass))
        .route(api::path::BACKUP, post(calls::backup))
        .route(api::path::HOSTS, get(hosts::list).post(hosts::enrol))
        .route(api::path::RENAME, post(hosts::rename))
        .route(api::path::DECOMMISSION, post(hosts::decommission))
        .route(api::path::ACCEPT_LOG, post(witness::accept_log))
        .route(api::path::ADD_CHECKPOINT, post(witness::add_checkpoint))
        .route(api::path::STREAM, get(stream::stream))
        .route(api::path::SYNC, get(stream::sync))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate))
        .with_state(app)
}

/// Default deny: what the table does not allow never reaches a call.
async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().copied();
    let answer = match table::check(request.method(), request.uri().path(), caller, &app.uids) {
        Ok(()) => next.run(request).await,
        Err(refusal) => Fault::from(refusal).into_response(),
    };
    app.counters.count(answer.status());
    answer
}
