//! `jitctl setup` and `jitctl enrol`: the only commands that change the host.

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
    match *args {
        args::Setup::Local { force } => local::command(ctx, force),
        args::Setup::Sudo {
            dry_run,
            undo,
            force,
        } => sudo::command(ctx, dry_run, undo, force),
    }
}
