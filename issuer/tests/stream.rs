//! The log as hosts see it: order, resumption, states, revocations, and numbers that never come twice.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Client, Error, Kind, Revoke, Status};
use common::{Host, Place, ROLES, next, until_state};
use jit_issuer::serve::Order;
use statement::claims::{Request, Target};
use statement::digest::sha256_b64;
use statement::limits::MAX_LIFE;
use std::time::Duration;

async fn elevate(client: &Client, host: &Host) {
    let got = client.submit(&host.sign(&host.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);
}

async fn revoke(client: &Client, target: Target) -> Result<u64, Error> {
    let revoke = Revoke {
        target,
        reason: "test".to_owned(),
    };
    client.revoke(&revoke).await.map(|r| r.serial)
}

#[tokio::test]
async fn a_new_host_gets_policy_and_state_at_once() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let mut host = Host::new("a");
    let got = host.enrol(&client).await;
    let enrol = statement::verify_enrol(&got.enrolment, host.ring()).expect("enrolment");
    assert_eq!(
        (&enrol.host, &enrol.jwk),
        (&host.id, &host.key.public().to_jwk())
    );
    assert_eq!(enrol.groups, ["spiffe://local.test/group/all"]);
    assert_eq!(enrol.trust, sha256_b64(got.trust.as_bytes()));
    let policy = statement::verify_policy(&got.policy, host.ring()).expect("policy");
    assert_eq!(
        (policy.policy_ver, policy.default_role.as_str()),
        (1, "admin")
    );
    assert_eq!(&policy.roles, policy::load(ROLES).expect("roles").roles());

    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let first = next(&mut events).await;
    assert_eq!(
        (first.id, first.kind, &first.data),
        (Some(1), Kind::Policy, &got.policy)
    );
    let state = host.state(&next(&mut events).await);
    assert_eq!(
        (state.rev_serial, state.policy_ver, state.trust_ver),
        (0, 1, 1)
    );
    assert_eq!(state.rev_head, sha256_b64(b""));
    assert_eq!(state.exp - state.iat, 120);
    running.stop().await;
}

#[tokio::test]
async fn resumption_misses_nothing_and_repeats_nothing() {
    let mut place = Place::new();
    // Memory is shorter than the log, so that the store is read too.
    place.tuning.kept = 2;
    let running = place.start().await;
    let client = place.client();
    let a = Host::enrolled("a", &client).await;
    let b = Host::enrolled("b", &client).await;
    for _ in 0..5 {
        elevate(&client, &a).await;
        elevate(&client, &b).await;
    }
    let mut whole = client.stream(&a.id, 0, None).await.expect("stream");
    let all = until_state(&mut whole).await;
    let ids: Vec<u64> = all.iter().filter_map(|e| e.id).collect();
    assert_eq!(
        ids,
        [1, 2, 4, 6, 8, 10],
        "policy, then a's grants; b's are not a's"
    );
    for (i, after) in ids.iter().enumerate() {
        let mut events = client.stream(&a.id, *after, None).await.expect("stream");
        let rest: Vec<u64> = until_state(&mut events)
            .await
            .iter()
            .filter_map(|e| e.id)
            .collect();
        assert_eq!(rest, ids[i + 1..], "after {after}");
    }
    let mut whole = client.stream(&a.id, 10, None).await.expect("stream");
    until_state(&mut whole).await;
    // Live, one after the other, from both hosts.
    for _ in 0..5 {
        elevate(&client, &a).await;
        elevate(&client, &b).await;
    }
    let mut live = Vec::new();
    while live.len() < 5 {
        live.extend(next(&mut whole).await.id);
    }
    assert_eq!(live, [12, 14, 16, 18, 20]);
    running.stop().await;
}

#[tokio::test]
async fn grants_that_ended_are_not_sent_again() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let short = host.sign(&Request {
        dur: 1,
        ..host.request()
    });
    assert_eq!(
        client.submit(&short).await.expect("answer").status,
        Status::Accepted
    );
    elevate(&client, &host).await;
    let end = common::now() + 2;
    while common::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let ids: Vec<u64> = until_state(&mut events)
        .await
        .iter()
        .filter_map(|e| e.id)
        .collect();
    assert_eq!(ids, [1, 3]);
    running.stop().await;
}

#[tokio::test]
async fn revocations_are_one_gapless_chain_also_over_a_restart() {
    let place = Place::new();
    let mut running = place.start().await;
    let client = place.client();
    let a = Host::enrolled("a", &client).await;
    let b = Host::enrolled("b", &client).await;
    elevate(&client, &a).await;
    elevate(&client, &b).await;
    let mut events = client.stream(&a.id, 1, None).await.expect("stream");
    let grant = a.grant(&next(&mut events).await);
    let jti = grant.claims().jti.clone();
    until_state(&mut events).await;

    assert_eq!(
        revoke(&client, Target::Grant(jti.clone()))
            .await
            .expect("serial"),
        1
    );
    let live = until_state(&mut events).await;
    let first = a.revocation(&live[0]);
    assert_eq!(
        (&first.target, first.serial),
        (&Target::Grant(jti.clone()), 1)
    );
    // It reaches what extends the grant by now, however long that lives.
    assert_eq!(first.exp, first.iat + MAX_LIFE + 3600);
    let state = a.state(&live[1]);
    assert_eq!(
        (state.rev_serial, state.rev_head),
        (1, first.hash()),
        "the state follows at once"
    );

    // Again: the same serial, and nothing new in the log.
    assert_eq!(
        revoke(&client, Target::Grant(jti)).await.expect("serial"),
        1
    );
    running.stop().await;
    running = place.start().await;
    assert_eq!(
        revoke(&client, Target::Sub(grant.claims().sub.clone()))
            .await
            .expect("serial"),
        2
    );
    assert_eq!(
        revoke(&client, Target::Host(a.id.clone()))
            .await
            .expect("serial"),
        3
    );
    assert_eq!(
        revoke(&client, Target::Host(a.id.clone()))
            .await
            .expect("serial"),
        4
    );

    // Every host sees the whole chain, also those it does not concern.
    for host in [&a, &b] {
        let mut events = client.stream(&host.id, 0, None).await.expect("stream");
        let all = until_state(&mut events).await;
        let (mut serial, mut head) = (0, sha256_b64(b""));
        for e in all.iter().filter(|e| e.kind == Kind::Revocation) {
            let r = host.revocation(e);
            assert_eq!((r.serial, &r.prev), (serial + 1, &head));
            (serial, head) = (r.serial, r.hash());
        }
        let state = host.state(all.last().expect("state"));
        assert_eq!((state.rev_serial, state.rev_head), (4, head));
        assert_eq!(serial, 4);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_target_nobody_knows_is_404_and_takes_no_serial() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    for (target, code, status) in [
        (
            Target::Grant(statement::id::ulid(1, [0; 10])),
            "unknown-grant",
            404,
        ),
        (Target::Grant(String::new()), "unknown-grant", 404),
        (
            Target::Sub(format!("local:1@{}", host.id)),
            "unknown-subject",
            404,
        ),
        (
            Target::Host("spiffe://local.test/host/z".to_owned()),
            "unknown-host",
            404,
        ),
        (Target::Kid("k".to_owned()), "unknown-key", 404),
    ] {
        match revoke(&client, target.clone()).await {
            Err(Error::Problem(p)) => {
                assert_eq!((p.code(), p.status), (code, status), "{target:?}")
            }
            other => panic!("{target:?}: {other:?}"),
        }
    }
    for reason in [
        String::new(),
        " ".to_owned(),
        "a\nb".to_owned(),
        "x".repeat(257),
    ] {
        let bad = Revoke {
            target: Target::Host(host.id.clone()),
            reason,
        };
        match client.revoke(&bad).await {
            Err(Error::Problem(p)) => assert_eq!((p.code(), p.status), ("invalid", 422)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        revoke(&client, Target::Host(host.id.clone()))
            .await
            .expect("serial"),
        1
    );
    running.stop().await;
}

#[tokio::test]
async fn states_come_at_every_beat_with_rising_numbers_on_every_stream() {
    let mut place = Place::new();
    place.tuning.heartbeat = Duration::from_millis(20);
    place.tuning.state_block = 3;
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut last = 0;
    for _ in 0..3 {
        let mut events = client.stream(&host.id, 1, None).await.expect("stream");
        for _ in 0..10 {
            let state = host.state(&next(&mut events).await);
            assert!(state.state_seq > last, "{} after {last}", state.state_seq);
            last = state.state_seq;
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn streams_of_nobody_and_of_the_future_and_too_many() {
    let mut place = Place::new();
    place.config.limits.streams = 2;
    let running = place.start().await;
    let client = place.client();
    let a = Host::enrolled("a", &client).await;
    let b = Host::enrolled("b", &client).await;
    let c = Host::enrolled("c", &client).await;
    let refused = |e: Option<Error>| match e {
        Some(Error::Problem(p)) => (p.status, p.code().to_owned()),
        other => panic!("{other:?}"),
    };
    let got = client.stream("spiffe://local.test/host/z", 0, None).await;
    assert_eq!(refused(got.err()), (404, "unknown-host".to_owned()));
    let got = client.stream(&a.id, 2, None).await;
    assert_eq!(refused(got.err()), (409, "log-behind".to_owned()));

    let mut one = client.stream(&a.id, 0, None).await.expect("stream");
    until_state(&mut one).await;
    let two = client.stream(&a.id, 0, None).await.expect("stream");
    assert_eq!(
        one.next().await.expect("a good end"),
        None,
        "the newest of a host stays"
    );
    let _other = client.stream(&b.id, 0, None).await.expect("stream");
    let got = client.stream(&c.id, 0, None).await;
    assert_eq!(
        refused(got.err()),
        (429, "too-many-streams".to_owned()),
        "two in all"
    );
    // A closed one makes room, as soon as the issuer has noticed.
    drop(two);
    let again = async {
        loop {
            match client.stream(&c.id, 0, None).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut again = tokio::time::timeout(Duration::from_secs(5), again)
        .await
        .expect("room");
    until_state(&mut again).await;
    running.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_in_good_order() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    tokio::time::timeout(Duration::from_secs(2), running.stop())
        .await
        .expect("a quick end");
    assert_eq!(events.next().await.expect("a good end"), None);
    assert!(matches!(client.health().await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_changed_policy_gets_a_new_version_and_a_faulty_one_none() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    let long = || Request {
        dur: 7200,
        ..host.request()
    };

    // Unchanged, then faulty: neither makes a version.
    running.order(Order::Reload).await;
    place.roles("default = 1");
    running.order(Order::Reload).await;
    place.roles(&ROLES.replacen("max = \"1h\"", "max = \"3h\"", 1));
    running.order(Order::Reload).await;
    let got = until_state(&mut events).await;
    let policy = statement::verify_policy(&got[0].data, host.ring()).expect("policy");
    assert_eq!((got[0].id, policy.policy_ver), (Some(2), 2));
    assert_eq!(policy.roles["admin"].max_s, 3 * 3600);
    assert_eq!(host.state(&got[1]).policy_ver, 2);
    assert_eq!(
        client
            .submit(&host.sign(&long()))
            .await
            .expect("answer")
            .status,
        Status::Accepted
    );

    // The order of the reloads is kept, so after this one the faulty text has been read.
    place.roles("default = 1");
    running.order(Order::Reload).await;
    running.order(Order::Reload).await;
    assert_eq!(
        client
            .submit(&host.sign(&long()))
            .await
            .expect("answer")
            .status,
        Status::Accepted
    );
    running.stop().await;

    // A start with a fault: the last good policy, from the store.
    let running = place.start().await;
    assert_eq!(client.health().await.expect("health").policy_ver, 2);
    assert_eq!(
        client
            .submit(&host.sign(&long()))
            .await
            .expect("answer")
            .status,
        Status::Accepted
    );
    // Back to an older text: a new version all the same.
    place.roles(ROLES);
    let mut events = client.stream(&host.id, 2, None).await.expect("stream");
    until_state(&mut events).await;
    running.order(Order::Reload).await;
    let got = until_state(&mut events).await;
    assert_eq!(host.state(got.last().expect("state")).policy_ver, 3);
    // Who begins now is spared the ones before.
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let policies: Vec<u64> = until_state(&mut events)
        .await
        .iter()
        .filter(|e| e.kind == Kind::Policy)
        .map(|e| {
            statement::verify_policy(&e.data, host.ring())
                .expect("policy")
                .policy_ver
        })
        .collect();
    assert_eq!(policies, [3]);
    running.stop().await;
}

#[tokio::test]
async fn a_first_start_with_a_faulty_policy_fails_with_the_line() {
    let place = Place::new();
    place.roles("\ndefualt = 1");
    let e = place.try_start().await.err().expect("no start").to_string();
    assert!(
        e.ends_with("roles.toml: line 2: unknown key `defualt`; did you mean `default`?"),
        "{e}"
    );

    let list: String = (0..32)
        .map(|i| {
            format!(
                "{{ path = \"/usr/bin/{}{i}\", args = [] }},",
                "x".repeat(150)
            )
        })
        .collect();
    place.roles(&ROLES.replace(
        "commands = \"ALL\"\nshell = true",
        &format!("commands = [{list}]"),
    ));
    let e = place.try_start().await.err().expect("no start").to_string();
    assert!(
        e.contains("role admin is too long for a grant: it needs "),
        "{e}"
    );
}
