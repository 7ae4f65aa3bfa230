//! Is one right within another?

use super::{Gap, split_star};
use crate::detail::{All, AllOr, Auth, Command, Detail, OnEnd, Record};

/// Refuses unless `narrow` gives nothing that `wide` does not give: whatever `narrow` covers, `wide` covers, and
/// every restriction of `wide` is kept.
pub fn subset(narrow: &Detail, wide: &Detail) -> Result<(), Gap> {
    if narrow.kind != wide.kind {
        return Err(Gap::Wider {
            member: "type",
            item: narrow.kind.clone(),
        });
    }
    if narrow.login != wide.login || narrow.uid != wide.uid {
        return Err(Gap::Wider {
            member: "login",
            item: format!("{} ({})", narrow.login, narrow.uid),
        });
    }
    if let Some(door) = narrow.doors.iter().find(|d| !wide.doors.contains(d)) {
        return Err(Gap::Door(*door));
    }
    listed("groups", &narrow.groups, &wide.groups)?;
    listed("unlock", &narrow.unlock, &wide.unlock)?;
    match (&narrow.runas, &wide.runas) {
        (_, AllOr::All(All::All)) => {}
        (AllOr::List(n), AllOr::List(w)) => listed("runas", n, w)?,
        (AllOr::All(All::All), AllOr::List(_)) => {
            return Err(Gap::Wider {
                member: "runas",
                item: "ALL".to_owned(),
            });
        }
    }
    commands(narrow, wide)?;
    kept("shell", !narrow.shell || wide.shell)?;
    kept("tty", !wide.tty || narrow.tty)?;
    kept("once", !wide.once || narrow.once)?;
    kept(
        "auth",
        wide.auth == Auth::None || narrow.auth == Auth::Password,
    )?;
    kept("witnessed", narrow.witnessed >= wide.witnessed)?;
    kept("record", recorded(narrow.record) >= recorded(wide.record))?;
    kept(
        "on_end",
        wide.on_end == OnEnd::Report || narrow.on_end == OnEnd::Kill,
    )
}

fn commands(narrow: &Detail, wide: &Detail) -> Result<(), Gap> {
    let AllOr::List(wide_list) = &wide.commands else {
        // Any command, so also any file to edit, any directory and any variable: `covers` says the same.
        return Ok(());
    };
    let AllOr::List(narrow_list) = &narrow.commands else {
        return Err(Gap::Wider {
            member: "commands",
            item: "ALL".to_owned(),
        });
    };
    if let Some(n) = narrow_list
        .iter()
        .find(|n| !wide_list.iter().any(|w| is_within(n, w)))
    {
        return Err(Gap::Wider {
            member: "commands",
            item: n.path.clone(),
        });
    }
    listed("sudoedit", &narrow.sudoedit, &wide.sudoedit)?;
    listed("cwd", &narrow.cwd, &wide.cwd)?;
    listed("env", &narrow.env, &wide.env)
}

/// Every argv that `narrow` matches, `wide` matches too.
fn is_within(narrow: &Command, wide: &Command) -> bool {
    let (n, n_open) = split_star(&narrow.args);
    let (w, w_open) = split_star(&wide.args);
    let fits = w_open || (!n_open && n.len() == w.len());
    narrow.path == wide.path && fits && n.starts_with(w)
}

fn listed(member: &'static str, narrow: &[String], wide: &[String]) -> Result<(), Gap> {
    match narrow.iter().find(|item| !wide.contains(item)) {
        Some(item) => Err(Gap::Wider {
            member,
            item: item.clone(),
        }),
        None => Ok(()),
    }
}

fn kept(member: &'static str, holds: bool) -> Result<(), Gap> {
    if holds {
        Ok(())
    } else {
        Err(Gap::Loosened(member))
    }
}

fn recorded(record: Record) -> u8 {
    match record {
        Record::None => 0,
        Record::Output => 1,
        Record::Full => 2,
    }
}
