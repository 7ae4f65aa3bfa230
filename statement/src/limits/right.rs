//! Limits of a right: a role's and a detail's.

use super::forms::{account, path, paths, short_text};
use super::{Limits, MAX_ARGUMENTS, MAX_LIFE, MAX_PATH, MAX_STALE, rule};
use crate::Refused;
use crate::detail::{All, AllOr, Command, DETAIL_TYPE, Detail, Door, Record};
use crate::role::Role;
use crate::scope::is_loader_variable;

/// What a role and a detail have in common.
struct Right<'a> {
    doors: &'a [Door],
    groups: &'a [String],
    runas: &'a AllOr<String>,
    commands: &'a AllOr<Command>,
    shell: bool,
    sudoedit: &'a [String],
    cwd: &'a [String],
    env: &'a [String],
    record: Record,
    unlock: &'a [String],
}

impl Right<'_> {
    fn check(&self) -> Result<(), Refused> {
        rule(self.doors.len() <= 4, "doors", "at most 4")?;
        rule(self.groups.len() <= 16, "groups", "at most 16")?;
        self.groups.iter().try_for_each(|g| account(g, "groups"))?;
        if let AllOr::List(list) = self.runas {
            rule(list.len() <= 8, "runas", "at most 8")?;
            list.iter().try_for_each(|user| runas(user))?;
        }
        match self.commands {
            AllOr::All(All::All) => {}
            AllOr::List(list) => {
                rule(list.len() <= 32, "commands", "at most 32")?;
                list.iter().try_for_each(command)?;
                // A shell runs any command: beside a list it would only hide that.
                rule(!self.shell, "shell", "only with commands \"ALL\"")?;
            }
        }
        paths(self.sudoedit, 32, "sudoedit")?;
        rule(self.cwd.len() <= 8, "cwd", "at most 8")?;
        self.cwd
            .iter()
            .filter(|dir| *dir != "/")
            .try_for_each(|dir| path(dir, "cwd"))?;
        rule(self.env.len() <= 32, "env", "at most 32")?;
        self.env.iter().try_for_each(|name| variable(name))?;
        rule(
            self.record == Record::None,
            "record",
            "nothing records sessions yet",
        )?;
        paths(self.unlock, 32, "unlock")
    }
}

/// A name, or `#` and a uid in its only spelling.
fn runas(user: &str) -> Result<(), Refused> {
    let Some(digits) = user.strip_prefix('#') else {
        return account(user, "runas");
    };
    let canonical = |uid: u32| uid != u32::MAX && uid.to_string() == digits;
    rule(
        digits.parse().is_ok_and(canonical),
        "runas",
        "not a user name or #uid",
    )
}

fn command(command: &Command) -> Result<(), Refused> {
    path(&command.path, "commands")?;
    rule(
        command.args.len() <= MAX_ARGUMENTS,
        "commands",
        "at most 64 arguments",
    )?;
    command
        .args
        .iter()
        .try_for_each(|arg| short_text(arg, MAX_PATH, "commands"))
}

fn variable(name: &str) -> Result<(), Refused> {
    let good = (1..=64).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    rule(good, "env", "not a variable's name of at most 64 bytes")?;
    rule(
        !is_loader_variable(name),
        "env",
        "loads code: never allowed",
    )
}

impl Limits for Detail {
    fn check(&self) -> Result<(), Refused> {
        rule(self.kind == DETAIL_TYPE, "type", "not a detail of ours")?;
        account(&self.login, "login")?;
        rule(self.uid != 0 && self.uid != u32::MAX, "uid", "not a user's")?;
        let Detail {
            doors,
            groups,
            runas,
            commands,
            shell,
            sudoedit,
            cwd,
            env,
            record,
            unlock,
            ..
        } = self;
        Right {
            doors,
            groups,
            runas,
            commands,
            shell: *shell,
            sudoedit,
            cwd,
            env,
            record: *record,
            unlock,
        }
        .check()
    }
}

impl Limits for Role {
    fn check(&self) -> Result<(), Refused> {
        let Role {
            doors,
            groups,
            runas,
            commands,
            shell,
            sudoedit,
            cwd,
            env,
            record,
            unlock,
            ..
        } = self;
        Right {
            doors,
            groups,
            runas,
            commands,
            shell: *shell,
            sudoedit,
            cwd,
            env,
            record: *record,
            unlock,
        }
        .check()?;
        rule(
            !self.groups.iter().any(|g| g.starts_with("jit-")),
            "groups",
            "groups of jit itself come from the role's name",
        )?;
        // One more is added when the role is expanded.
        rule(self.groups.len() <= 15, "groups", "at most 15 in a role")?;
        rule(
            (1..=MAX_LIFE).contains(&self.max_s),
            "max_s",
            "1 to 43200 seconds",
        )?;
        rule(
            (1..=self.max_s).contains(&self.default_s),
            "default_s",
            "1 second to max_s",
        )?;
        rule(
            self.max_stale_s <= MAX_STALE,
            "max_stale_s",
            "at most 86400 seconds",
        )
    }
}
