//! What is missing from a right.

use crate::detail::Door;
use std::fmt;

/// The first rule that an ask or a narrower right breaks. [`fmt::Display`] is a sentence that names it; what came
/// from outside is escaped in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The right is not for this door.
    Door(Door),
    /// The right limits commands or shells, and this door sees neither.
    DoorCannotEnforce(Door),
    RunasUser(String),
    /// `-g` needs `runas = "ALL"`.
    RunasGroup(String),
    /// Never covered (CVE-2025-32463).
    Chroot,
    Tty,
    /// `-D` to a directory that is not listed.
    Cwd(String),
    /// A setting that only `commands = "ALL"` covers.
    Unusual(String),
    /// `-i` or `-s` without `shell`.
    Shell,
    /// Target of sudoedit.
    Sudoedit(String),
    /// Never covered.
    RelativeCommand(String),
    /// An empty argv; never covered (CVE-2021-4034).
    NoArguments,
    Command(String),
    Arguments(String),
    /// Another last part than the command's.
    Argv0(String),
    /// Changes which code a program loads; never covered.
    LoaderVariable(String),
    /// Not on the safe list and not listed.
    Variable(String),
    /// On the safe list, but not with such a value.
    VariableValue(String),
    /// Not `NAME=value`; never covered.
    MalformedVariable,
    /// `subset`: more than the wider right gives.
    Wider {
        member: &'static str,
        item: String,
    },
    /// `subset`: a restriction of the wider right is missing.
    Loosened(&'static str),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Door(door) => write!(f, "the grant does not open {}", door.name()),
            Gap::DoorCannotEnforce(door) => {
                write!(
                    f,
                    "{} cannot enforce a grant that limits commands or shells",
                    door.name()
                )
            }
            Gap::RunasUser(user) => write!(f, "the grant does not allow to run as user {user}"),
            Gap::RunasGroup(group) => write!(f, "the grant does not allow to run as group {group}"),
            Gap::Chroot => f.write_str("no grant allows another root directory"),
            Gap::Tty => f.write_str("the grant asks for a terminal"),
            Gap::Cwd(dir) => write!(f, "the grant does not allow the working directory {dir}"),
            Gap::Unusual(setting) => write!(f, "the grant does not allow the setting {setting}"),
            Gap::Shell => f.write_str("the grant does not allow a shell"),
            Gap::Sudoedit(file) if file.is_empty() => {
                f.write_str("the grant does not allow to edit this way")
            }
            Gap::Sudoedit(file) => write!(f, "the grant does not allow to edit {file}"),
            Gap::RelativeCommand(command) => {
                write!(f, "the command {command} is not an absolute path")
            }
            Gap::NoArguments => f.write_str("the command has no argument list"),
            Gap::Command(command) => write!(f, "the grant does not allow the command {command}"),
            Gap::Arguments(command) => {
                write!(f, "the grant does not allow {command} with these arguments")
            }
            Gap::Argv0(argv0) => write!(f, "the command calls itself {argv0}"),
            Gap::LoaderVariable(name) => {
                write!(f, "no grant allows the environment variable {name}")
            }
            Gap::Variable(name) => write!(
                f,
                "the grant does not allow the environment variable {name}"
            ),
            Gap::VariableValue(name) => {
                write!(f, "the environment variable {name} has an unsafe value")
            }
            Gap::MalformedVariable => f.write_str("the environment has an entry without a name"),
            Gap::Wider { member, item } => write!(
                f,
                "{member} has {}, which is more than allowed",
                shown(item.as_bytes())
            ),
            Gap::Loosened(member) => write!(f, "{member} is looser than allowed"),
        }
    }
}

impl std::error::Error for Gap {}

/// Bytes from outside as one line of harmless text, cut where it stops helping.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let cut = &bytes[..bytes.len().min(MOST)];
    let dots = if bytes.len() > MOST { "..." } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}
