//! Requests that people must approve: from waiting to a grant with proofs, and everything that is refused on the way. People
//! sign with stock `ssh-keygen`, and what comes out is checked with it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::word::{self, Word};
use api::{
    Address, Approve, Call, Client, Deny, Kind, Standing, Status, Submitted, Waiting, WaitingList,
};
use common::people::{Hands, call, code, trust};
use common::{Host, Place, ROLES, next, now, until_state};
use jit_issuer::serve::Order;
use serde_json::json;
use statement::claims::{Mode, Purpose, Request};
use statement::digest::sha256_b64;
use statement::people::Need;
use statement::sshsig::NAMESPACE;

/// First one of ops, then one of security.
const LEVELS: &str = r#"
[[approve]]
name = "two levels"
roles = ["admin"]
effect = "approve"
levels = [{ group = "ops", count = 1 }, { group = "security", count = 1 }]
"#;

fn roles() -> String {
    ROLES.split("[[approve]]").next().expect("head").to_owned() + LEVELS
}

fn need(group: &str, count: u32) -> Need {
    Need {
        group: group.to_owned(),
        count,
    }
}

/// Both demand people: the policy one after the other, the trust statement both.
fn demanding(hands: &Hands) -> Place {
    let place = Place::new();
    place.roles(&roles());
    trust(&place, |c| {
        c.people = hands.people();
        let both = vec![need("ops", 1), need("security", 1)];
        c.rules.approval = [("admin".to_owned(), both)].into();
    });
    place
}

async fn approve(client: &Client, id: &str, sig: Option<String>) -> Result<Submitted, String> {
    let approve = Approve {
        id: id.to_owned(),
        sig,
        id_token: None,
    };
    client.approve(&approve).await.map_err(|e| code(&e))
}

#[tokio::test]
async fn two_levels_end_in_a_grant_that_the_host_and_an_auditor_verify() {
    let hands = Hands::new();
    let place = demanding(&hands);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;

    let request = Request {
        approve_until: now() + 600,
        ..host.request()
    };
    let jws = host.sign(&request);
    let got = client.submit(&jws).await.expect("answer");
    assert_eq!(got.status, Status::Pending);
    assert_eq!(got.waiting_for.as_deref(), Some("1 of ops"));
    assert_eq!(client.submit(&jws).await.expect("answer"), got);

    let by = |key: &str| Some(hands.sign(key, NAMESPACE, &jws));
    let refused = [
        ("the second level first", by("carol"), "403 not-asked"),
        ("one of no group", by("dave"), "403 not-asked"),
        (
            "the requester under an alias",
            by("alice"),
            "403 not-authentic",
        ),
        (
            "other bytes",
            Some(hands.sign("bob", NAMESPACE, &format!("{jws}x"))),
            "403 not-authentic",
        ),
        (
            "another purpose",
            Some(hands.sign("bob", word::NAMESPACE, &jws)),
            "403 not-authentic",
        ),
        ("no signature", Some("x".to_owned()), "403 not-authentic"),
        ("root's word", None, "403 not-asked"),
    ];
    hands.public("nobody", "ed25519");
    for (what, sig, why) in refused {
        let got = approve(&client, &request.id, sig).await;
        assert_eq!(got.expect_err(what), why, "{what}");
    }
    let stranger = approve(&client, &request.id, by("nobody")).await;
    assert_eq!(stranger.expect_err("a stranger"), "403 not-asked");
    let unknown = approve(&client, "01JD3ZK5T2M8Q4W7X9Y0B1C2D3", by("bob")).await;
    assert_eq!(unknown.expect_err("no such request"), "404 unknown-request");

    let half = approve(&client, &request.id, by("bob")).await.expect("bob");
    assert_eq!(half.status, Status::Pending);
    assert_eq!(half.waiting_for.as_deref(), Some("1 of security"));
    // Whoever repeats himself, also with the other key, is still one.
    for key in ["bob", "bobs-other"] {
        assert_eq!(
            approve(&client, &request.id, by(key)).await,
            Ok(half.clone())
        );
    }
    assert_eq!(
        client.submit(&jws).await.expect("answer").waiting_for,
        half.waiting_for
    );
    // What was approved outlives a restart.
    running.stop().await;
    let running = place.start().await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let before = until_state(&mut events).await;
    assert!(before.iter().all(|e| e.kind != Kind::Grant), "{before:?}");

    let done = approve(&client, &request.id, by("carol"))
        .await
        .expect("carol");
    assert_eq!(done.status, Status::Accepted);
    let grant = host.grant(&next(&mut events).await);
    let c = grant.claims();
    assert_eq!(
        (c.mode, c.policy.rule.as_str()),
        (Mode::Approved, "two levels")
    );
    assert!(now() - c.iat <= 5);
    assert_eq!(c.exp - c.nbf, 60);
    let approvers: Vec<&str> = grant
        .approvers()
        .iter()
        .map(|a| a.person.as_str())
        .collect();
    assert_eq!(approvers, ["bob", "carol"]);

    // The same again changes nothing, and there is no second grant.
    assert_eq!(approve(&client, &request.id, by("carol")).await, Ok(done));
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Accepted
    );
    let late: Result<Submitted, String> = client
        .call(
            &Call::deny(&Deny {
                id: request.id.clone(),
                reason: "late".to_owned(),
            })
            .expect("call"),
            None,
        )
        .await
        .map_err(|e| code(&e));
    assert_eq!(late.expect_err("too late"), "409 decided");
    let mut again = client.stream(&host.id, 0, None).await.expect("stream");
    let all = until_state(&mut again).await;
    assert_eq!(all.iter().filter(|e| e.kind == Kind::Grant).count(), 1);

    // An auditor, with what everybody has.
    let shown: Waiting = client
        .call(&Call::show(&request.id), None)
        .await
        .expect("shown");
    assert_eq!(
        (shown.standing, shown.request.as_str()),
        (Standing::Approved, jws.as_str())
    );
    let mut signers = String::new();
    for person in ["bob", "carol"] {
        signers += &format!("{person} {}\n", hands.public(person, ""));
    }
    std::fs::write(hands.0.path().join("allowed_signers"), signers).expect("file");
    for approval in &shown.approvals {
        std::fs::write(hands.0.path().join("sig"), &approval.sig).expect("file");
        let check = |text: &str| {
            let args = [
                "-Y",
                "verify",
                "-f",
                "allowed_signers",
                "-I",
                &approval.by,
                "-n",
                NAMESPACE,
                "-s",
                "sig",
            ];
            hands.keygen(&args, text).status.success()
        };
        assert!(check(&shown.request), "{}", approval.by);
        assert!(!check(&format!("{}x", shown.request)), "{}", approval.by);
    }
    running.stop().await;
}

/// The policy cannot say it, the root keys can; and everybody who is asked is told.
#[tokio::test]
async fn an_own_approval_counts_where_the_trust_statement_says_so() {
    let hands = Hands::new();
    let place = demanding(&hands);
    trust(&place, |c| c.rules.self_approval = vec!["admin".to_owned()]);
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    let request = host.request();
    let jws = host.sign(&request);
    client.submit(&jws).await.expect("answer");
    let shown: Waiting = client
        .call(&Call::show(&request.id), None)
        .await
        .expect("shown");
    assert_eq!(shown.self_approval.as_deref(), Some("alice"));
    let by = |key: &str| Some(hands.sign(key, NAMESPACE, &jws));
    let half = approve(&client, &request.id, by("alice")).await;
    let half = half.expect("alice is of ops");
    assert_eq!(half.waiting_for.as_deref(), Some("1 of security"));
    // She has had her place.
    let second = approve(&client, &request.id, by("bob")).await;
    assert_eq!(second.expect_err("ops is filled"), "403 not-asked");
    let done = approve(&client, &request.id, by("carol")).await;
    assert_eq!(done.expect("carol").status, Status::Accepted);
    let grant = host.grant(&next(&mut events).await);
    assert_eq!(grant.self_approver(), Some("alice"));
    running.stop().await;
}

#[tokio::test]
async fn people_elsewhere_see_and_decide_what_is_theirs_and_nothing_unsigned_counts() {
    let hands = Hands::new();
    let mut place = demanding(&hands);
    let authority = place.https();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let request = host.request();
    client.submit(&host.sign(&request)).await.expect("answer");
    let away = place.away(&authority.roots());

    let list = Call::list();
    let good = |_: &mut Word| ();
    let seen = |key: &'static str| call::<WaitingList>(&away, &hands, key, &list, good);
    let ids =
        |list: WaitingList| -> Vec<String> { list.requests.into_iter().map(|w| w.id).collect() };
    let just_it = std::slice::from_ref(&request.id);
    assert_eq!(ids(seen("bob").await.expect("bob")), just_it);
    assert_eq!(ids(seen("carol").await.expect("carol")), just_it);
    assert_eq!(ids(seen("dave").await.expect("dave")), [""; 0]);
    hands.public("nobody", "ed25519");
    assert_eq!(
        seen("nobody").await.expect_err("a stranger"),
        "403 unknown-key"
    );
    let unsigned = away.call::<WaitingList>(&list, None).await;
    assert_eq!(code(&unsigned.expect_err("unsigned")), "403 not-authentic");
    let unsigned = approve(&away, &request.id, None).await;
    assert_eq!(unsigned.expect_err("unsigned"), "403 not-authentic");

    // A word is for one call at one time at one issuer.
    let show = Call::show(&request.id);
    let bad: [fn(&mut Word); 3] = [
        |w| w.at -= 1,
        |w| w.nonce.push('x'),
        |w| w.sig = w.sig.replacen('A', "B", 1),
    ];
    for (n, spoil) in bad.into_iter().enumerate() {
        let got = call::<WaitingList>(&away, &hands, "bob", &list, spoil).await;
        assert_eq!(got.expect_err("spoilt"), "403 not-authentic", "{n}");
    }
    let at = now();
    let told = |client: &Client, call: &Call, at: u64, nonce: &str| Word {
        at,
        nonce: nonce.to_owned(),
        sig: hands.sign("bob", word::NAMESPACE, &client.to_sign(call, at, nonce)),
    };
    let elsewhere = Client::new(
        api::Transport::new(
            Address::parse("https://other.example").expect("address"),
            &authority.roots(),
        )
        .expect("roots"),
    );
    for (what, word) in [
        ("another call", told(&away, &show, at, "n1")),
        ("another issuer", told(&elsewhere, &list, at, "n2")),
        ("this box", told(&client, &list, at, "n3")),
        ("the past", told(&away, &list, at - 200, "n4")),
        ("the future", told(&away, &list, at + 200, "n5")),
    ] {
        let got = away.call::<WaitingList>(&list, Some(&word)).await;
        assert_eq!(code(&got.expect_err(what)), "403 not-authentic", "{what}");
    }
    let once = told(&away, &list, at, "n6");
    assert!(away.call::<WaitingList>(&list, Some(&once)).await.is_ok());
    let twice = away.call::<WaitingList>(&list, Some(&once)).await;
    assert_eq!(code(&twice.expect_err("twice")), "403 not-authentic");

    // Deny: only whose business it is, once, and whoever asked is told.
    let deny = |reason: &str| {
        Call::deny(&Deny {
            id: request.id.clone(),
            reason: reason.to_owned(),
        })
        .expect("call")
    };
    let theirs = call::<Submitted>(&away, &hands, "dave", &deny("no"), good).await;
    assert_eq!(theirs.expect_err("dave"), "404 unknown-request");
    let hidden = call::<Waiting>(&away, &hands, "dave", &show, good).await;
    assert_eq!(hidden.expect_err("dave"), "404 unknown-request");
    let wrong = call::<Submitted>(&away, &hands, "bob", &deny("a\nb"), good).await;
    assert_eq!(wrong.expect_err("two lines"), "422 invalid");
    let done = call::<Submitted>(&away, &hands, "bob", &deny("not now"), good).await;
    let done = done.expect("denied");
    assert_eq!(
        (done.status, done.detail.as_str()),
        (Status::Denied, "bob denied it: not now")
    );
    let again = call::<Submitted>(&away, &hands, "bob", &deny("not now"), good).await;
    assert_eq!(again, Ok(done.clone()));
    let told = client.submit(&host.sign(&request)).await.expect("answer");
    assert_eq!((told.status, &told.detail), (Status::Denied, &done.detail));
    let sig = hands.sign("bob", NAMESPACE, &host.sign(&request));
    let late = approve(&away, &request.id, Some(sig)).await;
    assert_eq!(late.expect_err("late"), "409 decided");
    assert_eq!(ids(seen("bob").await.expect("bob")), [""; 0]);
    running.stop().await;
}

#[tokio::test]
async fn what_was_withdrawn_or_died_or_is_denied_by_now_is_approved_by_nobody() {
    let hands = Hands::new();
    let mut place = demanding(&hands);
    let authority = place.https();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let away = place.away(&authority.roots());
    let ask = |until: u64| {
        let request = Request {
            approve_until: until,
            ..host.request()
        };
        (host.sign(&request), request.id)
    };
    let by_bob = async |jws: &str, id: &str| {
        approve(&client, id, Some(hands.sign("bob", NAMESPACE, jws))).await
    };

    // Withdrawn, by the host's own word alone.
    let (jws, id) = ask(now() + 600);
    client.submit(&jws).await.expect("answer");
    let body = json!({ "host": host.id, "request": sha256_b64(jws.as_bytes()) }).to_string();
    let word = |purpose, text: &str| {
        let mut word = host.word();
        word.purpose = purpose;
        word.body = Some(sha256_b64(text.as_bytes()));
        host.say(&word)
    };
    for bad in [word(Purpose::Receipt, &body), word(Purpose::Withdraw, "x")] {
        assert!(away.withdraw(body.clone(), &bad).await.is_err());
    }
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Pending
    );
    away.withdraw(body.clone(), &word(Purpose::Withdraw, &body))
        .await
        .expect("withdrawn");
    away.withdraw(body.clone(), &word(Purpose::Withdraw, &body))
        .await
        .expect("again");
    assert_eq!(
        by_bob(&jws, &id).await.expect_err("withdrawn"),
        "409 decided"
    );
    let shown: Waiting = client.call(&Call::show(&id), None).await.expect("shown");
    assert_eq!(shown.standing, Standing::Withdrawn);

    // Dead.
    let (jws, id) = ask(now() + 1);
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Pending
    );
    while client.submit(&jws).await.expect("answer").status == Status::Pending {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(by_bob(&jws, &id).await.expect_err("dead"), "409 decided");
    let shown: Waiting = client.call(&Call::show(&id), None).await.expect("shown");
    assert_eq!(shown.standing, Standing::Expired);

    // The policy says no by now, though bob had said yes before.
    let (jws, id) = ask(now() + 600);
    client.submit(&jws).await.expect("answer");
    assert!(by_bob(&jws, &id).await.is_ok());
    place.roles(&roles().replace("roles = [\"admin\"]", "roles = [\"web\"]"));
    for _ in 0..3 {
        running.order(Order::Reload).await;
    }
    let sig = hands.sign("carol", NAMESPACE, &jws);
    assert_eq!(
        approve(&client, &id, Some(sig)).await.expect_err("denied"),
        "409 decided"
    );
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Denied
    );
    running.stop().await;
}

#[tokio::test]
async fn the_stricter_of_policy_and_trust_statement_counts_and_root_stands_in_for_the_policy_alone()
{
    let hands = Hands::new();
    // The policy would give it unasked; the root keys want two.
    let place = Place::new();
    trust(&place, |c| {
        c.people = hands.people();
        c.rules.approval = [("admin".to_owned(), vec![need("security", 1)])].into();
    });
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let got = client
        .submit(&host.sign(&host.request()))
        .await
        .expect("answer");
    assert_eq!(
        (got.status, got.waiting_for.as_deref()),
        (Status::Pending, Some("1 of security"))
    );
    // Somebody the root keys do not know could be an approver under another name.
    let mut stranger = host.request();
    stranger.sub = format!("local:1001@{}", host.id);
    stranger.authorization_details[0].uid = 1001;
    let got = client.submit(&host.sign(&stranger)).await.expect("answer");
    assert_eq!(got.status, Status::Denied);
    assert!(
        got.detail.contains("does not say which person"),
        "{}",
        got.detail
    );
    running.stop().await;

    // A role that the trust statement leaves nobody to decide is asked of nobody.
    let place = Place::new();
    trust(&place, |c| {
        c.rules.automatic = statement::detail::AllOr::List(vec![])
    });
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let got = client
        .submit(&host.sign(&host.request()))
        .await
        .expect("answer");
    assert_eq!(got.status, Status::Denied);
    assert!(got.detail.contains("neither automatic"), "{}", got.detail);
    running.stop().await;

    // One box without people: the policy asks, root answers.
    let place = Place::new();
    place.roles(&roles());
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let request = host.request();
    let got = client.submit(&host.sign(&request)).await.expect("answer");
    assert_eq!(got.status, Status::Pending);
    let done = approve(&client, &request.id, None).await.expect("root");
    assert_eq!(done.status, Status::Accepted);
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let all = until_state(&mut events).await;
    let grant = all.iter().find(|e| e.kind == Kind::Grant).expect("a grant");
    let grant = host.grant(grant);
    assert_eq!(grant.claims().mode, Mode::Auto);
    assert!(
        grant
            .claims()
            .policy
            .rule
            .ends_with("approved by root of the issuer's box")
    );

    // Nobody fills the issuer with requests.
    let mut last = None;
    for _ in 0..9 {
        last = Some(
            client
                .submit(&host.sign(&host.request()))
                .await
                .expect("answer"),
        );
    }
    let last = last.expect("an answer");
    assert_eq!(last.status, Status::Denied);
    assert!(last.detail.contains("Too many"), "{}", last.detail);
    running.stop().await;
}
