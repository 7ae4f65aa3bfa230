//! What one `sudo` costs: Debian's own, ours with every gate, a durable record and the process moved, `systemd-run --wait`,
//! what people build themselves, and sudo that asks sssd for rules, in turns.

use std::time::Duration;

use jit_tests::bench::{Goal, Row, Samples, Table, quick};
use jit_tests::{Host, count};

use crate::home_made;
use crate::places::{self, Places, Runner};

pub const TRUE: [&str; 3] = ["sudo", "-n", "true"];
const LIST: [&str; 3] = ["sudo", "-n", "-l"];
const EDIT: [&str; 3] = ["sudoedit", "-n", "/etc/motd"];
pub const RUN: [&str; 4] = ["systemd-run", "--quiet", "--wait", "true"];
/// Calls of one series in a round.
pub const EACH: usize = 20;
/// How people use it, if they hurry.
const PACE: Duration = Duration::from_millis(100);

/// One command of one user on one host.
pub struct Series<'a> {
    runner: Runner,
    host: &'a Host,
    user: &'static str,
    argv: &'static [&'static str],
    code: i32,
    pub ms: Samples,
    cpu_us: f64,
}

impl<'a> Series<'a> {
    pub fn new(
        host: &'a Host,
        user: &'static str,
        argv: &'static [&'static str],
        code: i32,
    ) -> Self {
        Self {
            runner: Runner::open(host, user),
            host,
            user,
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

    /// System calls of one call and all that it starts; not those of a service that it asks.
    #[allow(clippy::cast_precision_loss)]
    fn calls(&self) -> f64 {
        count::of_command(self.host, self.user, self.argv, self.code).calls as f64
    }
}

/// `rounds` rounds in which each series makes `each` calls; one round before them warms up.
pub fn turns(series: &mut [&mut Series<'_>], rounds: usize, each: usize, every: Option<Duration>) {
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
    editing(plain, ready, table);
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
    home_made::install(plain);
    let mut home = Series::new(plain, "dave", &TRUE, 0);
    let mut rules = Series::new(sssd, "carol", &TRUE, 0);
    let agent = agent_meanwhile(ready, || {
        let mut all = [
            &mut base,
            &mut ours,
            &mut standing,
            &mut run,
            &mut home,
            &mut rules,
        ];
        turns(&mut all, rounds, EACH, None);
    });
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
    costs(table, "managed", (&ours, agent), "plain sudo", &base);
    let calls = ours.calls();
    for (name, other) in [
        ("standing admin on a wired host", &standing),
        ("home-made: pam_exec, curl", &home),
        ("sudo with sssd", &rules),
    ] {
        let row = Row::new(
            "processor time, managed, without the agent's",
            "µs",
            ours.cpu(),
        );
        table.add(row.of(ours.ms.len()).beside(name, other.cpu()));
        let row = Row::new("system calls, managed, sudo's", "", calls);
        table.add(row.beside(name, other.calls()));
    }
}

fn paced(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n true`, one call every 100 ms");
    let rounds = if quick() { 2 } else { 15 };
    let mut base = Series::new(plain, "carol", &TRUE, 0);
    let mut ours = Series::new(ready, "alice", &TRUE, 0);
    let mut run = Series::new(plain, "root", &RUN, 0);
    let agent = agent_meanwhile(ready, || {
        turns(
            &mut [&mut base, &mut ours, &mut run],
            rounds,
            EACH,
            Some(PACE),
        );
    });
    percentiles(table, "managed", &ours, "plain sudo", &base, |share| {
        (share == 50).then_some(Goal::TimesAtMost(2.0))
    });
    let p50 = Row::new("p50, managed", "ms", ours.ms.p50()).of(ours.ms.len());
    let below = p50.beside("systemd-run --wait", run.ms.p50());
    table.add(below.goal(Goal::Below));
    costs(table, "managed", (&ours, agent), "plain sudo", &base);
}

fn listing(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n -l`, back to back");
    let mut base = Series::new(plain, "carol", &LIST, 0);
    let mut ours = Series::new(ready, "alice", &LIST, 0);
    pair(table, "managed", &mut ours, "plain sudo", &mut base);
}

/// An editor that changes nothing: what is measured lies before and after it.
fn editing(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudoedit -n` with an editor that ends at once, back to back");
    let mut base = Series::new(plain, "carol", &EDIT, 0);
    let mut ours = Series::new(ready, "alice", &EDIT, 0);
    pair(table, "managed", &mut ours, "plain sudo", &mut base);
}

/// The first hundred refusals are journaled one by one, the rest are counted: all sudo's side is the same.
fn refusal(plain: &Host, ready: &Host, table: &mut Table) {
    table.section("`sudo -n true` refused, back to back");
    ready.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    let mut base = Series::new(plain, "bob", &TRUE, 1);
    let mut ours = Series::new(ready, "bob", &TRUE, 1);
    let (what, name) = ("managed, no grant", "plain sudo, no rule");
    pair(table, what, &mut ours, name, &mut base);
    ready.run(&["gpasswd", "-d", "bob", "jit-eligible"]).ok();
}

/// Two series in turns and all that is to be said of them.
fn pair<'a>(
    table: &mut Table,
    what: &str,
    ours: &mut Series<'a>,
    name: &str,
    base: &mut Series<'a>,
) {
    let rounds = if quick() { 2 } else { 20 };
    let host = ours.host;
    let agent = agent_meanwhile(host, || {
        turns(&mut [&mut *base, &mut *ours], rounds, EACH, None);
    });
    percentiles(table, what, ours, name, base, |_| None);
    costs(table, what, (ours, agent), name, base);
}

/// Microseconds of processor time that the agent takes meanwhile.
pub fn agent_meanwhile(host: &Host, act: impl FnOnce()) -> f64 {
    let used = || places::cpu_of_unit(host, "jit-agent.service");
    let before = used();
    act();
    used() - before
}

/// Processor time and system calls for one call, with the agent's part: of `ours`, for which the agent took so many
/// microseconds, and of what stands beside it.
#[allow(clippy::cast_precision_loss)]
pub fn costs(
    table: &mut Table,
    what: &str,
    (ours, agent): (&Series<'_>, f64),
    name: &str,
    base: &Series<'_>,
) {
    let n = ours.ms.len();
    // The round that warms up is the agent's work, too.
    let agent = agent / (n + EACH) as f64;
    let whole = format!("processor time, {what}, sudo and agent");
    let row = Row::new(whole, "µs", ours.cpu() + agent).of(n);
    table.add(row.beside(name, base.cpu()));
    table.add(Row::new("of it the agent's", "µs", agent).of(n));
    let row = Row::new(format!("system calls, {what}, sudo's"), "", ours.calls());
    table.add(row.beside(name, base.calls()));
    let uses = 10;
    let counted = count::of_agent(ours.host, || {
        ours.runner.calls(ours.argv, ours.code, uses, None);
    });
    let row = Row::new("and the agent's", "", counted.calls as f64 / uses as f64);
    table.add(row.of(uses));
}

/// p50, p90 and p99 of one series beside another's.
pub fn percentiles(
    table: &mut Table,
    what: &str,
    ours: &Series<'_>,
    name: &str,
    base: &Series<'_>,
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
