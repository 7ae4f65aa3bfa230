use super::*;
use crate::agent::waiting::speaks_against;
use crate::clock::Now;
use crate::store::grants::Cause;
use crate::store::state::State;
use statement::detail::OnEnd;

fn waiting(signed: Signed) -> Stored {
    let file = GrantFile {
        v: 1,
        jti: "G".into(),
        login: "alice".into(),
        uid: 1001,
        role: "admin".into(),
        groups: Vec::new(),
        on_end: OnEnd::Kill,
        from_s: 2000,
        until_s: 3000,
        boot_id: "b".into(),
        until_boot_ns: 7,
        timers: 1,
        phase: Phase::Waiting,
        cause: None::<Cause>,
        used: false,
        request: "R".into(),
        bundle: String::new(),
        journal_from: 0,
        extensions: Vec::new(),
    };
    Stored { file, signed }
}

fn put_by() -> Stored {
    waiting(Signed::PutBy(Box::new(Terms {
        jti: "G".into(),
        extends: None,
        sub: "local:1001@h".into(),
        iat: 1000,
        epoch: 1,
        kid: "issuer".into(),
        request_kid: "host".into(),
        people: ["bob@corp".into()].into(),
        reason: "x".into(),
        elsewhere: None,
    })))
}

fn me() -> HostIdentity {
    HostIdentity {
        host: "h".into(),
        groups: Vec::new(),
        key: statement::sign::Signer::generate().unwrap().0.public(),
    }
}

fn revocation(target: Target, iat: u64) -> Revocation {
    Revocation {
        ver: 1,
        iss: "i".into(),
        iat,
        exp: iat + 1000,
        epoch: 1,
        serial: 1,
        prev: String::new(),
        target,
        reason: "no".into(),
    }
}

/// It came while nobody had looked at the grant, and the state forgot it before somebody did.
#[test]
fn a_revocation_that_came_unheard_counts_when_the_grant_is_looked_at() {
    let now = Now {
        wall_ms: 1_500_000,
        boot_ns: 9,
        mono_us: 9,
    };
    let state = State::new("", 1, "b", now);
    let came = revocation(Target::Sub("local:1001@h".into()), 1200);
    assert!(!waiting(Signed::Unread).revoked_by(&came, &me()));
    let against =
        |state, heard: &[Revocation]| speaks_against(&put_by(), &me(), state, &mut heard.iter());
    assert_eq!(against(&state, &[came]), Some(Cause::Revoked));
    assert_eq!(against(&state, &[]), None);
    let later = State::new("", 2, "b", now);
    assert_eq!(against(&later, &[]), Some(Cause::Untrusted));
}

#[test]
fn what_was_put_by_is_ended_by_whatever_a_revocation_names() {
    let me = me();
    let revoked = |stored: &Stored, target: &Target, iat: u64| {
        stored.revoked_by(&revocation(target.clone(), iat), &me)
    };
    // What ends what was given before it, and not what was given later.
    for target in [Target::Sub("local:1001@h".into()), Target::Host("h".into())] {
        assert!(revoked(&put_by(), &target, 1000), "{target:?}");
        assert!(!revoked(&put_by(), &target, 999), "{target:?}");
    }
    for (target, ends) in [
        (Target::Grant("G".into()), true),
        (Target::Grant("H".into()), false),
        (Target::Sub("local:1002@h".into()), false),
        (Target::Host("other".into()), false),
        (Target::Kid("issuer".into()), true),
        (Target::Kid("host".into()), true),
        (Target::Kid("other".into()), false),
        (Target::Approver("bob@corp".into()), true),
        (Target::Approver("eve@corp".into()), false),
        (Target::IssuedBefore(1001), true),
        (Target::IssuedBefore(1000), false),
    ] {
        assert_eq!(revoked(&put_by(), &target, 5000), ends, "{target:?}");
        // Of what nobody has looked at, its id is known and no more.
        let own = target == Target::Grant("G".into());
        assert_eq!(revoked(&waiting(Signed::Unread), &target, 5000), own);
    }
}

#[test]
fn what_was_put_by_is_known_by_its_names_and_has_no_say() {
    for stored in [put_by(), waiting(Signed::Unread)] {
        assert!(stored.whole().is_none() && stored.view().is_none());
        assert!(stored.is_called("G") && !stored.is_called("R"));
        assert!(stored.was_asked_as("R") && !stored.was_asked_as("G"));
        assert_eq!(stored.deadline().wall_s, 3000);
    }
}
