//! Grants that people approved, and trust statements that follow one another.

use crate::Cases;
use crate::world::people::*;
use crate::world::*;
use serde_json::{Value, json};
use statement::claims::{Grant, Mode, Request, Typ};
use statement::digest::sha256_b64;
use statement::sign;
use statement::sshsig::NAMESPACE;
use statement::trust::TrustClaims;

pub fn approved(cases: &mut Cases, world: &World) {
    let hands = Hands::new();
    let (bob, carol) = hands.two().into();
    cases.accept("two of ops", world.dba(&[bob, carol]));
    let (asked_all, given_all) = asked("root-all");
    let all = |by: &[(&str, &Ssh)]| {
        world.approved(&asked_all, &given_all, &|request| {
            by.iter()
                .map(|(who, key)| approval(who, key, request))
                .collect()
        })
    };
    cases.accept(
        "one of ops, one of security who is also of ops",
        all(&[carol, bob]),
    );
    cases.accept("more than a role needs", {
        let given = Grant {
            mode: Mode::Approved,
            ..grant()
        };
        world.approved(&request(), &given, &|r| {
            vec![approval("bob", &hands.bob, r)]
        })
    });

    let mut refuse = |name: &str, says: &str, input: String| {
        cases.refuse(name, "approval", says, input);
    };
    refuse(
        "one of two",
        "2 of ops must approve, and only bob did",
        world.dba(&[bob]),
    );
    refuse("nobody", "no approvals", world.dba(&[]));
    refuse(
        "one person with two keys",
        "bob has approved twice",
        world.dba(&[bob, ("bob", &hands.bobs_other)]),
    );
    refuse(
        "one approval twice",
        "bob has approved twice",
        world.dba(&[bob, bob]),
    );
    refuse(
        "one person in two needed groups",
        "1 of ops and 1 of security must approve, and only carol did",
        all(&[carol]),
    );
    refuse(
        "the requester",
        "alice has approved the own request",
        world.dba(&[bob, ("alice", &hands.alice)]),
    );
    let (mut asked_as, mut given_as) = asked("dba");
    for details in [
        &mut asked_as.authorization_details,
        &mut given_as.authorization_details,
    ] {
        (details[0].login, details[0].uid) = ("alice-adm".into(), 1001);
    }
    let by_alice = |asked: &Request, given: &Grant| {
        world.approved(asked, given, &|r| {
            vec![
                approval("bob", &hands.bob, r),
                approval("alice", &hands.alice, r),
            ]
        })
    };
    refuse(
        "the requester under another login",
        "alice has approved the own request",
        by_alice(&asked_as, &given_as),
    );
    for details in [
        &mut asked_as.authorization_details,
        &mut given_as.authorization_details,
    ] {
        details[0].uid = 1003;
    }
    refuse(
        "a login that was made anew",
        "does not say who the requester is",
        by_alice(&asked_as, &given_as),
    );
    refuse(
        "somebody unknown",
        "has no such key",
        world.dba(&[bob, ("mallory", &hands.nobody)]),
    );
    refuse(
        "somebody unknown under a known name",
        "\"carol\" has no such key",
        world.dba(&[bob, ("carol", &hands.nobody)]),
    );
    refuse(
        "a known key under another's name",
        "\"bob\" has no such key",
        world.dba(&[("bob", &hands.carol), ("carol", &hands.bob)]),
    );
    refuse(
        "a key that has ended",
        "the key of dave was not valid",
        world.dba(&[bob, ("dave", &hands.dave)]),
    );
    let (asked_dba, given_dba) = asked("dba");
    refuse(
        "automatic after all",
        "does not let this role be automatic",
        world.approved(
            &asked_dba,
            &Grant {
                mode: Mode::Auto,
                ..given_dba.clone()
            },
            &|r| {
                vec![
                    approval("bob", &hands.bob, r),
                    approval("carol", &hands.carol, r),
                ]
            },
        ),
    );
    refuse(
        "automatic with an approval",
        "automatic grant carries",
        world.approved(&request(), &grant(), &|r| {
            vec![approval("bob", &hands.bob, r)]
        }),
    );
    let (asked_other, given_other) = asked("nobodys");
    refuse(
        "a role without a rule",
        "does not say who may approve",
        world.approved(&asked_other, &given_other, &|r| {
            vec![approval("bob", &hands.bob, r)]
        }),
    );
    refuse(
        "seventeen",
        "more than 16",
        world.approved(&asked_dba, &given_dba, &|r| {
            vec![approval("bob", &hands.bob, r); 17]
        }),
    );

    let mut refuse = |name: &str, code: &str, says: &str, spoil: &dyn Fn(&[u8]) -> String| {
        let input = world.approved(&asked_dba, &given_dba, &|r| {
            let mut second = approval("carol", &hands.carol, r);
            second.sig = spoil(r);
            vec![approval("bob", &hands.bob, r), second]
        });
        cases.refuse(name, code, says, input);
    };
    let carol = &hands.carol;
    refuse("other bytes", "sshsig", "does not match", &|r| {
        carol.sign(NAMESPACE, &[r, b"\n"].concat())
    });
    refuse("another request", "sshsig", "does not match", &|_| {
        let other = world.host.signer.sign(Typ::Request, &request()).unwrap();
        carol.sign(NAMESPACE, other.as_bytes())
    });
    refuse("another namespace", "sshsig", "another purpose", &|r| {
        carol.sign("file", r)
    });
    refuse(
        "a token that nobody touched",
        "sshsig",
        "does not match",
        &|r| {
            let untouched = Ssh {
                flags: 4,
                ..Ssh::on_token(Key::seeded(44))
            };
            untouched.sign(NAMESPACE, r)
        },
    );
    refuse(
        "the token's key in software",
        "approval",
        "no such key",
        &|r| Ssh::seeded(44).sign(NAMESPACE, r),
    );
    refuse("no armour", "sshsig", "armour", &|r| {
        b64(carol.sign_blob(NAMESPACE, "sha512", r))
    });
    refuse("lines broken elsewhere", "sshsig", "armour", &|r| {
        carol.sign(NAMESPACE, r).replacen(
            "SIGNATURE-----\nU1NIU0lH",
            "SIGNATURE-----\nU1NI\nU0lH",
            1,
        )
    });
    refuse("text after", "sshsig", "armour", &|r| {
        carol.sign(NAMESPACE, r) + "\n"
    });
    refuse("too long", "too-large", "SSH signature", &|_| {
        "-".repeat(2049)
    });
    let blob = |change: &dyn Fn(&mut Vec<u8>), r: &[u8]| {
        let mut blob = carol.sign_blob(NAMESPACE, "sha512", r);
        change(&mut blob);
        armour(&blob)
    };
    refuse("version 2", "sshsig", "well-formed", &|r| {
        blob(&|b| b[9] = 2, r)
    });
    refuse("bytes after", "sshsig", "well-formed", &|r| {
        blob(&|b| b.push(0), r)
    });
    refuse("cut", "sshsig", "well-formed", &|r| {
        blob(&|b| b.truncate(b.len() - 1), r)
    });
    refuse("hash md5", "sshsig", "well-formed", &|r| {
        armour(&carol.sign_blob(NAMESPACE, "md5", r))
    });
    refuse(
        "sha256 said, sha512 done",
        "sshsig",
        "does not match",
        &|r| {
            let name = [string(b"sha512"), vec![0, 0]].concat();
            let other = [string(b"sha256"), vec![0, 0]].concat();
            let blob = carol.sign_blob(NAMESPACE, "sha512", r);
            let at = blob.windows(name.len()).position(|w| w == name).unwrap();
            armour(&[&blob[..at], &other, &blob[at + name.len()..]].concat())
        },
    );
}

/// What may come after the world's trust statement.
pub fn next(world: &World) -> Cases {
    let mut cases = Cases::default();
    let roots = &world.roots;
    let first = world.trust();
    let next = TrustClaims {
        trust_ver: 2,
        iat: T0,
        prev: sha256_b64(first.as_bytes()),
        ..world.trust_claims()
    };
    let by = |claims: &TrustClaims, keys: &[&Key]| {
        sign::trust(claims, &keys.iter().map(|k| &k.signer).collect::<Vec<_>>()).unwrap()
    };
    let two = [&roots[0], &roots[1]];
    let with = |change: &dyn Fn(&mut TrustClaims)| {
        let mut claims = next.clone();
        change(&mut claims);
        claims
    };
    cases.accept("the same again", by(&next, &two));
    cases.accept("a new epoch", by(&with(&|c| c.epoch = 2), &two));
    cases.accept(
        "a new epoch that carries a grant over",
        by(
            &with(&|c| {
                c.epoch = 2;
                c.carry = vec![JTI.into()];
            }),
            &two,
        ),
    );
    let new = Key::seeded(4);
    let other_root = with(&|c| c.root.keys[2] = new.signer.public().to_jwk());
    cases.accept(
        "another root key, signed by two of both",
        by(&other_root, &two),
    );
    let other_roots = with(&|c| {
        c.root.keys = vec![new.signer.public().to_jwk()];
        c.root.threshold = 1;
    });
    cases.accept(
        "only new root keys",
        by(&other_roots, &[&roots[0], &roots[2], &new]),
    );

    let mut refuse = |name: &str, says: &str, doc: String| cases.refuse(name, "trust", says, doc);
    refuse("itself", "not newer", first.clone());
    refuse(
        "one of the present",
        "too few of the present",
        by(&next, &two[..1]),
    );
    refuse(
        "only by new root keys",
        "too few of the present",
        by(&other_roots, &[&new]),
    );
    refuse(
        "too few of the new",
        "too few of its own",
        by(&other_roots, &two),
    );
    refuse(
        "one of the present and a new one",
        "too few of the present",
        by(&other_root, &[&roots[0], &new]),
    );
    refuse(
        "threshold lowered and met by one",
        "too few of the present",
        by(&with(&|c| c.root.threshold = 1), &two[..1]),
    );
    refuse(
        "threshold raised",
        "too few of its own",
        by(&with(&|c| c.root.threshold = 3), &two),
    );
    refuse(
        "version 1 again",
        "not newer",
        by(&with(&|c| c.trust_ver = 1), &two),
    );
    refuse(
        "version 3",
        "missing before",
        by(&with(&|c| c.trust_ver = 3), &two),
    );
    refuse(
        "the last version",
        "missing before",
        by(&with(&|c| c.trust_ver = u64::MAX), &two),
    );
    refuse(
        "after another",
        "does not follow",
        by(&with(&|c| c.prev = sha256_b64(b"other")), &two),
    );
    refuse("epoch back", "goes back", by(&with(&|c| c.epoch = 0), &two));
    refuse("epoch leaps", "leaps", by(&with(&|c| c.epoch = 3), &two));
    refuse(
        "carries over within an epoch",
        "no new epoch",
        by(&with(&|c| c.carry = vec![JTI.into()]), &two),
    );
    refuse(
        "dated back",
        "dated before",
        by(&with(&|c| c.iat = T0 - 86_401), &two),
    );
    refuse(
        "another issuer",
        "another issuer's",
        by(
            &with(&|c| c.iss = "spiffe://local.test/issuer/other".into()),
            &two,
        ),
    );
    let person = |change: &dyn Fn(&mut TrustClaims)| by(&with(change), &two);
    refuse(
        "a person twice",
        "a person is listed twice",
        person(&|c| c.people[1].id = "alice".into()),
    );
    refuse(
        "an account of two",
        "an account is listed twice",
        person(&|c| {
            let account = c.people[0].accounts[1].clone();
            c.people[1].accounts.push(account);
        }),
    );
    refuse(
        "a key of two",
        "a person's key is listed twice",
        person(&|c| {
            let key = c.people[0].keys[0].clone();
            c.people[1].keys.push(key);
        }),
    );
    let mut refuse =
        |name: &str, code: &str, says: &str, doc: String| cases.refuse(name, code, says, doc);
    refuse(
        "an RSA key",
        "sshsig",
        "not an Ed25519",
        person(&|c| c.people[0].keys[0].ssh = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ==".into()),
    );
    refuse(
        "a key with a comment",
        "sshsig",
        "not an Ed25519",
        person(&|c| c.people[0].keys[0].ssh += " me"),
    );
    refuse(
        "a name with a blank",
        "limit",
        "people.id",
        person(&|c| c.people[0].id = "a b".into()),
    );
    refuse(
        "needs nobody",
        "limit",
        "1 to 16 persons",
        person(&|c| c.rules.approval.get_mut("dba").unwrap()[0].count = 0),
    );
    refuse(
        "automatic and approved",
        "limit",
        "not both",
        person(&|c| {
            let needs = c.rules.approval["dba"].clone();
            c.rules.approval.insert("admin".into(), needs);
        }),
    );
    let mut doc: Value = serde_json::from_str(&by(&next, &two)).unwrap();
    doc["signatures"][1]["signature"] = json!(b64([0; 64]));
    refuse(
        "one signature bad",
        "signature",
        "does not match",
        doc.to_string(),
    );
    cases
}
