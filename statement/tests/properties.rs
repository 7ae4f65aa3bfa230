//! Laws that hold for every statement and every right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use proptest::prelude::*;
use serde_json::json;
use statement::claims::{Grant, Request, Typ};
use statement::detail::{All, AllOr, Auth, Command, Detail, Door, OnEnd, Record};
use statement::digest::sha256_b64;
use statement::id::{is_ulid, ulid};
use statement::keys::{Alg, KeyError, PublicKey};
use statement::limits::Limits;
use statement::scope::{Ask, covers, subset};
use statement::sign::{self, SignError, Signer};
use statement::trust::{TrustClaims, verify_first, verify_next};
use statement::{
    verify_enrol, verify_grant, verify_policy, verify_request, verify_revocation, verify_state,
};
use world::*;

/// Calls `verdict` with each text that differs from `good` in one bit. Those that are no text cannot be handed
/// to a verifier at all.
fn each_flip(good: &str, mut verdict: impl FnMut(&str) -> bool) -> usize {
    let mut bytes = good.as_bytes().to_vec();
    let mut tried = 0;
    for i in 0..bytes.len() {
        for bit in 0..8 {
            bytes[i] ^= 1 << bit;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                assert!(
                    !verdict(text),
                    "accepted with bit {bit} of byte {i} flipped"
                );
                tried += 1;
            }
            bytes[i] ^= 1 << bit;
        }
    }
    assert!(verdict(good));
    tried
}

#[test]
fn each_flipped_bit_of_a_bundle_is_refused() {
    let world = World::new();
    let (ring, me) = (world.ring(), world.me());
    let bundle = world.bundle(&grant(), &request());
    let tried = each_flip(&bundle, |text| verify_grant(text, &ring, &me).is_ok());
    assert!(tried > bundle.len() * 6, "{tried}");
}

#[test]
fn each_flipped_bit_of_an_approved_bundle_is_refused() {
    let world = World::new();
    let (ring, me) = (world.ring(), world.me());
    let bundle = world.dba(&people::Hands::new().two());
    each_flip(&bundle, |text| verify_grant(text, &ring, &me).is_ok());
}

#[test]
fn each_flipped_bit_of_an_es256_bundle_is_refused() {
    let world = World::new();
    let (ring, me) = (world.ring(), world.me());
    let request = world.host.signer.sign(Typ::Request, &request()).unwrap();
    let grant = Grant {
        req_hash: sha256_b64(request.as_bytes()),
        ..grant()
    };
    let bundle = sign::bundle(
        &world.es256.signer.sign(Typ::Grant, &grant).unwrap(),
        &request,
    );
    each_flip(&bundle, |text| verify_grant(text, &ring, &me).is_ok());
}

#[test]
fn each_flipped_bit_of_the_others_is_refused() {
    let world = World::new();
    let (ring, key) = (world.ring(), world.host.signer.public());
    let jws = world
        .revocation
        .signer
        .sign(Typ::Revocation, &revocation())
        .unwrap();
    each_flip(&jws, |text| verify_revocation(text, &ring).is_ok());
    let jws = world.state.signer.sign(Typ::State, &state()).unwrap();
    each_flip(&jws, |text| verify_state(text, &ring).is_ok());
    let jws = world.policy.signer.sign(Typ::Policy, &policy()).unwrap();
    each_flip(&jws, |text| verify_policy(text, &ring).is_ok());
    let jws = world.enrol.signer.sign(Typ::Enrol, &enrol(&world)).unwrap();
    each_flip(&jws, |text| verify_enrol(text, &ring).is_ok());
    let jws = world.host.signer.sign(Typ::Request, &request()).unwrap();
    each_flip(&jws, |text| verify_request(text, &key).is_ok());
}

#[test]
fn each_flipped_bit_of_a_trust_statement_is_refused() {
    let world = World::new();
    let by = [&world.roots[0].signer, &world.roots[1].signer];
    let mut claims = world.trust_claims();
    // A small one: each flip costs signatures.
    claims.keys.truncate(1);
    claims.people.truncate(1);
    claims.root.keys.truncate(2);
    let doc = sign::trust(&claims, &by).unwrap();
    // The pin alone refuses all of them.
    let pin = sha256_b64(doc.as_bytes());
    each_flip(&doc, |text| verify_first(text, &pin).is_ok());
    let first = verify_first(&doc, &pin).unwrap();
    let next = TrustClaims {
        trust_ver: 2,
        prev: pin,
        ..claims
    };
    let next = sign::trust(&next, &by).unwrap();
    each_flip(&next, |text| verify_next(&first, text).is_ok());
    // Where the pin is wrong as well, the signatures hold for the payload: both of two are needed.
    let own_pin = |text: &str| verify_first(text, &sha256_b64(text.as_bytes())).is_ok();
    each_flip(&doc, own_pin);
}

#[test]
fn each_cut_is_refused() {
    let world = World::new();
    let (ring, me) = (world.ring(), world.me());
    let bundle = world.bundle(&grant(), &request());
    for end in 0..bundle.len() {
        assert!(verify_grant(&bundle[..end], &ring, &me).is_err(), "{end}");
    }
    let jws = world.state.signer.sign(Typ::State, &state()).unwrap();
    for end in 0..jws.len() {
        assert!(verify_state(&jws[..end], &ring).is_err(), "{end}");
    }
}

#[test]
fn sizes_are_checked_first() {
    let world = World::new();
    let (ring, me) = (world.ring(), world.me());
    let bundle = world.bundle(&grant(), &request());
    let blanks = |n: usize| format!("{bundle}{}", " ".repeat(n));
    assert!(verify_grant(&blanks(65_536 - bundle.len()), &ring, &me).is_ok());
    let refused = verify_grant(&blanks(65_537 - bundle.len()), &ring, &me).unwrap_err();
    assert_eq!(refused.code(), "too-large");
    let doc = world.trust();
    let long = format!("{doc}{}", " ".repeat(65_537 - doc.len()));
    assert_eq!(
        verify_first(&long, &sha256_b64(long.as_bytes()))
            .unwrap_err()
            .code(),
        "too-large"
    );
    for (typ, limit) in [
        (Typ::Grant, 4096),
        (Typ::State, 4096),
        (Typ::Revocation, 4096),
        (Typ::Policy, 65_536),
    ] {
        let garbage = "A".repeat(limit + 88);
        let code = match typ {
            Typ::Grant => verify_grant(&sign::bundle(&garbage, ""), &ring, &me)
                .unwrap_err()
                .code(),
            Typ::State => verify_state(&garbage, &ring).unwrap_err().code(),
            Typ::Revocation => verify_revocation(&garbage, &ring).unwrap_err().code(),
            _ => verify_policy(&garbage, &ring).unwrap_err().code(),
        };
        assert_eq!(code, "too-large", "{typ:?}");
        let refused = world
            .grant
            .signer
            .sign(typ, &json!({"x": "y".repeat(limit)}))
            .unwrap_err();
        assert!(matches!(refused, SignError::TooLarge { .. }), "{refused}");
    }
    // A full grant still fits what a remote signer takes.
    let fits = |pad: usize| {
        let jws = world
            .grant
            .over(Typ::Grant, &(tree(&grant()).to_string() + &" ".repeat(pad)));
        jws.rsplit_once('.').unwrap().0.len()
    };
    assert!(fits(0) < 1400, "{}", fits(0));
    let pad = (0..4096).find(|pad| fits(*pad) >= 4096).unwrap();
    assert_eq!(fits(pad), 4096);
    let request = world.host.signer.sign(Typ::Request, &request()).unwrap();
    let grant = Grant {
        req_hash: sha256_b64(request.as_bytes()),
        ..grant()
    };
    let padded = |pad: usize| {
        let text = tree(&grant).to_string() + &" ".repeat(pad);
        sign::bundle(&world.grant.over(Typ::Grant, &text), &request)
    };
    assert!(verify_grant(&padded(pad), &ring, &me).is_ok());
    assert_eq!(
        verify_grant(&padded(pad + 3), &ring, &me)
            .unwrap_err()
            .code(),
        "too-large"
    );
}

/// RFC 8037 A.3.
#[test]
fn thumbprint_vector() {
    let jwk = serde_json::from_value(json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    }));
    let key = PublicKey::from_jwk(&jwk.unwrap()).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// RFC 8037 A.4: the signature over "Example of Ed25519 signing" in a compact JWS.
#[test]
fn signature_vector() {
    let jwk = serde_json::from_value(json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    }));
    let key = PublicKey::from_jwk(&jwk.unwrap()).unwrap();
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(key.verifies(input, &unb64(signature)));
    assert!(!key.verifies(b"x", &unb64(signature)));
    assert!(!key.verifies(input, &unb64(signature)[..63]));
}

#[test]
fn keys_round_trip_and_odd_ones_are_refused() {
    for alg in [Alg::Ed25519, Alg::Es256] {
        let (signer, pkcs8) = Signer::generate_for(alg).unwrap();
        let again = Signer::from_pkcs8(&pkcs8).unwrap();
        assert_eq!(again.public(), signer.public());
        let jwk = signer.public().to_jwk();
        assert_eq!(PublicKey::from_jwk(&jwk).unwrap(), signer.public());
        let mut odd = jwk.clone();
        odd.x = format!("{}=", odd.x);
        assert_eq!(PublicKey::from_jwk(&odd), Err(KeyError::Coordinate));
        let mut odd = jwk.clone();
        odd.y = odd.y.map_or(Some(odd.x.clone()), |_| None);
        assert_eq!(PublicKey::from_jwk(&odd), Err(KeyError::Members));
        let mut odd = jwk;
        odd.crv = "Ed448".to_owned();
        assert!(matches!(
            PublicKey::from_jwk(&odd),
            Err(KeyError::Kind { .. })
        ));
        assert!(!format!("{signer:?}").contains(&b64(&pkcs8[16..40])));
    }
    assert!(Signer::from_pkcs8(b"no key").is_err());
    assert_ne!(
        Signer::generate().unwrap().0.kid(),
        Signer::generate().unwrap().0.kid()
    );
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..3)
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop::sample::select(vec!["/a", "/b", "/c/d"]).prop_map(str::to_owned),
        0..3,
    )
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["root", "www-data", "#33", "#0"]);
    prop::collection::vec(name.prop_map(str::to_owned), 0..3)
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let arg = prop::sample::select(vec!["a", "b", "*"]).prop_map(str::to_owned);
    let one = (
        prop::sample::select(vec!["/a", "/b"]),
        prop::collection::vec(arg, 0..4),
    );
    prop::collection::vec(
        one.prop_map(|(path, args)| Command {
            path: path.to_owned(),
            args,
        }),
        0..4,
    )
}

fn all_or<T: Clone + std::fmt::Debug + 'static>(
    list: impl Strategy<Value = Vec<T>> + 'static,
) -> impl Strategy<Value = AllOr<T>> {
    prop_oneof![1 => Just(AllOr::All(All::All)), 3 => list.prop_map(AllOr::List)]
}

prop_compose! {
    fn rights()(
        doors in prop::sample::subsequence(vec![Door::Sudo, Door::Su, Door::Ssh, Door::Polkit], 1..=4),
        groups in texts(), runas in all_or(names()), commands in all_or(commands()), sudoedit in paths(),
        cwd in paths(), env in texts(), unlock in paths(),
        (shell, tty, once, report, password) in any::<(bool, bool, bool, bool, bool)>(),
    ) -> Detail {
        let shell = shell && matches!(commands, AllOr::All(_));
        Detail {
            doors, groups, runas, commands, shell, sudoedit, cwd, env, tty, once, unlock,
            auth: if password { Auth::Password } else { Auth::None },
            record: Record::None,
            on_end: if report { OnEnd::Report } else { OnEnd::Kill },
            ..detail()
        }
    }
}

/// An ask that owns its bytes.
#[derive(Clone, Debug)]
struct Asked {
    door: Door,
    command: &'static str,
    args: Vec<&'static str>,
    env: Vec<&'static str>,
    runas: (Option<&'static str>, u32),
    group: bool,
    cwd: Option<&'static str>,
    has_tty: bool,
    shell: bool,
    sudoedit: bool,
    files: Vec<&'static str>,
    unusual: bool,
}

impl Asked {
    fn ask<R>(&self, then: impl FnOnce(&Ask<'_>) -> R) -> R {
        let bytes = |list: &[&'static str]| list.iter().map(|s| s.as_bytes()).collect::<Vec<_>>();
        let argv: Vec<&[u8]> = std::iter::once(self.command)
            .chain(self.args.iter().copied())
            .map(str::as_bytes)
            .collect();
        let unusual: &[&[u8]] = if self.unusual { &[b"closefrom=9"] } else { &[] };
        then(&Ask {
            door: self.door,
            command: self.command.as_bytes(),
            argv: &argv,
            env: &bytes(&self.env),
            runas_user: self.runas.0.map(str::as_bytes),
            runas_uid: self.runas.1,
            runas_group: self.group.then_some(b"disk"),
            cwd: self.cwd.map(str::as_bytes),
            user_cwd_changed: self.cwd.is_some(),
            chroot: None,
            has_tty: self.has_tty,
            shell: self.shell,
            sudoedit: self.sudoedit,
            files: &bytes(&self.files),
            unusual,
        })
    }

    /// The least right that covers this ask.
    fn least(&self) -> Detail {
        let all = self.shell || self.unusual || self.door != Door::Sudo;
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let args = own(&self.args);
        let runas = match self.runas {
            (Some(name), _) => name.to_owned(),
            (None, uid) => format!("#{uid}"),
        };
        let listed = if self.sudoedit {
            vec![]
        } else {
            vec![Command {
                path: self.command.to_owned(),
                args,
            }]
        };
        Detail {
            doors: vec![self.door],
            groups: vec![],
            runas: if self.group {
                AllOr::All(All::All)
            } else {
                AllOr::List(vec![runas])
            },
            commands: if all {
                AllOr::All(All::All)
            } else {
                AllOr::List(listed)
            },
            shell: self.shell || matches!(self.door, Door::Su | Door::Ssh),
            sudoedit: if self.sudoedit {
                own(&self.files)
            } else {
                vec![]
            },
            cwd: own(self.cwd.as_slice()),
            env: if self.sudoedit {
                vec![]
            } else {
                own(&self.env.iter().map(|e| &e[..1]).collect::<Vec<_>>())
            },
            tty: true,
            once: true,
            unlock: vec![],
            witnessed: None,
            auth: Auth::Password,
            record: Record::Full,
            on_end: OnEnd::Kill,
            ..detail()
        }
    }
}

prop_compose! {
    fn asks()(
        door in prop_oneof![6 => Just(Door::Sudo), 1 => Just(Door::Su), 1 => Just(Door::Polkit)],
        command in prop::sample::select(vec!["/a", "/b"]),
        args in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4),
        env in prop::collection::vec(prop::sample::select(vec!["a=1", "b=2", "d=3"]), 0..2),
        runas in prop::sample::select(vec![(Some("root"), 0), (Some("www-data"), 33), (None, 33), (None, 0)]),
        group in prop::bool::weighted(0.1),
        cwd in prop_oneof![3 => Just(None), 1 => Just(Some("/a")), 1 => Just(Some("/x"))],
        has_tty in any::<bool>(),
        how in prop::sample::select(vec!["run", "run", "run", "run", "shell", "edit", "edit"]),
        files in prop::collection::vec(prop::sample::select(vec!["/a", "/b", "/z"]), 1..3),
        unusual in prop::bool::weighted(0.1),
    ) -> Asked {
        let sudo = door == Door::Sudo;
        Asked {
            door, command, args, env, runas, group, cwd, has_tty, files, unusual,
            shell: how == "shell", sudoedit: how == "edit" && sudo,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn subset_is_reflexive(a in rights()) {
        prop_assert_eq!(subset(&a, &a), Ok(()));
    }

    /// `b` is made from `a` and `c` from `b` most of the time, or the premise would hardly ever hold.
    #[test]
    fn subset_is_transitive(a in rights(), b in rights(), c in rights(), keep in any::<u32>()) {
        let b = mixed(&a, &b, keep);
        let c = mixed(&b, &c, keep.rotate_left(16));
        if subset(&a, &b).is_ok() && subset(&b, &c).is_ok() {
            prop_assert_eq!(subset(&a, &c), Ok(()));
        }
    }

    #[test]
    fn what_the_narrower_right_covers_the_wider_covers(a in rights(), b in rights(), keep in any::<u32>(), asked in asks()) {
        let b = mixed(&a, &b, keep);
        if subset(&a, &b).is_ok() {
            asked.ask(|ask| {
                if covers(&a, ask).is_ok() {
                    prop_assert_eq!(covers(&b, ask), Ok(()));
                }
                Ok(())
            })?;
        }
    }

    /// The other way round: whatever is covered could have been asked for as a right of its own, and that right
    /// is within the wider one.
    #[test]
    fn what_is_covered_is_a_subset(right in rights(), asked in asks()) {
        let least = asked.least();
        asked.ask(|ask| {
            if covers(&right, ask).is_ok() {
                let with_its_terms = Detail { auth: right.auth, tty: right.tty, ..least.clone() };
                // A right may name a user by number or by name, and the ask shows both.
                let by_number = Detail { runas: AllOr::List(vec![format!("#{}", asked.runas.1)]), ..with_its_terms.clone() };
                let within = subset(&with_its_terms, &right).or_else(|gap| if asked.group { Err(gap) } else { subset(&by_number, &right) });
                prop_assert_eq!(within, Ok(()));
            }
            if asked.has_tty {
                prop_assert_eq!(covers(&least, ask), Ok(()));
            }
            Ok(())
        })?;
    }

    #[test]
    fn details_come_back_as_they_were(right in rights()) {
        let text = serde_json::to_string(&right).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Detail>(&text).unwrap(), &right);
    }

    #[test]
    fn ulids_sort_by_time(a in 0..1u64 << 48, b in 0..1u64 << 48, random in any::<[u8; 10]>()) {
        let (x, y) = (ulid(a, random), ulid(b, random));
        prop_assert!(is_ulid(&x) && is_ulid(&y));
        prop_assert_eq!(a.cmp(&b), x.cmp(&y));
    }
}

/// All short patterns against all short argument lists: `subset` says exactly what `covers` does.
#[test]
fn patterns_are_within_each_other_exactly_when_their_matches_are() {
    let lists = |most: usize| {
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        for length in 0..most {
            let longest: Vec<_> = all.iter().filter(|l| l.len() == length).cloned().collect();
            all.extend(
                longest
                    .iter()
                    .flat_map(|list| ["a", "b", "*"].map(|next| [&list[..], &[next]].concat())),
            );
        }
        all
    };
    let patterns: Vec<Detail> = lists(2)
        .iter()
        .map(|args| Detail {
            commands: AllOr::List(vec![ask::command("/usr/bin/systemctl", args)]),
            ..bare()
        })
        .collect();
    let arguments = lists(3);
    let matches = |right: &Detail, args: &[&str]| {
        let argv: Vec<&[u8]> = [&["systemctl"][..], args]
            .concat()
            .iter()
            .map(|a| a.as_bytes())
            .collect();
        covers(
            right,
            &Ask {
                argv: &argv,
                ..ask::ask()
            },
        )
        .is_ok()
    };
    for narrow in &patterns {
        for wide in &patterns {
            let within = arguments
                .iter()
                .all(|args| !matches(narrow, args) || matches(wide, args));
            assert_eq!(
                subset(narrow, wide).is_ok(),
                within,
                "{narrow:?} in {wide:?}"
            );
        }
    }
}

/// `a` with some members of `b`.
fn mixed(a: &Detail, b: &Detail, keep: u32) -> Detail {
    let mut bits = keep;
    let mut take = || {
        bits = bits.rotate_right(2);
        bits & 3 == 0
    };
    let mut out = a.clone();
    if take() {
        out.doors = [a.doors.clone(), b.doors.clone()].concat();
    }
    if take() {
        out.groups = [a.groups.clone(), b.groups.clone()].concat();
    }
    if take() {
        out.runas = b.runas.clone();
    }
    if take() {
        (out.commands, out.shell) = (b.commands.clone(), b.shell);
    }
    if take() {
        out.sudoedit = [a.sudoedit.clone(), b.sudoedit.clone()].concat();
    }
    if take() {
        out.cwd = b.cwd.clone();
    }
    if take() {
        out.env = b.env.clone();
    }
    if take() {
        (out.tty, out.once, out.auth, out.on_end) = (b.tty, b.once, b.auth, b.on_end);
    }
    if take() {
        out.unlock = b.unlock.clone();
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn signed_claims_come_back_as_they_were(
        right in rights(), dur in 1..=43_200u64, later in 0..604_800u64, seq in any::<u64>(), epoch in any::<u32>(),
        stale in 0..=86_400u32, reason in "[ -~äß€]{1,100}x", ticket in prop::option::of("[A-Z]{1,10}-[0-9]{1,5}"),
        es256 in any::<bool>(),
    ) {
        prop_assume!(right.check().is_ok());
        let world = World::new();
        let request = Request {
            authorization_details: vec![right.clone()], dur, not_before: T0 + later, reason: reason.clone(),
            ticket: ticket.clone(), ..request()
        };
        let grant = Grant {
            authorization_details: vec![right], nbf: T0 + later + 1, exp: T0 + later + dur, seq, epoch, max_stale: stale,
            reason, ticket, ..grant()
        };
        prop_assume!(grant.nbf < grant.exp);
        let request_jws = world.host.signer.sign(Typ::Request, &request).unwrap();
        let grant = Grant { req_hash: sha256_b64(request_jws.as_bytes()), ..grant };
        let key = if es256 { &world.es256 } else { &world.grant };
        let bundle = sign::bundle(&key.signer.sign(Typ::Grant, &grant).unwrap(), &request_jws);
        let verified = verify_grant(&bundle, &world.ring(), &world.me()).unwrap();
        prop_assert_eq!(verified.claims(), &grant);
        prop_assert_eq!(verified.request(), &request);
        prop_assert_eq!(verified.request_hash(), sha256_b64(request_jws.as_bytes()));
        prop_assert_eq!(verified.kid(), key.kid());
        prop_assert_eq!(verified.bundle(), bundle);
    }

    /// Nothing panics, nothing is believed.
    #[test]
    fn garbage_is_refused(text in "\\PC{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 0..5)) {
        let world = World::new();
        let ring = world.ring();
        for input in [text, parts.join(".")] {
            prop_assert!(verify_grant(&input, &ring, &world.me()).is_err());
            prop_assert!(verify_state(&input, &ring).is_err());
            prop_assert!(verify_request(&input, &world.host.signer.public()).is_err());
            prop_assert!(verify_first(&input, &sha256_b64(input.as_bytes())).is_err());
        }
    }
}

#[test]
fn ulid_form() {
    // The example of the ULID specification has this time part.
    assert_eq!(
        ulid(1_469_918_176_385, [0; 10]),
        "01ARYZ6S410000000000000000"
    );
    assert_eq!(ulid(u64::MAX, [0xff; 10]), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    for bad in [
        "",
        "01ARYZ6S41000000000000000",
        "01ARYZ6S4100000000000000000",
        "81ARYZ6S410000000000000000",
        "01ARYZ6S41000000000000000I",
        "01aryz6s410000000000000000",
        "01ARYZ6S41000000000000000/",
    ] {
        assert!(!is_ulid(bad), "{bad}");
    }
}

#[test]
fn a_role_expands_to_what_it_says() {
    let mut role = role();
    role.groups = vec!["adm".into()];
    let detail = role.expand("logs", "alice", 1000);
    assert_eq!(detail.groups, ["adm", "jit-logs"]);
    assert_eq!((detail.login.as_str(), detail.uid), ("alice", 1000));
    assert_eq!(detail.check(), Ok(()));
    role.groups = vec!["jit-logs".into()];
    assert_eq!(role.expand("logs", "alice", 1000).groups, ["jit-logs"]);
}

#[test]
fn what_verified_says_of_itself() {
    let world = World::new();
    let jws = world
        .revocation
        .signer
        .sign(Typ::Revocation, &revocation())
        .unwrap();
    let verified = verify_revocation(&jws, &world.ring()).unwrap();
    assert_eq!(*verified, revocation());
    assert_eq!(verified.jws(), jws);
    assert_eq!(verified.hash(), sha256_b64(jws.as_bytes()));
    assert_eq!(verified.kid(), world.revocation.kid());
    let ring = world.ring();
    assert_eq!(ring.iss(), ISS);
    assert!(ring.find(world.grant.kid(), Typ::Grant).is_some());
    assert!(ring.find(world.grant.kid(), Typ::State).is_none());
    assert!(ring.find(world.stranger.kid(), Typ::Grant).is_none());
    assert!(
        ring.may_be_automatic("admin")
            && !ring.may_be_automatic("dba")
            && !ring.may_be_automatic("ALL")
    );
}
