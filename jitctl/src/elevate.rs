//! `jitctl elevate`.

use crate::agent::unexpected;
use crate::args;
use crate::ask::{self, Answer, Pending};
use crate::context::Context;
use crate::exit::Code;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::Line;
use crate::remote;
use crate::show;
use serde_json::{Value, json};
use wire::cli::Grant;

pub fn command(ctx: &Context, args: &args::Elevate) -> Result<u8, Failure> {
    match &args.remote.host {
        Some(host) => return remote::elevate(ctx, args, host),
        None => remote::refuse_issuer(&args.remote.issuer, "--host")?,
    }
    let command = match args.command.as_slice() {
        [] => None,
        words => Some(ask::texts(&ask::resolve(words)?)),
    };
    match ask::obtain(ctx, &args.ask, command, args.at)? {
        Answer::Active(grant) => {
            ctx.out.json(&active_json(&grant));
            ctx.out.lines(&active_lines(&grant));
            if let Some(next) = next(&grant) {
                ctx.out.note(next);
            }
            Ok(crate::exit::Exit::Ok.code())
        }
        Answer::Scheduled(grant, starts_at) => Ok(scheduled(ctx, &grant, starts_at)),
        Answer::Pending(pending) => Ok(undecided(ctx, &pending)),
    }
}

/// Granted, and to start later.
pub fn scheduled(ctx: &Context, grant: &Grant, starts_at: u64) -> u8 {
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "status": "scheduled",
        "request": grant.request,
        "starts_at": show::time(starts_at),
        "grant": show::grant_json(grant),
    }));
    ctx.out.lines(&scheduled_lines(grant, starts_at));
    ctx.out.note(format!(
        "Nothing is given before. To give it up: jitctl drop {}",
        grant.id
    ));
    crate::exit::Exit::Ok.code()
}

/// `jitctl extend`.
pub fn extend(ctx: &Context, args: &args::Extend) -> Result<u8, Failure> {
    match ask::prolong(ctx, args)? {
        Answer::Active(grant) => {
            ctx.out.json(&active_json(&grant));
            ctx.out.lines(&active_lines(&grant));
            Ok(crate::exit::Exit::Ok.code())
        }
        Answer::Scheduled(..) => Err(unexpected()),
        Answer::Pending(pending) => Ok(undecided(ctx, &pending)),
    }
}

/// Says that it is not decided yet; exit 4.
pub fn undecided(ctx: &Context, pending: &Pending) -> u8 {
    let hint = format!(
        "It goes on without you; see `jitctl status`, or withdraw it: jitctl drop {}",
        pending.request
    );
    undecided_so(ctx, pending, &hint)
}

/// The same, with what to do next.
pub fn undecided_so(ctx: &Context, pending: &Pending, hint: &str) -> u8 {
    let failure = pending_failure(pending).hint(hint);
    if ctx.out.is_json() {
        ctx.out.json(&pending_json(pending, &failure));
    } else {
        ctx.out.failure(&failure);
    }
    failure.code.exit().code()
}

pub fn active_json(grant: &Grant) -> Value {
    json!({
        "schema_version": SCHEMA_VERSION,
        "status": "active",
        "request": grant.request,
        "grant": show::grant_json(grant),
    })
}

/// The error object is there as with every other exit code, beside what a script needs to wait on.
fn pending_json(pending: &Pending, failure: &Failure) -> Value {
    let mut value = failure.to_json();
    value["status"] = json!("pending");
    value["request"] = json!(pending.request);
    value["role"] = json!(pending.role);
    value["waiting_for"] = json!(pending.waiting_for);
    value
}

fn pending_failure(pending: &Pending) -> Failure {
    Failure::new(
        Code::Pending,
        format!(
            "Request {} still waits for {}.",
            pending.request, pending.waiting_for
        ),
    )
}

pub fn active_lines(grant: &Grant) -> Vec<Line> {
    vec![
        Line::new("Grant ").text(&grant.id),
        Line::new("  role   ").text(&grant.role),
        Line::new("  scope  ").text(show::scope(grant)),
        Line::new(format!(
            "  ends   {}, in {}",
            show::time(grant.ends_at),
            show::seconds(grant.seconds_left)
        )),
    ]
}

fn scheduled_lines(grant: &Grant, starts_at: u64) -> Vec<Line> {
    vec![
        Line::new("Grant ").text(&grant.id),
        Line::new("  role   ").text(&grant.role),
        Line::new("  scope  ").text(show::scope(grant)),
        Line::new(format!("  starts {}", show::time(starts_at))),
        Line::new(format!(
            "  ends   {}, after {}",
            show::time(grant.ends_at),
            show::seconds(grant.seconds_left)
        )),
    ]
}

/// The next thing to do.
pub fn next(grant: &Grant) -> Option<String> {
    let given: Vec<&str> = grant
        .groups
        .iter()
        .map(String::as_str)
        .filter(|g| *g != format!("jit-{}", grant.role))
        .collect();
    if grant.doors.iter().any(|d| d == "sudo") {
        let command = match grant.commands.first().map(String::as_str) {
            Some("ALL") => "COMMAND",
            Some(first) => first,
            None => return None,
        };
        Some(format!("Now run: sudo {command}"))
    } else if grant.doors.iter().any(|d| d == "su") {
        Some("Now run: su -".to_owned())
    } else if !given.is_empty() {
        Some(format!(
            "Now log in anew to use {}: open shells keep their old groups.",
            given.join(", ")
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::grant;

    #[test]
    fn says_id_scope_end_and_what_to_do() {
        let lines: Vec<String> = active_lines(&grant()).iter().map(Line::plain).collect();
        assert_eq!(
            lines,
            [
                "Grant 01JD3ZK5T2M8Q4W7X9Y0B1C2D3",
                "  role   admin",
                "  scope  sudo: any command as any user; groups jit-admin",
                "  ends   2026-11-20T13:56:03Z, in 14m 32s",
            ]
        );
        let later: Vec<String> = scheduled_lines(&grant(), 1_795_182_063)
            .iter()
            .map(Line::plain)
            .collect();
        assert_eq!(later[3], "  starts 2026-11-20T13:41:03Z");
        assert_eq!(later[4], "  ends   2026-11-20T13:56:03Z, after 14m 32s");
        assert_eq!(next(&grant()).unwrap(), "Now run: sudo COMMAND");
        let mut one = grant();
        one.commands = vec!["/usr/bin/id -u".to_owned()];
        assert_eq!(next(&one).unwrap(), "Now run: sudo /usr/bin/id -u");
    }

    #[test]
    fn a_grant_of_groups_needs_a_new_login() {
        let mut logs = grant();
        logs.role = "logs".to_owned();
        logs.doors.clear();
        logs.groups = vec!["adm".to_owned(), "jit-logs".to_owned()];
        let said = next(&logs).unwrap();
        assert!(said.contains("adm") && !said.contains("jit-logs") && said.contains("log in"));
    }

    #[test]
    fn json_of_both_outcomes() {
        let value = active_json(&grant());
        assert_eq!(value["grant"]["id"], "01JD3ZK5T2M8Q4W7X9Y0B1C2D3");
        assert_eq!(value["schema_version"], 1);
        let pending = Pending {
            request: "R".to_owned(),
            role: "admin".to_owned(),
            waiting_for: "ops".to_owned(),
        };
        let failure = pending_failure(&pending);
        assert_eq!(failure.code.exit().code(), 4);
        let value = pending_json(&pending, &failure);
        assert_eq!(value["error"]["code"], "pending");
        assert_eq!(value["waiting_for"], "ops");
    }
}
