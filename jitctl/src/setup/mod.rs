//! `jitctl setup` and `jitctl enrol`: the only commands that change the host.

mod confirm;
mod image;
pub mod join;
mod local;
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
        args::Setup::Sudo {
            root: Some(image), ..
        } => Err(image::enter(image)),
        args::Setup::Sudo {
            dry_run,
            undo,
            wiring,
            root: None,
        } => sudo::command(ctx, *dry_run, *undo, *wiring),
        args::Setup::Confirm => confirm::command(ctx),
    }
}
