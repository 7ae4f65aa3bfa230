//! `jitctl setup pam`: the door su, in the same kind of transaction as sudo.

use super::commit;
use super::confirm;
use super::steps::{Steps, failed};
use super::sudo;
use crate::args;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::Place;
use crate::su::SU;
use crate::sudos::{self, Installed};
use std::os::unix::fs::MetadataExt;
use wire::wiring::Part;

pub fn command(
    ctx: &Context,
    dry_run: bool,
    undo: bool,
    wiring: args::Wiring,
) -> Result<u8, Failure> {
    let place = Place::default();
    if undo {
        return commit::undo(ctx, &place, Part::Pam);
    }
    let sudos = check(&place)?;
    if dry_run {
        let plan = commit::made(ctx, &place, Part::Pam, &sudos)?;
        return Ok(commit::preview(ctx, &plan, Part::Pam));
    }
    let mut steps = Steps::new(ctx);
    wire(ctx, &place, &sudos, wiring, &mut steps)?;
    ctx.out.json(&steps.result([]));
    Ok(Exit::Ok.code())
}

fn wire(
    ctx: &Context,
    place: &Place,
    sudos: &[Installed],
    wiring: args::Wiring,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let admins = sudo::a_way_to_root(place, wiring.force, steps)?;
    let plan = commit::made(ctx, place, Part::Pam, sudos)?;
    if plan.nothing_to_do() {
        steps.already("su", "su is wired already");
    } else {
        commit::commit(place, Part::Pam, &plan, sudos, &admins, wiring, steps)?;
    }
    steps.already(
        "gate",
        format!(
            "{SU}: PAM asks, as the last gate; it takes grants that open su, with all commands and a shell"
        ),
    );
    confirm::remind(place, steps);
    Ok(())
}

/// Everything that must be right before a file changes. Where sudo is wired already, its sudos: a plan may touch their files
/// as well.
fn check(place: &Place) -> Result<Vec<Installed>, Failure> {
    let su = std::fs::metadata(place.at(SU)).ok();
    let usable = su.is_some_and(|f| f.is_file() && f.uid() == 0 && f.mode() & 0o4022 == 0o4000);
    if !usable {
        return Err(failed(
            format!("{SU} is missing, or no program of root's that others may not change."),
            "Install util-linux again.",
        ));
    }
    sudo::pam_copy(place)?;
    sudo::can_be_undone(place)?;
    if commit::is_recorded(place, Part::Sudo) {
        return sudo::check(place);
    }
    Ok(sudos::installed(place))
}
