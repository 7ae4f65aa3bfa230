//! `jitctl policy`: a policy as code, looked at before it counts. Reads folders and recordings, changes nothing.

use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::{Line, Style};
use crate::policy_usage;
use ::policy::replay::{Change, replay};
use ::policy::{Ask, Fault, Outcome, Policy, dir, in_words};
use serde_json::{Value, json};
use std::path::Path;

pub fn command(ctx: &Context, args: &args::Policy) -> Result<u8, Failure> {
    match args {
        args::Policy::Check { at } => check(ctx, at),
        args::Policy::Test { at } => test(ctx, at),
        args::Policy::Eval(args) => eval(ctx, args),
        args::Policy::Diff { old, new, replay } => diff(ctx, old, new, replay.as_deref()),
        args::Policy::Usage { at } => policy_usage::usage(ctx, at),
        args::Policy::Bundle { at } => bundle(ctx, at),
    }
}

/// The policy, or its faults, already told.
pub fn opened(ctx: &Context, at: &Path) -> Result<Result<Policy, u8>, Failure> {
    let files = match read(at)? {
        Ok(files) => files,
        Err(fault) => return Ok(Err(faulty(ctx, &[fault]))),
    };
    Ok(::policy::open(&files).map_err(|faults| faulty(ctx, &faults)))
}

fn read(at: &Path) -> Result<Result<::policy::Files, Fault>, Failure> {
    if at.exists() {
        return Ok(dir::read(at));
    }
    let shown = at.display();
    Err(
        Failure::new(Code::Usage, format!("There is nothing at {shown}."))
            .hint("Name the folder of a policy, its roles.toml or an archive."),
    )
}

fn faulty(ctx: &Context, faults: &[Fault]) -> u8 {
    let all: Vec<Value> = faults
        .iter()
        .map(|f| {
            let (line, what, hint) = (f.error.line, &f.error.what, &f.error.hint);
            json!({ "file": f.file, "line": line, "what": what, "hint": hint })
        })
        .collect();
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "ok": false, "faults": all }));
    let lines: Vec<Line> = faults
        .iter()
        .map(|f| {
            Line::default()
                .styled(Style::Bad, "FAULT  ")
                .text(f.to_string())
        })
        .collect();
    ctx.out.lines(&lines);
    Exit::Problems.code()
}

fn check(ctx: &Context, at: &Path) -> Result<u8, Failure> {
    let policy = match opened(ctx, at)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let roles: Vec<&String> = policy.roles().keys().collect();
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "ok": true,
        "faults": [],
        "roles": roles,
        "default_role": policy.default_role(),
        "digest": policy.digest(),
        "commit": policy.commit(),
    }));
    ctx.out.line(format!("No fault. {} roles.", roles.len()));
    ctx.out.line(format!("Digest {}", policy.digest()));
    if let Some(commit) = policy.commit() {
        ctx.out.line(format!("Commit {commit}"));
    }
    Ok(Exit::Ok.code())
}

fn test(ctx: &Context, at: &Path) -> Result<u8, Failure> {
    let policy = match opened(ctx, at)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let (tried, coverage) = ::policy::trial::run(&policy);
    let failed = tried.iter().filter(|t| t.failure.is_some()).count();
    let missed: usize = coverage.missed.values().map(Vec::len).sum();
    let tests: Vec<Value> = tried
        .iter()
        .map(|t| json!({ "file": t.file, "name": t.name, "ok": t.failure.is_none(), "why": t.failure }))
        .collect();
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "ok": failed == 0,
        "tests": tests,
        "lines_covered": coverage.covered,
        "lines_missed": coverage.missed,
    }));
    for one in &tried {
        let line = match &one.failure {
            None => Line::default().styled(Style::Good, "ok    "),
            Some(_) => Line::default().styled(Style::Bad, "FAILED"),
        };
        let line = line.text(format!("  {}: {}", one.file, one.name));
        ctx.out.lines(&[match &one.failure {
            None => line,
            Some(why) => line.text(format!(": {why}")),
        }]);
    }
    for (file, lines) in &coverage.missed {
        let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
        ctx.out
            .line(format!("no test runs {file} line {}", lines.join(", ")));
    }
    let all = coverage.covered + missed;
    if let Some(percent) = (coverage.covered * 100).checked_div(all) {
        ctx.out
            .line(format!("{percent} % of {all} lines of rules covered"));
    }
    ctx.out
        .line(format!("{} passed, {failed} failed", tried.len() - failed));
    let exit = if failed == 0 {
        Exit::Ok
    } else {
        Exit::Problems
    };
    Ok(exit.code())
}

fn eval(ctx: &Context, args: &args::Eval) -> Result<u8, Failure> {
    let policy = match opened(ctx, &args.policy)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let ask = args.ask(&policy);
    let outcome = policy.decide(&ask);
    let steps = if args.explain {
        policy.explain(&ask)
    } else {
        Vec::new()
    };
    let mut value = outcome_json(&outcome);
    value["schema_version"] = json!(SCHEMA_VERSION);
    if args.explain {
        value["input"] = json!(policy.input(&ask).ok());
        value["steps"] = steps
            .iter()
            .map(|s| json!({ "rule": s.rule, "said": s.said }))
            .collect();
    }
    ctx.out.json(&value);
    for step in &steps {
        ctx.out.line(format!("  {}: {}", step.rule, step.said));
    }
    ctx.out.line(outcome.to_string());
    Ok(Exit::Ok.code())
}

impl args::Eval {
    fn ask(&self, policy: &Policy) -> Ask {
        let role = self
            .role
            .clone()
            .unwrap_or_else(|| policy.default_role().to_owned());
        let life = policy.roles().get(&role).map_or(1, |r| r.default_s);
        let mut ask = Ask::new(&role, &self.login, self.seconds.unwrap_or(life));
        ask.requester.uid = self.uid;
        ask.host.name.clone_from(&self.host);
        ask.host.labels = self.labels.iter().cloned().collect();
        ask.reason.clone_from(&self.reason);
        ask.ticket.clone_from(&self.ticket);
        let at = self.at.unwrap_or_else(jiff::Timestamp::now);
        ask.at = u64::try_from(at.as_second()).unwrap_or(0);
        ask
    }
}

pub fn outcome_json(outcome: &Outcome) -> Value {
    let (decision, rule, levels, terms) = match outcome {
        Outcome::Deny { why } => return json!({ "decision": "deny", "why": why }),
        Outcome::Automatic { rule, terms } => ("automatic", rule, &[][..], terms),
        Outcome::Approve {
            rule,
            levels,
            terms,
        } => ("approve", rule, levels.as_slice(), terms),
    };
    json!({
        "decision": decision,
        "rule": rule,
        "levels": levels,
        "max_s": terms.max_s,
        "witness": terms.witness,
        "record": terms.record,
    })
}

fn diff(ctx: &Context, old: &Path, new: &Path, recorded: Option<&Path>) -> Result<u8, Failure> {
    let old = match opened(ctx, old)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let new = match opened(ctx, new)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let asks = recorded.map_or(Ok(Vec::new()), recording)?;
    let changes = replay(&old, &new, asks.iter());
    let opens = changes.iter().filter(|c| c.opens()).count();
    let widen = changes.iter().filter(|c| c.widens()).count();
    let mut roles = Vec::new();
    for (name, role) in old.roles() {
        match new.roles().get(name) {
            None => roles.push(("removed", name)),
            Some(other) if other != role => roles.push(("changed", name)),
            Some(_) => {}
        }
    }
    let added = new.roles().keys().filter(|n| !old.roles().contains_key(*n));
    roles.extend(added.map(|n| ("added", n)));
    let shown: Vec<Value> = roles
        .iter()
        .map(|(what, role)| json!({ "role": role, "change": what }))
        .collect();
    let changed: Vec<Value> = changes
        .iter()
        .map(|c| {
            json!({
                "ask": c.ask, "old": outcome_json(&c.old), "new": outcome_json(&c.new),
                "opens": c.opens(), "eases": c.eases(),
            })
        })
        .collect();
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "ok": widen == 0,
        "same": old.digest() == new.digest(),
        "roles": shown,
        "replayed": asks.len(),
        "changes": changed,
        "needs_second_person": widen > 0,
    }));
    for (what, role) in &roles {
        ctx.out.line(format!("role {role} {what}"));
    }
    let lines: Vec<Line> = changes.iter().map(change_line).collect();
    ctx.out.lines(&lines);
    ctx.out.line(format!(
        "{} requests replayed, {} decided otherwise, {opens} of them denied before and not now",
        asks.len(),
        changes.len()
    ));
    if widen > 0 {
        ctx.out.line("A second person has to look at this change.");
    }
    let exit = if widen == 0 { Exit::Ok } else { Exit::Problems };
    Ok(exit.code())
}

fn change_line(change: &Change) -> Line {
    let word = |o: &Outcome| match o {
        Outcome::Deny { .. } => "deny".to_owned(),
        Outcome::Automatic { .. } => "automatic".to_owned(),
        Outcome::Approve { levels, .. } => format!("approve by {}", in_words(levels)),
    };
    let line = match (change.opens(), change.eases()) {
        (true, _) => Line::default().styled(Style::Bad, "OPENS  "),
        (_, true) => Line::default().styled(Style::Bad, "EASES  "),
        _ => Line::default().text("       "),
    };
    let ask = &change.ask;
    line.text(format!(
        "{} {} on {} for {} s: {} -> {}",
        ask.requester.login,
        ask.role,
        if ask.host.name.is_empty() {
            "-"
        } else {
            &ask.host.name
        },
        ask.duration,
        word(&change.old),
        word(&change.new)
    ))
}

/// Requests, one a line: as rules see them, or records of the journal.
fn recording(at: &Path) -> Result<Vec<Ask>, Failure> {
    let shown = at.display();
    let text = std::fs::read_to_string(at)
        .map_err(|e| Failure::new(Code::Usage, format!("{shown} cannot be read: {e}.")))?;
    let mut asks = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty()) {
        let bad = |why: String| {
            Failure::new(Code::Usage, format!("{shown} line {} is no request: {why}.", n + 1))
                .hint("Record with `jitctl log search --type request --json`, or write the input of a rule.")
        };
        let value: Value = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
        if value.get("type").is_some() {
            asks.extend(of_record(&value));
        } else {
            asks.push(serde_json::from_value(value).map_err(|e| bad(e.to_string()))?);
        }
    }
    Ok(asks)
}

/// A record of the journal; None when it is of something else.
fn of_record(record: &Value) -> Option<Ask> {
    if record["type"] != "request" {
        return None;
    }
    let mut ask = Ask::new(
        record["role"].as_str()?,
        record["login"].as_str()?,
        record["detail"]["seconds"].as_u64()?,
    );
    ask.requester.uid = u32::try_from(record["uid"].as_u64()?).ok()?;
    record["reason"].as_str()?.clone_into(&mut ask.reason);
    ask.ticket = record["ticket"].as_str().map(str::to_owned);
    let at: jiff::Timestamp = record["time"].as_str()?.parse().ok()?;
    ask.at = u64::try_from(at.as_second()).ok()?;
    Some(ask)
}

/// The archive alone, to the byte: what two people sign.
fn bundle(ctx: &Context, at: &Path) -> Result<u8, Failure> {
    let policy = match opened(ctx, at)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let text = match read(at)? {
        Ok(files) => files.to_text(),
        Err(fault) => return Ok(faulty(ctx, &[fault])),
    };
    if ctx.out.is_json() {
        ctx.out.json(&json!({
            "schema_version": SCHEMA_VERSION,
            "digest": policy.digest(),
            "commit": policy.commit(),
            "archive": text,
        }));
    } else {
        ctx.out.raw(&text);
    }
    Ok(Exit::Ok.code())
}
