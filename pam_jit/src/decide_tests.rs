//! A scripted system and agent.

use super::*;
use std::cell::RefCell;
use std::io;

const ALICE: u32 = 1000;
const BOB: u32 = 1001;

/// alice (1000) is managed, bob (1001) is not, toor has uid 0.
struct Script {
    real_uid: u32,
    nss_down: bool,
    program: Option<Program>,
    by_grant: bool,
    auth_took: Duration,
    reply: RefCell<Option<Result<Reply, CallError>>>,
    asked: RefCell<Vec<(Request, Duration)>>,
}

fn script(real_uid: u32) -> Script {
    Script {
        real_uid,
        nss_down: false,
        program: None,
        by_grant: false,
        auth_took: budget::PAM_AUTH,
        reply: RefCell::new(None),
        asked: RefCell::default(),
    }
}

impl Script {
    fn says(self, reply: Reply) -> Script {
        self.reply.replace(Some(Ok(reply)));
        self
    }

    fn verdict(self, verdict: PamVerdict) -> Script {
        self.says(Reply::Pam {
            verdict,
            text: None,
        })
    }

    fn fails(self, error: CallError) -> Script {
        self.reply.replace(Some(Err(error)));
        self
    }

    fn without_nss(mut self) -> Script {
        self.nss_down = true;
        self
    }

    fn within(mut self, program: Program) -> Script {
        self.program = Some(program);
        self
    }

    fn lookup(&self, matches: impl Fn(&User) -> bool) -> Result<Option<User>, NssError> {
        if self.nss_down {
            let why = io::Error::from(io::ErrorKind::TimedOut);
            return Err(NssError::Lookup {
                what: Text::from("passwd"),
                why,
            });
        }
        let users = [("root", 0), ("alice", ALICE), ("bob", BOB), ("toor", 0)];
        Ok(users
            .map(|(login, uid)| User {
                login: Text::from(login),
                uid,
                gid: uid,
            })
            .into_iter()
            .find(matches))
    }

    fn decide(&self, phase: PamPhase, service: &str, user: &str) -> Outcome {
        decide(
            self,
            Call {
                phase,
                service: Some(service.as_bytes()),
                user: Some(user.as_bytes()),
                tty: Some(b"/dev/pts/7"),
                auth_took: self.auth_took,
                by_grant: self.by_grant,
            },
        )
    }

    fn auth(&self, service: &str, user: &str) -> Outcome {
        self.decide(PamPhase::Auth, service, user)
    }

    fn never_asked(&self) -> bool {
        self.asked.borrow().is_empty()
    }
}

impl Outside for Script {
    fn real_uid(&self) -> u32 {
        self.real_uid
    }

    fn user_by_uid(&self, uid: u32) -> Result<Option<User>, NssError> {
        self.lookup(|user| user.uid == uid)
    }

    fn user_by_name(&self, login: &[u8]) -> Result<Option<User>, NssError> {
        self.lookup(|user| user.login.as_bytes() == login)
    }

    fn eligible(&self, user: &User) -> Result<bool, NssError> {
        self.lookup(|_| true)?;
        Ok(user.uid == ALICE)
    }

    fn last_gate(&self) -> Option<Program> {
        self.program
    }

    /// Panics when the script has no answer left.
    fn ask(&self, request: &Request, limit: Duration) -> Result<Reply, CallError> {
        self.asked.borrow_mut().push((request.clone(), limit));
        self.reply.borrow_mut().take().unwrap()
    }
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refuse(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_managed_user_gets_the_agents_verdict() {
    for (verdict, auth, account) in [
        (PamVerdict::Success, Outcome::Success, Outcome::Ignore),
        (PamVerdict::Ignore, Outcome::Ignore, Outcome::Ignore),
    ] {
        let alice = script(ALICE).verdict(verdict);
        assert_eq!(alice.decide(PamPhase::Auth, "sudo-jit", "alice"), auth);
        let alice = script(ALICE).verdict(verdict);
        assert_eq!(
            alice.decide(PamPhase::Account, "sudo-jit", "alice"),
            account
        );
    }
    for phase in [PamPhase::Auth, PamPhase::Account] {
        let alice = script(ALICE).verdict(PamVerdict::Refuse);
        assert!(text(alice.decide(phase, "sudo-jit", "alice")).contains("jitctl elevate"));
    }
}

#[test]
fn the_agent_hears_who_where_and_how_within_the_budget() {
    for (phase, limit) in [
        (PamPhase::Auth, budget::PAM_AUTH),
        (PamPhase::Account, budget::PAM_ACCOUNT),
    ] {
        let alice = script(ALICE).verdict(PamVerdict::Ignore);
        let _ = alice.decide(phase, "sudo-jit", "alice");
        let want = Request::Pam {
            subject: Subject {
                login: Text::from("alice"),
                uid: ALICE,
            },
            door: Door::Sudo,
            phase,
            service: Text::from("sudo-jit"),
            tty: Some(Text::from("/dev/pts/7")),
            last_gate: false,
            target: None,
        };
        assert_eq!(alice.asked.take(), [(want, limit)]);
    }
}

#[test]
fn what_auth_left_is_accounts() {
    for (program, service, share) in [
        (None, "sudo-jit", budget::PAM_ACCOUNT),
        (Some(Program::SudoRs), "sudo", budget::PAM_LAST),
        (Some(Program::Su), "su", budget::PAM_LAST),
    ] {
        let mut alice = script(ALICE).verdict(PamVerdict::Ignore);
        alice.program = program;
        alice.auth_took = Duration::from_millis(5);
        let _ = alice.decide(PamPhase::Account, service, "alice");
        let limit = share + budget::PAM_AUTH - alice.auth_took;
        assert_eq!(alice.asked.take()[0].1, limit);
    }
}

#[test]
fn the_agents_own_words_are_shown() {
    let refuse = Reply::Pam {
        verdict: PamVerdict::Refuse,
        text: Some("jit: ask again".into()),
    };
    let deny = Reply::Deny {
        text: "jit: ask again".into(),
    };
    for reply in [refuse, deny] {
        let alice = script(ALICE).says(reply);
        assert_eq!(text(alice.auth("sudo-jit", "alice")), "jit: ask again");
    }
}

#[test]
fn each_service_is_its_door_and_any_other_is_closed_to_the_managed() {
    for (service, real_uid, door) in [
        ("sudo-jit", ALICE, Door::Sudo),
        ("su", ALICE, Door::Su),
        ("su-l", ALICE, Door::Su),
        ("sshd", 0, Door::Ssh),
        ("polkit-1", 0, Door::Polkit),
    ] {
        let mut alice = script(real_uid).verdict(PamVerdict::Success);
        alice.program = (door == Door::Su).then_some(Program::Su);
        assert_eq!(alice.auth(service, "alice"), Outcome::Success, "{service}");
        let asked = alice.asked.take();
        assert!(
            matches!(asked[..], [(Request::Pam { door: found, .. }, _)] if found == door),
            "{service}"
        );
    }
    for service in ["login", "doas", "", "SUDO"] {
        let alice = script(0);
        assert!(text(alice.auth(service, "alice")).contains("no grant opens the service"));
        assert_eq!(script(0).auth(service, "bob"), Outcome::Ignore);
        assert_eq!(script(0).auth(service, "root"), Outcome::Ignore);
        assert!(alice.never_asked());
    }
}

#[test]
fn root_and_the_unmanaged_pass_without_the_agent() {
    for phase in [PamPhase::Auth, PamPhase::Account] {
        for (real_uid, service, user) in [
            (BOB, "sudo", "bob"),
            (BOB, "sudo-jit", "bob"),
            (BOB, "su", "root"),
            (0, "sudo", "root"),
            (0, "su", "alice"),
            (0, "sshd", "bob"),
            (0, "sshd", "root"),
            (0, "sshd", "toor"),
            (0, "sshd", "nobody-of-that-name"),
            // targetpw makes sudo name the target.
            (0, "sudo", "alice"),
            (BOB, "sudo", "root"),
        ] {
            let script = script(real_uid);
            assert_eq!(
                script.decide(phase, service, user),
                Outcome::Ignore,
                "{real_uid} {service} {user}"
            );
            assert!(script.never_asked());
        }
    }
}

#[test]
fn the_user_is_who_started_sudo_and_not_who_pam_names() {
    // targetpw, rootpw; or a name that means nobody.
    for user in ["root", "bob", "toor", "nobody-of-that-name"] {
        let alice = script(ALICE);
        assert!(text(alice.auth("sudo-jit", user)).contains("a grant is yours alone"));
        assert!(alice.never_asked());
    }
    // With su the target is named and the caller is the subject.
    let alice = script(ALICE)
        .within(Program::Su)
        .verdict(PamVerdict::Success);
    assert_eq!(alice.auth("su", "bob"), Outcome::Success);
    assert!(matches!(
        &alice.asked.take()[..],
        [(Request::Pam { subject, target: Some(target), .. }, _)] if subject.uid == ALICE && target.uid == BOB
    ));
    let alice = script(ALICE).within(Program::Su);
    assert!(text(alice.auth("su", "nobody-of-that-name")).contains("in no user database"));
    assert!(alice.never_asked());
}

#[test]
fn a_grant_that_asks_for_a_password_asks_for_the_users_own_in_su_and_there_only() {
    let own = |program, service, phase| {
        let mut alice = script(ALICE).verdict(PamVerdict::OwnPassword);
        alice.program = program;
        let user = if service == "su" { "root" } else { "alice" };
        alice.decide(phase, service, user)
    };
    assert_eq!(
        own(Some(Program::Su), "su", PamPhase::Auth),
        Outcome::OwnPassword(Text::from("alice"))
    );
    assert!(text(own(Some(Program::Su), "su", PamPhase::Account)).contains("does not fit"));
    assert!(text(own(None, "sudo-jit", PamPhase::Auth)).contains("does not fit"));
}

#[test]
fn what_auth_gave_for_a_grant_is_worth_nothing_after_its_end() {
    for (program, service, user) in [
        (Some(Program::Su), "su", "root"),
        (Some(Program::SudoRs), "sudo", "alice"),
        (None, "sudo-jit", "alice"),
    ] {
        for (by_grant, verdict, passes) in [
            (true, PamVerdict::Ignore, false),
            (false, PamVerdict::Ignore, true),
            (true, PamVerdict::Success, true),
        ] {
            let mut alice = script(ALICE).verdict(verdict);
            alice.program = program;
            alice.by_grant = by_grant;
            let outcome = alice.decide(PamPhase::Account, service, user);
            let goes_on = matches!(outcome, Outcome::Ignore | Outcome::Use);
            assert_eq!(goes_on, passes, "{service} {verdict:?}");
            let is_use = passes && verdict == PamVerdict::Success && program.is_some();
            assert_eq!(outcome == Outcome::Use, is_use, "{service} {verdict:?}");
            if !passes {
                assert!(text(outcome).contains("has just ended"));
            }
        }
    }
}

#[test]
fn in_sudo_rs_and_su_pam_is_the_last_gate_and_account_may_take_longer() {
    for (program, service) in [
        (Program::SudoRs, "sudo"),
        (Program::SudoRs, "sudo-i"),
        (Program::Su, "su"),
        (Program::Su, "su-l"),
    ] {
        for (phase, limit) in [
            (PamPhase::Auth, budget::PAM_AUTH),
            (PamPhase::Account, budget::PAM_LAST),
        ] {
            let alice = script(ALICE).within(program).verdict(PamVerdict::Ignore);
            assert_eq!(alice.decide(phase, service, "alice"), Outcome::Ignore);
            let asked = alice.asked.take();
            assert!(
                matches!(asked[..], [(Request::Pam { last_gate: true, .. }, found)] if found == limit),
                "{asked:?}"
            );
        }
    }
}

#[test]
fn a_program_behind_whose_pam_no_gate_stands_gives_the_managed_nothing() {
    for (caller, service) in [
        (script(ALICE), "sudo"),
        (script(ALICE), "sudo-i"),
        (script(ALICE), "su"),
        (script(ALICE), "su-l"),
        (script(ALICE).within(Program::SudoRs), "sudo-jit"),
        (script(ALICE).within(Program::SudoRs), "su"),
        (script(ALICE).within(Program::Su), "sudo"),
        (script(ALICE).within(Program::Su), "sudo-jit"),
    ] {
        for phase in [PamPhase::Auth, PamPhase::Account] {
            assert!(text(caller.decide(phase, service, "alice")).contains("asks jit nothing"));
        }
        assert!(caller.never_asked());
    }
    for uid in [0, BOB] {
        let name = if uid == 0 { "root" } else { "bob" };
        assert_eq!(script(uid).auth("sudo", name), Outcome::Ignore);
    }
}

#[test]
fn a_missing_item_refuses_the_managed_only() {
    let call = Call {
        phase: PamPhase::Account,
        service: Some(b"sudo-jit"),
        user: None,
        tty: None,
        auth_took: Duration::ZERO,
        by_grant: false,
    };
    assert!(text(decide(&script(ALICE), call)).contains("PAM names no user"));
    assert_eq!(decide(&script(BOB), call), Outcome::Ignore);
    assert_eq!(decide(&script(0), call), Outcome::Ignore);
    let call = Call {
        service: None,
        user: Some(b"alice"),
        ..call
    };
    assert!(text(decide(&script(ALICE), call)).contains("no grant opens"));
    assert_eq!(decide(&script(BOB), call), Outcome::Ignore);
}

#[test]
fn doubt_about_who_asks_refuses_everyone_but_root() {
    for phase in [PamPhase::Auth, PamPhase::Account] {
        for (real_uid, service, user) in [(ALICE, "sudo-jit", "alice"), (0, "sshd", "alice")] {
            let script = script(real_uid).without_nss();
            assert!(text(script.decide(phase, service, user)).contains("unclear who asks"));
            assert!(script.never_asked());
        }
        for service in ["sudo", "su", "sshd", "login"] {
            let root = script(0).without_nss();
            assert_eq!(root.decide(phase, service, "root"), Outcome::Ignore);
        }
    }
    assert!(text(script(4242).auth("sudo-jit", "alice")).contains("uid 4242"));
}

#[test]
fn every_failure_of_the_agent_refuses_and_says_so() {
    let errors = || {
        [
            CallError::NotRunning,
            CallError::NotAllowed,
            CallError::TimedOut { sent: true },
            CallError::Closed,
            CallError::Garbage(wire::frame::FrameError::Empty),
            CallError::TooLarge(wire::frame::FrameError::Empty),
            CallError::NoDescriptor,
            CallError::Io(io::ErrorKind::Other.into()),
        ]
    };
    for phase in [PamPhase::Auth, PamPhase::Account] {
        for error in errors() {
            let why = error.to_string();
            let shown = text(
                script(ALICE)
                    .fails(error)
                    .decide(phase, "sudo-jit", "alice"),
            );
            assert!(
                shown.starts_with(&format!("jit: the agent did not answer ({why});")),
                "{shown}"
            );
            assert!(shown.contains("root's own sudo is not affected"), "{shown}");
            assert!(shown.contains("systemctl status jit-agent"), "{shown}");
        }
    }
}

#[test]
fn an_answer_to_another_question_refuses() {
    let deadline = wire::gate::Deadline {
        wall_s: u64::MAX,
        boot_ns: u64::MAX,
    };
    for reply in [
        Reply::Done,
        Reply::Lines { lines: vec![] },
        Reply::Allow {
            grant: "g".into(),
            until: deadline,
            text: None,
        },
        Reply::State {
            active: true,
            until: Some(deadline),
            text: None,
            standing_rules: true,
        },
    ] {
        let alice = script(ALICE).says(reply);
        assert!(text(alice.auth("sudo-jit", "alice")).contains("does not fit"));
    }
}

#[test]
fn a_panic_refuses() {
    for phase in [PamPhase::Auth, PamPhase::Account] {
        // No answer in the script.
        let alice = script(ALICE);
        assert!(text(alice.decide(phase, "sudo-jit", "alice")).contains("fault inside pam_jit"));
    }
}
