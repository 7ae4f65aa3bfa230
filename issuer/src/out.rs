//! The issuer's own words: one line each on standard error, which the service manager stores. No secret and no
//! statement is ever written; text from outside is escaped.

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

/// The result of a command.
pub fn say(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What is still to be done, beside the result of a command.
pub fn note(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why a command failed.
pub fn fail(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "jit-issuer: {text}");
}
