//! What every store must do, whatever is below it.

use super::{
    Asked, Given, Host, Joining, Letter, Logged, Minted, Next, Outbox, Revoking, Sent, Signed,
    Sqlite, Store, Token,
};
use crate::error::Error;
use api::{HostSays, Kind, Seen, Standing, Status};
use settings::outgoing::What;
use statement::claims::Target;
use statement::digest::sha256_b64;
use statement::people::Need;
use statement::sign::Signer;
use tempfile::NamedTempFile;
use tokio::sync::watch;

/// Runs a test on each kind of store.
fn each(test: fn(&mut dyn Store)) {
    let file = NamedTempFile::new().unwrap();
    test(&mut Sqlite::open(file.path()).unwrap());
}

fn asked(hash: &str) -> Asked {
    Asked {
        hash: hash.to_owned(),
        id: format!("id of {hash}"),
        host: "h".to_owned(),
        sub: "s".to_owned(),
        jws: "jws".to_owned(),
        at: 10,
    }
}

fn minted(jti: &str) -> Minted {
    Minted {
        jti: jti.to_owned(),
        bundle: format!("bundle of {jti}"),
        exp: 100,
    }
}

fn host(id: &str) -> Host {
    let key = Signer::generate().unwrap().0.public();
    Host {
        id: id.to_owned(),
        name: "name".to_owned(),
        jwk: key.to_jwk(),
        kid: key.kid(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        enrolled_at: 10,
        gone_at: None,
    }
}

#[test]
fn bytes_are_settled_once() {
    each(|store| {
        let granted = store
            .grant(&asked("a"), &mut |seq| {
                assert_eq!(seq, 1);
                Ok(minted("g1"))
            })
            .unwrap();
        assert_eq!(granted.status, Status::Accepted);
        let again = store.grant(&asked("a"), &mut |_| panic!("a second grant"));
        assert_eq!(again.unwrap(), granted);
        assert_eq!(store.deny(&asked("a"), "no").unwrap(), granted);

        let denied = store.deny(&asked("b"), "no").unwrap();
        assert_eq!(
            (denied.status, denied.detail.as_str()),
            (Status::Denied, "no")
        );
        let again = store.grant(&asked("b"), &mut |_| panic!("a grant after a denial"));
        assert_eq!(again.unwrap(), denied);

        let later = Asked {
            at: asked("d").at + 1,
            ..asked("d")
        };
        store.deny(&later, "no").unwrap();
        let newest = store.recorded(2).unwrap();
        assert_eq!((newest.len(), newest[0].at), (2, later.at));
        assert_eq!(newest[0].jws, later.jws);
        assert_eq!(store.settled("b").unwrap(), Some(denied));
        assert_eq!(store.settled("c").unwrap(), None);
        assert_eq!(store.head().unwrap().n, 1);
    });
}

#[test]
fn what_fails_leaves_nothing_and_takes_no_number() {
    each(|store| {
        let failed = store.grant(&asked("a"), &mut |_| Err(Error::Random));
        assert!(matches!(failed, Err(Error::Random)));
        assert_eq!(store.settled("a").unwrap(), None);
        store
            .grant(&asked("a"), &mut |seq| {
                assert_eq!(seq, 1);
                Ok(minted("g1"))
            })
            .unwrap();
        let target = Target::Grant("g1".to_owned());
        let failed = store.revoke(&target, 0, 10, &mut |_| Err(Error::Random));
        assert!(failed.is_err());
        assert!(
            store
                .add_policy("t", "d", 10, &mut |_| Err(Error::Random))
                .is_err()
        );
        let head = store.head().unwrap();
        assert_eq!((head.n, head.rev_serial, head.policy_ver), (1, 0, 0));
        assert_eq!(head.rev_head, sha256_b64(b""));
    });
}

#[test]
fn revocations_chain_and_know_how_far_they_reach() {
    each(|store| {
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        assert!(store.enrol(&host("h")).unwrap());
        let mut prev = sha256_b64(b"");
        let targets = [
            // What extends it by then ends twelve hours later at most.
            (Target::Grant("g1".to_owned()), 10 + 43_200),
            (Target::Sub("s".to_owned()), 100),
            (Target::Host("h".to_owned()), 100),
        ];
        for (serial, (target, reach)) in (1..).zip(targets) {
            let want = Next {
                serial,
                prev: prev.clone(),
                reach,
            };
            let done = store.revoke(&target, 0, 10, &mut |next| {
                assert_eq!(*next, want);
                Ok(Signed {
                    jws: "r".to_owned(),
                    hash: format!("hash {serial}"),
                })
            });
            assert_eq!(done.unwrap(), Revoking::Done { serial });
            prev = format!("hash {serial}");
        }
        let mut never = |_: &Next| -> Result<Signed, Error> { panic!("signed") };
        for (target, want) in [
            (
                Target::Grant("g1".to_owned()),
                Revoking::Before { serial: 1 },
            ),
            (Target::Grant("g2".to_owned()), Revoking::Unknown),
            (Target::Sub("h".to_owned()), Revoking::Unknown),
            (Target::Host("s".to_owned()), Revoking::Unknown),
        ] {
            assert_eq!(store.revoke(&target, 0, 10, &mut never).unwrap(), want);
        }
        let head = store.head().unwrap();
        assert_eq!((head.rev_serial, head.rev_head), (3, prev));
    });
}

#[test]
fn the_log_is_in_order_and_a_host_sees_its_part() {
    each(|store| {
        store
            .add_policy("t1", "d1", 10, &mut |_| Ok("p1".to_owned()))
            .unwrap();
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        store
            .add_policy("t2", "d2", 10, &mut |_| Ok("p2".to_owned()))
            .unwrap();
        let numbers = |entries: Vec<Logged>| entries.iter().map(|e| e.n).collect::<Vec<_>>();
        assert_eq!(numbers(store.log(0, 10).unwrap()), [1, 2, 3]);
        assert_eq!(numbers(store.log(1, 1).unwrap()), [2]);
        assert_eq!(numbers(store.log_of("h", 0, 99, 10).unwrap()), [2, 3]);
        assert_eq!(
            numbers(store.log_of("h", 0, 100, 10).unwrap()),
            [3],
            "ended"
        );
        assert_eq!(
            numbers(store.log_of("i", 0, 0, 10).unwrap()),
            [3],
            "another's"
        );
        let kinds: Vec<Kind> = store.log(0, 10).unwrap().iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [Kind::Policy, Kind::Grant, Kind::Policy]);
        let policy = store.policy().unwrap().unwrap();
        assert_eq!(
            (policy.ver, policy.text.as_str(), policy.jws.as_str()),
            (2, "t2", "p2")
        );
    });
}

#[test]
fn a_key_is_one_hosts_and_a_host_has_one_key() {
    each(|store| {
        let first = host("h");
        assert!(store.enrol(&first).unwrap());
        assert!(store.enrol(&first).unwrap(), "again");
        let thief = Host {
            id: "i".to_owned(),
            ..first.clone()
        };
        assert!(!store.enrol(&thief).unwrap());
        assert_eq!(store.host("i").unwrap(), None);
        assert_eq!(store.host_by_kid(&first.kid).unwrap(), Some(first.clone()));
        let second = host("h");
        assert!(store.enrol(&second).unwrap());
        assert_eq!(store.host("h").unwrap(), Some(second));
        assert_eq!(store.host_by_kid(&first.kid).unwrap(), None);
    });
}

fn token(hash: &str, host: &str, replaces: bool) -> Token {
    Token {
        hash: hash.to_owned(),
        host: host.to_owned(),
        name: "web1".to_owned(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        exp: 100,
        replaces,
    }
}

#[test]
fn a_place_is_taken_once_by_one_key_in_time() {
    each(|store| {
        let (a, b) = (host("h"), host("h"));
        let join = |store: &mut dyn Store, hash: &str, by: &Host, now: u64| {
            store
                .join(hash, &by.jwk, &by.kid, now, &mut |h| Ok(h.id.clone()))
                .unwrap()
        };
        let done = Joining::Done("h".to_owned());
        store.add_token(&token("t", "h", false), 10).unwrap();
        assert_eq!(join(store, "other", &a, 10), Joining::NoToken);
        assert_eq!(join(store, "t", &a, 100), Joining::NoToken);
        // A statement that cannot be made uses nothing up.
        let failed = store.join("t", &a.jwk, &a.kid, 10, &mut |_| Err(Error::Random));
        assert!(failed.is_err());
        assert_eq!(store.host("h").unwrap(), None);

        assert_eq!(join(store, "t", &a, 99), done);
        let known = store.host("h").unwrap().unwrap();
        assert_eq!(known.name, "web1");
        assert_eq!(known.labels, a.labels);
        assert_eq!(join(store, "t", &a, 99), done, "its answer was lost");
        assert_eq!(join(store, "t", &b, 99), Joining::NoToken);

        // Another token: the known host stays unless it says otherwise.
        store.add_token(&token("t2", "h", false), 10).unwrap();
        assert_eq!(join(store, "t2", &b, 50), Joining::Known);
        store.add_token(&token("t3", "h2", false), 10).unwrap();
        assert_eq!(join(store, "t3", &a, 50), Joining::KeyInUse);
        store.add_token(&token("t4", "h", true), 10).unwrap();
        assert_eq!(join(store, "t4", &b, 50), done);
        assert_eq!(store.host("h").unwrap().unwrap().kid, b.kid);
        assert_eq!(store.host_by_kid(&a.kid).unwrap(), None);

        // One that is gone may come back without.
        assert!(store.part("h", 60).unwrap());
        assert!(store.part("h", 70).unwrap());
        assert_eq!(store.host("h").unwrap().unwrap().gone_at, Some(60));
        assert_eq!(join(store, "t2", &a, 80), done);
        assert_eq!(store.host("h").unwrap().unwrap().gone_at, None);

        assert!(store.rename("h", "db1").unwrap());
        assert!(!store.rename("none", "x").unwrap());
        assert!(!store.part("none", 1).unwrap());
        let names: Vec<_> = store.hosts().unwrap().into_iter().map(|h| h.name).collect();
        assert_eq!(names, ["db1"]);
        // Those whose time is over are forgotten.
        store.add_token(&token("t5", "h", true), 100).unwrap();
        assert_eq!(store.token("t4", 0).unwrap(), None);
    });
}

#[test]
fn the_newest_receipt_of_each_host_is_kept() {
    each(|store| {
        let seen = |n: u64| Seen {
            at: n,
            rev_serial: n,
            version: "1".to_owned(),
            log_next: n,
            log_chain: "c".to_owned(),
        };
        store.receipt("a", &seen(1)).unwrap();
        store.receipt("b", &seen(2)).unwrap();
        store.receipt("a", &seen(3)).unwrap();
        let all: Vec<_> = store.receipts().unwrap().into_iter().collect();
        assert_eq!(all, [("a".to_owned(), seen(3)), ("b".to_owned(), seen(2))]);
    });
}

#[test]
fn what_waits_for_people_is_settled_once_and_keeps_its_approvals() {
    each(|store| {
        let levels = [Need {
            group: "ops".to_owned(),
            count: 1,
        }];
        let wait = |store: &mut dyn Store, asked: &Asked| {
            store.wait(asked, 50, &levels, "1 of ops").unwrap()
        };
        let standing = |store: &mut dyn Store, hash: &str| {
            let found = store.waiting(hash).unwrap().unwrap();
            (found.standing, found.waiting_for)
        };
        assert!(wait(store, &asked("a")));
        assert!(!wait(store, &asked("a")), "the same again");
        let twin = Asked {
            id: asked("a").id,
            ..asked("b")
        };
        assert!(!wait(store, &twin), "another one of this id");
        assert_eq!(store.open_count("h", "s").unwrap(), (1, 1, 1));
        assert_eq!(store.open_count("h", "t").unwrap(), (0, 1, 1));
        assert_eq!(store.settled("a").unwrap(), None);

        let given = |sig: &str| Given {
            person: "bob".to_owned(),
            at: 20,
            sig: sig.to_owned(),
        };
        store.approve("a", &given("first")).unwrap();
        store.approve("a", &given("second")).unwrap();
        store.waits("a", &levels, "1 of security").unwrap();
        let found = store.waiting_called("id of a").unwrap().unwrap();
        assert_eq!(found.approvals, [given("first")]);
        assert_eq!(found.levels, levels);
        assert_eq!(found.waiting_for, "1 of security");
        assert_eq!(store.open().unwrap().len(), 1);

        // Dead only after its last moment.
        store.expire(50).unwrap();
        assert_eq!(standing(store, "a").0, Standing::Open);
        store.expire(51).unwrap();
        assert_eq!(standing(store, "a"), (Standing::Expired, String::new()));
        let settled = store.settled("a").unwrap().unwrap();
        assert_eq!(settled.status, Status::Denied);
        let late = store.grant(&asked("a"), &mut |_| panic!("a grant of what is dead"));
        assert_eq!(late.unwrap(), settled);

        // Granted or denied, it waits no more, and nothing closes it again.
        for (hash, to) in [("c", Standing::Approved), ("d", Standing::Denied)] {
            assert!(wait(store, &asked(hash)));
            let settled = match to {
                Standing::Approved => store.grant(&asked(hash), &mut |_| Ok(minted(hash))),
                _ => store.deny(&asked(hash), "no"),
            };
            let again = store.close(&asked(hash), Standing::Withdrawn, "x").unwrap();
            assert_eq!(again, settled.unwrap());
            assert_eq!(standing(store, hash).0, to);
        }
        assert!(store.open().unwrap().is_empty());
    });
}

#[test]
fn what_a_host_says_of_a_request_is_its_own_first_word() {
    each(|store| {
        let says = |active: bool, why: &str| HostSays {
            active,
            why: why.to_owned(),
        };
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        store.deny(&asked("b"), "no").unwrap();
        assert_eq!(store.granted_for("a").unwrap().as_deref(), Some("g1"));
        assert_eq!(store.granted_for("b").unwrap(), None);
        assert_eq!(store.host_said("a").unwrap(), None);
        // Another host, a request without a grant, one that nobody made.
        store.host_says("other", "a", &says(true, "")).unwrap();
        store.host_says("h", "b", &says(true, "")).unwrap();
        store.host_says("h", "c", &says(true, "")).unwrap();
        for hash in ["a", "b", "c"] {
            assert_eq!(store.host_said(hash).unwrap(), None, "{hash}");
        }
        store.host_says("h", "a", &says(false, "why")).unwrap();
        store.host_says("h", "a", &says(true, "")).unwrap();
        assert_eq!(store.host_said("a").unwrap(), Some(says(false, "why")));
    });
}

#[test]
fn settled_requests_are_found_by_their_id_and_by_their_grants() {
    each(|store| {
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        // Whoever asks chooses the id, so two may have the same.
        let twin = Asked {
            id: asked("a").id,
            ..asked("b")
        };
        store.deny(&twin, "no").unwrap();
        let hashes = |found: Vec<Asked>| {
            let mut all: Vec<String> = found.into_iter().map(|a| a.hash).collect();
            all.sort();
            all
        };
        assert_eq!(hashes(store.settled_called("id of a").unwrap()), ["a", "b"]);
        assert_eq!(hashes(store.settled_called("g1").unwrap()), ["a"]);
        assert!(store.settled_called("none").unwrap().is_empty());
    });
}

#[test]
fn the_revocation_of_a_persons_key_touches_nobody_elses_grants() {
    each(|store| {
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        let revoke = |store: &mut dyn Store, kid: &str| {
            let target = Target::Kid(kid.to_owned());
            let signed = |next: &Next| {
                Ok(Signed {
                    jws: format!("revocation {}", next.serial),
                    hash: sha256_b64(&next.serial.to_be_bytes()),
                })
            };
            store.revoke(&target, 0, 20, &mut { signed }).unwrap();
        };
        store.persons_key("person's").unwrap();
        store.persons_key("person's").unwrap();
        revoke(store, "person's");
        assert!(store.kid_revoked("person's").unwrap());
        assert!(!store.granted("g1").unwrap().unwrap().revoked);
        revoke(store, "the grants' key");
        assert!(store.granted("g1").unwrap().unwrap().revoked);
    });
}

/// Outbox of one hook.
fn outbox(hook: &str, wants: &[What]) -> (Outbox, watch::Receiver<u64>) {
    let (woken, hear) = watch::channel(0);
    let hooks = vec![(hook.to_owned(), wants.to_vec())];
    let source = "spiffe://x/issuer".to_owned();
    (
        Outbox {
            source,
            hooks,
            ring: None,
            woken,
        },
        hear,
    )
}

fn kinds(letters: &[Letter]) -> Vec<String> {
    let kind = |l: &Letter| {
        let event: serde_json::Value = serde_json::from_str(&l.body).unwrap();
        event["type"].as_str().unwrap().to_owned()
    };
    letters.iter().map(kind).collect()
}

#[test]
fn what_hooks_are_told_is_written_with_the_change_or_not_at_all() {
    each(|store| {
        let (to, mut hear) = outbox("chat", &[What::Granted, What::Revoked]);
        assert_eq!(store.tell(to).unwrap(), 0);
        let failed = store.grant(&asked("a"), &mut |_| Err(Error::Random));
        assert!(failed.is_err());
        store.deny(&asked("b"), "no").unwrap();
        assert!(!hear.has_changed().unwrap(), "nobody is to be told");
        assert_eq!(store.outbox_next("chat").unwrap(), None);
        store.grant(&asked("a"), &mut |_| Ok(minted("g1"))).unwrap();
        store.grant(&asked("a"), &mut |_| Ok(minted("g2"))).unwrap();
        assert!(hear.has_changed().unwrap());
        let due = store.outbox_due("chat", 0, 9).unwrap();
        assert_eq!(kinds(&due), ["org.jitctl.granted.v1"]);
        // When it happened, not when it was asked.
        assert!(due[0].at > asked("a").at + 1000);
        assert_eq!(store.outbox_due("other", 0, 9).unwrap(), []);
        hear.mark_unchanged();
        let target = Target::Grant("g1".to_owned());
        let failed = store.revoke(&target, 0, 10, &mut |_| Err(Error::Random));
        assert!(failed.is_err() && !hear.has_changed().unwrap());
    });
}

#[test]
fn of_one_request_one_event_is_on_its_way_and_the_next_comes_after_it() {
    each(|store| {
        store.tell(outbox("chat", &What::ALL).0).unwrap();
        let need = [Need {
            group: "ops".to_owned(),
            count: 1,
        }];
        store.wait(&asked("a"), 50, &need, "1 of ops").unwrap();
        store.waits("a", &need, "1 of ops").unwrap();
        store.waits("a", &need, "1 of security").unwrap();
        store.deny(&asked("b"), "no").unwrap();
        store.close(&asked("a"), Standing::Withdrawn, "").unwrap();

        let due = store.outbox_due("chat", 0, 9).unwrap();
        let (waiting, denied, withdrawn) = (
            "org.jitctl.waiting.v1",
            "org.jitctl.denied.v1",
            "org.jitctl.withdrawn.v1",
        );
        assert_eq!(kinds(&due), [waiting, denied]);
        // One is not taken, and its request waits with it; the other goes on.
        let (again, taken) = (Some(5_000), None);
        let sent = [(due[0].seq, again), (due[1].seq, taken)];
        let sent = sent.map(|(seq, again_at)| Sent { seq, again_at });
        store.outbox_sent(&sent).unwrap();
        assert_eq!(store.outbox_due("chat", 4_999, 9).unwrap(), []);
        assert_eq!(store.outbox_next("chat").unwrap(), Some(5_000));
        let mut came = Vec::new();
        while let [first] = &store.outbox_due("chat", 5_000, 9).unwrap()[..] {
            came.extend(kinds(std::slice::from_ref(first)));
            let (seq, again_at) = (first.seq, None);
            store.outbox_sent(&[Sent { seq, again_at }]).unwrap();
        }
        assert_eq!(came, [waiting, waiting, withdrawn]);
        assert_eq!(store.outbox_next("chat").unwrap(), None);
    });
}

#[test]
fn what_was_for_a_hook_that_is_gone_is_forgotten() {
    each(|store| {
        store.tell(outbox("chat", &What::ALL).0).unwrap();
        store.deny(&asked("a"), "no").unwrap();
        assert_eq!(store.tell(outbox("chat", &[What::Granted]).0).unwrap(), 0);
        assert_eq!(store.outbox_due("chat", 0, 9).unwrap().len(), 1);
        assert_eq!(store.tell(outbox("other", &What::ALL).0).unwrap(), 1);
        assert_eq!(store.outbox_due("chat", 0, 9).unwrap(), []);
    });
}
