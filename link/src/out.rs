//! The link's own words: one line each on standard error, which the service manager stores. Statements are never
//! written.

use std::fmt::Arguments;
use std::io::Write;

/// The number is a priority of sd-daemon(3). A closed stderr is no reason to stop.
fn line(priority: u8, text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "<{priority}>{text}");
}

pub fn info(text: Arguments<'_>) {
    line(6, text);
}

pub fn warn(text: Arguments<'_>) {
    line(4, text);
}

pub fn error(text: Arguments<'_>) {
    line(3, text);
}
