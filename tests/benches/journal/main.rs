//! `make bench-journal`: the journal beside what the disk itself can do, and how fast it is read again.
//!
//! Appends run on the disk of the build folder, in turns with plain append and fdatasync of as many bytes into a file
//! with room reserved. What reads runs over logs in memory, so that the disk is no part of the figure.
// A step that fails ends the bench; there is no caller that could go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod append;
mod group;
mod logs;
mod reading;
mod witness;

use jit_tests::bench::Table;

fn main() {
    let mut table = Table::default();
    append::measure(&mut table);
    group::measure(&mut table);
    reading::measure(&mut table);
    witness::measure(&mut table);
    table.finish("journal");
}
