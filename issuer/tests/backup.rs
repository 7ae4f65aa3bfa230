//! A copy made while the issuer works, and an issuer that goes on from it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::Status;
use common::{Host, Place, until_state};
use jit_issuer::backup::restore;
use jit_issuer::init::Layout;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[tokio::test]
async fn an_issuer_goes_on_from_a_copy_made_while_it_worked() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let ask = async || client.submit(&host.sign(&host.request())).await;
    assert_eq!(ask().await.expect("answer").status, Status::Accepted);
    // Requests under way do not keep a copy from being whole.
    let (copy, ..) = tokio::join!(client.backup(), ask(), ask(), ask());
    let copy = copy.expect("a copy").path;
    let mode = std::fs::metadata(&copy).expect("copy").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    client.backup().await.expect("another in its place");
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let last = until_state(&mut events).await.pop().expect("a state");
    let before = host.state(&last).state_seq;

    let at = Layout::new(&place.config.state_dir);
    let in_use = restore(&at, Path::new(&copy)).expect_err("it runs");
    assert!(in_use.to_string().contains("in use"), "{in_use}");
    drop(events);
    running.stop().await;

    let broken = place.dir.path().join("broken");
    std::fs::write(&broken, "nonsense").expect("file");
    restore(&at, &broken).expect_err("no store");
    let mut cut = std::fs::read(&copy).expect("copy");
    cut.truncate(cut.len() / 2);
    std::fs::write(&broken, cut).expect("file");
    restore(&at, &broken).expect_err("half a store");
    restore(&at, Path::new(&copy)).expect("restored");

    let running = place.start().await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let all = until_state(&mut events).await;
    // The policy, the grants of then and a state that hosts take for newer.
    assert!(all.len() >= 3, "{}", all.len());
    let state = host.state(all.last().expect("a state"));
    assert!(state.state_seq > before);
    assert_eq!(ask().await.expect("answer").status, Status::Accepted);
    running.stop().await;
}
