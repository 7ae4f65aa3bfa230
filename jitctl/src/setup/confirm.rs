//! A wiring that undoes itself unless somebody says that sudo works: a timer for this boot, and a unit that every boot
//! starts while the mark of an unconfirmed setup lies beside the backups. Both run `jit-end --unwire`, which needs neither
//! jitctl nor an agent.

use super::local::systemctl;
use super::plan::backup;
use super::steps::{Steps, failed};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::{self, Content, Owner, Place};
use crate::program;
use std::time::Duration;
use wire::wiring;

const SERVICE: &str = "jit-setup-revert.service";
const TIMER: &str = "jit-setup-revert.timer";
const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
const PATIENCE: Duration = Duration::from_secs(30);

/// Undo in this many seconds, and at the next boot.
///
/// # Errors
/// A sentence without the full stop; then nothing is armed.
pub fn arm(place: &Place, seconds: u64) -> Result<(), String> {
    let mark = backup(place, wiring::UNCONFIRMED);
    files::make_dir(&place.at(wiring::DIR), 0o700)?;
    let at = jiff::SignedDuration::try_from(Duration::from_secs(seconds))
        .and_then(|d| jiff::Timestamp::now().checked_add(d))
        .map_err(|e| format!("--revert-after: {e}"))?;
    let content = Content {
        bytes: format!("{}\n", at.strftime("%FT%TZ")).into_bytes(),
        owner: Owner {
            mode: 0o600,
            uid: place.uid,
            gid: place.gid,
        },
    };
    files::write(&mark, &content)?;
    let armed = run("enable", SERVICE).and_then(|()| {
        // One of an earlier setup would come too soon.
        run("stop", TIMER)?;
        let after = format!("--on-active={seconds}s");
        let unit = format!("--unit={SERVICE}");
        let args = [
            "--quiet",
            &after,
            "--timer-property=AccuracySec=100ms",
            &unit,
        ];
        let ended = program::run(SYSTEMD_RUN, &args, PATIENCE)?;
        if ended.ok() {
            Ok(())
        } else {
            Err(format!("systemd-run: {}", ended.last_line()))
        }
    });
    armed.map_err(|why| match disarm(place) {
        Ok(()) => why,
        Err(also) => format!("{why}; and {also}"),
    })
}

/// What is wired stays.
///
/// # Errors
/// A sentence without the full stop.
pub fn disarm(place: &Place) -> Result<(), String> {
    // First: without it neither timer nor boot undoes anything.
    files::remove(&backup(place, wiring::UNCONFIRMED))?;
    run("stop", TIMER)?;
    run("disable", SERVICE)
}

fn run(what: &str, unit: &str) -> Result<(), String> {
    if what == "stop" && !timer_is_loaded() {
        return Ok(());
    }
    systemctl(&[what, "--quiet", unit]).map_err(|failure| failure.message)
}

fn timer_is_loaded() -> bool {
    let args = ["show", "--property=LoadState", "--value", TIMER];
    program::run("/usr/bin/systemctl", &args, PATIENCE)
        .is_ok_and(|ended| ended.out.trim() == "loaded")
}

/// Whoever set this up has to know that it is not for good.
pub fn remind(place: &Place, steps: &mut Steps) {
    if let Ok(Some(mark)) = files::read(&backup(place, wiring::UNCONFIRMED)) {
        let at = mark.text();
        steps.already(
            "confirm",
            format!(
                "until {}, or the next boot, sudo stays so: try it from a new login, then run `jitctl setup confirm`; without that every file is put back",
                at.trim()
            ),
        );
    }
}

/// `jitctl setup confirm`
pub fn command(ctx: &Context) -> Result<u8, Failure> {
    let place = Place::default();
    let mut steps = Steps::new(ctx);
    let waits = files::read(&backup(&place, wiring::UNCONFIRMED)).is_ok_and(|m| m.is_some());
    let wired = backup(&place, wiring::MANIFEST).exists();
    disarm(&place).map_err(|why| {
        failed(
            format!("The wiring could not be confirmed: {why}."),
            "Run this again; until then it may still be undone.",
        )
    })?;
    match (waits, wired) {
        (true, true) => steps.done("confirm", "sudo stays wired"),
        (false, true) => steps.already("confirm", "sudo is wired, and nothing waited to be undone"),
        (_, false) => {
            return Err(failed(
                "sudo is not wired: nobody confirmed it in time, or it was undone.",
                "Run `jitctl setup sudo` again.",
            ));
        }
    }
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}
