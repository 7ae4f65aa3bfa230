//! The witness of hosts' journals, over both ways to the issuer.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{AcceptLog, Client, Said, TroubleKind};
use common::{DOMAIN, Host, Place};
use journal::{Claimed, HostKey, WitnessKey, add_checkpoint, signed_checkpoint};
use statement::sign::{self, Signer};
use statement::trust::{self, Use};

const ORIGIN: &str = "jit/m/l";

/// An enrolled host, and the key that signs its journal.
async fn host(name: &str, client: &Client) -> (Host, HostKey) {
    let (key, pkcs8) = Signer::generate().expect("key");
    let mut host = Host {
        id: format!("spiffe://{DOMAIN}/host/{name}"),
        key,
        ring: None,
    };
    host.enrol(client).await;
    (host, HostKey::from_pkcs8(&pkcs8).expect("an Ed25519 key"))
}

/// The first head of a log with so many entries.
fn first(key: &HostKey, origin: &str, size: u64) -> String {
    let note = signed_checkpoint(key, origin, size, &[7; 32]);
    add_checkpoint(0, &[], &note)
}

async fn said(client: &Client, host: &str, body: &str) -> (u16, String) {
    let Said { status, body } = client
        .add_checkpoint(host, body.to_owned())
        .await
        .expect("an answer");
    (status, body)
}

#[tokio::test]
async fn a_head_is_cosigned_for_its_host_and_answers_are_those_of_the_protocol() {
    let mut place = Place::new();
    let authority = place.https();
    let running = place.start().await;
    let client = place.client();
    let (host, key) = host("a", &client).await;
    let (other, _) = self::host("b", &client).await;
    let away = place.away(&authority.roots());

    let body = first(&key, ORIGIN, 5);
    let problem = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        said(&away, &other.id, &body).await,
        problem(403, "not-authentic")
    );
    assert_eq!(
        said(&away, "nobody", &body).await,
        problem(404, "unknown-host")
    );
    assert_eq!(
        said(&away, &host.id, "old 0\n").await,
        problem(400, "malformed")
    );
    let (status, lines) = said(&away, &host.id, &body).await;
    assert_eq!(status, 200);
    let ring = host.ring();
    let witness = WitnessKey {
        name: ring.witness_name(),
        public: ring.witnesses()[0].public,
    };
    assert_eq!(witness.name, format!("{DOMAIN}/witness"));
    let note = body.split_once("\n\n").expect("a body").1;
    let claimed = Claimed::parse(note).expect("a checkpoint");
    let at = witness.saw(&claimed, &lines).expect("its cosignature");
    assert!(at.abs_diff(common::now()) < 10);
    // The rest is no secret of anybody: a size.
    assert_eq!(
        said(&client, &host.id, &body).await,
        (409, "5\n".to_owned())
    );

    // Less than was witnessed: named, with what shows it; after a restart, too.
    let lost = signed_checkpoint(&key, ORIGIN, 3, &[8; 32]);
    let lost = add_checkpoint(5, &[], &lost);
    assert_eq!(
        said(&client, &host.id, &lost).await,
        problem(400, "malformed")
    );
    running.stop().await;
    let running = place.start().await;
    let known = |hosts: api::Hosts| {
        let mut all = hosts.hosts.into_iter();
        all.find(|h| h.id == host.id)
            .and_then(|h| h.witnessed)
            .expect("witnessed")
    };
    let seen = known(client.hosts().await.expect("hosts"));
    let trouble = seen.trouble.expect("trouble");
    assert_eq!(trouble.kind, TroubleKind::Rollback);
    let shown = Claimed::parse(&trouble.shown).expect("a checkpoint");
    assert_eq!((shown.size, seen.size), (3, 5));
    let kept = seen.checkpoint.expect("a checkpoint");
    assert!(kept.ends_with(&lines), "{kept}");

    // Another log, when it was accepted and not before.
    let next = first(&key, "jit/m/l/g2", 3);
    assert_eq!(
        said(&client, &host.id, &next).await,
        problem(404, "unknown-log")
    );
    let accept = |host: &str| AcceptLog {
        host: host.to_owned(),
        reason: "restored".to_owned(),
    };
    assert!(client.accept_log(&accept(&other.id)).await.is_err());
    client
        .accept_log(&accept(&host.id))
        .await
        .expect("accepted");
    assert_eq!(said(&client, &host.id, &next).await.0, 200);
    assert_eq!(
        said(&client, &host.id, &body).await,
        problem(404, "closed-log")
    );
    let seen = known(client.hosts().await.expect("hosts"));
    assert_eq!(
        (seen.generation, seen.trouble, seen.silent),
        (2, None, false)
    );
    running.stop().await;
}

#[tokio::test]
async fn an_issuer_without_a_key_for_it_is_no_witness_and_serves_as_before() {
    let place = Place::new();
    let doc = std::fs::read_to_string(place.trust_file()).expect("trust statement");
    let mut claims = trust::unverified(&doc).expect("claims");
    claims.keys.retain(|key| key.uses != [Use::Witness]);
    assert_eq!(claims.keys.len(), 5);
    let root = std::fs::read(place.config.state_dir.join("keys/root.pk8")).expect("root key");
    let root = Signer::from_pkcs8(&root).expect("root key");
    let doc = sign::trust(&claims, &[&root]).expect("signed");
    std::fs::write(place.trust_file(), doc).expect("written");
    std::fs::remove_file(place.config.state_dir.join("keys/witness.pk8")).expect("removed");
    let running = place.start().await;
    let client = place.client();
    let (host, key) = host("a", &client).await;
    assert!(host.ring().witnesses().is_empty());
    let answer = said(&client, &host.id, &first(&key, ORIGIN, 5)).await;
    assert_eq!(answer, (404, "no-witness".to_owned()));
    running.stop().await;
}
