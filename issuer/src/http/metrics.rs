//! `GET /metrics` (OpenMetrics 1.0) and `GET /v1/readyz`, for the box itself. No name of a person, host or grant is in
//! them.

use super::App;
use super::calls::Answer;
use super::problem::Fault;
use crate::clock::{self, Monotonic};
use crate::store::Witnessed;
use crate::witness::is_silent;
use api::Health;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Beats missed before the issuer is no longer ready.
const MISSED: u32 = 3;

/// How often a call ended with one of these statuses, over all.
#[derive(Default)]
pub struct Counters {
    answered: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub fn count(&self, status: StatusCode) {
        let counter = match status {
            StatusCode::TOO_MANY_REQUESTS => &self.limited,
            s if s.is_server_error() => &self.failed,
            s if s.is_client_error() => &self.refused,
            _ => &self.answered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// When the log was last looked at.
pub struct Beats {
    start: Monotonic,
    /// Milliseconds after the start.
    last: AtomicU64,
    every: Duration,
}

impl Beats {
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            start: Monotonic::start(),
            last: AtomicU64::new(0),
            every,
        }
    }

    pub fn turned(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_late(&self) -> bool {
        let late = (self.every * MISSED).as_millis();
        u128::from(self.now().saturating_sub(self.last.load(Ordering::Relaxed))) > late
    }
}

/// Whether hosts get what they wait for: the store answers, there is a policy, states are made.
pub async fn readyz(State(app): State<Arc<App>>) -> Answer<Health> {
    let head = app.db.call(|core| core.store.head()).await?;
    if head.policy_ver == 0 || app.beats.is_late() {
        return Err(Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "No states are made at present; the issuer's log says why.",
        ));
    }
    Ok(Json(Health {
        status: "ready".to_owned(),
        policy_ver: head.policy_ver,
    }))
}

pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    let (head, hosts, receipts, logs) = app
        .db
        .call(|core| {
            Ok((
                core.store.head()?,
                core.store.hosts()?,
                core.store.receipts()?,
                core.store.all_witnessed()?,
            ))
        })
        .await?;
    let enrolled = hosts.iter().filter(|h| h.gone_at.is_none());
    let behind = enrolled
        .clone()
        .filter(|h| {
            receipts
                .get(&h.id)
                .is_none_or(|s| s.rev_serial < head.rev_serial)
        })
        .count();
    let logs: Vec<_> = enrolled.clone().filter_map(|h| logs.get(&h.id)).collect();
    let now = clock::unix();
    let silent = |log: &&&Witnessed| is_silent(log, app.started, now, app.silent_s);
    let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
    let calls = &app.counters;
    let mut text = String::new();
    for (name, help, value) in [
        ("jit_issuer_log_entries", "Entries of the log", head.n),
        (
            "jit_issuer_revocation_serial",
            "Newest revocation",
            head.rev_serial,
        ),
        (
            "jit_issuer_policy_version",
            "Policy in force",
            head.policy_ver,
        ),
        ("jit_issuer_streams", "Open streams", app.streams.open()),
        (
            "jit_issuer_hosts",
            "Enrolled hosts",
            enrolled.count() as u64,
        ),
        (
            "jit_issuer_hosts_behind",
            "Enrolled hosts that have not said that they applied the newest revocation",
            behind as u64,
        ),
        (
            "jit_issuer_witnessed_hosts",
            "Enrolled hosts whose journals are witnessed",
            logs.len() as u64,
        ),
        (
            "jit_issuer_witness_silent_hosts",
            "Of them, those whose journals say nothing new",
            logs.iter().filter(silent).count() as u64,
        ),
        (
            "jit_issuer_witness_trouble_hosts",
            "Of them, those that showed a rollback or a fork",
            logs.iter().filter(|log| log.trouble.is_some()).count() as u64,
        ),
        (
            "jit_issuer_trust_expiry_seconds",
            "End of the trust statement, Unix time",
            app.authority.trust_exp(),
        ),
    ] {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# TYPE {name} gauge\n# HELP {name} {help}.\n{name} {value}\n"
        );
    }
    text.push_str(
        "# TYPE jit_issuer_calls counter\n# HELP jit_issuer_calls Calls by how they ended.\n",
    );
    for (result, value) in [
        ("answered", count(&calls.answered)),
        ("refused", count(&calls.refused)),
        ("limited", count(&calls.limited)),
        ("failed", count(&calls.failed)),
    ] {
        let _ = writeln!(
            text,
            "jit_issuer_calls_total{{result=\"{result}\"}} {value}"
        );
    }
    text.push_str("# EOF\n");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_missed_beats_are_late() {
        let beats = Beats::new(Duration::from_millis(20));
        beats.turned();
        assert!(!beats.is_late());
        std::thread::sleep(Duration::from_millis(80));
        assert!(beats.is_late());
        beats.turned();
        assert!(!beats.is_late());
    }
}
