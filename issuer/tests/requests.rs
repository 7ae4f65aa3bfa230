//! From request to grant, and everything that is denied or refused on the way.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{Error, Kind, Status};
use common::{Host, Place, admin, command, next, nothing, now, until_state, web};
use statement::claims::{Mode, Request};
use statement::detail::{All, AllOr, Auth, Door};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_request_becomes_a_grant_that_the_host_verifies() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;

    let request = host.request();
    let jws = host.sign(&request);
    let got = client.submit(&jws).await.expect("answer");
    assert_eq!((got.status, got.detail.as_str()), (Status::Accepted, ""));
    assert_eq!(got.id, request.id);

    let grant = host.grant(&next(&mut events).await);
    let c = grant.claims();
    assert_eq!(grant.request(), &request);
    assert_eq!(c.aud, vec![host.id.clone()]);
    assert_eq!(c.sub, request.sub);
    assert_eq!(c.role, "admin");
    assert_eq!(c.authorization_details, request.authorization_details);
    assert_eq!(
        (c.reason.as_str(), c.ticket.as_deref()),
        ("test", Some("T-1"))
    );
    assert_eq!(
        (c.mode, c.seq, c.epoch, c.max_stale),
        (Mode::Auto, 1, 1, 120)
    );
    assert_eq!(c.policy.rule, "test");
    assert_eq!(
        c.policy.digest,
        policy::load(common::ROLES).expect("roles").digest()
    );
    assert_eq!(c.nbf, c.iat);
    assert_eq!(c.exp - c.nbf, 60);
    assert!(now() - c.iat <= 5);
    running.stop().await;
}

#[tokio::test]
async fn a_later_start_is_kept() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let start = now() + 3600;
    let jws = host.sign(&Request {
        not_before: start,
        ..host.request()
    });
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Accepted
    );
    let mut events = client.stream(&host.id, 1, None).await.expect("stream");
    let grant = host.grant(&next(&mut events).await);
    assert_eq!(
        (grant.claims().nbf, grant.claims().exp),
        (start, start + 60)
    );
    running.stop().await;
}

#[tokio::test]
async fn less_than_the_role_is_granted_as_asked() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut less = admin();
    less.commands = command("/usr/bin/id");
    less.runas = AllOr::List(vec!["root".to_owned()]);
    less.shell = false;
    less.auth = Auth::Password;
    let jws = host.sign(&Request {
        authorization_details: vec![less.clone()],
        ..host.request()
    });
    assert_eq!(
        client.submit(&jws).await.expect("answer").status,
        Status::Accepted
    );
    let mut events = client.stream(&host.id, 1, None).await.expect("stream");
    let grant = host.grant(&next(&mut events).await);
    assert_eq!(grant.claims().authorization_details, [less]);
    running.stop().await;
}

#[tokio::test]
async fn the_same_bytes_get_the_same_answer_and_one_grant_also_after_a_restart() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let good = host.sign(&host.request());
    let bad = host.sign(&Request {
        dur: 7200,
        ..host.request()
    });

    let denied = client.submit(&bad).await.expect("answer");
    // New bytes, at once from several sides.
    let together: Vec<_> = (0..20)
        .map(|_| {
            let (client, good) = (client.clone(), good.clone());
            tokio::spawn(async move { client.submit(&good).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in together {
        answers.push(one.await.expect("task").expect("answer"));
    }
    let first = answers.pop().expect("answer");
    assert_eq!(first.status, Status::Accepted);
    assert!(answers.iter().all(|a| *a == first), "{answers:?}");
    running.stop().await;

    // A policy that would say otherwise now changes nothing either.
    place.roles(&common::ROLES.replace("max = \"1h\"", "max = \"3h\""));
    let running = place.start().await;
    assert_eq!(client.submit(&good).await.expect("answer"), first);
    assert_eq!(client.submit(&bad).await.expect("answer"), denied);

    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let grants = until_state(&mut events).await;
    assert_eq!(grants.iter().filter(|e| e.kind == Kind::Grant).count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn denials_say_why() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let other = Host::enrolled("b", &client).await;
    let r = || host.request();
    let with = |change: &dyn Fn(&mut statement::detail::Detail)| {
        let mut d = admin();
        change(&mut d);
        Request {
            authorization_details: vec![d],
            ..r()
        }
    };
    // The groups of a role may stand under its name only.
    let bare_admin = || statement::detail::Detail {
        groups: vec![],
        ..admin()
    };
    let as_web = |d: statement::detail::Detail| Request {
        role: "web".to_owned(),
        authorization_details: vec![d],
        ..r()
    };
    let wider = |change: &dyn Fn(&mut statement::detail::Detail)| {
        let mut d = web();
        change(&mut d);
        as_web(d)
    };
    let table = [
        (
            Request {
                role: "nope".to_owned(),
                ..with(&|d| d.groups.clear())
            },
            "There is no role \"nope\"; roles are admin, unruled, web.",
        ),
        (
            Request {
                role: "unruled".to_owned(),
                ..with(&|d| d.groups.clear())
            },
            "No rule of the policy gives role unruled to alice.",
        ),
        (
            Request { dur: 3601, ..r() },
            "Role admin lasts at most 1h; 3601s was asked for.",
        ),
        (
            Request {
                iat: now() - 200,
                approve_until: now() + 60,
                ..r()
            },
            "The request was made 2",
        ),
        (
            Request {
                iat: now() + 200,
                approve_until: now() + 260,
                ..r()
            },
            "The request was made ",
        ),
        (
            Request {
                iat: now() - 60,
                approve_until: now() - 1,
                ..r()
            },
            "The request's time to be granted is over.",
        ),
        (
            Request {
                aud: vec![other.id.clone()],
                ..r()
            },
            "A host may only ask for itself.",
        ),
        (
            Request {
                aud: vec![host.id.clone(), other.id.clone()],
                ..r()
            },
            "A host may only ask for itself.",
        ),
        (
            Request {
                aud: vec![format!("spiffe://{}/group/all", common::DOMAIN)],
                ..r()
            },
            "A host may only ask for itself.",
        ),
        (
            Request {
                sub: format!("local:1001@{}", host.id),
                ..r()
            },
            "A host may only ask for its own users.",
        ),
        (
            Request {
                sub: format!("local:1000@{}", other.id),
                ..r()
            },
            "A host may only ask for its own users.",
        ),
        (
            Request {
                sub: "alice@example.org".to_owned(),
                ..r()
            },
            "A host may only ask for its own users.",
        ),
        (
            Request {
                extends: Some(statement::id::ulid(1, [0; 10])),
                ..r()
            },
            "There is no such grant to extend.",
        ),
        (
            with(&|d| d.groups.push("adm".to_owned())),
            "The request goes beyond role admin: ",
        ),
        (
            with(&|d| d.doors.push(Door::Su)),
            "The request goes beyond role admin: ",
        ),
        (
            with(&|d| d.unlock.push("/etc/shadow".to_owned())),
            "The request goes beyond role admin: ",
        ),
        (
            wider(&|d| d.commands = AllOr::All(All::All)),
            "The request goes beyond role web: ",
        ),
        (
            wider(&|d| d.commands = command("/bin/sh")),
            "The request goes beyond role web: ",
        ),
        (
            wider(&|d| d.runas = AllOr::All(All::All)),
            "The request goes beyond role web: ",
        ),
        (
            wider(&|d| d.sudoedit.push("/etc/passwd".to_owned())),
            "The request goes beyond role web: ",
        ),
        // `web` leaves the password to the default.
        (
            wider(&|d| d.auth = Auth::None),
            "The request goes beyond role web: ",
        ),
        // One good detail does not carry a bad one.
        (
            Request {
                role: "web".to_owned(),
                authorization_details: vec![web(), bare_admin()],
                ..r()
            },
            "The request goes beyond role web: ",
        ),
        (
            Request {
                role: "web".to_owned(),
                authorization_details: vec![bare_admin(), web()],
                ..r()
            },
            "The request goes beyond role web: ",
        ),
    ];
    for (mut request, want) in table {
        // The mark of another role is no request at all; here the rest of it is what goes too far.
        let mark = format!("jit-{}", request.role);
        for group in request
            .authorization_details
            .iter_mut()
            .flat_map(|d| &mut d.groups)
            .filter(|g| g.starts_with("jit-"))
        {
            group.clone_from(&mark);
        }
        let got = client.submit(&host.sign(&request)).await;
        let got = got.unwrap_or_else(|e| panic!("{want}: {e}"));
        assert_eq!(got.status, Status::Denied, "{want}");
        assert!(got.detail.starts_with(want), "{}\nwant {want}", got.detail);
        assert_eq!(got.id, request.id);
    }
    // Nothing came of any of them; a right that is within the role passes.
    let good = as_web(web());
    assert_eq!(
        client
            .submit(&host.sign(&good))
            .await
            .expect("answer")
            .status,
        Status::Accepted
    );
    let mut less = nothing();
    less.auth = Auth::Password;
    assert_eq!(
        client
            .submit(&host.sign(&as_web(less)))
            .await
            .expect("answer")
            .status,
        Status::Accepted
    );
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let grants: BTreeSet<_> = until_state(&mut events)
        .await
        .iter()
        .filter(|e| e.kind == Kind::Grant)
        .map(|e| host.grant(e).claims().seq)
        .collect();
    assert_eq!(grants, BTreeSet::from([1, 2]));
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_authentic_is_refused_and_not_remembered() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let a = Host::enrolled("a", &client).await;
    let b = Host::enrolled("b", &client).await;
    let stranger = Host::new("a");

    let good = a.sign(&a.request());
    let (input, signature) = good.rsplit_once('.').expect("parts");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{input}.{first}{}", &signature[1..]);
    let mut too_long = a.request();
    too_long.reason = "x".repeat(513);
    let mut control = a.request();
    control.reason = "a\nb".to_owned();

    for (what, jws, want) in [
        (
            "a key nobody enrolled",
            stranger.sign(&a.request()),
            "not signed by an enrolled host",
        ),
        (
            "b's key, a's name",
            b.sign(&a.request()),
            "names another host",
        ),
        (
            "a's key, b's name",
            a.sign(&b.request()),
            "names another host",
        ),
        (
            "a flipped bit",
            flipped,
            "The request was refused: the signature does not match.",
        ),
        (
            "a grant's type",
            a.key
                .sign(statement::claims::Typ::HostAuth, &a.request())
                .expect("signature"),
            "The request was refused: statement type",
        ),
        (
            "a long reason",
            a.sign(&too_long),
            "The request was refused: claim reason",
        ),
        (
            "a control character",
            a.sign(&control),
            "The request was refused: claim reason",
        ),
        (
            "root as the user",
            a.sign(&Request {
                authorization_details: vec![statement::detail::Detail { uid: 0, ..admin() }],
                ..a.request()
            }),
            "The request was refused: claim uid",
        ),
        (
            "no life",
            a.sign(&Request {
                dur: 0,
                ..a.request()
            }),
            "The request was refused: claim dur",
        ),
        ("nothing", String::new(), "This is not a signed request."),
        ("text", "hello".to_owned(), "This is not a signed request."),
        ("dots", "...".to_owned(), "This is not a signed request."),
        (
            "a long text",
            "A".repeat(20_000),
            "This is not a signed request.",
        ),
        (
            "a long payload",
            {
                let h = good.split('.').next().expect("header");
                format!("{h}.{}.x", "A".repeat(20_000))
            },
            "The request was refused: the statement is too large",
        ),
        (
            "data after it",
            format!("{good} "),
            "The request was refused: ",
        ),
    ] {
        match client.submit(&jws).await {
            Err(Error::Problem(p)) => {
                assert_eq!((p.status, p.code()), (403, "not-authentic"), "{what}");
                assert!(p.detail.contains(want), "{what}: {}\nwant {want}", p.detail);
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    // The untouched original is still new.
    assert_eq!(
        client.submit(&good).await.expect("answer").status,
        Status::Accepted
    );
    running.stop().await;
}

#[tokio::test]
async fn one_host_that_asks_too_much_is_slowed_and_no_other() {
    let mut place = Place::new();
    place.config.limits.requests_per_minute = 5;
    let running = place.start().await;
    let client = place.client();
    let a = Host::enrolled("a", &client).await;
    let b = Host::enrolled("b", &client).await;
    let first = a.sign(&a.request());
    let answer = client.submit(&first).await.expect("answer");
    let mut refused = 0;
    for _ in 0..10 {
        if let Err(Error::Problem(p)) = client.submit(&a.sign(&a.request())).await {
            assert_eq!((p.status, p.code()), (429, "too-many-requests"));
            refused += 1;
        }
    }
    assert!((5..=6).contains(&refused), "{refused}");
    // Repetitions are free, and b has its own share, which a cannot use up by naming b.
    assert_eq!(client.submit(&first).await.expect("answer"), answer);
    for _ in 0..20 {
        let forged = client.submit(&a.sign(&b.request())).await;
        assert!(matches!(forged, Err(Error::Problem(p)) if p.status == 403));
    }
    for _ in 0..5 {
        assert_eq!(
            client
                .submit(&b.sign(&b.request()))
                .await
                .expect("answer")
                .status,
            Status::Accepted
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn a_live_grant_is_extended_by_the_same_right_and_no_other_is() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let other = Host::enrolled("b", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    client
        .submit(&host.sign(&host.request()))
        .await
        .expect("answer");
    let first = host
        .grant(&of(Kind::Grant, &mut events).await)
        .claims()
        .clone();
    let extension = |jti: &str| Request {
        extends: Some(jti.to_owned()),
        dur: 120,
        reason: "not done yet".to_owned(),
        ..host.request()
    };
    let submit = async |request: &Request| {
        let got = client.submit(&host.sign(request)).await.expect("answer");
        (got.status, got.detail)
    };

    assert_eq!(submit(&extension(&first.jti)).await.0, Status::Accepted);
    let second = host
        .grant(&of(Kind::Grant, &mut events).await)
        .claims()
        .clone();
    assert_eq!(second.extends.as_ref(), Some(&first.jti));
    assert_eq!(second.authorization_details, first.authorization_details);
    assert_eq!(second.exp - second.nbf, 120);
    // A chain goes on from its newest grant, and from an older one too as far as the issuer is concerned.
    assert_eq!(submit(&extension(&second.jti)).await.0, Status::Accepted);
    of(Kind::Grant, &mut events).await;

    let mut narrower = extension(&second.jti);
    narrower.authorization_details[0].shell = false;
    let table = [
        (narrower, "An extension gives exactly"),
        (
            Request {
                role: "web".to_owned(),
                authorization_details: vec![web()],
                ..extension(&second.jti)
            },
            "An extension gives exactly",
        ),
        (
            Request {
                not_before: now() + 60,
                ..extension(&second.jti)
            },
            "An extension starts at once.",
        ),
        (
            extension(&statement::id::ulid(1, [0; 10])),
            "There is no such grant",
        ),
        (
            Request {
                dur: 43_200,
                ..extension(&second.jti)
            },
            "Role admin",
        ),
    ];
    for (request, want) in table {
        let (status, detail) = submit(&request).await;
        assert_eq!(status, Status::Denied, "{want}");
        assert!(detail.contains(want), "{detail}\nwant {want}");
    }
    // Another host's grant.
    let foreign = Request {
        extends: Some(second.jti.clone()),
        ..other.request()
    };
    let got = client.submit(&other.sign(&foreign)).await.expect("answer");
    assert_eq!(got.detail, "There is no such grant to extend.");

    // The revocation of the first ends the chain.
    let revoke = api::Revoke {
        target: statement::claims::Target::Grant(first.jti.clone()),
        reason: "enough".to_owned(),
    };
    client.revoke(&revoke).await.expect("revoked");
    let revocation = host.revocation(&of(Kind::Revocation, &mut events).await);
    assert!(revocation.exp > second.exp + 3600);
    let (status, detail) = submit(&extension(&second.jti)).await;
    assert_eq!(
        (status, detail.as_str()),
        (Status::Denied, "The grant was revoked.")
    );
    running.stop().await;
}

#[tokio::test]
async fn a_grant_that_has_ended_or_whose_user_was_revoked_is_not_extended() {
    let place = Place::new();
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    until_state(&mut events).await;
    let short = Request {
        dur: 1,
        ..host.request()
    };
    client.submit(&host.sign(&short)).await.expect("answer");
    let ended = host
        .grant(&of(Kind::Grant, &mut events).await)
        .claims()
        .clone();
    client
        .submit(&host.sign(&host.request()))
        .await
        .expect("answer");
    let revoked = host
        .grant(&of(Kind::Grant, &mut events).await)
        .claims()
        .clone();
    let revoke = api::Revoke {
        target: statement::claims::Target::Sub(revoked.sub.clone()),
        reason: "laptop stolen".to_owned(),
    };
    client.revoke(&revoke).await.expect("revoked");
    of(Kind::Revocation, &mut events).await;
    while now() < ended.exp {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (jti, want) in [
        (&ended.jti, "The grant was revoked."),
        (&revoked.jti, "The grant was revoked."),
    ] {
        let request = Request {
            extends: Some(jti.clone()),
            ..host.request()
        };
        let got = client.submit(&host.sign(&request)).await.expect("answer");
        assert_eq!(got.detail, want);
    }
    // Given after the revocation, and over.
    let short = Request {
        dur: 1,
        ..host.request()
    };
    client.submit(&host.sign(&short)).await.expect("answer");
    let ended = host
        .grant(&of(Kind::Grant, &mut events).await)
        .claims()
        .clone();
    while now() < ended.exp {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let late = Request {
        extends: Some(ended.jti),
        ..host.request()
    };
    let got = client.submit(&host.sign(&late)).await.expect("answer");
    assert_eq!(got.detail, "The grant has ended.");
    running.stop().await;
}

/// The next event of a kind, heartbeats left out.
async fn of(kind: Kind, events: &mut api::Events) -> api::Event {
    loop {
        let event = next(events).await;
        if event.kind == kind {
            return event;
        }
        assert_eq!(event.kind, Kind::State);
    }
}
