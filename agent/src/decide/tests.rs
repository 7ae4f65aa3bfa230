mod cost;

use super::*;
use crate::store::state::Mark;
use proptest::prelude::*;
use statement::claims::{Mode, PolicyRef};
use statement::detail::{All, AllOr, DETAIL_TYPE, OnEnd, Record};

const T0: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

fn at(wall_s: u64, boot_s: u64) -> Now {
    Now {
        wall_ms: wall_s * 1000,
        boot_ns: boot_s * S,
        mono_us: 0,
    }
}

/// Fresh at wall T0, boot 100 s.
fn fresh() -> State {
    let mut s = State::new("", 1, "boot", at(T0, 100));
    s.state_iat = T0;
    s.received_boot_ns = Some(100 * S);
    s
}

fn detail(doors: Vec<Door>) -> Detail {
    Detail {
        kind: DETAIL_TYPE.into(),
        login: "alice".into(),
        uid: 1001,
        doors,
        groups: vec![],
        runas: AllOr::All(All::All),
        commands: AllOr::All(All::All),
        shell: true,
        sudoedit: vec![],
        cwd: vec![],
        env: vec![],
        tty: false,
        once: false,
        auth: Auth::None,
        record: Record::None,
        on_end: OnEnd::Kill,
        unlock: vec![],
        witnessed: None,
    }
}

fn claims(exp: u64, detail: Detail) -> claims::Grant {
    claims::Grant {
        ver: 1,
        iss: "i".into(),
        iat: T0,
        epoch: 1,
        aud: vec!["h".into()],
        jti: "01JABCDEFGHJKMNPQRSTVWXYZ0".into(),
        seq: 1,
        sub: "s".into(),
        nbf: T0,
        exp,
        max_stale: 300,
        role: "admin".into(),
        authorization_details: vec![detail],
        req_hash: String::new(),
        mode: Mode::Auto,
        policy: PolicyRef {
            digest: String::new(),
            rule: String::new(),
        },
        reason: "r".into(),
        ticket: None,
        extends: None,
    }
}

fn view(claims: &claims::Grant) -> View<'_> {
    View {
        claims,
        max_stale: claims.max_stale,
        phase: Phase::Active,
        deadline: Deadline {
            wall_s: claims.exp,
            boot_ns: (100 + claims.exp - T0) * S,
        },
        used: false,
    }
}

const ALICE: Who<'_> = Who {
    login: "alice",
    uid: 1001,
};

fn allowed(views: &[View<'_>], state: &State, now: Now, who: Who<'_>) -> bool {
    let question = Question::Door(Door::Sudo);
    matches!(
        decide(views.iter().copied(), state, 300, now, who, question),
        Decision::Allow(..)
    )
}

#[test]
fn a_live_grant_opens_its_door_to_its_user_alone() {
    let c = claims(T0 + 60, detail(vec![Door::Sudo]));
    let v = [view(&c)];
    let now = at(T0 + 10, 110);
    assert!(allowed(&v, &fresh(), now, ALICE));
    let bob = Who {
        login: "bob",
        uid: 1002,
    };
    assert!(!allowed(&v, &fresh(), now, bob));
    // Recreated under the same name, renamed under the same uid.
    assert!(!allowed(&v, &fresh(), now, Who { uid: 1002, ..ALICE }));
    let renamed = Who {
        login: "alicia",
        ..ALICE
    };
    assert!(!allowed(&v, &fresh(), now, renamed));
}

#[test]
fn only_an_active_unused_grant_of_this_epoch_counts() {
    let c = claims(T0 + 60, detail(vec![Door::Sudo]));
    let now = at(T0 + 10, 110);
    for phase in [Phase::Waiting, Phase::Arming, Phase::Ending] {
        let v = [View { phase, ..view(&c) }];
        assert!(!allowed(&v, &fresh(), now, ALICE), "{phase:?}");
    }
    let used = [View {
        used: true,
        ..view(&c)
    }];
    assert!(!allowed(&used, &fresh(), now, ALICE));
    let mut next = fresh();
    next.epoch = 2;
    assert!(!allowed(&[view(&c)], &next, now, ALICE));
}

#[test]
fn the_end_counts_to_the_second_on_either_clock() {
    let c = claims(T0 + 60, detail(vec![Door::Sudo]));
    let v = [view(&c)];
    let s = fresh();
    assert!(allowed(&v, &s, at(T0 + 59, 159), ALICE));
    assert!(!allowed(&v, &s, at(T0 + 60, 159), ALICE));
    assert!(!allowed(&v, &s, at(T0 + 59, 160), ALICE));
}

#[test]
fn without_a_fresh_view_of_revocations_nothing_is_allowed() {
    let c = claims(T0 + 3600, detail(vec![Door::Sudo]));
    let v = [view(&c)];
    assert!(allowed(&v, &fresh(), at(T0 + 300, 400), ALICE));
    assert!(!allowed(&v, &fresh(), at(T0 + 301, 401), ALICE));
    // Never heard of.
    let never = State::new("", 1, "boot", at(T0, 100));
    assert!(!allowed(&v, &never, at(T0 + 1, 101), ALICE));
    // Revocations are named that have not arrived.
    let mut behind = fresh();
    behind.state_rev_serial = 1;
    assert!(!allowed(&v, &behind, at(T0 + 1, 101), ALICE));
}

#[test]
fn a_grant_of_groups_alone_opens_no_door() {
    let c = claims(T0 + 60, detail(vec![]));
    assert!(!allowed(&[view(&c)], &fresh(), at(T0 + 1, 101), ALICE));
}

#[test]
fn of_two_grants_the_one_that_ends_last_is_taken() {
    let early = claims(T0 + 60, detail(vec![Door::Sudo]));
    let mut late = claims(T0 + 120, detail(vec![Door::Sudo]));
    late.jti = "01JABCDEFGHJKMNPQRSTVWXYZ1".into();
    for views in [[view(&early), view(&late)], [view(&late), view(&early)]] {
        let question = Question::Door(Door::Sudo);
        match decide(views, &fresh(), 300, at(T0 + 1, 101), ALICE, question) {
            Decision::Allow(v, _) => assert_eq!(v.claims.jti, late.jti),
            Decision::Deny(why) => panic!("{why}"),
        }
    }
}

#[test]
fn one_grant_with_a_password_makes_pam_ask_for_it() {
    let free = claims(T0 + 60, detail(vec![Door::Sudo]));
    let with = Detail {
        auth: Auth::Password,
        ..detail(vec![Door::Sudo])
    };
    let with = claims(T0 + 60, with);
    let now = at(T0 + 1, 101);
    assert!(!needs_password(
        [view(&free)],
        &fresh(),
        now,
        ALICE,
        Door::Sudo
    ));
    assert!(needs_password(
        [view(&free), view(&with)],
        &fresh(),
        now,
        ALICE,
        Door::Sudo
    ));
}

proptest! {
    /// Whatever is done to the wall clock and whenever the mark was taken: no use later than the end by boot time,
    /// and none later than the end by a wall clock that was never set back.
    #[test]
    fn no_clock_setting_extends_a_grant(
        life in 1_u64..43_200,
        boot_passed in 0_u64..100_000,
        wall in 0_u64..3_000_000,
        mark in 0_u64..2_000_000,
        mark_boot in 0_u64..200_000,
    ) {
        let c = claims(T0 + life, detail(vec![Door::Sudo]));
        let mut s = fresh();
        s.mark = Mark { wall_s: mark, boot_ns: mark_boot * S };
        let now = at(wall, 100 + boot_passed);
        if allowed(&[view(&c)], &s, now, ALICE) {
            prop_assert!(boot_passed < life);
            prop_assert!(wall < T0 + life);
            prop_assert!(mark.saturating_add((100 + boot_passed).saturating_sub(mark_boot)) < T0 + life);
            prop_assert!(boot_passed <= 300);
        }
    }

    /// The seconds shown are 0 exactly when the grant is over.
    #[test]
    fn seconds_left_agree_with_the_decision(life in 1_u64..43_200, passed in 0_u64..50_000) {
        let c = claims(T0 + life, detail(vec![Door::Sudo]));
        let now = at(T0 + passed, 100 + passed);
        let deadline = view(&c).deadline;
        prop_assert_eq!(deadline.left_s(&fresh(), now) == 0, deadline.passed(&fresh(), now));
    }
}
