//! `jitctl doctor`: looks, judges, says how to mend. Changes nothing.

mod known;
mod look;
pub mod pam;
mod rs;
mod rules;
mod su;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::files::Place;
use crate::output::{Line, Style};
use serde_json::{Value, json};

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Gates are off, sudo may break, or nobody gets a right: exit 7.
    Fault,
    /// Looks wrong but may be meant.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Level::Fault => "fault",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }

    const fn style(self) -> Style {
        match self {
            Level::Fault => Style::Bad,
            Level::Warning => Style::Warn,
            Level::Note => Style::Plain,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable.
    pub id: &'static str,
    pub level: Level,
    /// One sentence.
    pub message: String,
    pub fix: Option<String>,
}

pub fn command(ctx: &Context) -> Result<u8, Failure> {
    let sight = look::look(&Place::default(), &ctx.agent);
    let mut findings = rules::judge(&sight);
    findings.sort_by_key(|f| f.level);
    ctx.out.json(&json(&findings));
    ctx.out.lines(&lines(&findings));
    Ok(exit(&findings).code())
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|f| f.level == level).count()
}

fn exit(findings: &[Finding]) -> Exit {
    if count(findings, Level::Fault) == 0 {
        Exit::Ok
    } else {
        Exit::Problems
    }
}

fn json(findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|f| json!({ "id": f.id, "level": f.level.name(), "message": f.message, "fix": f.fix }))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "ok": count(findings, Level::Fault) == 0,
        "findings": list,
    })
}

fn lines(findings: &[Finding]) -> Vec<Line> {
    let mut lines = Vec::new();
    for finding in findings {
        let name = finding.level.name();
        lines.push(
            Line::default()
                .styled(finding.level.style(), format!("{name:<8}"))
                .styled(Style::Strong, finding.id)
                .text(": ")
                .text(&finding.message),
        );
        if let Some(fix) = &finding.fix {
            lines.push(Line::new("        fix: ").text(fix));
        }
    }
    let many = |level: Level| match count(findings, level) {
        1 => format!("1 {}", level.name()),
        n => format!("{n} {}s", level.name()),
    };
    lines.push(Line::new(format!(
        "{}, {}, {}",
        many(Level::Fault),
        many(Level::Warning),
        many(Level::Note)
    )));
    lines
}
