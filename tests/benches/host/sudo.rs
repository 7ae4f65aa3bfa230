//! What one `sudo` costs: Debian's own, ours with every gate, a durable record and the process moved, `systemd-run --wait`,
//! what people build themselves, and sudo that asks sssd for rules, in turns.

use std::time::Duration;

use jit_tests::Host;
use jit_tests::bench::{Goal, Row, Samples, Table, quick};

use crate::places::{self, Places, Runner};

pub const TRUE: [&str; 3] = ["sudo", "-n", "true"];
const LIST: [&str; 3] = ["sudo", "-n", "-l"];
pub const RUN: [&str; 4] = ["systemd-run", "--quiet", "--wait", "true"];
/// How people use it, if they hurry.
const PACE: Duration = Duration::from_millis(100);

/// One command of one user on one host.
pub struct Series {
    runner: Runner,
    argv: &'static [&'static str],
    code: i32,
    pub ms: Samples,
    cpu_us: f64,
}

impl Series {
    pub fn new(host: &Host, user: &str, argv: &'static [&'static str], code: i32) -> Self {
        Self {
            runner: Runner::open(host, user),
            argv,
            code,
            ms: Samples::default(),
            cpu_us: 0.0,
        }
    }

    /// Microseconds of processor time for one call.
    #[allow(clippy::cast_precision_loss)]
    fn cpu(&self) -> f64 {
        self.cpu_us / self.ms.len() as f64
    }
}

/// `rounds` rounds in which each series makes `each` calls; one round before them warms up.
pub fn turns(series: &mut [&mut Series], rounds: usize, each: usize, every: Option<Duration>) {
    for round in 0..=rounds {
        for one in series.iter_mut() {
            let calls = one.runner.calls(one.argv, one.code, each, every);
            if round > 0 {
                one.ms.add(calls.ms);
                one.cpu_us += calls.cpu_us;
            }
        }
    }
}

pub fn measure(places: &Places, table: &mut Table) {
    let (plain, ready) = (&places.plain, &places.ready);
    places::elevate(ready, "alice", "1h");
    let sssd = Host::plain_with_sssd();
    places::bring(&sssd);
    back_to_back(plain, &sssd, ready, table);
    drop(sssd);
    paced(plain, ready, table);
    listing(plain, ready, table);
    refusal(plain, ready, table);
    places::drop_all(ready, "alice");
}

fn back_to_back(plain: &Host, sssd: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n true`, back to back");
    let rounds = if quick() { 5 } else { 50 };
    let mut base = Series::new(plain, "carol", &TRUE, 0);
    let mut standing = Series::new(ready, "carol", &TRUE, 0);
    let mut ours = Series::new(ready, "alice", &TRUE, 0);
    let mut run = Series::new(plain, "root", &RUN, 0);
    home_made(plain);
    let mut home = Series::new(plain, "dave", &TRUE, 0);
    let mut rules = Series::new(sssd, "carol", &TRUE, 0);
    let agent = places::cpu_of_unit(ready, "jit-agent.service");
    turns(
        &mut [
            &mut base,
            &mut ours,
            &mut standing,
            &mut run,
            &mut home,
            &mut rules,
        ],
        rounds,
        20,
        None,
    );
    let agent = places::cpu_of_unit(ready, "jit-agent.service") - agent;
    percentiles(
        table,
        "managed",
        &ours,
        "plain sudo",
        &base,
        |share| match share {
            50 => Some(Goal::TimesAtMost(1.25)),
            99 => Some(Goal::TimesAtMost(1.3)),
            _ => None,
        },
    );
    let p50 = Row::new("p50, managed", "ms", ours.ms.p50()).of(ours.ms.len());
    let below = p50.beside("systemd-run --wait", run.ms.p50());
    table.add(below.goal(Goal::Below));
    for (share, at) in [(50, 0.5), (99, 0.99)] {
        for (name, other) in [
            ("home-made: pam_exec, curl", &home),
            ("sudo with sssd", &rules),
        ] {
            let row = Row::new(format!("p{share}, managed"), "ms", ours.ms.at(at));
            table.add(row.of(ours.ms.len()).beside(name, other.ms.at(at)));
        }
    }
    percentiles(
        table,
        "standing admin on a wired host",
        &standing,
        "plain sudo",
        &base,
        |_| None,
    );
    #[allow(clippy::cast_precision_loss)]
    let of_agent = agent / (ours.ms.len() + 20) as f64;
    let whole = Row::new(
        "processor time, sudo and agent",
        "µs",
        ours.cpu() + of_agent,
    );
    table.add(whole.beside("plain sudo", base.cpu()).of(ours.ms.len()));
    table.add(Row::new("of it the agent's", "µs", of_agent).of(ours.ms.len()));
}

/// What people build who have an hour: PAM runs curl, which asks a server of theirs. Here it is as near as can be and
/// always says yes.
fn home_made(host: &Host) {
    host.write(
        "/usr/local/sbin/allow-server",
        "import http.server\n\
         class Yes(http.server.BaseHTTPRequestHandler):\n\
         \u{20}   def do_GET(self):\n\
         \u{20}       self.send_response(200)\n\
         \u{20}       self.end_headers()\n\
         \u{20}   def log_message(self, *_):\n\
         \u{20}       pass\n\
         http.server.HTTPServer(('127.0.0.1', 8999), Yes).serve_forever()\n",
    );
    host.write(
        "/usr/local/sbin/ask-allow",
        "#!/bin/sh\nexec curl --fail --silent --max-time 3 \"http://127.0.0.1:8999/allow?user=$PAM_USER\"\n",
    );
    host.write(
        "/etc/pam.d/sudo-home",
        "account required pam_exec.so quiet /usr/local/sbin/ask-allow\n@include sudo\n",
    );
    host.write(
        "/etc/sudoers.d/dave",
        "Defaults:dave pam_service=sudo-home\ndave ALL=(ALL:ALL) NOPASSWD: ALL\n",
    );
    host.sh("chmod 0755 /usr/local/sbin/ask-allow; chmod 0440 /etc/sudoers.d/dave")
        .ok();
    host.sh("systemd-run --quiet --unit=allow-server python3 /usr/local/sbin/allow-server")
        .ok();
    let answers = "curl --fail --silent http://127.0.0.1:8999/allow";
    host.wait_for("the home-made server", Duration::from_secs(10), answers);
}

fn paced(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n true`, one call every 100 ms");
    let rounds = if quick() { 2 } else { 15 };
    let mut base = Series::new(plain, "carol", &TRUE, 0);
    let mut ours = Series::new(ready, "alice", &TRUE, 0);
    let mut run = Series::new(plain, "root", &RUN, 0);
    turns(
        &mut [&mut base, &mut ours, &mut run],
        rounds,
        20,
        Some(PACE),
    );
    percentiles(table, "managed", &ours, "plain sudo", &base, |share| {
        (share == 50).then_some(Goal::TimesAtMost(2.0))
    });
    let p50 = Row::new("p50, managed", "ms", ours.ms.p50()).of(ours.ms.len());
    let below = p50.beside("systemd-run --wait", run.ms.p50());
    table.add(below.goal(Goal::Below));
}

fn listing(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n -l`, back to back");
    let rounds = if quick() { 2 } else { 20 };
    let mut base = Series::new(plain, "carol", &LIST, 0);
    let mut ours = Series::new(ready, "alice", &LIST, 0);
    turns(&mut [&mut base, &mut ours], rounds, 20, None);
    percentiles(table, "managed", &ours, "plain sudo", &base, |_| None);
}

/// The first hundred refusals are journaled one by one, the rest are counted: all sudo's side is the same.
fn refusal(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n true` refused, back to back");
    ready.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    let rounds = if quick() { 2 } else { 20 };
    let mut base = Series::new(plain, "bob", &TRUE, 1);
    let mut ours = Series::new(ready, "bob", &TRUE, 1);
    turns(&mut [&mut base, &mut ours], rounds, 20, None);
    percentiles(
        table,
        "managed, no grant",
        &ours,
        "plain sudo, no rule",
        &base,
        |_| None,
    );
    ready.run(&["gpasswd", "-d", "bob", "jit-eligible"]).ok();
}

/// p50, p90 and p99 of one series beside another's.
pub fn percentiles(
    table: &mut Table,
    what: &str,
    ours: &Series,
    name: &str,
    base: &Series,
    goal: impl Fn(u8) -> Option<Goal>,
) {
    for share in [50, 90, 99] {
        let at = f64::from(share) / 100.0;
        let row = Row::new(format!("p{share}, {what}"), "ms", ours.ms.at(at));
        let row = row.beside(name, base.ms.at(at)).of(ours.ms.len());
        table.add(match goal(share) {
            Some(goal) => row.goal(goal),
            None => row,
        });
    }
}
