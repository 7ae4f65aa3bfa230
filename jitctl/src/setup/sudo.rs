//! `jitctl setup sudo`: a transaction over the files of every sudo there is. Check, back up, write, call every sudo
//! again, undo on failure.

use super::commit;
use super::confirm;
use super::steps::{Steps, failed};
use crate::accounts::{Standing, ways_to_root};
use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::facts::{self, JIT_END, OLDEST_SUDO, Plugin};
use crate::failure::Failure;
use crate::files::{self, Place};
use crate::sudo_rs::PAM_COPY;
use crate::sudoconf::PLUGIN;
use crate::sudos::{self, Installed, What};
use wire::wiring::Part;

/// Admins whose sudo is called in the self-test.
const ADMINS: usize = 3;
const AGAIN: &str = "Install the package jit-agent again.";

pub fn command(
    ctx: &Context,
    dry_run: bool,
    undo: bool,
    wiring: args::Wiring,
) -> Result<u8, Failure> {
    let place = Place::default();
    if undo {
        return commit::undo(ctx, &place, Part::Sudo);
    }
    if dry_run {
        let plan = commit::made(ctx, &place, Part::Sudo, &check(&place)?)?;
        return Ok(commit::preview(ctx, &plan, Part::Sudo));
    }
    let mut steps = Steps::new(ctx);
    wire(ctx, &place, wiring, &mut steps)?;
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
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
    let plan = commit::made(ctx, place, Part::Sudo, &sudos)?;
    if plan.nothing_to_do() {
        steps.already("sudo", "sudo is wired already");
    } else {
        commit::commit(place, Part::Sudo, &plan, &sudos, &admins, wiring, steps)?;
    }
    say_gates(&sudos, steps);
    confirm::remind(place, steps);
    Ok(())
}

fn say_gates(sudos: &[Installed], steps: &mut Steps) {
    for gate in sudos::gates(sudos) {
        steps.already("gate", gate);
    }
}

/// Everything that must be right before a file changes. The sudos that can be wired.
pub fn check(place: &Place) -> Result<Vec<Installed>, Failure> {
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
    if sudos::classic(&sudos).is_some() {
        match facts::plugin(place) {
            Plugin::Good => {}
            Plugin::Missing => return Err(failed(format!("{PLUGIN} is missing."), AGAIN)),
            Plugin::Unsafe(why) => {
                return Err(failed(
                    format!("{why}; whoever can change it would be root."),
                    format!("chown root:root and chmod go-w what is named, or: {AGAIN}"),
                ));
            }
            Plugin::Lacks(symbol) => {
                return Err(failed(
                    format!(
                        "{PLUGIN} has no symbol {symbol}; with it sudo would fail for everyone."
                    ),
                    AGAIN,
                ));
            }
        }
    }
    if sudos::rs(&sudos).is_some() {
        pam_copy(place)?;
    }
    if !facts::pam_module(place) {
        return Err(failed("pam_jit.so is in no PAM module directory.", AGAIN));
    }
    can_be_undone(place)?;
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

/// The module that PAM's files of others name.
pub fn pam_copy(place: &Place) -> Result<(), Failure> {
    if !place.at(PAM_COPY).is_file() {
        return Err(failed(format!("{PAM_COPY} is missing."), AGAIN));
    }
    match files::loose(&place.at(PAM_COPY), place.uid) {
        None => Ok(()),
        Some(loose) => Err(failed(
            format!("{} can be changed by others than root.", loose.display()),
            format!("chown root:root and chmod go-w what is named, or: {AGAIN}"),
        )),
    }
}

pub fn can_be_undone(place: &Place) -> Result<(), Failure> {
    if place.at(JIT_END).is_file() {
        return Ok(());
    }
    Err(failed(
        format!("{JIT_END} is missing; nothing could undo this."),
        AGAIN,
    ))
}

/// Refuses to take the last way to root away. Where there is none to take, says so and goes on. Logins of standing admins for the self-test.
pub fn a_way_to_root(
    place: &Place,
    force: bool,
    steps: &mut Steps,
) -> Result<Vec<String>, Failure> {
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
