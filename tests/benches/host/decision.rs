//! How long an answer from memory takes while grants are in force, and what they cost the agent otherwise.

use std::time::Duration;

use jit_tests::Host;
use jit_tests::bench::{Goal, Row, Table, quick};
use serde_json::json;

use crate::footprint::{AGENT, rss, start_to_ready};
use crate::places::{self, Places, Runner};
use crate::stored::{Mint, now_s};

/// Grants in force, and all that are stored.
const LEVELS: [(usize, usize); 3] = [(10, 10), (10, 1000), (100, 10_000)];

/// An hour: longer than the bench looks at them.
const LIFE_S: u64 = 3600;
/// Grants that start in the same second.
const AT_ONCE: usize = 15;

pub fn measure(places: &Places, table: &mut Table) {
    let host = &places.ready;
    let runner = Runner::open(host, "root");
    let (like, _) = places::elevate(host, "alice", "1h");
    let mut mint = Mint::new(host, &like);
    Mint::people(host, LEVELS[LEVELS.len() - 1].1);
    let (mut active, mut stored) = (1, 1);
    for (wanted_active, wanted) in LEVELS {
        table.section(&format!("{wanted_active} active of {wanted} stored grants"));
        // Nobody measures any more when these start.
        let later = (wanted - stored) - (wanted_active - active);
        mint.store(later, now_s() + 7200, LIFE_S);
        while active < wanted_active {
            let more = (wanted_active - active).min(AT_ONCE);
            mint.store(more, now_s(), LIFE_S);
            active += more;
            host.run(&["systemctl", "restart", "jit-agent"]).ok();
            in_force(host, active);
        }
        host.run(&["systemctl", "restart", "jit-agent"]).ok();
        stored = wanted;
        round_trips(&runner, table);
        let starts: jit_tests::bench::Samples = (0..if quick() { 1 } else { 5 })
            .map(|_| start_to_ready(host))
            .collect();
        let row = Row::new("start to ready, p50", "ms", starts.p50()).of(starts.len());
        table.add(row.goal(Goal::AtMost(500.0)));
        let most = if stored <= 1000 { 15.0 } else { 30.0 };
        let row = Row::new("resident memory", "MB", rss(host, AGENT));
        table.add(row.goal(Goal::AtMost(most)));
    }
}

/// Waits until the agent has put as many grants in force.
fn in_force(host: &Host, count: usize) {
    let script = format!(
        "count=$(systemctl list-units --state=running --no-legend 'jit-0*.service' | wc -l); \
         echo $count; jitctl log search --type alert | tail -n 5; test $count = {count}"
    );
    let what = format!("{count} grants are in force");
    host.wait_for(&what, Duration::from_secs(30), &script);
}

fn round_trips(runner: &Runner, table: &mut Table) {
    let calls = if quick() { 500 } else { 5000 };
    for clients in [1, 8, 64] {
        let ask = |op: &str| json!({ "op": op, "clients": clients, "calls": calls / clients, "login": "alice", "uid": 1001 });
        let ours = runner.ask(&ask("gate"));
        let raw = runner.ask(&ask("raw"));
        let [samples, beside] = [&ours, &raw].map(places::samples);
        // Set for 100 active of 10,000 stored: fewer must reach them all the more.
        let goals = match clients {
            1 => [Some(60.0), Some(1000.0)],
            _ => [None, None],
        };
        for (share, goal) in [50_u8, 99].into_iter().zip(goals) {
            let at = f64::from(share) / 100.0;
            let what = format!("p{share}, {clients} clients");
            let row = Row::new(what, "µs", samples.at(at)).of(samples.len());
            let row = row.beside("echo", beside.at(at));
            table.add(match goal {
                Some(most) => row.goal(Goal::AtMost(most)),
                None => row,
            });
        }
        let rate = |took: &serde_json::Value, n: usize| {
            #[allow(clippy::cast_precision_loss)]
            let n = n as f64;
            n / took["took_us"].as_f64().unwrap() * 1e6
        };
        let what = format!("answers a second, {clients} clients");
        let row = Row::new(what, "/s", rate(&ours, samples.len())).of(samples.len());
        table.add(row.beside("echo", rate(&raw, beside.len())));
    }
}
