//! Does this right cover this ask? And is one right within another? The rules a door enforces.
//!
//! Everything is compared as bytes and exactly: no pattern but the trailing `*` of a command's arguments, no
//! resolving of links, no case folding. What is on disk behind a path is for the caller to look at.

mod env;
mod gap;
mod narrow;
mod within;

pub use env::is_loader_variable;
pub use gap::Gap;
pub use narrow::{NotNarrow, narrow};
pub use within::subset;

use crate::detail::{All, AllOr, Command, Detail, Door};
use gap::shown;

/// One use of a door, as the door knows it. Bytes, because argv and environment are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub door: Door,
    /// What will be executed; with sudoedit the user's editor. Empty where the door runs no command.
    pub command: &'a [u8],
    /// `argv[0]` included.
    pub argv: &'a [&'a [u8]],
    /// Each `NAME=value`, as the command will get them.
    pub env: &'a [&'a [u8]],
    pub runas_user: Option<&'a [u8]>,
    pub runas_uid: u32,
    /// Set when the caller named a group (`-g`).
    pub runas_group: Option<&'a [u8]>,
    pub cwd: Option<&'a [u8]>,
    /// The caller asked for another working directory (`-D`).
    pub user_cwd_changed: bool,
    pub chroot: Option<&'a [u8]>,
    pub has_tty: bool,
    /// `-i` or `-s`.
    pub shell: bool,
    pub sudoedit: bool,
    /// Targets of sudoedit.
    pub files: &'a [&'a [u8]],
    /// Settings no scoped grant covers, `name=value`.
    pub unusual: &'a [&'a [u8]],
}

/// Refuses unless every part of the ask is within the detail. Not looked at: whose grant it is, until when, and
/// what `auth`, `once`, `record` demand.
pub fn covers(detail: &Detail, ask: &Ask<'_>) -> Result<(), Gap> {
    let unlimited = matches!(detail.commands, AllOr::All(All::All));
    opens(detail, ask.door)?;
    runas(&detail.runas, ask)?;
    if ask.chroot.is_some() {
        return Err(Gap::Chroot);
    }
    if detail.tty && !ask.has_tty {
        return Err(Gap::Tty);
    }
    if ask.user_cwd_changed && !unlimited && !ask.cwd.is_some_and(|cwd| is_listed(&detail.cwd, cwd))
    {
        return Err(Gap::Cwd(shown(ask.cwd.unwrap_or_default())));
    }
    if let (Some(first), false) = (ask.unusual.first(), unlimited) {
        return Err(Gap::Unusual(shown(first)));
    }
    if ask.sudoedit {
        // The editor runs as the user, with the user's own environment: neither is part of the right. What counts
        // is which files are written as another user (CVE-2023-22809).
        return edits(detail, ask, unlimited);
    }
    env::check(detail, ask.env, unlimited)?;
    if ask.shell && !(detail.shell && unlimited) {
        return Err(Gap::Shell);
    }
    if ask.door == Door::Sudo {
        runs(&detail.commands, ask)
    } else {
        Ok(())
    }
}

/// Refuses unless the detail is for this door and the door can enforce all of it: only sudo knows a command.
pub fn opens(detail: &Detail, door: Door) -> Result<(), Gap> {
    if !detail.doors.contains(&door) {
        return Err(Gap::Door(door));
    }
    let enforceable = match door {
        Door::Sudo => true,
        Door::Polkit => matches!(detail.commands, AllOr::All(All::All)),
        // What these open is a login shell.
        Door::Su | Door::Ssh => matches!(detail.commands, AllOr::All(All::All)) && detail.shell,
    };
    if enforceable {
        Ok(())
    } else {
        Err(Gap::DoorCannotEnforce(door))
    }
}

fn runas(allowed: &AllOr<String>, ask: &Ask<'_>) -> Result<(), Gap> {
    // -1 means "leave it alone" to setresuid: root (CVE-2019-14287).
    if ask.runas_uid == u32::MAX {
        return Err(Gap::RunasUser("#-1".to_owned()));
    }
    let AllOr::List(list) = allowed else {
        return Ok(());
    };
    if let Some(group) = ask.runas_group {
        return Err(Gap::RunasGroup(shown(group)));
    }
    let is_asked = |entry: &String| match entry.strip_prefix('#') {
        Some(uid) => *uid == ask.runas_uid.to_string(),
        None => ask.runas_user == Some(entry.as_bytes()) && (entry != "root" || ask.runas_uid == 0),
    };
    if list.iter().any(is_asked) {
        return Ok(());
    }
    Err(Gap::RunasUser(
        ask.runas_user
            .map_or_else(|| format!("#{}", ask.runas_uid), shown),
    ))
}

fn edits(detail: &Detail, ask: &Ask<'_>, unlimited: bool) -> Result<(), Gap> {
    if ask.door != Door::Sudo || ask.shell || ask.files.is_empty() {
        return Err(Gap::Sudoedit(String::new()));
    }
    match ask
        .files
        .iter()
        .find(|file| !unlimited && !is_listed(&detail.sudoedit, file))
    {
        Some(file) => Err(Gap::Sudoedit(shown(file))),
        None => Ok(()),
    }
}

fn runs(allowed: &AllOr<Command>, ask: &Ask<'_>) -> Result<(), Gap> {
    if ask.command.first() != Some(&b'/') {
        return Err(Gap::RelativeCommand(shown(ask.command)));
    }
    let Some((argv0, args)) = ask.argv.split_first() else {
        return Err(Gap::NoArguments);
    };
    let AllOr::List(list) = allowed else {
        return Ok(());
    };
    let mut same_path = list
        .iter()
        .filter(|c| c.path.as_bytes() == ask.command)
        .peekable();
    if same_path.peek().is_none() {
        return Err(Gap::Command(shown(ask.command)));
    }
    // A program with several faces picks one by its argv[0].
    if last_part(argv0) != last_part(ask.command) {
        return Err(Gap::Argv0(shown(argv0)));
    }
    if same_path.any(|c| arguments_match(&c.args, args)) {
        Ok(())
    } else {
        Err(Gap::Arguments(shown(ask.command)))
    }
}

/// Exactly these arguments, or these and any more where the list ends in `*`.
fn arguments_match(allowed: &[String], args: &[&[u8]]) -> bool {
    let (fixed, open) = split_star(allowed);
    (args.len() == fixed.len() || (open && args.len() > fixed.len()))
        && fixed
            .iter()
            .zip(args)
            .all(|(want, have)| want.as_bytes() == *have)
}

/// The literal arguments, and whether any others may follow.
fn split_star(args: &[String]) -> (&[String], bool) {
    match args.split_last() {
        Some((last, rest)) if last == "*" => (rest, true),
        _ => (args, false),
    }
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

fn is_listed(list: &[String], item: &[u8]) -> bool {
    list.iter().any(|l| l.as_bytes() == item)
}
