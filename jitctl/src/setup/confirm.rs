//! A wiring that undoes itself unless somebody says that sudo works: a timer for this boot, and a unit that every boot
//! starts while the mark of an unconfirmed setup lies beside the backups. Both run `jit-end --revert`, which needs neither
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
use wire::wiring::{self, Part};

const SERVICE: &str = "jit-setup-revert.service";
const TIMER: &str = "jit-setup-revert.timer";
const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
const PATIENCE: Duration = Duration::from_secs(30);

/// Undo this door in so many seconds, and at the next boot; with another that waits, both.
///
/// # Errors
/// A sentence without the full stop; then nothing is armed.
pub fn arm(place: &Place, part: Part, seconds: u64) -> Result<(), String> {
    let mark = backup(place, wiring::UNCONFIRMED);
    files::make_dir(&place.at(wiring::DIR), 0o700)?;
    let at = jiff::SignedDuration::try_from(Duration::from_secs(seconds))
        .and_then(|d| jiff::Timestamp::now().checked_add(d))
        .map_err(|e| format!("--revert-after: {e}"))?;
    let waits = files::read(&mark)?.map(|m| wiring::unconfirmed_part(&m.text()));
    let what = match waits {
        Some(other) if other != Some(part) => String::new(),
        _ => format!("{}\n", part.name()),
    };
    let content = Content {
        bytes: format!("{}\n{what}", at.strftime("%FT%TZ")).into_bytes(),
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

/// A setup failed that had armed this: nothing of it is left to undo. Where another door waits too, both still do.
///
/// # Errors
/// As [`disarm`].
pub fn disarm_alone(place: &Place, part: Part) -> Result<(), String> {
    let mark = files::read(&backup(place, wiring::UNCONFIRMED))?;
    match mark.map(|m| wiring::unconfirmed_part(&m.text())) {
        Some(armed) if armed != Some(part) => Ok(()),
        _ => disarm(place),
    }
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
        let mark = mark.text();
        let at = mark.lines().next().unwrap_or_default();
        let what = waiting(&mark);
        steps.already(
            "confirm",
            format!(
                "until {at}, or the next boot, {what} so: try it from a new login, then run `jitctl setup confirm`; without that its files are put back"
            ),
        );
    }
}

/// What an unconfirmed setup wired, as the head of a sentence.
fn waiting(mark: &str) -> &'static str {
    match wiring::unconfirmed_part(mark) {
        Some(Part::Sudo) => "sudo stays",
        Some(Part::Pam) => "su stays",
        None => "sudo and su stay",
    }
}

/// `jitctl setup confirm`
pub fn command(ctx: &Context) -> Result<u8, Failure> {
    let place = Place::default();
    let mut steps = Steps::new(ctx);
    let mark = files::read(&backup(&place, wiring::UNCONFIRMED))
        .ok()
        .flatten();
    let wired = backup(&place, wiring::MANIFEST).exists();
    disarm(&place).map_err(|why| {
        failed(
            format!("The wiring could not be confirmed: {why}."),
            "Run this again; until then it may still be undone.",
        )
    })?;
    match (mark, wired) {
        (Some(mark), true) => {
            steps.done("confirm", format!("{} wired", waiting(&mark.text())));
        }
        (None, true) => {
            steps.already(
                "confirm",
                "what is wired stays, and nothing waited to be undone",
            );
        }
        (_, false) => {
            return Err(failed(
                "Nothing is wired: nobody confirmed it in time, or it was undone.",
                "Run `jitctl setup sudo` (or pam) again.",
            ));
        }
    }
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}
