//! The rules of one use, with what was asked and what its grant allows.

use journal::Rule;
use serde_json::Value;
use statement::detail::{AllOr, Detail};

/// How a rule was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    Met,
    Broken,
    /// An earlier one was broken.
    NotReached,
}

impl Result {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Broken => "broken",
            Self::NotReached => "not reached",
        }
    }
}

/// A rule as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub rule: Rule,
    pub found: Result,
    /// What the use asked for, where the record tells.
    pub asked: Option<String>,
    /// What the grant allows, where its record tells.
    pub allowed: Option<String>,
}

/// All rules; `broken` is the one that was not met. Empty when a record tells of none.
pub fn looked(record: &Value, broken: Option<Rule>, scope: Option<&Detail>) -> Vec<Looked> {
    let found = |rule| match broken {
        Some(first) if rule == first => Result::Broken,
        Some(first) if rule > first => Result::NotReached,
        _ => Result::Met,
    };
    Rule::ALL
        .into_iter()
        .map(|rule| Looked {
            rule,
            found: found(rule),
            asked: asked(rule, record),
            allowed: scope.and_then(|scope| allowed(rule, scope)),
        })
        .collect()
}

fn asked(rule: Rule, record: &Value) -> Option<String> {
    match rule {
        Rule::Caller => record["uid"].as_u64().map(|uid| format!("uid {uid}")),
        Rule::Eligible => word(&record["login"]),
        Rule::Grant => word(&record["grant"]),
        Rule::RunAs => word(&record["runas"]),
        Rule::Terminal => word(&record["tty"]),
        Rule::Directory => word(&record["cwd"]),
        Rule::Command => command(record),
        _ => None,
    }
}

fn allowed(rule: Rule, scope: &Detail) -> Option<String> {
    let unlimited = matches!(scope.commands, AllOr::All(_));
    let any = || "any".to_owned();
    let list = |list: &[String]| match list {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    Some(match rule {
        Rule::Door => list(
            &scope
                .doors
                .iter()
                .map(|d| d.name().to_owned())
                .collect::<Vec<_>>(),
        ),
        Rule::RunAs => match &scope.runas {
            AllOr::All(_) => any(),
            AllOr::List(users) => list(users),
        },
        Rule::Terminal if scope.tty => "only with one".to_owned(),
        Rule::Directory if unlimited => any(),
        Rule::Directory => list(&scope.cwd),
        Rule::Settings if unlimited => any(),
        Rule::Environment if unlimited => "all that changes no program".to_owned(),
        Rule::Environment if !scope.env.is_empty() => {
            format!("harmless ones and {}", list(&scope.env))
        }
        Rule::Shell => if scope.shell { "yes" } else { "no" }.to_owned(),
        Rule::Command => match &scope.commands {
            AllOr::All(_) => any(),
            AllOr::List(commands) => {
                let commands = commands.iter().map(|c| {
                    let words: Vec<&str> = std::iter::once(c.path.as_str())
                        .chain(c.args.iter().map(String::as_str))
                        .collect();
                    words.join(" ")
                });
                let edits = scope.sudoedit.iter().map(|file| format!("sudoedit {file}"));
                list(&commands.chain(edits).collect::<Vec<_>>())
            }
        },
        _ => return None,
    })
}

/// The words of a command, as far as they are text.
pub fn command(record: &Value) -> Option<String> {
    let words: Vec<String> = record["command"]
        .as_array()?
        .iter()
        .filter_map(word)
        .collect();
    Some(words.join(" "))
}

/// Text, or its bytes in hexadecimal.
pub fn word(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::to_owned);
    text.or_else(|| value["hex"].as_str().map(|hex| format!("0x{hex}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_follows_the_broken_rule_was_not_looked_at() {
        let record = json!({ "login": "alice", "uid": 1001 });
        let all = looked(&record, Some(Rule::Fresh), None);
        let found: Vec<Result> = all.iter().map(|l| l.found).collect();
        assert_eq!(found[..4], [Result::Met; 4]);
        assert_eq!(found[4], Result::Broken);
        assert!(found[5..].iter().all(|f| *f == Result::NotReached));
        let all = looked(&record, None, None);
        assert!(all.iter().all(|l| l.found == Result::Met));
        assert_eq!(all[1].asked.as_deref(), Some("alice"));
    }
}
