//! `schemathesis`, from `scripts/judges`, makes calls of the served document, good ones and bad ones, and looks whether every
//! answer is one that the document says. Needs PyPI once: `cargo test -p jit-issuer --features judge-tests --test contract`.
#![cfg(feature = "judge-tests")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::{Host, Place};
use std::path::Path;
use std::process::Command;
use tokio::net::{TcpListener, UnixStream};

/// Streams do not end; a copy of the store for each call would fill the disk.
const LEFT_OUT: [&str; 3] = ["/v1/stream", "/v1/sync", "/v1/backup"];
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[tokio::test]
async fn every_answer_is_one_that_the_document_says() {
    let mut place = Place::new();
    place.config.limits.requests_per_minute = 1_000_000;
    let running = place.start().await;
    Host::enrolled("a", &place.client()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let socket = place.config.socket.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut unix = UnixStream::connect(&socket).await.expect("socket");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tcp, &mut unix).await });
        }
    });
    let judged = tokio::task::spawn_blocking(move || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let judges = Command::new(root.join("scripts/judges"))
            .output()
            .expect("scripts/judges");
        assert!(judges.status.success(), "{judges:?}");
        let judges = String::from_utf8(judges.stdout).expect("a path");
        let mut schemathesis = Command::new(Path::new(judges.trim()).join("bin/schemathesis"));
        // It leaves a cache where it runs.
        let there = tempfile::TempDir::new().expect("a folder");
        schemathesis
            .current_dir(there.path())
            .args(["run", "--no-color", "--seed", "7", "--max-examples", "20"])
            .args([
                "--checks",
                CHECKS,
                "--suppress-health-check",
                "all",
                "--generation-database",
                "none",
            ]);
        for path in LEFT_OUT {
            schemathesis.args(["--exclude-path", path]);
        }
        let document = format!("http://127.0.0.1:{port}/v1/openapi.json");
        let base = format!("http://127.0.0.1:{port}");
        schemathesis
            .args([document.as_str(), "--url", base.as_str()])
            .output()
    });
    let judged = judged.await.expect("thread").expect("schemathesis");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(
        judged.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&judged.stderr)
    );
    // It made calls.
    assert!(
        said.contains("passed") || said.contains("Test cases"),
        "{said}"
    );
    println!("{said}");
    running.stop().await;
}
