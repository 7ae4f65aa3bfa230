//! The gates against a scripted agent, user database and clock.

use super::*;
use crate::call::{Caller, Mode, Settings};
use crate::cell::cut;
use crate::standing::NO_CALLER;
use crate::world::Now;
use std::cell::{Cell as Slot, RefCell};
use std::collections::VecDeque;
use std::time::Duration;
use wire::client::CallError;
use wire::frame::FrameError;
use wire::gate::{Deadline, Door, Reply, Subject, Use};

const NO_GRANT: &str = "you have no active grant; run: jitctl elevate --for 15m --reason TEXT";
const END: Deadline = Deadline {
    wall_s: 1_000,
    boot_ns: 500,
};

type Answer = Result<Reply, CallError>;

struct Script {
    eligible: Result<bool, String>,
    /// Answers in order; asking once too often fails the test.
    replies: RefCell<VecDeque<Answer>>,
    now: Slot<Option<Now>>,
    /// How long each answer takes.
    takes: Slot<Duration>,
    asked: RefCell<Vec<(Request, Duration)>>,
    said: RefCell<Vec<(Stream, String)>>,
}

impl World for Script {
    fn ask(&self, request: &Request, budget: Duration) -> Answer {
        self.asked.borrow_mut().push((request.clone(), budget));
        if let Some(mut now) = self.now.get() {
            now.boot_ns += u64::try_from(self.takes.get().as_nanos()).unwrap();
            self.now.set(Some(now));
        }
        self.replies
            .borrow_mut()
            .pop_front()
            .unwrap_or_else(|| panic!("not scripted: {request:?}"))
    }
    fn eligible(&self, _: &Subject) -> Result<bool, String> {
        self.eligible.clone()
    }
    fn say(&self, stream: Stream, text: &str) {
        self.said.borrow_mut().push((stream, text.to_owned()));
    }
    fn now(&self) -> Option<Now> {
        self.now.get()
    }
}

fn script(eligible: Result<bool, String>, replies: Vec<Answer>) -> Script {
    Script {
        eligible,
        replies: RefCell::new(replies.into()),
        now: Slot::new(Some(Now {
            wall_s: 999,
            boot_ns: 499,
        })),
        takes: Slot::default(),
        asked: RefCell::default(),
        said: RefCell::default(),
    }
}

impl Script {
    fn then(&self, reply: Answer) {
        self.replies.borrow_mut().push_back(reply);
    }
    fn silent(&self) -> bool {
        self.said.borrow().is_empty()
    }
    fn all_asked(&self) -> bool {
        self.replies.borrow().is_empty()
    }
}

fn state(active: bool, standing_rules: bool) -> Answer {
    let text = (!active).then(|| NO_GRANT.to_owned());
    Ok(Reply::State {
        active,
        until: active.then_some(END),
        text,
        standing_rules,
    })
}

fn allow() -> Answer {
    Ok(Reply::Allow {
        grant: "G".to_owned(),
        until: END,
        text: None,
    })
}

fn deny(text: &str) -> Answer {
    Ok(Reply::Deny {
        text: text.to_owned(),
    })
}

fn dead() -> Answer {
    Err(CallError::TimedOut { sent: true })
}

fn opening(uid: u32) -> Opening {
    Opening {
        caller: Some(Caller {
            login: "alice".into(),
            uid,
            cwd: Some("/home/alice".into()),
            tty: None,
        }),
        settings: Settings::default(),
        mode: Mode::Run,
        about: None,
        argv: vec!["sudo".into(), "id".into()],
        too_old: false,
    }
}

fn opened(world: &Script) -> Gates {
    let mut gates = Gates::new();
    gates.open(world, opening(1000));
    gates
}

fn id<'a>() -> Result<Command<'a>, Unclear> {
    Ok(Command {
        info: vec![
            b"command=/usr/bin/id",
            b"runas_user=root",
            b"runas_uid=0",
            b"runas_gid=0",
        ],
        argv: vec![b"id"],
        envp: vec![b"A=b"],
    })
}

fn unread<'a>() -> Result<Command<'a>, Unclear> {
    panic!("must not be read")
}

fn refused(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refuse(text) => text,
        Verdict::Allow => panic!("allowed"),
    }
}

fn is(gates: &mut Gates, world: &Script, group: &[u8]) -> bool {
    gates.query(world, b"alice", Some(1000), group)
}

/// Everything sudo does for a command up to the exec.
fn run(gates: &mut Gates, world: &Script) -> Result<(), (&'static str, String)> {
    if let Verdict::Refuse(text) = gates.accept(world, Event::Policy, Some(b"/usr/bin/id")) {
        return Err(("policy", text));
    }
    gates.approval_open(world, opening(1000));
    if let Verdict::Refuse(text) = gates.check(world, id) {
        return Err(("G3", text));
    }
    if let Verdict::Refuse(text) = gates.accept(world, Event::Other, Some(b"/usr/bin/id")) {
        return Err(("approval", text));
    }
    if let Verdict::Refuse(text) = gates.accept(world, Event::FrontEnd, Some(b"/usr/bin/id")) {
        return Err(("G4", text));
    }
    Ok(())
}

#[test]
fn root_and_unmanaged_users_never_wait_for_anybody() {
    for (uid, eligible) in [
        (0, Err("NSS is down".to_owned())),
        (0, Ok(true)),
        (1000, Ok(false)),
    ] {
        let world = script(eligible, vec![]);
        let mut gates = Gates::new();
        gates.open(&world, opening(uid));
        assert!(gates.exempt());
        assert!(!is(&mut gates, &world, MANAGED) && !is(&mut gates, &world, ACTIVE));
        assert_eq!(gates.check(&world, unread), Verdict::Allow);
        assert_eq!(run(&mut gates, &world), Ok(()));
        gates.refused(&world, None, b"sudoers_policy", b"incorrect password");
        gates.refused(&world, Some("G3"), b"jit_approval", b"x");
        gates.close(&world, WAIT_STATUS, 0);
        assert!(world.asked.borrow().is_empty() && world.silent());
    }
}

#[test]
fn a_grant_opens_all_gates_and_its_end_is_told() {
    let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
    let mut gates = opened(&world);
    assert!(!gates.exempt());
    assert!(is(&mut gates, &world, MANAGED) && is(&mut gates, &world, ACTIVE));
    assert_eq!(run(&mut gates, &world), Ok(()));
    gates.close(&world, WAIT_STATUS, 3 << 8);
    gates.close(&world, WAIT_STATUS, 3 << 8);
    assert!(world.all_asked() && world.silent());

    let asked = world.asked.borrow();
    let subject = Subject {
        login: "alice".into(),
        uid: 1000,
    };
    let first = Request::Open {
        subject: subject.clone(),
        door: Door::Sudo,
        intent: true,
    };
    assert_eq!(asked[0], (first, budget::OPEN));
    let (Request::Use(question), limit) = &asked[1] else {
        panic!("{:?}", asked[1])
    };
    assert_eq!(*limit, budget::OPEN + budget::CHECK, "open took no time");
    let Use {
        subject: whose,
        command,
        argv,
        env,
        ..
    } = &**question;
    assert_eq!((whose, command), (&subject, &Text::from("/usr/bin/id")));
    assert_eq!(
        (argv.as_slice(), env.as_slice()),
        (&["id".into()][..], &["A=b".into()][..])
    );
    let last = Request::Closed {
        subject,
        grant: "G".to_owned(),
        status: 3 << 8,
    };
    assert_eq!(asked[2], (last, budget::REPORT));
    assert_eq!(asked.len(), 3, "one call is closed once");
}

#[test]
fn what_open_took_is_not_left_for_check() {
    let took = budget::OPEN - Duration::from_millis(100);
    for (takes, clock, left) in [
        (took, true, Duration::from_millis(100)),
        (budget::OPEN * 2, true, Duration::ZERO),
        (Duration::ZERO, false, Duration::ZERO),
    ] {
        let world = script(Ok(true), vec![state(true, false), deny("no")]);
        world.takes.set(takes);
        if !clock {
            world.now.set(None);
        }
        let mut gates = opened(&world);
        assert_eq!(refused(gates.check(&world, id)), "no");
        assert_eq!(world.asked.borrow()[1].1, budget::CHECK + left);
    }
}

#[test]
fn intent_is_told_only_for_a_run() {
    for (mode, expected) in [
        (Mode::Run, true),
        (Mode::List, false),
        (Mode::Validate, false),
        (Mode::Other, false),
    ] {
        let world = script(Ok(true), vec![state(true, false)]);
        Gates::new().open(
            &world,
            Opening {
                mode,
                ..opening(1000)
            },
        );
        let asked = world.asked.borrow();
        let (Request::Open { intent, .. }, _) = &asked[0] else {
            panic!("{asked:?}")
        };
        assert_eq!(*intent, expected, "{mode:?}");
    }
}

#[test]
fn without_a_grant_g1_is_silent_and_g3_speaks_once() {
    let world = script(Ok(true), vec![state(false, false), Ok(Reply::Done)]);
    let mut gates = opened(&world);
    assert!(is(&mut gates, &world, MANAGED));
    assert!(!is(&mut gates, &world, ACTIVE));
    gates.refused(&world, None, b"sudoers_policy", b"no rule");
    assert!(world.silent());
    // A rule of his own matched; it counts for nothing.
    assert_eq!(refused(gates.check(&world, unread)), NO_GRANT);
    assert_eq!(*world.said.borrow(), [(Stream::Error, NO_GRANT.to_owned())]);
    let asked = world.asked.borrow();
    let (
        Request::Refused {
            by,
            message,
            argv,
            cwd,
            ..
        },
        budget::REPORT,
    ) = &asked[1]
    else {
        panic!("{asked:?}")
    };
    assert_eq!((by, message), (&"G1".into(), &"no rule".into()));
    assert_eq!(argv.as_slice(), ["sudo".into(), "id".into()]);
    assert_eq!(cwd.as_ref(), Some(&"/home/alice".into()));
}

#[test]
fn standing_rules_count_only_when_the_ceiling_says_so() {
    let world = script(Ok(true), vec![state(false, true)]);
    let mut gates = opened(&world);
    assert!(is(&mut gates, &world, MANAGED));
    assert!(
        !is(&mut gates, &world, ACTIVE),
        "standing rules are no grant"
    );
    assert_eq!(run(&mut gates, &world), Ok(()));
    gates.close(&world, WAIT_STATUS, 0);
    assert!(world.silent());
    assert_eq!(world.asked.borrow().len(), 1);

    // With a grant, the agent is asked all the same.
    let world = script(Ok(true), vec![state(true, true), deny("out of scope")]);
    assert_eq!(
        run(&mut opened(&world), &world),
        Err(("G3", "out of scope".to_owned()))
    );
}

#[test]
fn a_refusal_by_the_agent_is_shown_once_and_not_reported_again() {
    let world = script(
        Ok(true),
        vec![state(true, false), deny("only nginx may be restarted")],
    );
    let mut gates = opened(&world);
    assert_eq!(
        run(&mut gates, &world),
        Err(("G3", "only nginx may be restarted".to_owned()))
    );
    gates.refused(
        &world,
        Some("G3"),
        b"jit_approval",
        b"only nginx may be restarted",
    );
    gates.close(&world, 0, 0);
    assert_eq!(world.said.borrow().len(), 1);
    assert!(world.all_asked());
}

#[test]
fn an_agent_that_gives_no_answer_refuses() {
    for first in [
        dead(),
        Ok(Reply::Done),
        Ok(Reply::Lines { lines: vec![] }),
        allow(),
    ] {
        let world = script(Ok(true), vec![first]);
        let mut gates = opened(&world);
        assert!(is(&mut gates, &world, MANAGED));
        assert!(!is(&mut gates, &world, ACTIVE));
        let text = refused(gates.check(&world, unread));
        assert!(
            text.contains("; root's own sudo is not affected. Try: "),
            "{text}"
        );
        assert_eq!(world.said.borrow().len(), 1);
    }
    for second in [
        dead(),
        Ok(Reply::Done),
        state(true, true),
        Ok(Reply::Lines { lines: vec![] }),
    ] {
        let world = script(Ok(true), vec![state(true, true), second]);
        let mut gates = opened(&world);
        let (gate, text) = run(&mut gates, &world).unwrap_err();
        assert_eq!(gate, "G3");
        assert!(
            text.contains("; root's own sudo is not affected. Try: "),
            "{text}"
        );
        world.then(Ok(Reply::Done));
        gates.refused(&world, Some("G3"), b"jit_approval", text.as_bytes());
        assert!(
            matches!(&world.asked.borrow()[2].0, Request::Refused { by, .. } if *by == "G3".into())
        );
    }
}

#[test]
fn what_does_not_fit_a_message_is_refused() {
    let why = FrameError::TooLarge { len: 3, cap: 2 };
    let too_large = Err(CallError::TooLarge(why));
    let world = script(Ok(true), vec![state(true, false), too_large]);
    let text = refused(opened(&world).check(&world, id));
    assert_eq!(text, Unclear::TooLarge.to_string());
}

#[test]
fn a_user_database_without_an_answer_refuses() {
    let world = script(Err("no file descriptor is free".to_owned()), vec![]);
    let mut gates = opened(&world);
    assert!(
        is(&mut gates, &world, MANAGED),
        "our PAM service, which refuses, must be his"
    );
    assert!(!is(&mut gates, &world, ACTIVE));
    let text = refused(gates.check(&world, unread));
    assert!(text.contains("no file descriptor is free"), "{text}");
}

#[test]
fn a_caller_sudo_does_not_name_is_refused() {
    let world = script(Ok(false), vec![]);
    let mut gates = Gates::new();
    gates.open(
        &world,
        Opening {
            caller: None,
            ..opening(1000)
        },
    );
    assert!(!is(&mut gates, &world, ACTIVE));
    assert_eq!(refused(gates.check(&world, unread)), NO_CALLER);
    gates.refused(&world, Some("G3"), b"jit_approval", b"x");
    gates.close(&world, 0, 0);
}

#[test]
fn an_older_sudo_is_refused_to_managed_users_only() {
    let world = script(Ok(true), vec![]);
    let mut gates = Gates::new();
    gates.open(
        &world,
        Opening {
            too_old: true,
            ..opening(1000)
        },
    );
    assert!(!is(&mut gates, &world, ACTIVE));
    assert!(refused(gates.check(&world, unread)).contains("older than 1.9.4"));

    let world = script(Ok(false), vec![]);
    let mut gates = Gates::new();
    gates.open(
        &world,
        Opening {
            too_old: true,
            ..opening(1000)
        },
    );
    assert_eq!(run(&mut gates, &world), Ok(()));
}

#[test]
fn without_the_audit_plugin_managed_users_are_refused() {
    let world = script(Ok(true), vec![]);
    let mut gates = Gates::new();
    assert!(!is(&mut gates, &world, MANAGED) && !is(&mut gates, &world, ACTIVE));
    gates.approval_open(&world, opening(1000));
    assert!(!is(&mut gates, &world, MANAGED) && !is(&mut gates, &world, ACTIVE));
    assert!(refused(gates.check(&world, unread)).contains("jit_audit"));

    for (uid, eligible) in [(0, Ok(true)), (1000, Ok(false))] {
        let world = script(eligible, vec![]);
        let mut gates = Gates::new();
        gates.approval_open(&world, opening(uid));
        assert_eq!(gates.check(&world, unread), Verdict::Allow);
    }
    // Nothing opened at all.
    refused(Gates::new().check(&world, unread)).clear();
}

#[test]
fn without_the_approval_plugin_g4_stops_the_command() {
    for standing_rules in [false, true] {
        let world = script(Ok(true), vec![state(true, standing_rules), Ok(Reply::Done)]);
        let mut gates = opened(&world);
        assert_eq!(
            gates.accept(&world, Event::Policy, Some(b"/usr/bin/id")),
            Verdict::Allow
        );
        let text = refused(gates.accept(&world, Event::FrontEnd, Some(b"/usr/bin/id")));
        assert!(text.contains("not checked"), "{text}");
        assert!(
            matches!(&world.asked.borrow()[1].0, Request::Refused { by, .. } if *by == "G4".into())
        );
        assert!(world.silent(), "sudo shows G4's text itself");
    }
}

#[test]
fn a_refused_command_cannot_start_although_an_earlier_one_was_allowed() {
    let world = script(
        Ok(true),
        vec![state(true, false), allow(), deny("no"), Ok(Reply::Done)],
    );
    let mut gates = opened(&world);
    assert_eq!(run(&mut gates, &world), Ok(()));
    assert_eq!(
        gates.accept(&world, Event::Policy, Some(b"/bin/sh")),
        Verdict::Allow
    );
    refused(gates.check(&world, id)).clear();
    refused(gates.accept(&world, Event::FrontEnd, Some(b"/bin/sh"))).clear();
    // Nor without a new word of the policy.
    let world = script(
        Ok(true),
        vec![state(true, false), allow(), deny("no"), Ok(Reply::Done)],
    );
    let mut gates = opened(&world);
    assert_eq!(gates.check(&world, id), Verdict::Allow);
    refused(gates.check(&world, id)).clear();
    refused(gates.accept(&world, Event::FrontEnd, None)).clear();
    // And one that no check saw.
    let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
    let mut gates = opened(&world);
    assert_eq!(run(&mut gates, &world), Ok(()));
    assert_eq!(
        gates.accept(&world, Event::Policy, Some(b"/bin/sh")),
        Verdict::Allow
    );
    refused(gates.accept(&world, Event::FrontEnd, Some(b"/bin/sh"))).clear();
}

#[test]
fn commands_started_by_the_command_are_none_of_g4s_business() {
    let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
    let mut gates = opened(&world);
    assert_eq!(run(&mut gates, &world), Ok(()));
    world.now.set(Some(Now {
        wall_s: 2000,
        boot_ns: 2000,
    }));
    let again = gates.accept(&world, Event::FrontEnd, Some(b"/bin/true"));
    assert_eq!(again, Verdict::Allow);
    // But once the policy was asked anew, so are we.
    assert_eq!(
        gates.accept(&world, Event::Policy, Some(b"/bin/true")),
        Verdict::Allow
    );
    refused(gates.accept(&world, Event::FrontEnd, Some(b"/bin/true"))).clear();
}

#[test]
fn the_deadline_of_either_clock_stops_the_command() {
    let at = |wall_s, boot_ns| {
        let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
        world.now.set(Some(Now { wall_s, boot_ns }));
        let mut gates = opened(&world);
        run(&mut gates, &world)
    };
    assert_eq!(at(999, 499), Ok(()));
    assert_eq!(at(1000, 0).unwrap_err().0, "G4");
    assert_eq!(at(0, 500).unwrap_err().0, "G4");

    let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
    world.now.set(None);
    let mut gates = opened(&world);
    assert_eq!(
        run(&mut gates, &world).unwrap_err().0,
        "G4",
        "no clock, no command"
    );
}

#[test]
fn an_unclear_command_is_refused_without_asking() {
    let world = script(Ok(true), vec![state(true, false)]);
    let text = refused(opened(&world).check(&world, || Err(Unclear::TooLarge)));
    assert_eq!(text, Unclear::TooLarge.to_string());
    assert_eq!(world.said.borrow().len(), 1);

    let world = script(Ok(true), vec![state(true, false)]);
    refused(opened(&world).check(&world, || Ok(Command::default()))).clear();
}

#[test]
fn a_remark_of_the_agent_goes_to_the_error_stream() {
    let remark = Ok(Reply::Allow {
        grant: "G".to_owned(),
        until: END,
        text: Some("5 s left".to_owned()),
    });
    let world = script(Ok(true), vec![state(true, false), remark]);
    assert_eq!(run(&mut opened(&world), &world), Ok(()));
    assert_eq!(
        *world.said.borrow(),
        [(Stream::Error, "5 s left".to_owned())]
    );
}

#[test]
fn listing_is_recorded_and_shows_the_grants_commands() {
    let lines = || {
        let lines = vec!["one".to_owned(), "two".to_owned()];
        Ok(Reply::Lines { lines })
    };
    let subject = Subject {
        login: "alice".into(),
        uid: 1000,
    };
    for (about, command, kind, shown) in [
        (None, "list", ListKind::List, true),
        (Some("alice"), "list", ListKind::List, true),
        // His own grants say nothing about another login.
        (Some("bob"), "list", ListKind::List, false),
        (None, "validate", ListKind::Validate, false),
    ] {
        let world = script(Ok(true), vec![state(true, false), lines()]);
        let mut gates = Gates::new();
        let about = about.map(Text::from);
        let mode = Mode::List;
        gates.open(
            &world,
            Opening {
                mode,
                about: about.clone(),
                ..opening(1000)
            },
        );
        let verdict = gates.accept(&world, Event::Policy, Some(command.as_bytes()));
        assert_eq!(verdict, Verdict::Allow);
        let expected = [(Stream::Output, "one\ntwo".to_owned())];
        assert_eq!(*world.said.borrow(), expected[..usize::from(shown)]);
        let request = Request::List {
            subject: subject.clone(),
            door: Door::Sudo,
            kind,
            about,
        };
        assert_eq!(world.asked.borrow()[1..], [(request, budget::REPORT)]);
    }
    // Without an answer sudo's own listing stands.
    let world = script(Ok(true), vec![state(true, false), dead()]);
    let verdict = opened(&world).accept(&world, Event::Policy, Some(b"list"));
    assert_eq!(verdict, Verdict::Allow);
    assert!(world.silent());
}

#[test]
fn membership_follows_the_user_argument() {
    // The caller under another uid, and other groups.
    let world = script(Ok(true), vec![state(true, false)]);
    let mut gates = opened(&world);
    assert!(!gates.query(&world, b"alice", Some(1001), ACTIVE));
    assert!(gates.query(&world, b"alice", Some(1001), MANAGED));
    assert!(gates.query(&world, b"alice", None, ACTIVE));
    for group in [
        &b""[..],
        b"sudo",
        b"jit-activ",
        b"jit-active ",
        b"JIT-ACTIVE",
    ] {
        assert!(!is(&mut gates, &world, group), "{}", group.escape_ascii());
    }
    // Another login is asked afresh, once, without intent.
    world.then(state(true, false));
    assert!(gates.query(&world, b"bob", Some(1002), ACTIVE));
    assert!(gates.query(&world, b"bob", Some(1002), MANAGED));
    let bob = Subject {
        login: "bob".into(),
        uid: 1002,
    };
    let asked = Request::Open {
        subject: bob,
        door: Door::Sudo,
        intent: false,
    };
    assert_eq!(world.asked.borrow().last(), Some(&(asked, budget::OPEN)));
    // Doubt about him is a yes to our rules and a no to the right.
    let lost = script(Err("NSS is down".to_owned()), vec![state(false, false)]);
    assert!(gates.query(&lost, b"erin", Some(1004), MANAGED));
    assert!(!gates.query(&lost, b"erin", Some(1004), ACTIVE));
    // Neither a login without an account nor root is any of ours.
    for uid in [None, Some(0)] {
        assert!(!gates.query(&world, b"carol", uid, MANAGED));
        assert!(!gates.query(&world, b"carol", uid, ACTIVE));
    }
    world.then(dead());
    assert!(!gates.query(&world, b"dave", Some(1003), ACTIVE));
    assert!(gates.query(&world, b"dave", Some(1003), MANAGED));
    assert!(world.all_asked());
}

#[test]
fn root_may_ask_about_a_managed_user() {
    let world = script(Ok(true), vec![state(true, false)]);
    let mut gates = Gates::new();
    let mut root = opening(0);
    root.caller.as_mut().unwrap().login = "root".into();
    gates.open(&world, root);
    assert!(gates.query(&world, b"alice", Some(1000), ACTIVE));
    assert!(world.all_asked());
}

#[test]
fn a_use_that_never_started_is_closed_too() {
    for (status_type, status, told) in [
        (WAIT_STATUS, 9, 9),
        (EXEC_ERROR, 2, 127 << 8),
        (0, 0, 1 << 8),
        (3, 0, 1 << 8),
    ] {
        let world = script(Ok(true), vec![state(true, false), allow(), Ok(Reply::Done)]);
        let mut gates = opened(&world);
        assert_eq!(gates.check(&world, id), Verdict::Allow);
        gates.close(&world, status_type, status);
        assert!(
            matches!(&world.asked.borrow()[2].0, Request::Closed { status, .. } if *status == told)
        );
    }
}

#[test]
fn a_report_holds_what_fits() {
    let word = Text(vec![b'x'; 7 * 1024]);
    assert_eq!(
        cut(&[word.clone(), word.clone()]),
        [word.clone(), word.clone()]
    );
    assert_eq!(
        cut(&[word.clone(), word.clone(), word.clone(), "y".into()]),
        [word.clone(), word, "…".into()]
    );
}
