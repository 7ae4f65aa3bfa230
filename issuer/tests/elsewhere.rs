//! Requests that people sign on machines of their own: what they are told to sign, what they get, who sees and approves it, and
//! how it is given back.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{
    Approve, AskFor, Call, Client, Error, GaveBack, GiveBack, HostAnswer, HostSays, Kind, Receipt,
    Revoke, Status, Submitted, Waiting, WaitingList,
};
use common::people::{Hands, call, code, trust};
use common::{Host, Place, next, now, until_state};
use statement::VerifiedGrant;
use statement::asked::{NAMESPACE, sealed, to_sign};
use statement::claims::{Request, Target as Revokes};
use statement::digest::sha256_b64;
use statement::people::Need;
use statement::sshsig::{NAMESPACE as APPROVES, SshKey};

/// alice has uid 1000 on hosts; the policy gives `admin` without people.
fn place(hands: &Hands) -> Place {
    let place = Place::new();
    trust(&place, |c| c.people = hands.people());
    place
}

fn sign(hands: &Hands, key: &str, request: &Request) -> String {
    let public = SshKey::parse(&hands.public(key, "ed25519")).expect("key");
    let input = to_sign(request, &public).expect("a request");
    sealed(&input, &hands.sign(key, NAMESPACE, &input))
}

/// Alice's own, as `jitctl elevate --host` makes it.
fn asked(host: &Host) -> Request {
    Request {
        iss: "alice".to_owned(),
        approve_until: now() + 600,
        ..host.request()
    }
}

async fn submit(client: &Client, request: &str) -> Result<Submitted, String> {
    client.submit(request).await.map_err(|e| code(&e))
}

async fn give_back(
    client: &Client,
    hands: &Hands,
    key: &str,
    id: &str,
) -> Result<GaveBack, String> {
    let back = Call::give_back(&GiveBack { id: id.to_owned() }).expect("call");
    call(client, hands, key, &back, |_| ()).await
}

async fn granted(host: &Host, events: &mut api::Events) -> VerifiedGrant {
    loop {
        let event = next(events).await;
        if event.kind == Kind::Grant {
            return host.grant(&event);
        }
    }
}

#[tokio::test]
async fn whoever_asks_from_elsewhere_is_told_what_to_sign_gets_it_and_gives_it_back() {
    let hands = Hands::new();
    let place = place(&hands);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;

    let target: AskFor = call(&client, &hands, "alice", &Call::target("test"), |_| ())
        .await
        .expect("what to sign");
    assert_eq!(
        (target.host.as_str(), target.host_name.as_str()),
        (host.id.as_str(), "test")
    );
    assert_eq!(target.person, "alice");
    let account = &target.accounts[..];
    assert_eq!(account.len(), 1);
    assert_eq!((account[0].login.as_str(), account[0].uid), ("alice", 1000));
    let policy = statement::unverified_policy(&target.policy).expect("policy");
    assert!(policy.roles.contains_key("admin"));
    // Somebody known without an account there learns that; strangers learn nothing.
    let bobs: AskFor = call(&client, &hands, "bob", &Call::target(&host.id), |_| ())
        .await
        .expect("what to sign");
    assert!(bobs.accounts.is_empty());
    hands.public("nobody", "ed25519");
    let stranger: Result<AskFor, _> =
        call(&client, &hands, "nobody", &Call::target("test"), |_| ()).await;
    assert_eq!(stranger.expect_err("a stranger"), "403 unknown-key");
    let unknown: Result<AskFor, _> =
        call(&client, &hands, "alice", &Call::target("none"), |_| ()).await;
    assert_eq!(unknown.expect_err("no such host"), "404 unknown-host");

    // Granted at once, and the host believes it by the signature alone.
    let jws = sign(&hands, "alice", &asked(&host));
    let got = submit(&client, &jws).await.expect("answer");
    assert_eq!(got.status, Status::Accepted);
    let grant = granted(&host, &mut events).await;
    assert_eq!(grant.asked_by().expect("a person").person, "alice");
    let given = got.grant.clone().expect("the grant");
    let claims = grant.claims();
    assert_eq!(
        (&given.id, given.from, given.until),
        (&claims.jti, claims.nbf, claims.exp)
    );
    assert_eq!(given.host_says, None);
    // The same bytes again: the same grant. What the host says of it is told, its first word, and no other host's.
    assert_eq!(submit(&client, &jws).await, Ok(got));
    let other = Host::enrolled("b", &client).await;
    let says = |active: bool, why: &str| HostSays {
        active,
        why: why.to_owned(),
    };
    for (by, said) in [
        (&other, says(false, "another host's word")),
        (&host, says(true, "")),
        (&host, says(false, "a later word")),
    ] {
        let receipt = Receipt {
            host: by.id.clone(),
            rev_serial: 0,
            at: now(),
            version: "1".to_owned(),
            log_next: 1,
            log_chain: String::new(),
            answers: vec![HostAnswer {
                request: sha256_b64(jws.as_bytes()),
                says: said,
            }],
        };
        let body = serde_json::to_string(&receipt).expect("receipt");
        client.receipt(body, "on this box").await.expect("taken");
    }
    let again = submit(&client, &jws)
        .await
        .expect("answer")
        .grant
        .expect("the grant");
    assert_eq!(again.host_says, Some(says(true, "")));

    // Given back by whoever asked, by either id, and by nobody else.
    let id = grant.request().id.clone();
    assert_eq!(
        give_back(&client, &hands, "bob", &id)
            .await
            .expect_err("another's"),
        "404 unknown-request"
    );
    let back = give_back(&client, &hands, "alice", &given.id)
        .await
        .expect("given back");
    assert_eq!((&back.id, back.grant.as_ref()), (&id, Some(&given.id)));
    assert_eq!(give_back(&client, &hands, "alice", &id).await, Ok(back));
    let heard = loop {
        let event = next(&mut events).await;
        if event.kind == Kind::Revocation {
            break host.revocation(&event);
        }
    };
    assert_eq!(heard.target, Revokes::Grant(given.id));
    assert_eq!(heard.reason, "given back by alice");
    // What a host asked for is its own to give back.
    let own = host.request();
    client.submit(&host.sign(&own)).await.expect("answer");
    assert_eq!(
        give_back(&client, &hands, "alice", &own.id)
            .await
            .expect_err("a host's"),
        "404 unknown-request"
    );
    running.stop().await;
}

#[tokio::test]
async fn what_a_person_may_not_ask_is_refused_and_not_remembered() {
    let hands = Hands::new();
    let place = place(&hands);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let other = Host::new("b");
    hands.public("nobody", "ed25519");
    let not_authentic = [
        ("a stranger", sign(&hands, "nobody", &asked(&host))),
        ("another's name", sign(&hands, "bob", &asked(&host))),
        (
            "another's account",
            sign(
                &hands,
                "bob",
                &Request {
                    iss: "bob".to_owned(),
                    ..asked(&host)
                },
            ),
        ),
        ("a host nobody knows", sign(&hands, "alice", &asked(&other))),
        (
            "altered",
            sign(&hands, "alice", &asked(&host)).replacen('.', ".e", 1),
        ),
        ("an approval", {
            let public = SshKey::parse(&hands.public("alice", "ed25519")).expect("key");
            let input = to_sign(&asked(&host), &public).expect("a request");
            sealed(&input, &hands.sign("alice", APPROVES, &input))
        }),
    ];
    for (what, jws) in not_authentic {
        assert_eq!(
            submit(&client, &jws).await.expect_err(what),
            "403 not-authentic",
            "{what}"
        );
    }
    let denied = [
        (
            Request {
                iat: now() + 600,
                approve_until: now() + 660,
                ..asked(&host)
            },
            "Is the clock right?",
        ),
        (
            Request {
                dur: 7200,
                ..asked(&host)
            },
            "",
        ),
    ];
    for (request, why) in denied {
        let got = submit(&client, &sign(&hands, "alice", &request))
            .await
            .expect("answer");
        assert_eq!(got.status, Status::Denied, "{got:?}");
        assert!(got.detail.contains(why) && got.grant.is_none(), "{got:?}");
    }
    // A revoked key asks for nothing, and nobody else's grants are touched.
    let own = host.request();
    client.submit(&host.sign(&own)).await.expect("answer");
    let key = SshKey::parse(&hands.public("alice", "ed25519")).expect("key");
    let revoke = Revoke {
        target: Revokes::Kid(key.kid()),
        reason: "laptop stolen".to_owned(),
    };
    client.revoke(&revoke).await.expect("revoked");
    let refused = client.submit(&sign(&hands, "alice", &asked(&host))).await;
    let Err(Error::Problem(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert!(refused.detail.contains("key was revoked"), "{refused:?}");
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let jti = granted(&host, &mut events).await.claims().jti.clone();
    let longer = Request {
        extends: Some(jti),
        dur: 120,
        ..host.request()
    };
    let got = client.submit(&host.sign(&longer)).await.expect("answer");
    assert_eq!(got.status, Status::Accepted, "{got:?}");
    running.stop().await;
}

#[tokio::test]
async fn people_approve_it_as_any_other_and_a_revoked_or_removed_key_ends_the_wait() {
    let hands = Hands::new();
    let place = place(&hands);
    trust(&place, |c| {
        let one = Need {
            group: "ops".to_owned(),
            count: 1,
        };
        c.rules.approval = [("admin".to_owned(), vec![one])].into();
    });
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;

    let request = asked(&host);
    let jws = sign(&hands, "alice", &request);
    let got = submit(&client, &jws).await.expect("answer");
    assert_eq!(
        (got.status, got.waiting_for.as_deref()),
        (Status::Pending, Some("1 of ops"))
    );
    let list: WaitingList = call(&client, &hands, "bob", &Call::list(), |_| ())
        .await
        .expect("what waits");
    assert_eq!(list.requests[0].request, jws);
    // Whoever asked may look at it, and others whom it does not concern may not.
    for (key, seen) in [("alice", true), ("dave", false)] {
        let shown: Result<Waiting, _> =
            call(&client, &hands, key, &Call::show(&request.id), |_| ()).await;
        assert_eq!(shown.is_ok(), seen, "{key}");
    }
    let approve = async |key: &str, jws: &str, id: &str| {
        let approve = Approve {
            id: id.to_owned(),
            sig: Some(hands.sign(key, APPROVES, jws)),
            id_token: None,
        };
        client.approve(&approve).await.map_err(|e| code(&e))
    };
    let own = approve("alice", &jws, &request.id).await;
    assert_eq!(own.expect_err("the own request"), "403 not-authentic");
    let done = approve("bob", &jws, &request.id).await.expect("approved");
    assert_eq!(done.status, Status::Accepted);
    let grant = granted(&host, &mut events).await;
    assert_eq!(grant.approvers()[0].person, "bob");
    assert_eq!(
        submit(&client, &jws)
            .await
            .expect("answer")
            .grant
            .expect("the grant")
            .id,
        grant.claims().jti
    );

    // Withdrawn by whoever asked, and by nobody else.
    let request = asked(&host);
    submit(&client, &sign(&hands, "alice", &request))
        .await
        .expect("answer");
    let others = give_back(&client, &hands, "dave", &request.id).await;
    assert_eq!(others.expect_err("another's"), "404 unknown-request");
    let back = give_back(&client, &hands, "alice", &request.id)
        .await
        .expect("withdrawn");
    assert_eq!(back.grant, None);

    // Open when its key is revoked: nobody can approve it any more.
    let request = asked(&host);
    let jws = sign(&hands, "alice", &request);
    submit(&client, &jws).await.expect("answer");
    let key = SshKey::parse(&hands.public("alice", "ed25519")).expect("key");
    let revoke = Revoke {
        target: Revokes::Kid(key.kid()),
        reason: "laptop stolen".to_owned(),
    };
    client.revoke(&revoke).await.expect("revoked");
    let late = approve("bob", &jws, &request.id).await;
    assert_eq!(late.expect_err("a revoked key"), "409 decided");
    running.stop().await;
}

/// One person's flood from elsewhere uses up his own share: neither the host's users nor others are slowed.
#[tokio::test]
async fn a_person_who_asks_too_much_slows_nobody_else() {
    let hands = Hands::new();
    let mut place = place(&hands);
    place.config.limits.requests_per_minute = 5;
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut refused = 0;
    for _ in 0..10 {
        if let Err(why) = submit(&client, &sign(&hands, "alice", &asked(&host))).await {
            assert_eq!(why, "429 too-many-requests");
            refused += 1;
        }
    }
    assert!((4..=6).contains(&refused), "{refused}");
    let own = client
        .submit(&host.sign(&host.request()))
        .await
        .expect("answer");
    assert_eq!(own.status, Status::Accepted);
    running.stop().await;
}
