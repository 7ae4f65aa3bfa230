//! Many grants that start and end in the same second.

use std::time::Duration;

use jit_tests::bench::{Row, Table, quick};
use serde_json::{Value, json};

use crate::ending::{kill_agent, start_agent};
use crate::places::{self, Places, Runner};
use crate::stored::{Mint, now_s};

/// From the files on the disk to the start of the grants: the agent reads them meanwhile.
const AHEAD_S: u64 = 10;
/// For all to be in force.
const TO_START: Duration = Duration::from_secs(90);
/// For the proof of the last.
const TO_PROVE: Duration = Duration::from_secs(300);

pub fn measure(places: &Places, table: &mut Table) {
    let count = if quick() { 200 } else { 1000 };
    // What their start takes, and then some.
    let life_s: u64 = if quick() { 60 } else { 80 };
    Mint::people(&places.ready, count);
    table.section(&format!("{count} grants that end in the same second"));
    for alone in [false, true] {
        once(places, table, count, life_s, alone);
    }
}

fn once(places: &Places, table: &mut Table, count: usize, life_s: u64, alone: bool) {
    let host = &places.ready;
    let watch = Runner::open(host, "root");
    let (like, _) = places::elevate(host, "alice", "10m");
    let mut mint = Mint::new(host, &like);
    places::drop_all(host, "alice");
    let from_s = now_s() + AHEAD_S;
    let ids = mint.store(count, from_s, life_s);
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    // Looked at seldom: looking takes time from what is measured.
    let script = format!(
        "sleep 0.5; count=$(grep -l '\"phase\":\"active\"' /var/lib/jit/grants/*.json | wc -l); \
         echo $count; test $count = {count}"
    );
    host.wait_for("all are in force", TO_START, &script);
    #[allow(clippy::cast_precision_loss)]
    let took = now_s().saturating_sub(from_s) as f64;
    if alone {
        kill_agent(host);
    } else {
        table.add(Row::new("all in force, after their start", "s", took).of(count));
    }
    let end_s = from_s + life_s;
    let cgroup = |id: &String| format!("/sys/fs/cgroup/jit.slice/jit-{id}.service");
    let said = watch.ask(&json!({
        "op": "watch", "logins": Mint::holders(count), "group": "jit-admin",
        "cgroups": ids.iter().map(cgroup).collect::<Vec<_>>(),
        "limit_ms": 200_000, "agent": !alone, "at_ms": end_s * 1000,
    }));
    let how = if alone { ", agent dead" } else { "" };
    let of_last = |what: &str, ms: &Value| {
        let row = ms
            .as_f64()
            .map(|ms| Row::new(format!("{what} of the last{how}"), "ms", ms));
        row.map(|row| row.of(count))
    };
    let parts = [
        ("right", "right_ms"),
        ("membership", "membership_ms"),
        ("membership's file", "file_ms"),
        ("process", "processes_ms"),
    ];
    for (what, name) in parts {
        if let Some(row) = of_last(what, &said[name]) {
            table.add(row);
        }
    }
    if alone {
        start_agent(host);
    }
    let none = "sleep 0.5; ! ls /var/lib/jit/grants /var/lib/jit/ended | grep -q json";
    host.wait_for("all ends are proven", TO_PROVE, none);
    if !alone {
        #[allow(clippy::cast_precision_loss)]
        let took = now_s().saturating_sub(end_s) as f64;
        table.add(Row::new("the proof of the last", "s", took).of(count));
    }
}
