//! What a set of records says of one use, one grant or one request.

use super::rules::{self, Looked, command, word};
use crate::show;
use journal::{About, Rule, Subject, Told, kind};
use serde_json::Value;
use statement::detail::Detail;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Use,
    Grant,
    Request,
    /// A record in which nobody was allowed or refused anything.
    Record,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Grant => "grant",
            Self::Request => "request",
            Self::Record => "record",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub about: Kind,
    /// Who asked for what.
    pub head: String,
    pub verdict: String,
    pub is_good: bool,
    pub why: Option<String>,
    pub rules: Vec<Looked>,
}

impl Story {
    /// `None` when there is no record.
    pub fn of(subject: Subject<'_>, about: &About) -> Option<Self> {
        match subject {
            Subject::Id(id) => Self::of_id(id, &about.records),
            Subject::Index(index) => {
                let told = about.records.iter().find(|told| told.index == index)?;
                Some(Self::of_record(told, &about.records))
            }
        }
    }

    fn of_record(told: &Told, all: &[Told]) -> Self {
        let record = &told.record;
        let head = |what: String| {
            let time = record["time"].as_str().unwrap_or("-");
            format!("Record {}, {time}: {what}", told.index)
        };
        let detail = &record["detail"];
        let used = record["type"] == kind::USE;
        let refused = record["type"] == kind::REFUSED && detail["what"] == "use";
        if !(used || refused) {
            return Self {
                about: Kind::Record,
                head: head(said(record)),
                verdict: record["decision"].as_str().unwrap_or("recorded").to_owned(),
                is_good: record["decision"] != "deny",
                why: word(&detail["why"]),
                rules: Vec::new(),
            };
        }
        let broken = detail["rule"].as_str().and_then(Rule::named);
        let given = all.iter().map(|t| &t.record).find(|r| {
            r["type"] == kind::GRANT
                && r["grant"] == record["grant"]
                && r["detail"]["scope"].is_array()
        });
        let scope = given.and_then(|r| scope(&r["detail"]["scope"]));
        let rules = match (used, broken) {
            (false, None) => Vec::new(),
            _ => rules::looked(record, broken, scope.as_ref()),
        };
        let why = match (used, word(&detail["gate"])) {
            (true, _) => Some(format!(
                "by grant {}, role {}, given for: {}",
                word(&record["grant"]).unwrap_or_default(),
                word(&record["role"]).unwrap_or_default(),
                word(&record["reason"]).unwrap_or_default(),
            )),
            (false, Some(gate)) => Some(format!(
                "{gate}; sudo: {}",
                word(&detail["why"]).unwrap_or_default()
            )),
            (false, None) => word(&detail["why"]),
        };
        Self {
            about: Kind::Use,
            head: head(format!("{} asked for {}", who(record), what(record))),
            verdict: if used { "allowed" } else { "refused" }.to_owned(),
            is_good: used,
            why,
            rules,
        }
    }

    fn of_id(id: &str, all: &[Told]) -> Option<Self> {
        let find = |test: &dyn Fn(&str, &Value) -> bool| {
            let mut records = all.iter().map(|told| &told.record);
            records.find(|r| test(r["type"].as_str().unwrap_or_default(), r))
        };
        let asked = find(&|kind, r| kind == kind::REQUEST && r["request"] == id);
        let given = find(&|kind, r| match kind {
            kind::GRANT => r["grant"] == id || r["request"] == id,
            kind::EXTEND => r["detail"]["by"] == id || r["request"] == id,
            _ => false,
        });
        let refused = find(&|kind, r| {
            kind == kind::REFUSED && (r["detail"]["what"] == "activation" || r["request"] == id)
        });
        let end = find(&|kind, _| kind == kind::END);
        let first = asked.or(given).or(refused).or(end)?;
        let about = if asked.is_some() {
            Kind::Request
        } else {
            Kind::Grant
        };
        let (verdict, why) = match (refused, given, end) {
            (Some(no), ..) => ("refused", word(&no["detail"]["why"])),
            (None, None, None) => ("not decided", None),
            (None, Some(_), None) => ("given, and not ended", None),
            (None, _, Some(end)) => {
                let cause = word(&end["detail"]["cause"]).unwrap_or_default();
                ("given, and ended", Some(format!("ended by: {cause}")))
            }
        };
        Some(Self {
            about,
            head: format!(
                "{} {id} of {}, role {}",
                if asked.is_some() { "Request" } else { "Grant" },
                who(first),
                word(&first["role"]).unwrap_or_else(|| "?".to_owned()),
            ),
            verdict: verdict.to_owned(),
            is_good: refused.is_none(),
            why,
            rules: Vec::new(),
        })
    }
}

fn scope(value: &Value) -> Option<Detail> {
    serde_json::from_value::<Vec<Detail>>(value.clone())
        .ok()?
        .into_iter()
        .next()
}

fn who(record: &Value) -> String {
    let login = word(&record["login"]).unwrap_or_else(|| "?".to_owned());
    match record["uid"].as_u64() {
        Some(uid) => format!("{login} (uid {uid})"),
        None => login,
    }
}

fn what(record: &Value) -> String {
    let command = command(record).unwrap_or_else(|| "a command".to_owned());
    match word(&record["runas"]) {
        Some(user) => format!("{command} as {user}"),
        None => command,
    }
}

/// One record in a few words.
pub fn said(record: &Value) -> String {
    let detail = &record["detail"];
    let why = || {
        let why = word(&detail["why"]).unwrap_or_default();
        why.lines().next().unwrap_or_default().to_owned()
    };
    let reason = word(&record["reason"]).unwrap_or_default();
    let ends = detail["ends"]
        .as_u64()
        .map_or_else(String::new, |s| format!(" until {}", show::time(s)));
    match record["type"].as_str().unwrap_or_default() {
        kind::REQUEST => format!(
            "asked for role {} for {}: {reason}",
            word(&record["role"]).unwrap_or_default(),
            show::seconds(detail["seconds"].as_u64().unwrap_or_default()),
        ),
        kind::GRANT if detail["again"].is_string() => format!(
            "in force again, {}{ends}",
            word(&detail["again"]).unwrap_or_default()
        ),
        kind::GRANT | kind::EXTEND => {
            let own = word(&detail["self_approved_by"]);
            let by: Vec<String> = detail["approved_by"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(word)
                .map(|who| match own.as_ref() == Some(&who) {
                    true => format!("{who} (THE OWN REQUEST)"),
                    false => who,
                })
                .collect();
            let approved = match by.as_slice() {
                [] => String::new(),
                people => format!(", approved by {}", people.join(", ")),
            };
            format!(
                "{} by rule {:?} of the policy{approved}{ends}",
                if record["type"] == kind::GRANT {
                    "given"
                } else {
                    "extended"
                },
                word(&detail["policy"]).unwrap_or_default(),
            )
        }
        kind::USE => format!("allowed: {}", what(record)),
        kind::REFUSED if detail["what"] == "use" => format!("refused: {}: {}", what(record), why()),
        kind::REFUSED => format!(
            "{} refused: {}",
            word(&detail["what"]).unwrap_or_default(),
            why()
        ),
        kind::CLOSE => match detail["status"].as_i64().unwrap_or_default() {
            status if status & 0x7f == 0 => {
                format!("the command ended with status {}", status >> 8)
            }
            status => format!("the command was ended by signal {}", status & 0x7f),
        },
        kind::END => format!("ended: {}", word(&detail["cause"]).unwrap_or_default()),
        kind::PROOF if record["decision"] == "proven" => {
            "the kernel shows that nothing of it is left".to_owned()
        }
        kind::ALERT => format!("ALERT: {}", why()),
        kind::PROOF => "not shown to be gone: see the record".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn life() -> Vec<Told> {
        let base =
            json!({ "login": "alice", "uid": 1001, "role": "web", "request": "R", "grant": "G" });
        let records = [
            ("request", json!({ "seconds": 60 })),
            (
                "grant",
                json!({ "policy": "approve 1", "ends": 0, "approved_by": ["bob"] }),
            ),
            ("end", json!({ "cause": "dropped" })),
        ];
        (0..)
            .zip(records)
            .map(|(index, (kind, detail))| {
                let mut record = base.clone();
                if kind == "request" {
                    record.as_object_mut().unwrap().remove("grant");
                }
                record["type"] = json!(kind);
                record["detail"] = detail;
                Told { index, record }
            })
            .collect()
    }

    fn verdict(id: &str, records: &[Told]) -> (Kind, String, Option<String>) {
        let story = Story::of_id(id, records).unwrap();
        (story.about, story.verdict, story.why)
    }

    #[test]
    fn a_grant_and_its_request_tell_the_same_life() {
        let all = life();
        let ended = (
            "given, and ended".to_owned(),
            Some("ended by: dropped".to_owned()),
        );
        let (verdict_, why) = ended;
        assert_eq!(
            verdict("G", &all),
            (Kind::Grant, verdict_.clone(), why.clone())
        );
        assert_eq!(verdict("R", &all), (Kind::Request, verdict_, why));
        assert_eq!(verdict("R", &all[..2]).1, "given, and not ended");
        assert_eq!(verdict("R", &all[..1]).1, "not decided");
        assert!(
            said(&all[1].record)
                .contains("given by rule \"approve 1\" of the policy, approved by bob until 1970")
        );
        let mut own = all[1].record.clone();
        own["detail"]["self_approved_by"] = json!("bob");
        assert!(said(&own).contains(", approved by bob (THE OWN REQUEST) until"));
        assert!(Story::of_id("X", &[]).is_none());
    }

    #[test]
    fn a_refused_request_says_why() {
        let mut all = life();
        all.truncate(1);
        let mut no = all[0].clone();
        no.record["type"] = json!("refused");
        no.record["detail"] = json!({ "what": "request", "why": "the issuer denied it: no rule" });
        all.push(no);
        assert_eq!(
            verdict("R", &all),
            (
                Kind::Request,
                "refused".to_owned(),
                Some("the issuer denied it: no rule".to_owned())
            )
        );
    }

    #[test]
    fn what_sudo_itself_refused_names_no_rule() {
        let told = Told {
            index: 4,
            record: json!({ "type": "refused", "time": "T", "login": "alice", "uid": 1001, "command": ["/bin/id"],
                "detail": { "what": "use", "by": "sudo", "why": "a password is required" } }),
        };
        let story = Story::of_record(&told, &[]);
        assert_eq!((story.verdict.as_str(), story.rules.len()), ("refused", 0));
        assert_eq!(story.why.as_deref(), Some("a password is required"));
    }

    #[test]
    fn other_records_are_told_as_they_are() {
        let told = Told {
            index: 1,
            record: json!({ "type": "start", "time": "T" }),
        };
        let story = Story::of_record(&told, &[]);
        assert_eq!(
            (story.about, story.verdict.as_str()),
            (Kind::Record, "recorded")
        );
    }
}
