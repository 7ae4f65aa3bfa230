//! Calls that come again because their answer was lost: done once, answered twice.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Client, Error, NewToken, Revoke};
use common::people::code;
use common::{Host, Place};
use statement::claims::Target;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

/// Between a caller and the issuer: of the first call the answer never arrives, though it was given.
fn loses_the_first_answer(place: &Place) -> PathBuf {
    let path = place.dir.path().join("between");
    let listener = UnixListener::bind(&path).expect("socket");
    let to = place.config.socket.clone();
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((caller, _)) = listener.accept().await {
            pass(caller, &to, std::mem::take(&mut is_first)).await;
        }
    });
    path
}

async fn pass(mut caller: UnixStream, to: &Path, loses: bool) {
    let mut issuer = UnixStream::connect(to).await.expect("issuer");
    if !loses {
        let _ = tokio::io::copy_bidirectional(&mut caller, &mut issuer).await;
        return;
    }
    let mut bytes = [0; 4096];
    let got = caller.read(&mut bytes).await.expect("a call");
    issuer.write_all(&bytes[..got]).await.expect("passed on");
    // Once there is an answer, it is done.
    let got = issuer.read(&mut bytes).await.expect("an answer");
    assert!(bytes[..got].starts_with(b"HTTP/1.1 200"));
}

fn revoke(host: &Host, reason: &str) -> Revoke {
    Revoke {
        target: Target::Host(host.id.clone()),
        reason: reason.to_owned(),
    }
}

async fn serial(client: &Client) -> u64 {
    client.hosts().await.expect("hosts").rev_serial
}

#[tokio::test]
async fn a_revocation_whose_answer_is_lost_is_made_once() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let between = Client::unix(loses_the_first_answer(&place));
    let over = revoke(&host, "over");
    // Without a key nobody can tell, so nobody does it again.
    let lost = between.revoke(&over).await;
    assert!(matches!(lost, Err(Error::Broken(_))), "{lost:?}");
    assert_eq!(serial(&client).await, 1);

    std::fs::remove_file(place.dir.path().join("between")).expect("socket");
    let between = Client::unix(loses_the_first_answer(&place));
    let done = between.revoke_once(&over, KEY).await.expect("revoked");
    assert_eq!((done.serial, serial(&client).await), (2, 2));

    // The first answer stays the answer, also after a restart, and whatever came meanwhile.
    assert_eq!(client.revoke(&over).await.expect("revoked").serial, 3);
    running.stop().await;
    let running = place.start().await;
    let again = client.revoke_once(&over, KEY).await.expect("the same");
    assert_eq!((again.serial, serial(&client).await), (2, 3));

    // It is this call's alone.
    let other = client.revoke_once(&revoke(&host, "other"), KEY).await;
    assert_eq!(code(&other.expect_err("another body")), "422 key-reused");
    let bad = client.revoke_once(&over, "short").await;
    assert_eq!(code(&bad.expect_err("no key")), "400 malformed");
    // What was refused is not kept.
    let unknown = Revoke {
        target: Target::Grant("01JD3ZK5T2M8Q4W7X9Y0B1C2D3".to_owned()),
        reason: "x".to_owned(),
    };
    let key = "0000000000000000";
    let refused = client.revoke_once(&unknown, key).await;
    assert_eq!(code(&refused.expect_err("unknown")), "404 unknown-grant");
    let (one, two) = tokio::join!(
        client.revoke_once(&over, key),
        client.revoke_once(&over, key)
    );
    assert_eq!(one.expect("one").serial, 4);
    assert_eq!(two.expect("two").serial, 4, "at once");
    running.stop().await;
}

#[tokio::test]
async fn a_token_whose_answer_is_lost_is_the_same_token() {
    let mut place = Place::new();
    let _authority = place.https();
    let running = place.start().await;
    let client = place.client();
    let wanted = NewToken {
        host: "web1".to_owned(),
        labels: [].into(),
        life_s: 60,
        replace: false,
    };
    let between = Client::unix(loses_the_first_answer(&place));
    let first = between.new_token_once(&wanted, KEY).await.expect("token");
    let again = client.new_token_once(&wanted, KEY).await.expect("token");
    assert_eq!((&first.token, first.exp), (&again.token, again.exp));
    let other = client.new_token(&wanted).await.expect("token");
    assert_ne!(first.token, other.token);
    running.stop().await;
}
