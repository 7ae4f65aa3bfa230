//! Revocation by key and by time, and break-glass statements on their way: what the running issuer takes, and what it then
//! gives no more.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{AddBreakglass, Client, Error, Kind, Revoke};
use common::{Host, Place, next, now, until_state};
use statement::breakglass::{Code, verify_breakglass};
use statement::claims::Target;
use statement::digest::sha256_b64;
use statement::limits::MAX_LIFE;
use statement::trust::verify_first;
use std::process::Command;

/// The problem's code, or the serial.
async fn revoke(client: &Client, target: Target) -> Result<u64, String> {
    let revoke = Revoke {
        target,
        reason: "seen elsewhere".to_owned(),
    };
    match client.revoke(&revoke).await {
        Ok(done) => Ok(done.serial),
        Err(Error::Problem(p)) => Err(p.code().to_owned()),
        Err(e) => panic!("{e}"),
    }
}

async fn of(kind: Kind, events: &mut api::Events) -> api::Event {
    loop {
        let event = next(events).await;
        if event.kind == kind {
            return event;
        }
    }
}

#[tokio::test]
async fn a_revoked_key_or_time_bears_nothing_more() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let other = Host::enrolled("b", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    let ask = async |host: &Host| client.submit(&host.sign(&host.request())).await;
    ask(&host).await.expect("answer");
    let grant = host.grant(&of(Kind::Grant, &mut events).await);

    // By time: not by one that has not come.
    let later = Target::IssuedBefore(now() + 60);
    assert_eq!(revoke(&client, later).await, Err("invalid".to_owned()));
    let until_now = Target::IssuedBefore(now() + 1);
    assert_eq!(revoke(&client, until_now.clone()).await, Ok(1));
    let heard = host.revocation(&of(Kind::Revocation, &mut events).await);
    assert_eq!(heard.target, until_now);
    assert!(heard.exp >= grant.claims().exp + 3600);
    // It can be said again: meanwhile more may have been given.
    assert_eq!(revoke(&client, until_now).await, Ok(2));
    let mut late = host.request();
    late.extends = Some(grant.claims().jti.clone());
    let got = client.submit(&host.sign(&late)).await.expect("answer");
    assert_eq!(got.detail, "The grant was revoked.");

    // By a host's key: that host only, and once.
    let nobodys = Target::Kid(sha256_b64(b"nobody's"));
    assert_eq!(
        revoke(&client, nobodys).await,
        Err("unknown-key".to_owned())
    );
    let kid = host.identity().key.kid();
    assert_eq!(revoke(&client, Target::Kid(kid.clone())).await, Ok(3));
    assert_eq!(revoke(&client, Target::Kid(kid)).await, Ok(3));
    let refused = ask(&host).await.expect_err("refused").to_string();
    assert!(refused.contains("key was revoked"), "{refused}");
    ask(&other).await.expect("the other host is not meant");

    // By the key that signs grants: nobody gets one until there is another.
    let kid = grant.kid().to_owned();
    assert_eq!(revoke(&client, Target::Kid(kid.clone())).await, Ok(4));
    let heard = loop {
        let heard = host.revocation(&of(Kind::Revocation, &mut events).await);
        if heard.target == Target::Kid(kid.clone()) {
            break heard;
        }
    };
    // As long as a thief could still date a grant of it.
    assert!(heard.exp > now() + 300 * 86_400 + MAX_LIFE);
    let refused = ask(&other).await.expect_err("refused").to_string();
    assert!(refused.contains("rotate"), "{refused}");
    let approver = Target::Approver("alice".to_owned());
    assert_eq!(revoke(&client, approver).await, Err("invalid".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn a_break_glass_statement_goes_to_its_host_and_can_be_revoked_unused() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let other = Host::enrolled("b", &client).await;
    let state = place.trust_file().parent().expect("a folder").to_owned();
    let make = |id: &str, file: &str, more: &[&str]| {
        let config = state.parent().expect("a folder").join("make.toml");
        let text = format!(
            "state_dir = {:?}\nroles = {:?}\n",
            state, place.config.roles
        );
        std::fs::write(&config, text).expect("written");
        let out = Command::new(env!("CARGO_BIN_EXE_jit-issuer"))
            .arg("--config")
            .arg(&config)
            .args(["breakglass", "make", "--host", id, "--out"])
            .arg(state.join(file))
            .args(more)
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    };
    let (done, codes, said) = make(&host.id, "sheet", &["--count", "2", "--for", "30m"]);
    assert!(done, "{said}");
    let codes: Vec<(&str, &str)> = codes
        .lines()
        .map(|l| l.split_once('\t').expect("id and code"))
        .collect();
    assert_eq!(codes.len(), 2);
    let (again, _, said) = make(&host.id, "sheet", &[]);
    assert!(!again && said.contains("sheet"), "{said}");
    let (none, _, said) = make(&host.id, "none", &["--role", "nobody"]);
    assert!(!none && said.contains("no role"), "{said}");

    let file = std::fs::read_to_string(state.join("sheet")).expect("a file");
    for (_, code) in &codes {
        assert!(!file.contains(code));
    }
    let docs: Vec<&str> = file
        .lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .collect();
    let add = async |doc: &str| {
        let statement = doc.to_owned();
        client.add_breakglass(&AddBreakglass { statement }).await
    };
    let spoiled = docs[0].replacen("protected", "Protected", 1);
    for wrong in ["", "{}", &spoiled] {
        let Err(Error::Problem(p)) = add(wrong).await else {
            panic!("{wrong} was taken");
        };
        assert_eq!(p.code(), "invalid", "{p:?}");
    }
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    assert!(add(docs[0]).await.expect("added").new);
    assert!(!add(docs[0]).await.expect("there").new);
    let doc = of(Kind::Breakglass, &mut events).await.data;
    assert_eq!(doc, docs[0]);
    let trust = std::fs::read_to_string(place.trust_file()).expect("trust");
    let trust = verify_first(&trust, &sha256_b64(trust.as_bytes())).expect("trust");
    let verified = verify_breakglass(&doc, &trust, &host.identity()).expect("verified");
    let opened = |code: &str| {
        let code = Code::parse(code).expect("a code");
        verified.open(&code).expect("a right")
    };
    assert_eq!(opened(codes[0].1).expect("open").right().dur, 1800);
    assert!(opened(codes[1].1).is_none());

    // Nobody else hears of it.
    let mut elsewhere = client.stream(&other.id, 0, None).await.expect("stream");
    let heard = until_state(&mut elsewhere).await;
    assert!(heard.iter().all(|e| e.kind != Kind::Breakglass));

    // Known by its id from then on, whether or not it was used.
    assert_eq!(
        revoke(&client, Target::Grant(codes[1].0.to_owned())).await,
        Err("unknown-grant".to_owned())
    );
    let id = codes[0].0.to_owned();
    assert_eq!(revoke(&client, Target::Grant(id)).await, Ok(1));
    let heard = host.revocation(&of(Kind::Revocation, &mut events).await);
    assert!(heard.exp >= verified.claims().exp + MAX_LIFE);
    running.stop().await;
}
