//! `jitctl setup sudo`: a transaction over the files of every sudo there is. Check, back up, write, call every sudo
//! again, undo on failure.

use super::confirm;
use super::plan::{self, Plan, Wanted};
use super::selftest::Baseline;
use super::steps::{Steps, failed};
use super::transaction;
use crate::accounts::{Standing, ways_to_root};
use crate::args;
use crate::context::Context;
use crate::diff;
use crate::exit::{Code, Exit};
use crate::facts::{self, JIT_END, OLDEST_SUDO, POLICY, Plugin};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::files::{self, Place};
use crate::output::Line;
use crate::program;
use crate::sudo_rs::{self, PAM_COPY, SUDOERS_RS};
use crate::sudoconf::PLUGIN;
use crate::sudos::{self, Installed, What};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;
use wire::cli::{Reply, Request, Role};
use wire::sudo_rs::Program;
use wire::wiring;

/// Files are written and synced; a `sudo` in flight is waited for.
const UNDO: Duration = Duration::from_secs(120);
/// Admins whose sudo is called in the self-test.
const ADMINS: usize = 3;

pub fn command(
    ctx: &Context,
    dry_run: bool,
    undo: bool,
    wiring: args::Wiring,
) -> Result<u8, Failure> {
    let place = Place::default();
    if undo {
        return if ctx.out.is_json() {
            unwire_in_json(ctx, &place)
        } else {
            Err(unwire())
        };
    }
    if dry_run {
        return preview(ctx, &place);
    }
    let mut steps = Steps::new(ctx);
    wire(ctx, &place, wiring, &mut steps)?;
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}

/// `jit-end` needs nothing else installed, so that package removal can use it; it takes over from here.
fn unwire() -> Failure {
    let error = std::process::Command::new(JIT_END).arg("--unwire").exec();
    not_undone(format!("{JIT_END} cannot be started: {error}."))
}

/// The same as a child, whose lines become steps.
fn unwire_in_json(ctx: &Context, place: &Place) -> Result<u8, Failure> {
    let wired = plan::backup(place, wiring::MANIFEST).exists();
    let ended =
        program::run(JIT_END, &["--unwire"], UNDO).map_err(|why| not_undone(format!("{why}.")))?;
    if !ended.ok() {
        return Err(not_undone(format!("{}.", ended.last_line())));
    }
    let mut steps = Steps::new(ctx);
    for line in ended.err.lines() {
        if wired {
            steps.done("sudo", line);
        } else {
            steps.already("sudo", line);
        }
    }
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}

fn not_undone(why: String) -> Failure {
    failed(
        why,
        "Install the package jit-agent again; or put back /etc/sudo.conf first, then the others, from /var/lib/jit/wiring.",
    )
}

fn preview(ctx: &Context, place: &Place) -> Result<u8, Failure> {
    let sudos = check(place)?;
    let plan = made(ctx, place, &sudos)?;
    let mut files = Vec::new();
    for step in &plan.steps {
        let old = step.now.as_ref().map(files::Content::text);
        let diff = diff::unified(step.path, old.as_deref(), Some(&step.wanted.text()));
        let lines: Vec<Line> = diff.lines().map(Line::new).collect();
        ctx.out.lines(&lines);
        let mode = format!("{:04o}", step.wanted.owner.mode);
        files.push(json!({
            "path": step.path, "changes": step.changes(), "mode": mode, "diff": diff,
        }));
    }
    if plan.nothing_to_do() {
        ctx.out.note("sudo is wired already; nothing would change.");
    }
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "files": Value::from(files) }));
    Ok(Exit::Ok.code())
}

fn made(ctx: &Context, place: &Place, sudos: &[Installed]) -> Result<Plan, Failure> {
    let wanted = Wanted {
        classic: sudos::classic(sudos).is_some(),
        rs: sudos::rs(sudos).is_some(),
        roles: &roles(ctx, place),
    };
    plan::plan(place, wanted).map_err(|s| failed(s.message, s.hint))
}

/// The role table in force. Before this host has an issuer it is that of the issuer on this box, or empty; a role
/// without a line gets nothing through sudo-rs.
fn roles(ctx: &Context, place: &Place) -> Vec<Role> {
    if let Ok(Reply::Roles { roles }) = ctx.agent.ask(&Request::Roles)
        && !roles.is_empty()
    {
        return roles;
    }
    let file = files::read(&place.at(POLICY)).ok().flatten();
    let policy = file.and_then(|c| ::policy::load(&c.text()).ok());
    policy.map_or_else(Vec::new, |p| {
        p.roles()
            .iter()
            .map(|(name, role)| sudo_rs::row(name, role))
            .collect()
    })
}

/// The transaction; `steps` says what it did.
pub fn wire(
    ctx: &Context,
    place: &Place,
    wiring: args::Wiring,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let sudos = check(place)?;
    let admins = a_way_to_root(place, wiring.force, steps)?;
    let plan = made(ctx, place, &sudos)?;
    if plan.nothing_to_do() {
        steps.already("sudo", "sudo is wired already");
        say_gates(&sudos, steps);
        confirm::remind(place, steps);
        return Ok(());
    }
    let fail = |why: String| {
        failed(
            format!("sudo was not wired: {why}."),
            "Everything is as it was before. `jitctl doctor` may say more.",
        )
    };
    let paths: Vec<&'static str> = sudos.iter().map(|s| s.path).collect();
    let baseline = Baseline::take(&paths, &admins).map_err(fail)?;
    // A half-done wiring is worse than a late Ctrl-C.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let blocked = signals.thread_block().is_ok();
    // Armed before the first file changes: whatever becomes of this run, somebody undoes it.
    let result = match wiring.revert_after {
        Some(seconds) => confirm::arm(place, seconds),
        None => Ok(()),
    };
    let result = result.and_then(|()| {
        let rs = sudos::rs(&sudos).map(|(_, program)| program);
        let done = transact(place, &plan, &baseline, rs);
        if done.is_err() && wiring.revert_after.is_some() {
            confirm::disarm(place)?;
        }
        done
    });
    if blocked {
        // Delivered now, if one came.
        let _ = signals.thread_unblock();
    }
    let tested = result.map_err(fail)?;
    for step in plan.steps.iter().filter(|s| s.changes()) {
        let what = if step.now.is_some() {
            "changed"
        } else {
            "made"
        };
        steps.done("sudo", format!("{what} {}", step.path));
        if step.edited {
            steps.done(
                "sudo",
                format!("kept the edited {} in {}", step.path, wire::wiring::DIR),
            );
        }
    }
    steps.done("sudo", format!("tested: {}", tested.join(", ")));
    say_gates(&sudos, steps);
    confirm::remind(place, steps);
    Ok(())
}

fn say_gates(sudos: &[Installed], steps: &mut Steps) {
    for gate in sudos::gates(sudos) {
        steps.already("gate", gate);
    }
}

fn transact(
    place: &Place,
    plan: &Plan,
    baseline: &Baseline,
    rs: Option<Program>,
) -> Result<Vec<String>, String> {
    let written = transaction::write(place, plan, |name, path| judge(name, path, rs))?;
    match baseline.compare() {
        Ok(tested) => {
            written.keep()?;
            Ok(tested)
        }
        Err(why) => match written.take_back() {
            Ok(()) => Err(why),
            Err(also) => Err(format!(
                "{why}; and taking it back failed: {also}; run `{JIT_END} --unwire` as root now"
            )),
        },
    }
}

/// Each sudo's own judge on its file of rules.
fn judge(name: &str, path: &Path, rs: Option<Program>) -> Result<(), String> {
    if name != SUDOERS_RS {
        return visudo(path);
    }
    let Some(rs) = rs else { return Ok(()) };
    // What sudo-rs does not understand of the admin's own rules it passes over, with a warning, today as well.
    let today = sudos::visudo_rs(rs, Path::new("/etc/sudoers"));
    match sudos::visudo_rs(rs, path) {
        Err(why) if today.is_ok() => Err(format!("visudo of sudo-rs refuses {SUDOERS_RS}: {why}")),
        _ => Ok(()),
    }
}

fn visudo(path: &Path) -> Result<(), String> {
    facts::visudo(&path.to_string_lossy())
        .map_err(|why| format!("visudo refuses the file that includes /etc/sudoers: {why}"))
}

/// Everything that must be right before a file changes. The sudos that can be wired.
fn check(place: &Place) -> Result<Vec<Installed>, Failure> {
    let sudos = sudos::installed(place);
    if sudos.is_empty() {
        return Err(failed(
            "sudo is not installed.",
            "Install sudo, then run this again.",
        ));
    }
    for Installed { path, what } in &sudos {
        match what {
            What::Classic(version) if *version < OLDEST_SUDO => {
                return Err(failed(
                    format!("{path} is sudo {version}; jit needs {OLDEST_SUDO} or later."),
                    "Install a newer sudo.",
                ));
            }
            What::Classic(_) | What::Rs(_, Some(_)) => {}
            What::Rs(said, None) => {
                return Err(failed(
                    format!(
                        "{path} is {said} at a place that pam_jit.so does not know, so it would refuse every grant."
                    ),
                    "Install sudo-rs from your distribution's package.",
                ));
            }
            What::Unknown(said) => {
                return Err(failed(
                    format!("{path} does not say its version: {said}"),
                    format!("Run `{path} -V`."),
                ));
            }
        }
    }
    let again = "Install the package jit-agent again.";
    if sudos::classic(&sudos).is_some() {
        match facts::plugin(place) {
            Plugin::Good => {}
            Plugin::Missing => return Err(failed(format!("{PLUGIN} is missing."), again)),
            Plugin::Unsafe(why) => {
                return Err(failed(
                    format!("{why}; whoever can change it would be root."),
                    format!("chown root:root and chmod go-w what is named, or: {again}"),
                ));
            }
            Plugin::Lacks(symbol) => {
                return Err(failed(
                    format!(
                        "{PLUGIN} has no symbol {symbol}; with it sudo would fail for everyone."
                    ),
                    again,
                ));
            }
        }
    }
    if sudos::rs(&sudos).is_some() {
        if !place.at(PAM_COPY).is_file() {
            return Err(failed(format!("{PAM_COPY} is missing."), again));
        }
        if let Some(loose) = files::loose(&place.at(PAM_COPY), place.uid) {
            return Err(failed(
                format!("{} can be changed by others than root.", loose.display()),
                format!("chown root:root and chmod go-w what is named, or: {again}"),
            ));
        }
    }
    if !facts::pam_module(place) {
        return Err(failed("pam_jit.so is in no PAM module directory.", again));
    }
    if !place.at(JIT_END).is_file() {
        return Err(failed(
            format!("{JIT_END} is missing; nothing could undo this."),
            again,
        ));
    }
    let nsswitch = files::read(&place.at(facts::NSSWITCH)).ok().flatten();
    if !nsswitch.is_some_and(|c| facts::groups_from_systemd(&c.text())) {
        return Err(failed(
            "The line `group:` of /etc/nsswitch.conf does not name systemd, so group memberships of a grant would not count.",
            "Install libnss-systemd and write `group: files systemd` there.",
        ));
    }
    let rules = facts::sudoers(place);
    if let Some((at, line)) = rules.group_plugin {
        return Err(failed(
            format!("{at} uses a group plugin of its own ({line}); sudo knows only one."),
            "Take that line out if it is no longer needed, then run this again.",
        ));
    }
    if let Some(line) = rules.ours.first() {
        return Err(failed(
            format!(
                "{line} names jit where it must not: rules of jit stand in /etc/jit/sudoers only."
            ),
            "Take that line out, then run this again.",
        ));
    }
    Ok(sudos)
}

/// Refuses to take the last way to root away. Where there is none to take, says so and goes on. Logins of standing admins for the self-test.
fn a_way_to_root(place: &Place, force: bool, steps: &mut Steps) -> Result<Vec<String>, Failure> {
    let accounts = facts::accounts().map_err(|why| {
        failed(
            format!("The accounts of this host cannot be listed: {why}."),
            "Run `getent passwd` and `getent group`.",
        )
    })?;
    let (sudoers, root) = (facts::sudoers(place), facts::root_facts(place));
    let admins = accounts.admins(&sudoers);
    let ways = ways_to_root(&root, &admins);
    let today = ways_to_root(&root, &accounts.admins_today(&sudoers));
    match (ways.as_slice(), force) {
        ([], false) if today.is_empty() => steps.already(
            "way-to-root",
            "nobody has a way to root on this host today, so jit takes none away; it will be the only one",
        ),
        ([], false) => {
            return Err(Failure::new(
                Code::SetupFailed,
                "No way to root is left without jit: root has no password and no usable ssh key, and nobody outside jit-eligible may use sudo.",
            )
            .hint("Set a password for root (`passwd root`) or keep one admin outside jit-eligible; or add --force."));
        }
        ([], true) => steps.already(
            "way-to-root",
            "no way to root is left without jit; going on because of --force",
        ),
        ([first, ..], _) => {
            steps.already("way-to-root", format!("a way to root without jit: {first}"));
        }
    }
    Ok(testable(&admins))
}

fn testable(admins: &[Standing]) -> Vec<String> {
    admins
        .iter()
        .map(|a| a.login.clone())
        .take(ADMINS)
        .collect()
}
