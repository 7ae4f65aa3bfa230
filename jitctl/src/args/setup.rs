//! What `jitctl setup` understands.

use super::duration;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Setup {
    /// All on this one box: issuer, agent, link, groups, sudo. Asks nothing, can be run again
    #[command(after_help = "\
Starts the services, makes the groups jit-eligible and jit-<role>, enrols this host with its own
issuer and wires sudo. To undo: jitctl setup sudo --undo; systemctl disable --now the units.")]
    Local {
        #[command(flatten)]
        wiring: Wiring,
    },
    /// Wire sudo: check, back up, write, test every sudo, undo on failure
    #[command(after_help = "\
Examples:
  jitctl setup sudo --dry-run            show what would change
  jitctl setup sudo
  jitctl setup sudo --revert-after 10m   undone by itself unless `jitctl setup confirm` comes first
  jitctl setup sudo --undo               every file as it was
  jitctl setup sudo --root /mnt/image    the same in the tree of an image")]
    Sudo(Door),
    /// Wire su: the same for grants that open it
    #[command(after_help = "\
Examples:
  jitctl setup pam --dry-run             show what would change
  jitctl setup pam
  jitctl setup pam --undo                the files of su as they were; sudo stays as it is
A user in jit-eligible then needs a live grant for su, also with the password of root.")]
    Pam(Door),
    /// Sudo works as it should: what --revert-after would undo stays
    Confirm,
}

/// One door.
#[derive(Debug, Args)]
pub struct Door {
    /// Show what would change, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Restore every file
    #[arg(long, conflicts_with_all = ["dry_run", "force", "revert_after"])]
    pub undo: bool,
    #[command(flatten)]
    pub wiring: Wiring,
    /// In the tree of an image instead of this host, by the programs installed there
    #[arg(long, value_name = "DIR", conflicts_with = "revert_after")]
    pub root: Option<PathBuf>,
}

/// How a door is wired.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wiring {
    /// Go on even if no way to root would be left without jit
    #[arg(long)]
    pub force: bool,
    /// Put every file back after this long, and at the next boot, unless `jitctl setup confirm` is run before
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub revert_after: Option<u64>,
}
