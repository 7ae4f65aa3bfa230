//! What lies on the disk, and what the agent takes while nothing happens.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use jit_tests::bench::{Goal, Row, Table, quick};
use jit_tests::{Host, project};

use crate::places::{self, Places};

pub const AGENT: &str = "jit-agent";

const INSTALLED: [&str; 7] = [
    "/usr/libexec/jit/jit-agent",
    "/usr/libexec/jit/jit-end",
    "/usr/libexec/jit/jit-link",
    "/usr/libexec/jit/sudo_jit.so",
    "/usr/lib/*/security/pam_jit.so",
    "/usr/bin/jitctl",
    "/usr/bin/jit-issuer",
];

pub fn measure(places: &Places, table: &mut Table) {
    sizes(places, table);
    idle(places, table);
}

#[allow(clippy::cast_precision_loss)]
fn sizes(places: &Places, table: &mut Table) {
    table.section("Size");
    for package in project::packages() {
        let name = package.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.split('_').next().unwrap_or_default().to_owned();
        let bytes = fs::metadata(&package).unwrap().len();
        table.add(Row::new(
            format!("package {name}"),
            "kB",
            bytes as f64 / 1000.0,
        ));
    }
    for path in INSTALLED {
        let said = places.ready.sh(&format!("stat -c %s {path}")).ok();
        let bytes: f64 = said.text().parse().unwrap();
        let name = path.rsplit('/').next().unwrap_or_default();
        table.add(Row::new(name, "kB", bytes / 1000.0));
    }
    table.add(Row::new(
        "crates in jit-agent, ours included",
        "",
        crates("jit-agent"),
    ));
    table.add(Row::new(
        "crates in sudo_jit.so, ours included",
        "",
        crates("sudo_jit"),
    ));
    for (unit, most) in [("jit-agent", 1.5), ("jit-link", 1.1), ("jit-issuer", 1.1)] {
        let script = format!(
            "systemd-analyze security --no-pager {unit} | tail -1 | grep -o '[0-9.]* [A-Z]*' | cut -d' ' -f1"
        );
        let exposure: f64 = places.ready.sh(&script).ok().text().parse().unwrap();
        let row = Row::new(format!("systemd-analyze security {unit}"), "", exposure);
        table.add(row.goal(Goal::AtMost(most)));
    }
}

#[allow(clippy::cast_precision_loss)]
fn crates(package: &str) -> f64 {
    let args = [
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "-p",
        package,
    ];
    let output = Command::new("cargo")
        .args(args)
        .current_dir(project::root())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().map(|l| l.trim_end_matches(" (*)"));
    let all: BTreeSet<&str> = words.filter(|l| !l.is_empty()).collect();
    assert!(output.status.success() && !all.is_empty(), "cargo tree");
    all.len() as f64
}

fn idle(places: &Places, table: &mut Table) {
    table.section("The agent, idle, with an active grant");
    let host = &places.ready;
    places::elevate(host, "alice", "10m");
    // What giving left to do is done.
    thread::sleep(Duration::from_secs(2));
    let seconds = if quick() { 5 } else { 20 };
    let before = (
        switches(host),
        places::cpu_of_unit(host, "jit-agent.service"),
    );
    thread::sleep(Duration::from_secs(seconds));
    let after = (
        switches(host),
        places::cpu_of_unit(host, "jit-agent.service"),
    );
    #[allow(clippy::cast_precision_loss)]
    let per_second = |from: f64, to: f64| (to - from) / seconds as f64;
    table.add(Row::new(
        "wake-ups a second",
        "",
        per_second(before.0, after.0),
    ));
    let cpu = per_second(before.1, after.1) / 10_000.0;
    table.add(Row::new("processor", "% of a core", cpu));
    let pid = main_pid(host, AGENT);
    let fds = host.sh(&format!("ls /proc/{pid}/fd | wc -l")).ok();
    table.add(Row::new(
        "open descriptors",
        "",
        fds.text().parse().unwrap(),
    ));
    let row = Row::new("resident memory, 1 grant", "MB", rss(host, AGENT));
    table.add(row.goal(Goal::AtMost(15.0)));
    let row = Row::new("start to ready, 1 grant", "ms", start_to_ready(host));
    table.add(row.goal(Goal::AtMost(500.0)));
    places::wait_link(host);
    places::drop_all(host, "alice");
}

/// How often the agent's threads went to sleep so far.
fn switches(host: &Host) -> f64 {
    let pid = main_pid(host, AGENT);
    let script = format!(
        "cat /proc/{pid}/task/*/status | awk '/^voluntary/ {{ n += $2 }} END {{ print n }}'"
    );
    host.sh(&script).ok().text().parse().unwrap()
}

fn main_pid(host: &Host, unit: &str) -> String {
    let said = host.run(&["systemctl", "show", "-P", "MainPID", unit]).ok();
    said.text().to_owned()
}

/// Resident megabytes of a unit's main process.
pub fn rss(host: &Host, unit: &str) -> f64 {
    let status = host.read(&format!("/proc/{}/status", main_pid(host, unit)));
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024.0 / 1e6
}

/// Restarts the agent; milliseconds from its start to its word that it is ready.
pub fn start_to_ready(host: &Host) -> f64 {
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    let of = |name: &str| {
        let said = host
            .run(&["systemctl", "show", "-P", name, "jit-agent"])
            .ok();
        said.text().parse::<f64>().unwrap()
    };
    (of("ActiveEnterTimestampMonotonic") - of("ExecMainStartTimestampMonotonic")) / 1000.0
}
