//! Who owns the link, or even one of the issuer's keys, gets delay and never a right. A host runs without its
//! `jit-link`; the test speaks in its place, with statements forged by the issuer's own keys.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod impostor;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use impostor::*;
use jit_tests::grants::records;
use jit_tests::{Host, Shell};
use serde_json::Value;
use statement::claims::{Grant, Mode, Policy, Request, Revocation, State, Target, Typ};
use statement::detail::{AllOr, Detail};
use statement::digest::sha256_b64;
use statement::sign::{Signer, bundle};
use wire::frame::LINK;
use wire::link::{Down, Kind, Up};

#[test]
#[allow(clippy::too_many_lines)]
fn the_issuers_own_grant_key_gives_no_right_that_the_host_did_not_ask_for() {
    let (host, mut alice, keys, real) = without_link();
    let (mut link, me, _) = Link::connect(&host);
    let like = grant_of(&real);
    let request = ask(&mut alice, &mut link, "30s");
    let asked: Request = claims(&request);
    let sign = |grant: &Grant| keys.grant.sign(Typ::Grant, grant).unwrap();
    let good = honest(&like, &request);
    let with = |change: &dyn Fn(&mut Grant)| {
        let mut grant = honest(&like, &request);
        change(&mut grant);
        bundle(&sign(&grant), &request)
    };
    let detail = |change: &dyn Fn(&mut Detail)| {
        with(&|g| change(g.authorization_details.first_mut().unwrap()))
    };

    // Requests that this host never made: signed by a stranger, and even by the stolen host key.
    let invented = Request {
        id: new_id(),
        nonce: URL_SAFE_NO_PAD.encode([7; 16]),
        ..asked.clone()
    };
    let elsewhere = Request {
        iss: me.replace("/host/", "/host/other-"),
        ..invented.clone()
    };
    let never = |signer: &Signer, request: &Request| {
        let jws = signer.sign(Typ::Request, request).unwrap();
        bundle(&sign(&honest(&like, &jws)), &jws)
    };
    let stranger = Signer::generate().unwrap().0;

    let jws = sign(&good);
    let (head, rest) = jws.split_once('.').unwrap();
    let (body, _) = rest.split_once('.').unwrap();
    let header = |alg: &str| {
        part(&serde_json::json!({"alg": alg, "typ": "jit-grant+jwt", "kid": keys.grant.kid()}))
    };
    let none = format!("{}.{body}.", header("none"));
    let hmac = format!("{}.{body}.{}", header("HS256"), "A".repeat(86));
    let honest_bundle = bundle(&jws, &request);
    let revocation = Revocation {
        ver: 1,
        iss: like.iss.clone(),
        iat: now(),
        epoch: like.epoch,
        serial: 9,
        prev: sha256_b64(b"x"),
        target: Target::Grant(good.jti.clone()),
        reason: "forged".into(),
        exp: now() + 3600,
    };
    let state = State {
        ver: 1,
        iss: like.iss.clone(),
        iat: now(),
        epoch: like.epoch,
        exp: now() + 120,
        state_seq: 1,
        rev_serial: 0,
        rev_head: sha256_b64(b""),
        policy_ver: 1,
        trust_ver: 1,
    };
    let old_state = keys.state.sign(Typ::State, &state).unwrap();
    let gap = keys.revocation.sign(Typ::Revocation, &revocation).unwrap();
    let other_chain = Revocation {
        serial: 1,
        ..revocation.clone()
    };
    let enrolment: Value = serde_json::from_str(&host.read("/var/lib/jit/enrolment.json")).unwrap();
    let policy: Policy = claims(enrolment["policy"].as_str().unwrap());
    let mut old_policy = policy.clone();
    old_policy.roles.get_mut("admin").unwrap().max_s = 43_200;
    let long = "x".repeat(70_000);
    let far = now() + 1000;
    let grants = |name, blob, why| (name, Kind::Grant, blob, why);

    let wrong = vec![
        grants("a grant used already", real.clone(), "no open request"),
        grants(
            "a byte of the claims",
            bundle(&altered(&jws, head.len() + 40), &request),
            "the signature does not match",
        ),
        grants(
            "a byte of the signature",
            bundle(&altered(&jws, jws.len() - 20), &request),
            "the signature does not match",
        ),
        grants(
            "a byte of the request",
            bundle(&jws, &altered(&request, 300)),
            "another request",
        ),
        grants(
            "for another host",
            with(&|g| g.aud = vec![me.replace("/host/", "/host/other-")]),
            "addressed to other hosts",
        ),
        grants(
            "for another user",
            detail(&|d| {
                d.login = "bob".into();
                d.uid = 1002;
            }),
            "wider than its request",
        ),
        grants(
            "for another subject",
            with(&|g| g.sub = g.sub.replace("1001", "1002")),
            "wider than its request",
        ),
        grants(
            "for root's own account",
            detail(&|d| {
                d.login = "root".into();
                d.uid = 0;
            }),
            "outside its limits",
        ),
        grants(
            "a request of nobody",
            never(&stranger, &invented),
            "unknown key",
        ),
        grants(
            "a request that the host's key signed elsewhere",
            never(&keys.host, &invented),
            "no open request",
        ),
        grants(
            "a request of another host",
            never(&keys.host, &elsewhere),
            "not made by this host",
        ),
        grants(
            "with one more group",
            detail(&|d| d.groups.push("docker".into())),
            "wider than its request",
        ),
        grants(
            "with one more door",
            detail(&|d| d.doors.push(statement::detail::Door::Su)),
            "wider than its request",
        ),
        grants(
            "for another role",
            with(&|g| g.role = "logs".into()),
            "of jit's own groups only that of the role",
        ),
        grants(
            "with another reason",
            with(&|g| g.reason = "something else".into()),
            "wider than its request",
        ),
        grants(
            "one second longer",
            with(&|g| g.exp += 1),
            "wider than its request",
        ),
        grants(
            "later than asked",
            with(&|g| {
                g.nbf += 100;
                g.exp += 100;
            }),
            "wider than its request",
        ),
        grants(
            "from the future",
            with(&|g| {
                g.iat = far;
                g.nbf = far;
                g.exp = far + 10;
            }),
            "ahead of this host's clock",
        ),
        grants(
            "of an older epoch",
            with(&|g| g.epoch -= 1),
            "it is of epoch",
        ),
        grants(
            "of a newer epoch",
            with(&|g| g.epoch += 1),
            "it is of epoch",
        ),
        grants(
            "by a key for something else",
            bundle(&keys.state.sign(Typ::Grant, &good).unwrap(), &request),
            "may not sign",
        ),
        grants(
            "by an unknown key",
            bundle(&stranger.sign(Typ::Grant, &good).unwrap(), &request),
            "unknown key",
        ),
        grants(
            "without a signature",
            bundle(&none, &request),
            "is not allowed",
        ),
        grants(
            "with a shared secret",
            bundle(&hmac, &request),
            "is not allowed",
        ),
        grants(
            "of another issuer",
            with(&|g| g.iss = "https://elsewhere".into()),
            "not the pinned issuer",
        ),
        grants(
            "claiming approvals",
            with(&|g| g.mode = Mode::Approved),
            "approval is missing",
        ),
        grants(
            "a member twice",
            honest_bundle.replace("{\"v\":1,", "{\"v\":1,\"v\":1,"),
            "not strict JSON",
        ),
        grants(
            "more after the end",
            format!("{honest_bundle}{{}}"),
            "not strict JSON",
        ),
        grants(
            "a revocation as a grant",
            bundle(&gap, &request),
            "where jit-grant+jwt is expected",
        ),
        grants("a state as a grant", old_state.clone(), "not strict JSON"),
        grants("far too long", long.clone(), "too large"),
        grants("nothing", String::new(), "not strict JSON"),
        (
            "a grant as a revocation",
            Kind::Revocation,
            jws.clone(),
            "where jit-revocation+jwt is expected",
        ),
        (
            "a grant as a state",
            Kind::State,
            jws.clone(),
            "where jit-state+jwt is expected",
        ),
        (
            "a grant as a policy",
            Kind::Policy,
            jws.clone(),
            "where jit-policy+jwt is expected",
        ),
        (
            "a grant as trust",
            Kind::Trust,
            jws.clone(),
            "not strict JSON",
        ),
        ("a state of the past", Kind::State, old_state, "older than"),
        (
            "a gap before a revocation",
            Kind::Revocation,
            gap,
            "one is missing",
        ),
        (
            "another chain of revocations",
            Kind::Revocation,
            keys.revocation.sign(Typ::Revocation, &other_chain).unwrap(),
            "does not continue the chain",
        ),
        (
            "a revocation by the grant key",
            Kind::Revocation,
            keys.grant.sign(Typ::Revocation, &other_chain).unwrap(),
            "may not sign",
        ),
        (
            "another policy under the same number",
            Kind::Policy,
            keys.policy.sign(Typ::Policy, &old_policy).unwrap(),
            "older than ours",
        ),
        ("long nonsense", Kind::State, long, "too large"),
    ];
    let start = Instant::now();
    all_refused(&host, &mut link, &wrong);
    assert!(start.elapsed() < Duration::from_secs(10));
    nothing_given(&host, &mut alice);
    // The gap made the agent ask again for what it misses.
    assert!(matches!(link.down(), Down::Welcome { .. }));

    // The request had been open all the time, and its one true answer is taken: the refusals had their reasons.
    link.deliver(Kind::Grant, &honest_bundle);
    in_force(&host, &good.jti);
    alice.run("sudo -n id -u").ok().says("0");
    let twice = with(&|_| {});
    all_refused(
        &host,
        &mut link,
        &[
            grants(
                "the same again",
                honest_bundle.clone(),
                "it was used before",
            ),
            grants("a second answer to one request", twice, "no open request"),
        ],
    );
    drop_all(&host, &mut alice);
    let again = [grants("after its end", honest_bundle, "no open request")];
    all_refused(&host, &mut link, &again);
    nothing_given(&host, &mut alice);

    // A narrower one than asked for is the issuer's right, and no more than that is given.
    let request = ask(&mut alice, &mut link, "30s");
    let mut narrow = honest(&like, &request);
    let only = &mut narrow.authorization_details[0];
    only.shell = false;
    only.commands = AllOr::List(vec![statement::detail::Command {
        path: "/usr/bin/id".into(),
        args: vec!["-u".into()],
    }]);
    link.deliver(Kind::Grant, &bundle(&sign(&narrow), &request));
    in_force(&host, &narrow.jti);
    alice.run("sudo -n id -u").ok().says("0");
    alice.run("sudo -n id").refused().hides("uid=0");
    drop_all(&host, &mut alice);

    // One that comes after its end is the issuer's one answer all the same: who waits is told, and no other is taken.
    let request = ask(&mut alice, &mut link, "30s");
    let good = honest(&like, &request);
    let mut over = good.clone();
    over.iat -= 100;
    over.nbf -= 100;
    over.exp -= 100;
    let late = [
        grants(
            "already over",
            bundle(&sign(&over), &request),
            "its time is over",
        ),
        grants(
            "the right one behind it",
            bundle(&sign(&good), &request),
            "no open request",
        ),
    ];
    all_refused(&host, &mut link, &late);
    nothing_given(&host, &mut alice);
}

#[test]
fn a_grant_held_back_past_its_revocation_gives_nothing() {
    let (host, mut alice, _keys, _) = without_link();
    let (mut link, me, after) = Link::connect(&host);
    let request = ask(&mut alice, &mut link, "60s");
    // The true issuer grants it, and an admin revokes it, while the link keeps both to itself.
    host.write(
        "/root/request",
        &serde_json::json!({ "request": request }).to_string(),
    );
    host.sh("curl -sf -H 'content-type: application/json' --unix-socket /run/jit-issuer/api.sock --data @/root/request http://x/v1/requests")
        .ok()
        .says("accepted");
    let early = stream(&host, &me, after);
    let [held_back] = &of_kind(&early, "grant")[..] else {
        panic!("{early:?}")
    };
    let id = grant_of(held_back).jti;
    host.run(&["jitctl", "revoke", &id, "--reason", "stolen laptop"])
        .ok();
    let late = stream(&host, &me, after);
    let [revocation] = &of_kind(&late, "revocation")[..] else {
        panic!("{late:?}")
    };
    let (old, new) = (&of_kind(&early, "state")[0], &of_kind(&late, "state")[0]);

    link.deliver(Kind::Revocation, revocation);
    host.wait_record("the revocation", |r| {
        r["type"] == "revocation" && r["reason"] == "stolen laptop"
    });
    link.deliver(Kind::State, new);
    let refused = [
        ("revoked", Kind::Grant, held_back.clone(), "it was revoked"),
        ("rollback", Kind::State, old.clone(), "older than"),
        ("replay", Kind::State, new.clone(), "older than"),
    ];
    all_refused(&host, &mut link, &refused);
    nothing_given(&host, &mut alice);
    // Its request waits no longer.
    let told = "this host does not take the issuer's grant: it was revoked (stolen laptop)";
    host.wait_record("the request is closed", |r| {
        r["type"] == "refused" && r["detail"]["what"] == "request" && r["detail"]["why"] == told
    });
    host.sh("! ls /var/lib/jit/pending | grep json").ok();
    // Nor after a restart of the agent, which comes back with what it had stored.
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    let (mut link, ..) = Link::connect(&host);
    let [mut again, rollback, replay] = refused;
    again.3 = "no open request";
    all_refused(&host, &mut link, &[again, rollback, replay]);
    nothing_given(&host, &mut alice);
}

#[test]
fn a_link_that_raves_delays_and_nothing_else() {
    let (host, mut alice, keys, real) = without_link();
    let like = grant_of(&real);
    let agent = || {
        host.sh("systemctl show -P MainPID jit-agent; systemctl show -P NRestarts jit-agent")
            .ok()
            .stdout
    };
    let before = agent();
    let serves = |alice: &mut Shell| {
        host.run(&["jitctl", "status", "--all"])
            .within(Duration::from_secs(1));
        alice
            .run("jitctl status")
            .exits(6)
            .within(Duration::from_secs(1));
    };

    // Frames that are none. Each ends the connection, and is told.
    let oversize = u32::try_from(LINK + 1).unwrap().to_be_bytes();
    let framed =
        |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let broken: [(&str, Vec<u8>, &str); 8] = [
        ("garbage", vec![0xa5; 4096], "at most 262144 are taken"),
        ("empty", vec![0; 4], "an empty message"),
        (
            "just too long",
            oversize.to_vec(),
            "at most 262144 are taken",
        ),
        ("no JSON", framed(b"hello"), "malformed"),
        ("bytes that are no text", framed(&[0xff; 200]), "malformed"),
        (
            "another version",
            framed(br#"{"v":2,"m":{"up":"connected"}}"#),
            "version 2",
        ),
        (
            "another member",
            framed(br#"{"v":1,"m":{"up":"connected","x":1}}"#),
            "malformed",
        ),
        (
            "an agent's message",
            framed(br#"{"v":1,"m":{"down":"not-enrolled"}}"#),
            "malformed",
        ),
    ];
    for (name, bytes, why) in &broken {
        let (mut link, ..) = Link::connect(&host);
        link.0.send(bytes);
        link.0.closed(SOON);
        host.wait_record(name, |r| {
            let said = r["detail"]["why"].as_str().unwrap_or_default();
            r["type"] == "alert" && said.contains("link") && said.contains(why)
        });
    }
    serves(&mut alice);

    // Half a frame, then silence; and a newer link takes its place.
    let (mut stalled, ..) = Link::connect(&host);
    let promised = u32::try_from(LINK).unwrap().to_be_bytes();
    assert!(stalled.0.send(&promised) && stalled.0.send(b"{\"v\":1,"));
    serves(&mut alice);
    let (mut link, ..) = Link::connect(&host);
    stalled.0.closed(SOON);

    // A live grant goes on working while the link pours in as much as it can: nothing is lost, nobody waits.
    let request = ask(&mut alice, &mut link, "60s");
    let jws = keys
        .grant
        .sign(Typ::Grant, &honest(&like, &request))
        .unwrap();
    link.deliver(Kind::Grant, &bundle(&jws, &request));
    host.wait_for("the grant", SOON, "runuser -u alice -- jitctl status");
    let full = "x".repeat(250_000);
    let flood = std::thread::spawn(move || {
        for _ in 0..200 {
            link.deliver(Kind::Grant, &full);
        }
        for _ in 0..3000 {
            link.deliver(Kind::Revocation, "no.such.thing");
        }
        link
    });
    let mut uses = 0;
    while !flood.is_finished() {
        alice
            .run("sudo -n true")
            .ok()
            .within(Duration::from_secs(2));
        host.run(&["jitctl", "status", "--all"])
            .ok()
            .within(Duration::from_secs(2));
        uses += 1;
    }
    let mut link = flood.join().unwrap();
    assert!(uses > 0);
    let small = sha256_b64(b"no.such.thing");
    link.deliver(Kind::State, "the last");
    let last = sha256_b64(b"the last");
    // What the link has sent waits for the disk, record by record.
    let read = format!("jitctl log show --json | grep -q {last}");
    host.wait_for("the flood is read", Duration::from_secs(40), &read);
    let records = records(&host);
    let count = |hash: &str| {
        records
            .iter()
            .filter(|r| r["detail"]["hash"] == hash)
            .count()
    };
    assert_eq!(count(&small), 3000);
    assert_eq!(count(&sha256_b64("x".repeat(250_000).as_bytes())), 200);
    host.run(&["jitctl", "log", "verify"]).ok();
    let status = alice.run("jitctl status --json").ok().json();
    assert_eq!(status["health"]["log"], "ok", "{status}");
    drop_all(&host, &mut alice);

    // A place in the issuer's log that does not exist, beside a bad and a good statement, must not keep the true
    // link from working later.
    let enrolment: Value = serde_json::from_str(&host.read("/var/lib/jit/enrolment.json")).unwrap();
    let known = enrolment["policy"].as_str().unwrap();
    for (kind, blob) in [(Kind::Policy, known), (Kind::State, "no state")] {
        let (n, blob) = (Some(u64::MAX), blob.to_owned());
        assert!(link.up(&Up::Statement { n, kind, blob }));
    }
    let sent = sha256_b64(b"no state");
    host.wait_record("the false place", |r| r["detail"]["hash"] == sent.as_str());
    assert_eq!(agent(), before, "the agent was restarted");
    drop(link);
    host.run(&["systemctl", "start", "jit-link"]).ok();
    alice
        .run("jitctl elevate --wait=10s --for 10s --reason 'the true link again'")
        .ok();
    alice.run("sudo -n id -u").ok().says("0");
}

#[test]
fn nobody_else_can_be_the_link() {
    let host = Host::ready();
    for user in ["alice", "bob", "jit-issuer", "nobody"] {
        let refused = host
            .carrier(user, user, "/run/jit/link.sock")
            .err()
            .unwrap();
        assert!(refused.contains("Permission denied"), "{user}: {refused}");
    }
}
