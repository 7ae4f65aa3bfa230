//! How this host is, in numbers, for a collector that reads files (node_exporter's textfile collector). OpenMetrics text, which
//! older readers of Prometheus' own format take as well. Numbers only: no name, command or reason of anybody, so everyone
//! may read it. Pure but for [`write`].

use crate::effects::files;
use journal::kind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// What was recorded since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By type.
    records: BTreeMap<String, u64>,
    /// By code.
    alerts: BTreeMap<String, u64>,
    refused: u64,
    breakglass: u64,
    unproven: u64,
    journal_faults: u64,
}

impl Counts {
    /// A record, as stored.
    pub fn hear(&mut self, record: &Value) {
        let kind = record["type"].as_str().unwrap_or_default();
        *self.records.entry(name(kind)).or_default() += 1;
        let decision = record["decision"].as_str();
        self.refused += u64::from(decision == Some("deny"));
        self.unproven += u64::from(kind == kind::PROOF && decision == Some("unproven"));
        self.breakglass +=
            u64::from(kind == kind::BREAKGLASS && matches!(decision, Some("allow" | "deny")));
        let code = record["detail"]["code"].as_str().unwrap_or("other");
        if kind == kind::ALERT {
            *self.alerts.entry(name(code)).or_default() += 1;
        }
        let faults = record["detail"]["faults"].as_array();
        let found = kind == kind::RECOVERY && faults.is_some_and(|faults| !faults.is_empty());
        self.journal_faults += u64::from(found || kind == kind::ALERT && code == "journal");
    }
}

/// A label's value: what the journal's own code writes needs no escape, and nothing else gets through.
fn name(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .take(32)
        .collect()
}

/// What is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub grants: u64,
    pub requests: u64,
    /// Index that the next record gets.
    pub next: u64,
    pub journal_writable: bool,
    pub link: bool,
    pub issuer: bool,
    /// Records that each receiver is not known to have.
    pub waiting: BTreeMap<String, u64>,
}

/// The whole file.
#[must_use]
pub fn render(counts: &Counts, levels: &Levels, time_s: u64) -> String {
    let mut out = String::new();
    let mut family = |name: &str, counter: bool, help: &str, samples: Vec<(String, u64)>| {
        let kind = if counter { "counter" } else { "gauge" };
        let total = if counter { "_total" } else { "" };
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{total}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let each = |label: &str, values: &BTreeMap<String, u64>| {
        let sample = |(name, value): (&String, &u64)| (format!("{{{label}=\"{name}\"}}"), *value);
        values.iter().map(sample).collect::<Vec<_>>()
    };
    family(
        "jit_records",
        true,
        "Records of the journal, by type, since the agent started.",
        each("type", &counts.records),
    );
    family(
        "jit_alerts",
        true,
        "Alerts, by code.",
        each("code", &counts.alerts),
    );
    family(
        "jit_refused",
        true,
        "Requests and uses that were refused.",
        one(counts.refused),
    );
    family(
        "jit_breakglass",
        true,
        "Break-glass codes that were used or tried.",
        one(counts.breakglass),
    );
    family(
        "jit_unproven_ends",
        true,
        "Ends of grants that were not proven.",
        one(counts.unproven),
    );
    family(
        "jit_journal_faults",
        true,
        "Times that the journal was found changed or damaged.",
        one(counts.journal_faults),
    );
    family("jit_grants", false, "Live grants.", one(levels.grants));
    family(
        "jit_requests_pending",
        false,
        "Requests that wait for a decision.",
        one(levels.requests),
    );
    family(
        "jit_journal_next_index",
        false,
        "Index that the next record gets.",
        one(levels.next),
    );
    family(
        "jit_journal_writable",
        false,
        "1 while records reach the disk.",
        one(levels.journal_writable.into()),
    );
    family(
        "jit_link_connected",
        false,
        "1 while the link is connected to the agent.",
        one(levels.link.into()),
    );
    family(
        "jit_issuer_connected",
        false,
        "1 while the link hears the issuer.",
        one(levels.issuer.into()),
    );
    family(
        "jit_receiver_waiting_records",
        false,
        "Records that a receiver is not known to have.",
        each("receiver", &levels.waiting),
    );
    family(
        "jit_agent_seen_seconds",
        false,
        "When the agent last wrote this, Unix time.",
        one(time_s),
    );
    out.push_str("# EOF\n");
    out
}

/// Puts the file in place, whole.
///
/// # Errors
/// Any step's; the old one is then still there.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    files::publish(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_counted_by_what_they_tell_and_by_nobodys_name() {
        let mut counts = Counts::default();
        for record in [
            json!({"type": "use", "login": "alice", "decision": "allow"}),
            json!({"type": "refused", "login": "alice", "decision": "deny", "reason": "x\n# EOF"}),
            json!({"type": "alert", "detail": {"code": "burst", "why": "alice"}}),
            json!({"type": "alert", "detail": {"why": "something"}}),
            json!({"type": "alert", "detail": {"code": "journal"}}),
            json!({"type": "recovery", "detail": {"faults": ["entry 7: edited"]}}),
            json!({"type": "recovery", "detail": {"faults": []}}),
            json!({"type": "breakglass", "decision": "received"}),
            json!({"type": "breakglass", "decision": "allow"}),
            json!({"type": "proof", "decision": "unproven"}),
            json!({"type": "x\"} 1\nevil", "decision": "allow"}),
        ] {
            counts.hear(&record);
        }
        let levels = Levels {
            grants: 2,
            waiting: BTreeMap::from([("siem".to_owned(), 7)]),
            ..Levels::default()
        };
        let text = render(&counts, &levels, 1_800_000_000);
        for line in [
            "# TYPE jit_records counter",
            "jit_records_total{type=\"use\"} 1",
            "jit_records_total{type=\"x1evil\"} 1",
            "jit_alerts_total{code=\"burst\"} 1",
            "jit_alerts_total{code=\"other\"} 1",
            "jit_refused_total 1",
            "jit_breakglass_total 1",
            "jit_unproven_ends_total 1",
            "jit_journal_faults_total 2",
            "jit_grants 2",
            "jit_link_connected 0",
            "jit_receiver_waiting_records{receiver=\"siem\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
        assert!(!text.contains("alice"));
    }
}
