//! What one `sudo` costs on Debian 13, beside what came after it: sudo-rs, and systemd's run0, in turns.

use std::thread;

use jit_tests::bench::{Goal, Row, Table, quick};
use jit_tests::{Host, Release};

use crate::places::{self, Places};
use crate::sudo::{EACH, RUN, Series, TRUE, agent_meanwhile, costs, percentiles, turns};

const SUDO_RS: [&str; 3] = ["sudo-rs", "-n", "true"];
/// As root: for anybody else polkit asks a person.
const RUN0: [&str; 2] = ["run0", "true"];

pub fn measure(_: &Places, table: &mut Table) {
    let (plain, ready) = thread::scope(|scope| {
        let plain = scope.spawn(|| Host::boot(Release::Trixie, false));
        let ready = Host::ready_on(Release::Trixie);
        (plain.join().unwrap(), ready)
    });
    for host in [&plain, &ready] {
        places::bring(host);
    }
    places::elevate(&ready, "alice", "1h");
    table.section("Debian 13: `sudo -n true`, back to back");
    let mut base = Series::new(&plain, "carol", &TRUE, 0);
    let mut ours = Series::new(&ready, "alice", &TRUE, 0);
    let mut others = [
        ("sudo-rs", Series::new(&plain, "carol", &SUDO_RS, 0)),
        ("run0", Series::new(&plain, "root", &RUN0, 0)),
        ("systemd-run --wait", Series::new(&plain, "root", &RUN, 0)),
    ];
    let mut all = vec![&mut base, &mut ours];
    all.extend(others.iter_mut().map(|(_, series)| series));
    // No goal hangs on its p99.
    let rounds = if quick() { 5 } else { 15 };
    let agent = agent_meanwhile(&ready, || turns(&mut all, rounds, EACH, None));
    percentiles(table, "managed", &ours, "plain sudo", &base, |_| None);
    for (name, other) in &others {
        let row = Row::new("p50, managed", "ms", ours.ms.p50()).of(ours.ms.len());
        let row = row.beside(name, other.ms.p50());
        table.add(match *name {
            "sudo-rs" => row,
            _ => row.goal(Goal::Below),
        });
    }
    costs(table, "managed", (&ours, agent), "plain sudo", &base);
}
