//! The append-only log of one host: chained frames in files that the kernel lets only grow.
//!
//! A caller that gives a right first appends a [`Record`] and holds the [`Receipt`]: proof that the entry is on
//! disk and that the file still was ours afterwards. [`check()`] reads the whole log and names every entry that was
//! edited, removed, moved, doubled or put in; it is safe while another process appends.
//!
//! This crate never cuts, rewrites or removes a byte of the log, never clears a file flag, never retries on a
//! file whose write or sync failed, reads no clock and no environment, and knows no network.
//! `durable.rs` is the only file that syncs or renames, `sys.rs` the only one with `unsafe`.
//! Format, recovery rules and record fields: `docs/spec/journal.md`.

mod about;
mod check;
mod classify;
mod commit;
mod cosigned;
mod draft;
mod durable;
mod error;
mod export;
mod fault;
mod follow;
mod frame;
mod guard;
mod head;
mod header;
mod journal;
mod list;
mod merkle;
mod note;
mod place;
mod plan;
mod protect;
mod prune;
mod read;
mod record;
mod recover;
mod render;
mod rule;
mod scan;
mod seal;
mod segment;
mod sys;
mod tail;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod walk;
mod watch;
mod witness;

pub use about::{About, Subject, Told, about};
pub use check::{Report, check, check_with};
pub use cosigned::{Cosigned, Standing, origin};
pub use draft::Draft;
pub use error::Error;
pub use export::{Signing, TreeHead, export, prove};
pub use fault::{Fault, FaultKind};
pub use follow::Follower;
pub use guard::{Guarded, guards};
pub use head::{Found, Head, load as head};
pub use journal::{AppendOnly, Journal, Receipt, Recovery, Torn};
pub use list::{beginnings, log_name};
pub use note::{HostKey, NoteKey};
pub use place::Place;
pub use protect::protection;
pub use prune::{Pruned, given_up, prunable};
pub use read::{Entry, Reader, read, read_from, read_since};
pub use record::{MAX_RECORD, Record, kind};
pub use render::render_line;
pub use rule::Rule;
pub use seal::Identity;
pub use tail::{Part as Tailed, Tail};
pub use text::Text;
pub use time::Timestamp;
pub use watch::SealedHead;
pub use witness::{AddCheckpoint, Claimed, Witness, WitnessKey, add_checkpoint, signed_checkpoint};
