//! `jitctl requests`, `approve` and `deny`: what waits for people, in full and in plain words, and their decision.
//!
//! What is shown is read from the very bytes that are signed. The issuer is not believed in more than the name it gives to a
//! host, who else has approved, and for whom it waits.

use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::interrupt::runtime;
use crate::output::{Line, Style};
use crate::person::{Issuer, refused};
use crate::show;
use api::{Approve, Call, Deny, Standing, Status, Submitted, Waiting, WaitingList};
use serde_json::{Value, json};
use statement::claims::Request;
use statement::detail::Detail;
use statement::digest::sha256_b64;
use statement::people::Approval;
use statement::words::{self, root_equal, who};
use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

pub fn command(ctx: &Context, args: &args::Requests) -> Result<u8, Failure> {
    let mut issuer = Issuer::find(&args.issuer)?;
    match &args.command {
        None | Some(args::RequestsCommand::Ls) => list(ctx, &mut issuer),
        Some(args::RequestsCommand::Show { id }) => {
            let (waiting, asked) = whole(issuer.look(&Call::show(id))?, id)?;
            ctx.out.json(&json!({
                "schema_version": SCHEMA_VERSION,
                "request": full_json(&waiting, &asked),
            }));
            ctx.out.lines(&full(&waiting, &asked));
            Ok(Exit::Ok.code())
        }
    }
}

fn list(ctx: &Context, issuer: &mut Issuer) -> Result<u8, Failure> {
    let WaitingList { requests } = issuer.look(&Call::list())?;
    let all = requests
        .iter()
        .map(|w| Ok((w, read(w)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let shown: Vec<Value> = all.iter().map(|(w, r)| short_json(w, r)).collect();
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "requests": shown }));
    if all.is_empty() {
        ctx.out.line("Nothing waits for you.");
        return Ok(Exit::Ok.code());
    }
    let lines: Vec<Line> = all.iter().flat_map(|(w, r)| short(w, r)).collect();
    ctx.out.lines(&lines);
    ctx.out
        .note("In full: jitctl requests show ID. To decide: jitctl approve ID, jitctl deny ID --reason TEXT");
    Ok(Exit::Ok.code())
}

/// `jitctl approve`.
pub fn approve(ctx: &Context, args: &args::Approve) -> Result<u8, Failure> {
    let mut issuer = Issuer::find(&args.issuer)?;
    // Signed, also by who is logged in: so it is known with which key to go on.
    let (waiting, asked) = whole(issuer.call(&Call::show(&args.id))?, &args.id)?;
    if waiting.standing != Standing::Open {
        return Err(Failure::new(
            Code::Denied,
            format!("The request is {} already.", word(waiting.standing)),
        ));
    }
    for line in full(&waiting, &asked) {
        ctx.out.note_line(&line);
    }
    if !args.yes {
        confirm(ctx)?;
    }
    let sig = match issuer.is_root() && std::env::var_os("SSH_AUTH_SOCK").is_none() {
        true => None,
        false => Some(issuer.sign_approval(&waiting.request)?),
    };
    let approve = Approve {
        id: waiting.id.clone(),
        sig,
        id_token: issuer.id_token(),
    };
    let answer: Submitted = runtime()?
        .block_on(issuer.client().approve(&approve))
        .map_err(|e| refused(&e))?;
    answered(ctx, &answer)
}

/// `jitctl deny`.
pub fn deny(ctx: &Context, args: &args::Deny) -> Result<u8, Failure> {
    let mut issuer = Issuer::find(&args.issuer)?;
    let deny = Deny {
        id: args.id.clone(),
        reason: args.reason.clone(),
    };
    let call = Call::deny(&deny).map_err(|e| refused(&e))?;
    let answer: Submitted = issuer.look(&call)?;
    ctx.out.json(&decided_json(&answer, "denied"));
    ctx.out.line(format!("Denied: {}.", answer.id));
    Ok(Exit::Ok.code())
}

fn answered(ctx: &Context, answer: &Submitted) -> Result<u8, Failure> {
    match answer.status {
        Status::Denied => Err(Failure::new(
            Code::Denied,
            format!("The request is denied. {}", answer.detail),
        )),
        Status::Accepted => {
            ctx.out.json(&decided_json(answer, "approved"));
            ctx.out
                .line(format!("Approved and granted: {}.", answer.id));
            Ok(Exit::Ok.code())
        }
        Status::Pending => {
            let whom = answer.waiting_for.as_deref().unwrap_or_default();
            ctx.out.json(&decided_json(answer, "pending"));
            ctx.out.lines(&[
                Line::new(format!("Approved: {}. It still waits for ", answer.id))
                    .text(whom)
                    .text("."),
            ]);
            Ok(Exit::Ok.code())
        }
    }
}

fn decided_json(answer: &Submitted, status: &str) -> Value {
    json!({
        "schema_version": SCHEMA_VERSION, "request": answer.id, "status": status,
        "waiting_for": answer.waiting_for,
    })
}

/// # Errors
/// Exit 2 without a terminal, 130 for anything but yes.
fn confirm(ctx: &Context) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Code::Usage,
            "There is no terminal to ask on, so nothing was signed.",
        )
        .hint("Say --yes when it has been looked at in another way."));
    }
    ctx.out.note("Sign this? [y/N]");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Code::Interrupted, "Nothing was signed.")),
    }
}

fn whole(waiting: Waiting, id: &str) -> Result<(Waiting, Request), Failure> {
    let asked = read(&waiting)?;
    if waiting.id != id || asked.id != id {
        return Err(strange("it is about another request"));
    }
    Ok((waiting, asked))
}

fn read(waiting: &Waiting) -> Result<Request, Failure> {
    statement::unverified_request(&waiting.request).map_err(|e| strange(&e.to_string()))
}

fn strange(why: &str) -> Failure {
    Failure::new(
        Code::Internal,
        format!("The issuer's answer is not what it should be: {why}."),
    )
    .hint("Approve nothing there; are jitctl and jit-issuer of the same version?")
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Open => "open",
        Standing::Approved => "approved",
        Standing::Denied => "denied",
        Standing::Withdrawn => "withdrawn",
        Standing::Expired => "expired",
    }
}

fn since(unix: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs()).saturating_sub(unix)
}

fn approved_by(waiting: &Waiting) -> String {
    let own = waiting.self_approval.as_deref();
    let name = |a: &Approval| match own == Some(a.by.as_str()) {
        true => format!("{} (THE OWN REQUEST)", a.by),
        false => a.by.clone(),
    };
    let all: Vec<String> = waiting.approvals.iter().map(name).collect();
    all.join(", ")
}

/// Two lines of the list.
fn short(waiting: &Waiting, asked: &Request) -> [Line; 2] {
    let risk = match root_equal(asked) {
        Some(_) => Line::new("  ROOT-EQUAL"),
        None => Line::new("  limited"),
    };
    let risk = match &waiting.self_approval {
        Some(_) => risk.text("  SELF-APPROVAL"),
        None => risk,
    };
    let first = Line::default()
        .styled(Style::Strong, &asked.id)
        .text(format!("  {}", who(asked)))
        .text(" on ")
        .text(&waiting.host_name)
        .text("  ")
        .text(&asked.role)
        .text(format!("  {}", show::seconds(asked.dur)));
    let second = risk
        .text("  waiting for ")
        .styled(Style::Warn, &waiting.waiting_for)
        .text(format!(" since {}: ", show::seconds(since(waiting.at))))
        .text(&asked.reason);
    [first, second]
}

/// All that an approver must know, and nothing that is not in the signed bytes without saying so.
fn full(waiting: &Waiting, asked: &Request) -> Vec<Line> {
    let row = |name: &str| Line::new(format!("  {name:<9} "));
    let mut lines = vec![
        Line::new("Request ").styled(Style::Strong, &asked.id),
        row("who").styled(Style::Strong, who(asked)),
        row("host").styled(Style::Strong, asked.aud.join(", ")),
        row("").text(format!("(the issuer calls it {})", waiting.host_name)),
        row("role").text(&asked.role),
    ];
    if asked.aud.first() != Some(&asked.iss) {
        lines.push(
            row("from")
                .text("elsewhere, signed by ")
                .text(&asked.iss)
                .text("; the host checks that"),
        );
    }
    for detail in &asked.authorization_details {
        lines.extend(gives(detail, &row));
    }
    lines.push(match root_equal(asked) {
        Some(why) => row("risk")
            .styled(Style::Bad, "ROOT-EQUAL: ")
            .styled(Style::Bad, why),
        None => row("risk").text("limited, as far as what it names is safe"),
    });
    if let Some(person) = &waiting.self_approval {
        lines.push(
            row("self")
                .styled(Style::Bad, "SELF-APPROVAL: ")
                .styled(Style::Bad, words::self_approval(person, &asked.role)),
        );
    }
    lines.push(match asked.not_before {
        0 => row("how long").text(format!(
            "{}, from the last approval on",
            show::seconds(asked.dur)
        )),
        at => row("how long").text(format!(
            "{}, from {} or the last approval on, whichever is later",
            show::seconds(asked.dur),
            show::time(at)
        )),
    });
    lines.push(row("why").text(&asked.reason));
    lines.push(row("ticket").text(asked.ticket.as_deref().unwrap_or("none")));
    if let Some(jti) = &asked.extends {
        lines.push(row("extends").text("the live grant ").text(jti));
    }
    lines.push(row("asked").text(format!(
        "{}, {} ago; dies {}",
        show::time(asked.iat),
        show::seconds(since(asked.iat)),
        show::time(asked.approve_until)
    )));
    lines.push(row("approved").text(match approved_by(waiting) {
        none if none.is_empty() => "by nobody yet".to_owned(),
        all => format!("by {all}"),
    }));
    lines.push(match waiting.standing {
        Standing::Open => row("waits for").styled(Style::Warn, &waiting.waiting_for),
        other => row("is").text(word(other)).text("  ").text(&waiting.detail),
    });
    lines.push(row("sha256").text(sha256_b64(waiting.request.as_bytes())));
    if waiting.standing == Standing::Open {
        lines.push(Line::new(format!(
            "To approve: jitctl approve {id}    To deny: jitctl deny {id} --reason TEXT",
            id = asked.id
        )));
    }
    lines
}

/// What one detail gives, member by member.
fn gives(detail: &Detail, row: &dyn Fn(&str) -> Line) -> Vec<Line> {
    words::gives(detail)
        .into_iter()
        .map(|(name, text)| match text.as_str() {
            words::ANY => row(name).styled(Style::Strong, text),
            _ => row(name).text(text),
        })
        .collect()
}

fn short_json(waiting: &Waiting, asked: &Request) -> Value {
    let first = asked.authorization_details.first();
    json!({
        "id": asked.id,
        "login": first.map(|d| &d.login),
        "uid": first.map(|d| d.uid),
        "hosts": asked.aud,
        "host_name": waiting.host_name,
        "role": asked.role,
        "seconds": asked.dur,
        "reason": asked.reason,
        "ticket": asked.ticket,
        "root_equal": root_equal(asked).is_some(),
        "status": word(waiting.standing),
        "waiting_for": waiting.waiting_for,
        "approved_by": waiting.approvals.iter().map(|a| &a.by).collect::<Vec<_>>(),
        "self_approval": waiting.self_approval,
        "age_s": since(waiting.at),
        "expires_at": show::time(waiting.until),
    })
}

/// With what an auditor needs: the bytes and the signatures over them.
fn full_json(waiting: &Waiting, asked: &Request) -> Value {
    let mut value = short_json(waiting, asked);
    value["starts_at"] = match asked.not_before {
        0 => Value::Null,
        at => json!(show::time(at)),
    };
    value["extends"] = json!(asked.extends);
    value["details"] = json!(asked.authorization_details);
    value["detail"] = json!(waiting.detail);
    value["bytes"] = json!(waiting.request);
    value["sha256"] = json!(sha256_b64(waiting.request.as_bytes()));
    value["approvals"] = json!(waiting.approvals);
    value
}

#[cfg(test)]
mod tests;
