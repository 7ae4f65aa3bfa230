//! `jitctl explain`: why a use was allowed or refused, rule by rule; what became of a grant or a request. Reads the
//! journal and judges nothing anew: it shows what was decided then.

mod rules;
mod story;

use crate::agent::unexpected;
use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::log::DIR;
use crate::output::{Line, Style};
use journal::{About, Subject, Told};
use rules::{Looked, Result as Found};
use serde_json::{Value, json};
use std::path::Path;
use story::Story;
use wire::cli::{self, Reply, Request};

/// Bytes of uses and refusals that are shown of one grant.
const ROOM: usize = 4 << 20;

pub fn command(ctx: &Context, args: &args::Explain) -> Result<u8, Failure> {
    let subject = subject(&args.id)?;
    // Root needs no agent; others get from it what is about them.
    let about = if nix::unistd::geteuid().is_root() {
        journal::about(Path::new(DIR), subject, ROOM)
    } else {
        of_agent(ctx, subject)?
    };
    let Some(story) = Story::of(subject, &about) else {
        return Err(Failure::new(
            Code::NotFound,
            format!("The journal tells nothing of {}.", args.id),
        )
        .hint("Indexes and ids are in `jitctl log show`."));
    };
    ctx.out.json(&to_json(&story, &about));
    ctx.out.lines(&lines(&story, &about));
    if about.faulty {
        let text = "The journal has a fault, so this may not be all: see `jitctl log verify`.";
        ctx.out.note(text);
        return Ok(Exit::Problems.code());
    }
    Ok(Exit::Ok.code())
}

fn of_agent(ctx: &Context, subject: Subject<'_>) -> Result<About, Failure> {
    let subject = match subject {
        Subject::Index(index) => cli::Subject::Index(index),
        Subject::Id(id) => cli::Subject::Id(id.to_owned()),
    };
    let Reply::Explained {
        records,
        left_out,
        faulty,
    } = ctx.agent.ask(&Request::Explain { subject })?
    else {
        return Err(unexpected());
    };
    let told = |told: cli::Told| Told {
        index: told.index,
        record: serde_json::from_str(&told.record).unwrap_or_default(),
    };
    Ok(About {
        records: records.into_iter().map(told).collect(),
        left_out,
        faulty,
    })
}

/// An index is a number, an id 26 characters; nothing is both.
fn subject(id: &str) -> Result<Subject<'_>, Failure> {
    if statement::id::is_ulid(id) {
        return Ok(Subject::Id(id));
    }
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    match id.parse() {
        Ok(index) if digits => Ok(Subject::Index(index)),
        _ => Err(Failure::new(
            Code::Usage,
            "What is to be explained is named by the index of a record or by the id of a grant or of a request.",
        )),
    }
}

fn to_json(story: &Story, about: &About) -> Value {
    let rules: Vec<Value> = story.rules.iter().map(rule_json).collect();
    let records: Vec<Value> = about
        .records
        .iter()
        .map(|told| {
            let mut record = told.record.clone();
            record["index"] = json!(told.index);
            record
        })
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "about": story.about.name(),
        "verdict": story.verdict,
        "why": story.why,
        "rules": rules,
        "records": records,
        "left_out": about.left_out,
    })
}

fn rule_json(looked: &Looked) -> Value {
    json!({
        "rule": looked.rule.name(),
        "result": looked.found.name(),
        "says": looked.rule.says(),
        "asked": looked.asked,
        "allowed": looked.allowed,
    })
}

fn lines(story: &Story, about: &About) -> Vec<Line> {
    let style = if story.is_good {
        Style::Good
    } else {
        Style::Bad
    };
    let mut lines = vec![
        Line::new(&story.head)
            .text(": ")
            .styled(style, &story.verdict),
    ];
    for why in story.why.iter().flat_map(|why| why.lines()) {
        lines.push(Line::new("  ").text(why));
    }
    if !story.rules.is_empty() {
        lines.push(Line::new("Rules:"));
        lines.extend(story.rules.iter().flat_map(rule_lines));
    }
    lines.push(Line::new("Records:"));
    for told in &about.records {
        lines.push(
            Line::new(format!("  {:>6}  ", told.index))
                .text(told.record["time"].as_str().unwrap_or("-"))
                .text("  ")
                .text(story::said(&told.record)),
        );
    }
    if about.left_out > 0 {
        lines.push(Line::new(format!(
            "  and {} uses and refusals more: see `jitctl log search`",
            about.left_out
        )));
    }
    lines
}

fn rule_lines(looked: &Looked) -> Vec<Line> {
    let style = match looked.found {
        Found::Met => Style::Good,
        Found::Broken => Style::Bad,
        Found::NotReached => Style::Plain,
    };
    let head = Line::new("  ").styled(style, format!("{:<12}", looked.found.name()));
    let mut lines = vec![
        head.text(format!("{:<12}", looked.rule.name()))
            .text(looked.rule.says()),
    ];
    let facts = [("asked   ", &looked.asked), ("allowed ", &looked.allowed)];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            lines.push(Line::new(format!("{:26}{name}", "")).text(fact));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_index_or_one_of_ours_and_nothing_else() {
        assert!(matches!(subject("42"), Ok(Subject::Index(42))));
        let id = "01JD3ZK5T2M8Q4W7X9Y0B1C2D3";
        assert!(matches!(subject(id), Ok(Subject::Id(same)) if same == id));
        for bad in [
            "",
            "-1",
            "+1",
            "4 2",
            "01jd",
            "../x",
            "99999999999999999999",
        ] {
            assert_eq!(subject(bad).unwrap_err().code, Code::Usage, "{bad}");
        }
    }

    fn refused() -> About {
        let scope = json!([{
            "type": "urn:jitctl:linux-elevation:1", "login": "alice", "uid": 1001, "doors": ["sudo"],
            "runas": ["root"], "commands": [{ "path": "/usr/bin/id", "args": ["-u"] }],
            "auth": "none", "record": "none", "on_end": "kill",
        }]);
        let told = |index, record| Told { index, record };
        About {
            records: vec![
                told(
                    3,
                    json!({ "type": "grant", "time": "A", "grant": "G", "request": "R", "role": "one",
                    "login": "alice", "uid": 1001, "detail": { "scope": scope, "policy": "approve 1", "kid": "K", "ends": 0 } }),
                ),
                told(
                    5,
                    json!({ "type": "refused", "time": "B", "grant": "G", "role": "one", "login": "alice",
                    "uid": 1001, "command": ["/usr/bin/id", "\u{1b}[2J"], "runas": "root", "decision": "deny",
                    "detail": { "what": "use", "by": "G3", "rule": "command", "why": "jit: no.\nAsk for one: x" } }),
                ),
            ],
            ..About::default()
        }
    }

    #[test]
    fn a_refusal_is_explained_rule_by_rule() {
        let about = refused();
        let story = Story::of(Subject::Index(5), &about).unwrap();
        let text: Vec<String> = lines(&story, &about).iter().map(Line::plain).collect();
        assert_eq!(
            text[0],
            "Record 5, B: alice (uid 1001) asked for /usr/bin/id \\u{1b}[2J as root: refused"
        );
        assert_eq!(text[1..3], ["  jit: no.", "  Ask for one: x"]);
        let all = text.join("\n");
        assert!(all.contains("  met         run-as      the user and the group"));
        assert!(all.contains("  broken      command     the command"));
        assert!(all.contains("allowed /usr/bin/id -u\n"));
        assert!(all.contains("  not reached disk        nobody"));
        assert!(!all.contains('\u{1b}'));
    }

    /// Scripts depend on it.
    #[test]
    fn json_shape_is_frozen() {
        let about = refused();
        let story = Story::of(Subject::Index(5), &about).unwrap();
        let value = to_json(&story, &about);
        let members: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            [
                "about",
                "left_out",
                "records",
                "rules",
                "schema_version",
                "verdict",
                "why"
            ]
        );
        assert_eq!(value["about"], "use");
        assert_eq!(value["verdict"], "refused");
        assert_eq!(value["records"][1]["index"], 5);
        assert_eq!(
            value["rules"][13],
            json!({
                "rule": "command", "result": "broken",
                "says": "the command with its arguments, or the file to edit, is in the grant",
                "asked": "/usr/bin/id \u{1b}[2J", "allowed": "/usr/bin/id -u",
            })
        );
    }
}
