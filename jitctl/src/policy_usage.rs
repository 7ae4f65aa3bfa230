//! `jitctl policy usage`: what of a policy's roles this host's journal shows in use.

use crate::context::{Context, need_root};
use crate::exit::Exit;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::log::DIR;
use crate::policies;
use serde_json::{Value, json};
use statement::detail::{AllOr, Command};
use statement::role::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Different commands kept of a role.
const KEPT: usize = 1000;
/// And shown.
const SHOWN: usize = 10;

/// What the journal shows of one role.
#[derive(Default)]
struct Seen {
    requests: u64,
    grants: u64,
    uses: u64,
    logins: BTreeSet<String>,
    last: Option<String>,
    /// Each whole, as its words.
    commands: BTreeSet<Vec<String>>,
    runas: BTreeSet<String>,
}

pub fn usage(ctx: &Context, at: &Path) -> Result<u8, Failure> {
    need_root("read the journal")?;
    let policy = match policies::opened(ctx, at)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let mut exit = Exit::Ok;
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for item in journal::read(Path::new(DIR)) {
        match item {
            Ok(entry) => count(&mut seen, &entry.json),
            Err(fault) => {
                exit = Exit::Problems;
                ctx.out.note(format!("FAULT  {fault}"));
            }
        }
    }
    let unseen = Seen::default();
    let mut rows = Vec::new();
    for (name, role) in policy.roles() {
        let one = seen.get(name).unwrap_or(&unseen);
        let wider = wider(role, one);
        let state = if one.grants == 0 {
            "never used"
        } else {
            "used"
        };
        ctx.out.line(format!(
            "{name}: {state}; {} requests, {} grants, {} uses by {}; last {}",
            one.requests,
            one.grants,
            one.uses,
            if one.logins.is_empty() {
                "nobody".to_owned()
            } else {
                one.logins.iter().cloned().collect::<Vec<_>>().join(", ")
            },
            one.last.as_deref().unwrap_or("never"),
        ));
        for why in &wider {
            ctx.out.line(format!("  wider than used: {why}"));
        }
        rows.push(json!({
            "role": name, "used": one.grants > 0, "requests": one.requests, "grants": one.grants, "uses": one.uses,
            "logins": one.logins, "last": one.last, "wider": wider,
        }));
    }
    let gone: Vec<&String> = seen
        .keys()
        .filter(|name| !policy.roles().contains_key(*name))
        .collect();
    if !gone.is_empty() {
        let gone: Vec<&str> = gone.iter().map(|g| g.as_str()).collect();
        ctx.out.line(format!(
            "in the journal, not in the policy: {}",
            gone.join(", ")
        ));
    }
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "roles": rows, "gone": gone }));
    Ok(exit.code())
}

fn count(all: &mut BTreeMap<String, Seen>, json: &str) {
    let Ok(record) = serde_json::from_str::<Value>(json) else {
        return;
    };
    let (Some(role), Some(kind)) = (record["role"].as_str(), record["type"].as_str()) else {
        return;
    };
    let again = !record["detail"]["again"].is_null();
    if !matches!(kind, "request" | "grant" | "use") || again {
        return;
    }
    let seen = all.entry(role.to_owned()).or_default();
    match kind {
        "request" => seen.requests += 1,
        "grant" => seen.grants += 1,
        _ => seen.uses += 1,
    }
    seen.logins
        .extend(record["login"].as_str().map(str::to_owned));
    seen.last = record["time"].as_str().map(str::to_owned);
    if kind == "use" && seen.commands.len() < KEPT {
        let words = record["command"].as_array().into_iter().flatten();
        let text = |w: &Value| w.as_str().map_or_else(|| w.to_string(), str::to_owned);
        seen.commands.insert(words.map(text).collect());
        seen.runas
            .extend(record["runas"].as_str().map(str::to_owned));
    }
}

/// What the role gives that nobody used, a sentence each; nothing while there are no uses to compare with.
fn wider(role: &Role, seen: &Seen) -> Vec<String> {
    let mut all = Vec::new();
    if seen.uses == 0 {
        return all;
    }
    match &role.commands {
        AllOr::All(_) if seen.commands.len() < KEPT => {
            let mut shown: Vec<String> = seen.commands.iter().map(|c| c.join(" ")).collect();
            let more = shown.len().saturating_sub(SHOWN);
            shown.truncate(SHOWN);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            all.push(format!(
                "commands = \"ALL\", run were {}{more}",
                shown.join("; ")
            ));
        }
        AllOr::All(_) => {}
        AllOr::List(list) => {
            let idle = list
                .iter()
                .filter(|c| !seen.commands.iter().any(|u| is(c, u)));
            all.extend(idle.map(|c| format!("nobody ran {} {}", c.path, c.args.join(" "))));
        }
    }
    if matches!(role.runas, AllOr::All(_)) {
        let names: Vec<&str> = seen.runas.iter().map(String::as_str).collect();
        if !names.is_empty() {
            all.push(format!("runas = \"ALL\", used was {}", names.join(", ")));
        }
    }
    all
}

/// Whether a use was of this command; `*` stands for any more.
fn is(listed: &Command, used: &[String]) -> bool {
    let Some((path, args)) = used.split_first() else {
        return false;
    };
    *path == listed.path
        && match listed.args.split_last() {
            Some((last, before)) if last == "*" => args.starts_with(before),
            _ => args == listed.args,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_counted_by_role_and_what_was_not_is_said() {
        let policy = ::policy::load(
            r#"
default = "web"
[roles.web]
max = "1h"
doors = ["sudo"]
runas = "ALL"
commands = [{ path = "/bin/a", args = ["x", "*"] }, { path = "/bin/b", args = [] }]
[roles.all]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = "ALL"
"#,
        )
        .unwrap();
        let mut seen = BTreeMap::new();
        for json in [
            r#"{"type":"request","role":"web","login":"alice","time":"T1"}"#,
            r#"{"type":"grant","role":"web","login":"alice","time":"T2"}"#,
            r#"{"type":"grant","role":"web","login":"alice","time":"T9","detail":{"again":"after a reboot"}}"#,
            r#"{"type":"use","role":"web","login":"alice","time":"T3","command":["/bin/a","x","y"],"runas":"root"}"#,
            r#"{"type":"use","role":"all","login":"bob","time":"T4","command":["/bin/c"],"runas":"root"}"#,
            r#"{"type":"end","role":"web","time":"T5"}"#,
            "no record",
        ] {
            count(&mut seen, json);
        }
        let web = &seen["web"];
        assert_eq!((web.requests, web.grants, web.uses), (1, 1, 1));
        assert_eq!(web.last.as_deref(), Some("T3"));
        assert_eq!(
            wider(&policy.roles()["web"], web),
            ["nobody ran /bin/b ", "runas = \"ALL\", used was root"]
        );
        assert_eq!(
            wider(&policy.roles()["all"], &seen["all"]),
            ["commands = \"ALL\", run were /bin/c"]
        );
        assert!(wider(&policy.roles()["all"], &Seen::default()).is_empty());
    }
}
