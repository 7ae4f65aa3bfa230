//! `jitctl setup` and `jitctl enrol`: the only commands that change the host.

mod commit;
mod confirm;
mod image;
pub mod join;
mod local;
mod pam;
mod plan;
mod selftest;
mod steps;
mod sudo;
#[cfg(test)]
mod tests;
mod transaction;

use crate::args;
use crate::context::{Context, need_root};
use crate::failure::Failure;

pub fn command(ctx: &Context, args: &args::Setup) -> Result<u8, Failure> {
    need_root("set up this host")?;
    match args {
        args::Setup::Local { wiring } => local::command(ctx, *wiring),
        args::Setup::Sudo(door) => match &door.root {
            Some(image) => Err(image::enter(image)),
            None => sudo::command(ctx, door.dry_run, door.undo, door.wiring),
        },
        args::Setup::Pam(door) => match &door.root {
            Some(image) => Err(image::enter(image)),
            None => pam::command(ctx, door.dry_run, door.undo, door.wiring),
        },
        args::Setup::Confirm => confirm::command(ctx),
    }
}
