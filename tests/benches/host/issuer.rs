//! The issuer with a fleet at its other end: what a connected host costs, and how fast a revocation is with all of them.

use std::time::Duration;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};
use jit_tests::{Host, net};
use serde_json::{Value, json};

use crate::footprint::rss;
use crate::places::{self, Places, Runner};

const UNIT: &str = "jit-issuer";
/// Hosts made known by one question, so that its answer comes in time.
const LOT: usize = 500;
/// For the streams of one level; what is not connected by then is not waited for.
const LIMIT: Duration = Duration::from_secs(90);

/// A host of its own: nobody else uses its loopback, and its issuer knows no grant.
pub fn measure(_: &Places, table: &mut Table) {
    let levels: &[usize] = if quick() {
        &[100, 1000]
    } else {
        &[1000, 5000, 10_000]
    };
    let rounds = if quick() { 2 } else { 10 };
    let host = Host::installed();
    places::bring(&host);
    // More than the defaults, and all from one address.
    let limits =
        "[limits]\nstreams = 20000\nconnections = 20000\nconnections_per_address = 20000\n";
    let sample = host.read("/etc/jit/issuer.toml");
    host.write(
        "/etc/jit/issuer.toml",
        &sample.replace("[limits]\n", limits),
    );
    net::serve(&host, "127.0.0.1", None);
    let runner = Runner::open(&host, "root");
    runner.ask(&json!({
        "op": "fleet", "ca": "/etc/jit/tls/ca.pem", "url": format!("https://127.0.0.1:{}", net::PORT),
    }));
    let (alone, mut connected) = (rss(&host, UNIT), 0);
    for &level in levels {
        table.section(&format!("The issuer with {level} hosts connected over TLS"));
        let more = level - connected;
        for lot in (0..more).step_by(LOT) {
            runner.ask(&json!({ "op": "enrol", "count": LOT.min(more - lot) }));
        }
        let bytes = wire_bytes(&host);
        let said =
            runner.ask(&json!({ "op": "connect", "count": more, "limit_s": LIMIT.as_secs() }));
        let bytes = wire_bytes(&host) - bytes;
        let open = count(&said["open"]);
        connected += open;
        let rate = per(open) / said["took_us"].as_f64().unwrap() * 1e6;
        table.add(Row::new("hosts that connect a second", "/s", rate).of(open));
        table.add(Row::new(
            "bytes on the wire for one that connects",
            "B",
            bytes / per(open),
        ));
        let memory = (rss(&host, UNIT) - alone) * 1000.0 / per(connected);
        table.add(Row::new("resident memory for one", "kB", memory));
        fan_out(&host, &runner, table, connected, rounds);
        idle(&host, table, connected);
        if open < more {
            println!(
                "{connected} of {level} hosts were connected in {LIMIT:?}: more are not tried"
            );
            return;
        }
    }
}

fn fan_out(host: &Host, runner: &Runner, table: &mut Table, connected: usize, rounds: usize) {
    let mut each = Samples::default();
    let mut last = Samples::default();
    let before = (wire_bytes(host), cpu(host));
    for _ in 0..rounds {
        let said = runner.ask(&json!({ "op": "fan-out", "count": connected }));
        let round: Samples = places::numbers(&said["us"]).map(|us| us / 1000.0).collect();
        last.add([round.at(1.0)]);
        each.add(places::numbers(&said["us"]).map(|us| us / 1000.0));
    }
    let told = per(connected * rounds);
    let after = (wire_bytes(host), cpu(host));
    for (what, at) in [("p50", 0.5), ("p99", 0.99)] {
        let row = Row::new(
            format!("revocation heard by a host, {what}"),
            "ms",
            each.at(at),
        );
        let row = row.of(each.len());
        table.add(match what {
            "p99" => row.goal(Goal::AtMost(250.0)),
            _ => row,
        });
    }
    for (what, at) in [("p50", 0.5), ("worst", 1.0)] {
        let row = Row::new(format!("by all of them, {what}"), "ms", last.at(at));
        table.add(row.of(rounds));
    }
    let row = Row::new(
        "bytes on the wire, a revocation and a host",
        "B",
        (after.0 - before.0) / told,
    );
    table.add(row.of(rounds));
    let row = Row::new(
        "the issuer's processor time, the same",
        "µs",
        (after.1 - before.1) / told,
    );
    table.add(row.of(rounds));
}

/// A heartbeat of 15 s, with nothing to say but that nothing was revoked.
fn idle(host: &Host, table: &mut Table, connected: usize) {
    let seconds = 15;
    let before = (wire_bytes(host), cpu(host));
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let after = (wire_bytes(host), cpu(host));
    let share = (after.1 - before.1) / per(seconds) / 10_000.0;
    table.add(Row::new(
        "the issuer's processor, idle",
        "% of a core",
        share,
    ));
    let bytes = (after.0 - before.0) / per(seconds) / per(connected);
    table.add(Row::new(
        "bytes on the wire, a host and second, idle",
        "B/s",
        bytes,
    ));
}

fn cpu(host: &Host) -> f64 {
    places::cpu_of_unit(host, "jit-issuer.service")
}

/// What went over the loopback so far, with the heads of its packets, both ways.
fn wire_bytes(host: &Host) -> f64 {
    let said = host
        .run(&["cat", "/sys/class/net/lo/statistics/rx_bytes"])
        .ok();
    said.text().parse().unwrap()
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[allow(clippy::cast_precision_loss)]
fn per(count: usize) -> f64 {
    count as f64
}
