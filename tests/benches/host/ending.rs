//! How fast everything is gone: the right, the membership, the last process.

use std::time::Duration;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};
use jit_tests::{Host, grants};
use serde_json::{Value, json};

use crate::places::{self, Places, Runner};

const UNITS: &str = "jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Deadline,
    /// The same with no agent.
    Alone,
    Drop,
    Revocation,
}

/// How the sessions behave, and how many there are.
#[derive(Debug, Clone, Copy)]
struct Load {
    sessions: usize,
    /// They ignore TERM and HUP.
    stubborn: bool,
}

pub fn measure(places: &Places, table: &mut Table) {
    let watch = Runner::open(&places.ready, "root");
    let alice = Runner::open(&places.ready, "alice");
    let bench = Bench {
        host: &places.ready,
        watch,
        alice,
    };
    let few = |rounds: usize| if quick() { 1 } else { rounds };
    let heeding = |sessions| Load {
        sessions,
        stubborn: false,
    };
    let stubborn = |sessions| Load {
        sessions,
        stubborn: true,
    };
    table.section("Deadline → everything gone, after the end that the grant names");
    let soon = Goal::AtMost(150.0);
    bench.rows(table, Cause::Deadline, heeding(1), few(5), soon);
    bench.rows(table, Cause::Deadline, heeding(10), few(5), soon);
    bench.rows(table, Cause::Deadline, heeding(100), few(5), soon);
    bench.rows(table, Cause::Alone, heeding(10), few(5), soon);
    bench.rows(
        table,
        Cause::Deadline,
        stubborn(10),
        few(3),
        Goal::AtMost(3000.0),
    );
    table.section("`jitctl drop` → everything gone, after the start of the command");
    let soon = Goal::AtMost(250.0);
    bench.rows(table, Cause::Drop, heeding(1), few(10), soon);
    bench.rows(table, Cause::Drop, heeding(10), few(10), soon);
    bench.rows(table, Cause::Drop, heeding(100), few(3), soon);
    table
        .section("`jitctl revoke` at the issuer → everything gone, after the start of the command");
    bench.rows(table, Cause::Revocation, heeding(1), few(10), soon);
    bench.rows(table, Cause::Revocation, heeding(10), few(10), soon);
    bench.rows(table, Cause::Revocation, heeding(100), few(3), soon);
}

struct Bench<'a> {
    host: &'a Host,
    watch: Runner,
    alice: Runner,
}

impl Bench<'_> {
    fn rows(&self, table: &mut Table, cause: Cause, load: Load, rounds: usize, goal: Goal) {
        let parts = ["right", "membership", "last process"];
        let mut samples = parts.map(|_| Samples::default());
        for _ in 0..rounds {
            let said = self.once(cause, load);
            let names = ["right_ms", "membership_ms", "processes_ms"];
            for (samples, name) in samples.iter_mut().zip(names) {
                samples.add(said[name].as_f64());
            }
        }
        let how = match (cause, load.stubborn) {
            (Cause::Alone, _) => ", agent dead",
            (_, true) => ", TERM ignored",
            _ => "",
        };
        for (part, samples) in parts.iter().zip(samples) {
            if samples.is_empty() {
                continue;
            }
            let what = format!("{part}, {} sessions{how}, p99", load.sessions);
            let row = Row::new(what, "ms", samples.p99()).of(samples.len());
            table.add(row.goal(goal));
        }
    }

    /// One grant with its sessions, from its start to its end.
    fn once(&self, cause: Cause, load: Load) -> Value {
        let life = match (cause, load.sessions) {
            (Cause::Drop | Cause::Revocation, _) => "5m",
            (Cause::Alone, _) => "6s",
            (_, 100..) => "8s",
            (_, 10..) => "4s",
            _ => "3s",
        };
        let (id, end) = places::elevate(self.host, "alice", life);
        let cgroup = format!("/sys/fs/cgroup/jit.slice/jit-{id}.service");
        let (argv, comm) = if load.stubborn {
            let script = "trap '' TERM HUP; while :; do sleep 1; done";
            (vec!["sudo", "-n", "bash", "-c", script], "bash")
        } else {
            (vec!["sudo", "-n", "sleep", "86399"], "sleep")
        };
        let held = json!({
            "op": "hold", "argv": argv, "count": load.sessions, "comm": comm, "cgroup": cgroup,
        });
        self.alice.ask(&held);
        if cause == Cause::Alone {
            kill_agent(self.host);
        }
        let mut question = json!({
            "op": "watch", "logins": ["alice"], "group": "jit-admin", "cgroups": [cgroup],
            "limit_ms": 10_000, "agent": cause != Cause::Alone,
        });
        match cause {
            Cause::Deadline | Cause::Alone => question["at_ms"] = json!(end * 1000),
            Cause::Drop => {
                question["act"] = json!({ "argv": ["jitctl", "drop", id], "as_user": true });
            }
            Cause::Revocation => {
                let argv = ["jitctl", "revoke", &id, "--reason", "bench"];
                question["act"] = json!({ "argv": argv });
            }
        }
        let said = self.watch.ask(&question);
        self.alice.ask(&json!({ "op": "reap" }));
        if cause == Cause::Alone {
            start_agent(self.host);
        }
        grants::proof(self.host, &id, Duration::from_secs(10));
        said
    }
}

/// Kills the agent; nothing starts it again.
pub fn kill_agent(host: &Host) {
    let script = format!(
        "systemctl mask --quiet --runtime {UNITS}; systemctl kill --signal=KILL jit-agent.service; systemctl stop {UNITS}"
    );
    host.sh(&script).ok();
}

pub fn start_agent(host: &Host) {
    let script = format!("systemctl unmask --quiet --runtime {UNITS}; systemctl start {UNITS}");
    host.sh(&script).ok();
    places::wait_link(host);
}
