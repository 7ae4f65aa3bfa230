//! Every system call of the paths that give, use and take away fails once: whatever the agent and `jit-end` make of it,
//! no right and no process outlives its deadline, nothing is left behind, and nobody else notices.
//!
//! The calls are those that a trace of the same path shows, so a new one is covered by itself. Each call of each path
//! fails once in a run, which occurrence and how is the seed's choice; `make test-long` runs all of them.
//! docs/spec/tests.md names the variables that choose.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use jit_tests::grants::{allow_many_requests, records, wait_for_issuer};
use jit_tests::seed::{self, Random};
use jit_tests::{Dialogue, Host};
use serde_json::{Value, json};

/// The program that lives through the rounds in the host.
const ROUNDS: &str = include_str!("../hosts/round.py");
/// In turn, so that nobody meets what the round before has left him.
const USERS: [&str; 4] = ["u0", "u1", "u2", "u3"];
/// Of one call in one path, at most so many occurrences fail, spread evenly over all.
const OCCURRENCES: usize = 24;
/// Calls that return to nobody.
const NEVER_FAIL: [&str; 4] = ["exit", "exit_group", "rt_sigreturn", "restart_syscall"];
/// Calls that may need room.
const NEED_ROOM: [&str; 12] = [
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "openat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "fallocate",
    "ftruncate",
];
/// Calls that a signal may cut short: signal(7), less those that take the fault for good (close), and recvfrom, which here never
/// waits: ours are on sockets that do not block, and systemd's client of the user database says MSG_DONTWAIT, and relies on it.
const CUT_SHORT: [&str; 21] = [
    "read",
    "readv",
    "write",
    "writev",
    "openat",
    "connect",
    "accept4",
    "sendto",
    "sendmsg",
    "recvmsg",
    "flock",
    "fsync",
    "fdatasync",
    "epoll_wait",
    "epoll_pwait",
    "poll",
    "ppoll",
    "futex",
    "wait4",
    "waitid",
    "getrandom",
];

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    target: &'static str,
    phase: &'static str,
    end: &'static str,
    call: String,
    spec: String,
}

struct Rounds {
    dialogue: Dialogue,
    count: usize,
    /// Marks of the uses that were allowed.
    used: Vec<u32>,
}

impl Rounds {
    fn start(host: &Host) -> Self {
        for user in USERS {
            host.sh(&format!(
                "useradd --create-home {user} && usermod -aG jit-eligible {user}"
            ))
            .ok();
        }
        // Rounds may be short, and each asks for grants.
        allow_many_requests(host);
        wait_for_issuer(host);
        host.write("/root/round.py", ROUNDS);
        Self {
            dialogue: host.dialogue(&["python3", "/root/round.py"]),
            count: 0,
            used: Vec::new(),
        }
    }

    fn run(&mut self, target: &str, phase: &str, end: &str, spec: &str) -> Value {
        let mark = 1_000_000 + u32::try_from(self.count).unwrap();
        let user = USERS[self.count % USERS.len()];
        self.count += 1;
        let round = json!({
            "target": target, "phase": phase, "end": end, "fault": spec, "user": user, "mark": mark,
            "life": if end == "deadline" { 2 } else { 4 },
        });
        let said = self.dialogue.ask(&round, Duration::from_secs(300));
        if said["used"] == true {
            self.used.push(mark);
        }
        said
    }
}

/// `n` numbers from 1 to `most`, spread evenly.
fn spread(most: usize, n: usize) -> BTreeSet<usize> {
    (0..n.min(most))
        .map(|i| 1 + i * most / n.min(most))
        .collect()
}

/// Everything that can go wrong with the calls of a path, one at a time.
fn faults(
    target: &'static str,
    phase: &'static str,
    end: &'static str,
    calls: &BTreeMap<String, usize>,
) -> Vec<Fault> {
    let mut all = Vec::new();
    for (call, most) in calls {
        if NEVER_FAIL.contains(&call.as_str()) {
            continue;
        }
        let mut add = |how: &str| {
            all.extend(spread(*most, OCCURRENCES).iter().map(|n| Fault {
                target,
                phase,
                end,
                call: call.clone(),
                spec: format!("{call}:{how}:when={n}"),
            }));
        };
        add("error=EIO");
        if NEED_ROOM.contains(&call.as_str()) {
            add("error=ENOSPC");
        }
        if CUT_SHORT.contains(&call.as_str()) {
            add("error=EINTR");
        }
        add("signal=KILL");
        // A second before the call is made.
        add("delay_enter=1000000");
    }
    all
}

/// `most` of them in random order, and each call of each path at least once.
fn choose(mut all: Vec<Fault>, most: u64, seed: u64) -> Vec<Fault> {
    Random::new(seed).shuffle(&mut all);
    let mut seen = BTreeSet::new();
    let new = |f: &Fault| seen.insert((f.target, f.phase, f.call.clone()));
    let (mut first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(new);
    let more = usize::try_from(most).unwrap().saturating_sub(first.len());
    first.extend(rest.into_iter().take(more));
    first
}

/// A host, a list of faults, and what went wrong with them.
fn lane(host: &Host, rounds: &mut Rounds, faults: impl Iterator<Item = Fault>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut count, mut met) = (0, 0);
    for fault in faults {
        let said = rounds.run(fault.target, fault.phase, fault.end, &fault.spec);
        count += 1;
        met += usize::from(said["met"] == true);
        if std::env::var_os("JIT_FAULT_VERBOSE").is_some() {
            eprintln!("{fault:?}: {said}");
        }
        if said["wrong"] != json!([]) {
            eprintln!("{fault:?}: {said}");
            wrong.push(format!("{fault:?}: {said}"));
        }
    }
    let all = records(host);
    for mark in &rounds.used {
        let command = json!(["/usr/bin/sleep", mark.to_string()]);
        let written = |r: &Value| r["type"] == "use" && r["command"] == command;
        if !all.iter().any(written) {
            wrong.push(format!("{command} ran and its use is not in the journal"));
        }
    }
    host.run(&["jitctl", "log", "verify"]).ok();
    eprintln!("{count} rounds, {met} faults met");
    assert!(
        count < 20 || met * 2 > count,
        "only {met} of {count} faults were met"
    );
    wrong
}

#[test]
fn whichever_call_fails_nothing_outlives_its_deadline() {
    let seed = seed::seed();
    let host = Host::ready();
    let mut rounds = Rounds::start(&host);
    // An untouched life first: what is done once only is done then.
    let said = rounds.run("agent", "give", "drop", "trace");
    assert_eq!(said["wrong"], json!([]), "{said}");

    let mut all = Vec::new();
    for (target, phase, end) in [
        ("agent", "give", "drop"),
        ("agent", "use", "drop"),
        ("agent", "end", "drop"),
        ("agent", "end", "deadline"),
        ("jit-end", "end", "drop"),
        ("jit-end", "end", "deadline"),
        ("jit-end", "end", "alone"),
        // While an agent runs, jit-end comes at once and may take it with the rest of the unit.
        ("post", "end", "stop"),
    ] {
        let said = rounds.run(target, phase, end, "trace");
        assert_eq!(said["wrong"], json!([]), "{said}");
        let calls: BTreeMap<String, usize> = serde_json::from_value(said["calls"].clone()).unwrap();
        assert!(!calls.is_empty(), "{target}, {phase}: no calls seen");
        all.extend(faults(target, phase, end, &calls));
    }
    let total = all.len();
    let only = std::env::var("JIT_FAULT").unwrap_or_default();
    all.retain(|f| format!("{f:?}").contains(&only));
    let chosen = choose(all, seed::number("JIT_FAULT_ROUNDS").unwrap_or(0), seed);
    let again = seed::number("JIT_FAULT_AGAIN").unwrap_or(1).max(1);
    let chosen: Vec<_> = (0..again).flat_map(|_| chosen.clone()).collect();
    eprintln!("{} of {total} faults, JIT_SEED={seed}", chosen.len());
    let lanes = usize::try_from(seed::number("JIT_LANES").unwrap_or(3)).unwrap();
    let share = |n: usize| chosen.iter().skip(n).step_by(lanes).cloned();
    let wrong: Vec<String> = thread::scope(|scope| {
        let others: Vec<_> = (1..lanes)
            .map(|n| {
                scope.spawn(move || {
                    let host = Host::ready();
                    let mut rounds = Rounds::start(&host);
                    lane(&host, &mut rounds, share(n))
                })
            })
            .collect();
        let mut wrong = lane(&host, &mut rounds, share(0));
        for other in others {
            wrong.extend(other.join().unwrap());
        }
        wrong
    });
    assert!(
        wrong.is_empty(),
        "JIT_SEED={seed}: {} of {} rounds:\n{}",
        wrong.len(),
        chosen.len(),
        wrong.join("\n")
    );
}
