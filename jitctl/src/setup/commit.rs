//! What setups share: a transaction over files, its preview and its undo. Back up, write, call every program again, undo on
//! failure.

use super::confirm;
use super::plan::{self, Plan, Wanted};
use super::selftest::Baseline;
use super::steps::{Steps, failed};
use super::transaction;
use crate::args;
use crate::context::Context;
use crate::diff;
use crate::exit::Exit;
use crate::facts::{self, JIT_END, POLICY};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::files::{self, Place};
use crate::output::Line;
use crate::program;
use crate::sudo_rs::{self, SUDOERS_RS};
use crate::sudos::{self, Installed};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;
use wire::cli::{Reply, Request, Role};
use wire::sudo_rs::Program;
use wire::wiring::{self, Manifest, Part};

/// Files are written and synced; a `sudo` in flight is waited for.
const UNDO: Duration = Duration::from_secs(120);

/// `--undo`
pub fn undo(ctx: &Context, place: &Place, part: Part) -> Result<u8, Failure> {
    if ctx.out.is_json() {
        unwire_in_json(ctx, place, part)
    } else {
        Err(unwire(part))
    }
}

/// `jit-end` needs nothing else installed, so that package removal can use it; it takes over from here.
fn unwire(part: Part) -> Failure {
    let error = std::process::Command::new(JIT_END)
        .args(["--unwire", part.name()])
        .exec();
    not_undone(format!("{JIT_END} cannot be started: {error}."))
}

/// The same as a child, whose lines become steps.
fn unwire_in_json(ctx: &Context, place: &Place, part: Part) -> Result<u8, Failure> {
    let wired = is_recorded(place, part);
    let ended = program::run(JIT_END, &["--unwire", part.name()], UNDO)
        .map_err(|why| not_undone(format!("{why}.")))?;
    if !ended.ok() {
        return Err(not_undone(format!("{}.", ended.last_line())));
    }
    let mut steps = Steps::new(ctx);
    for line in ended.err.lines() {
        if wired {
            steps.done(part.program(), line);
        } else {
            steps.already(part.program(), line);
        }
    }
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}

/// Does the record of setup name a file of this door?
pub fn is_recorded(place: &Place, part: Part) -> bool {
    let record = files::read(&plan::backup(place, wiring::MANIFEST));
    let manifest = record.ok().flatten().map(|c| Manifest::parse(&c.bytes));
    manifest.is_some_and(|m| {
        m.is_ok_and(|m| m.files.iter().any(|f| Part::of(f.path.as_bytes()) == part))
    })
}

fn not_undone(why: String) -> Failure {
    failed(
        why,
        "Install the package jit-agent again; or put back /etc/sudo.conf first, then the others, from /var/lib/jit/wiring.",
    )
}

/// `--dry-run`
pub fn preview(ctx: &Context, plan: &Plan, part: Part) -> u8 {
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
        let program = part.program();
        ctx.out
            .note(format!("{program} is wired already; nothing would change."));
    }
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "files": Value::from(files) }));
    Exit::Ok.code()
}

/// What has to change for one door. Another that is wired already stays so.
pub fn made(
    ctx: &Context,
    place: &Place,
    part: Part,
    sudos: &[Installed],
) -> Result<Plan, Failure> {
    let sudo = part == Part::Sudo;
    let wanted = Wanted {
        classic: sudo && sudos::classic(sudos).is_some(),
        rs: sudo && sudos::rs(sudos).is_some(),
        su: part == Part::Pam,
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

/// The transaction; `steps` says what it did. The plan changes something.
pub fn commit(
    place: &Place,
    part: Part,
    plan: &Plan,
    sudos: &[Installed],
    admins: &[String],
    wiring: args::Wiring,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let program = part.program();
    let fail = |why: String| {
        failed(
            format!("{program} was not wired: {why}."),
            "Everything is as it was before. `jitctl doctor` may say more.",
        )
    };
    let touches = |part| {
        let mut changed = plan.steps.iter().filter(|s| s.changes());
        changed.any(|s| Part::of(s.path.as_bytes()) == part)
    };
    let paths: Vec<&'static str> = match touches(Part::Sudo) {
        true => sudos.iter().map(|s| s.path).collect(),
        false => Vec::new(),
    };
    let baseline = Baseline::take(&paths, touches(Part::Pam), admins).map_err(fail)?;
    // A half-done wiring is worse than a late Ctrl-C.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let blocked = signals.thread_block().is_ok();
    // Armed before the first file changes: whatever becomes of this run, somebody undoes it.
    let result = match wiring.revert_after {
        Some(seconds) => confirm::arm(place, part, seconds),
        None => Ok(()),
    };
    let result = result.and_then(|()| {
        let rs = sudos::rs(sudos).map(|(_, program)| program);
        let done = transact(place, plan, &baseline, rs);
        if done.is_err() && wiring.revert_after.is_some() {
            confirm::disarm_alone(place, part)?;
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
        steps.done(program, format!("{what} {}", step.path));
        if step.edited {
            steps.done(
                program,
                format!("kept the edited {} in {}", step.path, wire::wiring::DIR),
            );
        }
    }
    if !tested.is_empty() {
        steps.done(program, format!("tested: {}", tested.join(", ")));
    }
    Ok(())
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
