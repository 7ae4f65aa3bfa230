//! What one decision takes is counted, so that nothing heavy slips into it: instructions do not depend on how busy the
//! machine is. They are those of unoptimised tests; the times are in docs/performance.md.

use super::*;
use statement::detail::Command;
use std::process;

/// As many live grants as one person may have, each with some commands; the last of the last one covers the ask.
const GRANTS: usize = 32;
const COMMANDS: usize = 8;
/// What it takes now and two fifths more.
const INSTRUCTIONS: u64 = 2_000_000;
/// Set for the run that is counted: how often it decides.
const TIMES: &str = "JIT_DECISIONS";
const NAME: &str = "decide::tests::cost::a_decision_takes_few_instructions";

fn decide_often(times: usize) {
    let listed = |grant: usize| {
        let command = |n: usize| Command {
            path: format!("/usr/bin/program-{grant}-{n}"),
            args: vec!["restart".into(), "unit".into()],
        };
        let mut scoped = detail(vec![Door::Sudo]);
        scoped.commands = AllOr::List((0..COMMANDS).map(command).collect());
        claims(T0 + 60, scoped)
    };
    let all: Vec<_> = (0..GRANTS).map(listed).collect();
    let state = fresh();
    let path = format!("/usr/bin/program-{}-{}", GRANTS - 1, COMMANDS - 1);
    let ask = Ask {
        door: Door::Sudo,
        command: path.as_bytes(),
        argv: &[path.as_bytes(), b"restart", b"unit"],
        env: &[b"PATH=/usr/bin", b"TERM=xterm"],
        runas_user: Some(b"root"),
        runas_uid: 0,
        runas_group: None,
        cwd: Some(b"/home/alice"),
        user_cwd_changed: false,
        chroot: None,
        has_tty: true,
        shell: false,
        sudoedit: false,
        files: &[],
        unusual: &[],
    };
    for _ in 0..times {
        let views = all.iter().map(view);
        let question = Question::Use(&ask);
        let decision = decide(views, &state, 300, at(T0 + 10, 110), ALICE, question);
        assert!(matches!(decision, Decision::Allow(..)), "{decision:?}");
    }
}

/// Instructions of this very test when it decides so often.
fn counted(times: usize) -> u64 {
    let run = process::Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--test-threads=1"])
        .env(TIMES, times.to_string())
        .output()
        .expect("valgrind, which scripts/setup-host installs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let line = said.lines().find_map(|l| l.split_once("Collected : "));
    let (_, count) = line.unwrap_or_else(|| panic!("no count in\n{said}"));
    count.trim().parse().unwrap()
}

#[test]
fn a_decision_takes_few_instructions() {
    if let Ok(times) = std::env::var(TIMES) {
        return decide_often(times.parse().unwrap());
    }
    let of_one = (counted(300) - counted(100)) / 200;
    assert!(
        of_one <= INSTRUCTIONS,
        "a decision over {GRANTS} grants takes {of_one} instructions; {INSTRUCTIONS} were enough"
    );
}
