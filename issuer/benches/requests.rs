//! `cargo bench -p jit-issuer --bench requests`: automatic requests through the socket of one box, from the host's signature to
//! the answer, every grant durable. The store lies on the disk of the build folder.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails ends the bench; there is no caller that could go on"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use api::{Client, Status};
use common::{Host, Place};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const HOSTS: usize = 50;
/// Requests a second, and how many of them.
const PACE: u32 = 500;
const PACED: usize = 5_000;
/// Callers who ask again as soon as they are answered, and their requests in all.
const CALLERS: usize = 16;
const FAST: usize = 5_000;

fn main() {
    let mut place = Place::new_in(env!("CARGO_TARGET_TMPDIR"));
    place.config.limits.requests_per_minute = 10_000_000;
    place.config.limits.requests_per_minute_of_user = 10_000_000;
    let place = Arc::new(place);
    let (go_on, stop) = std::sync::mpsc::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    // As in its own process: one thread for calls, the store's own.
    let issuer = std::thread::spawn({
        let place = Arc::clone(&place);
        move || {
            runtime().block_on(async {
                let running = place.start().await;
                ready.send(()).expect("ready");
                let _ = tokio::task::spawn_blocking(move || stop.recv()).await;
                running.stop().await;
            });
        }
    });
    is_ready.recv().expect("ready");
    runtime().block_on(async {
        let client = place.client();
        let mut hosts = Vec::new();
        for n in 0..HOSTS {
            hosts.push(Host::enrolled(&format!("h{n}"), &client).await);
        }
        let signed = |count: usize| -> Arc<Vec<String>> {
            let of = |n: usize| &hosts[n % HOSTS];
            Arc::new((0..count).map(|n| of(n).sign(&of(n).request())).collect())
        };
        paced(&client, signed(PACED)).await;
        fast(&client, signed(FAST)).await;
    });
    drop(go_on);
    issuer.join().expect("the issuer");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

async fn ask(client: &Client, jws: &str) {
    let got = client.submit(jws).await.expect("answer");
    assert_eq!(got.status, Status::Accepted, "{}", got.detail);
}

/// Asked at fixed times, whatever became of those before; what one waits counts from its time on.
async fn paced(client: &Client, requests: Arc<Vec<String>>) {
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    for n in 0..requests.len() {
        let due = start + Duration::from_secs(1) * u32::try_from(n).expect("few") / PACE;
        tokio::time::sleep_until(due.into()).await;
        let (client, requests) = (client.clone(), Arc::clone(&requests));
        under_way.spawn(async move {
            ask(&client, &requests[n]).await;
            due.elapsed()
        });
    }
    let took = under_way.join_all().await;
    show("at a steady pace", took, start.elapsed());
}

/// As many as go.
async fn fast(client: &Client, requests: Arc<Vec<String>>) {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, requests, next) = (client.clone(), Arc::clone(&requests), Arc::clone(&next));
        callers.spawn(async move {
            let mut took = Vec::new();
            while let Some(jws) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                ask(&client, jws).await;
                took.push(asked.elapsed());
            }
            took
        });
    }
    let took = callers.join_all().await.concat();
    show("as fast as it goes", took, start.elapsed());
}

fn show(what: &str, mut took: Vec<Duration>, whole: Duration) {
    took.sort_unstable();
    let at = |percent: usize| {
        let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took[place].as_secs_f64() * 1000.0
    };
    println!(
        "{what}: {} requests, {:.0}/s, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms (goal: 500/s, p99 at most 50 ms)",
        took.len(),
        took.len() as f64 / whole.as_secs_f64(),
        at(50),
        at(99),
        at(100),
    );
}
