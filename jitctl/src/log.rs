//! `jitctl log`: reads the journal; changes nothing in it.

use crate::args;
use crate::context::{Context, need_root};
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::{Line, Style};
use crate::{log_against, log_checkpoints, log_search, log_tree, log_witness};
use journal::{Entry, Fault, Report};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

pub const DIR: &str = "/var/log/jit/journal";
pub const HEAD: &str = "/var/lib/jit/journal.head";

/// How long somebody waits without a word.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn command(ctx: &Context, args: &args::Log) -> Result<u8, Failure> {
    need_root("read the journal")?;
    if !Path::new(DIR).is_dir() {
        return Err(
            Failure::new(Code::Internal, format!("There is no journal at {DIR}."))
                .hint("The agent makes it when it starts; on a new host run `jitctl setup local`."),
        );
    }
    match args {
        args::Log::Verify { against } => verify(ctx, against.as_deref()),
        args::Log::Search { filter } => Ok(log_search::search(ctx, filter)),
        args::Log::Tail { last, follow } => Ok(log_search::tail(ctx, *last, *follow)),
        args::Log::Show { last } => Ok(show(ctx, *last)),
        args::Log::Export { to, witnessed } => log_tree::export(ctx, to, *witnessed),
        args::Log::Attest => log_witness::attest(ctx),
        args::Log::Prove { index, witnessed } => log_tree::prove(ctx, *index, *witnessed),
    }
}

fn verify(ctx: &Context, against: Option<&Path>) -> Result<u8, Failure> {
    let received = against.map(log_against::received).transpose()?;
    let out = ctx.out;
    let mut progress = progress(PATIENCE, |text| out.note(text));
    let host = log_tree::host_key().ok().map(|key| key.public());
    // Before the log is read: what is cosigned while it is read is behind what was read.
    let cosigned = log_witness::kept()?;
    let (dir, head) = (Path::new(DIR), Some(Path::new(HEAD)));
    let mut report = journal::check_with(dir, head, host, &mut progress);
    // Here it is no copy: what protects the files counts, too.
    report.faults.extend(journal::protection(dir));
    // A clock that has forgotten the time is behind the witness.
    let witnessed = cosigned.as_ref().map_or(0, |seen| seen.at);
    let now_ms = log_witness::now().max(witnessed).saturating_mul(1000);
    let pruned = report.begins.as_ref();
    let ahead = pruned.and_then(|pruned| pruned.ahead(now_ms));
    report.faults.extend(ahead);
    let against = received.map(|received| {
        let entries: Vec<Entry> = journal::read(dir).flatten().collect();
        let begins = journal::beginnings(dir).unwrap_or_default();
        let texts = entries
            .iter()
            .map(|entry| (entry.index, entry.json.as_str()));
        let records = log_against::compare(&received.records, texts, report.begins.as_ref());
        let all = &received.checkpoints;
        let known = || -> Result<_, Failure> {
            Ok((log_tree::identity()?.0, log_tree::host_signer()?.public()))
        };
        let checkpoints = match (all.is_empty(), known) {
            (true, _) => log_checkpoints::Checked::default(),
            (false, known) => match known() {
                Ok((origin, key)) => {
                    log_checkpoints::compare(all, &origin, &key, (&entries, &begins))
                }
                // A fault like others: what else was found is told all the same.
                Err(e) => log_checkpoints::Checked::impossible(&e.message),
            },
        };
        (records, checkpoints)
    });
    let mut value = report_json(&report);
    let mut lines = report_lines(&report);
    let mut ok = report.is_ok();
    if let Some((against, checkpoints)) = against {
        ok &= against.is_ok() && checkpoints.faults.is_empty();
        value["ok"] = json!(ok);
        value["against"] = against.to_json();
        value["against"]["checkpoints"] = checkpoints.to_json();
        for fault in against.faults().into_iter().chain(checkpoints.faults) {
            lines.push(Line::default().styled(Style::Bad, "FAULT  ").text(fault));
        }
        lines.push(Line::new(format!(
            "{} records of the receiver compared, {} more were pruned here; it lacks {} between its first and last.",
            against.compared, against.pruned, against.lacking
        )));
        if checkpoints.compared + checkpoints.unsigned + checkpoints.pruned > 0 {
            lines.push(Line::new(format!(
                "{} of its checkpoints compared; {} more are not signed with this host's key; {} are about entries that were pruned.",
                checkpoints.compared, checkpoints.unsigned, checkpoints.pruned
            )));
        }
    }
    if let Some(kept) = cosigned {
        // Entries behind a hole count as there: what is gone is named above.
        let next = report
            .sealed
            .as_ref()
            .map_or(report.entries, |sealed| sealed.size);
        let seen = log_witness::compare(kept, next);
        ok &= seen.fault().is_none();
        value["ok"] = json!(ok);
        value["witness"] = seen.to_json();
        lines.push(seen.line());
    }
    ctx.out.json(&value);
    ctx.out.lines(&lines);
    let exit = if ok { Exit::Ok } else { Exit::Problems };
    Ok(exit.code())
}

/// Says how far it is, now and then, but nothing of what is soon over.
fn progress(every: Duration, mut say: impl FnMut(String)) -> impl FnMut(u64) {
    let mut told = Instant::now();
    move |entries| {
        if told.elapsed() >= every {
            told = Instant::now();
            say(format!("{entries} entries read …"));
        }
    }
}

fn report_json(report: &Report) -> Value {
    let faults: Vec<Value> = report.faults.iter().map(fault_json).collect();
    let mut value = json!({
        "schema_version": SCHEMA_VERSION,
        "ok": report.is_ok(),
        "entries": report.entries,
        "first_time": report.first_time,
        "last_time": report.last_time,
        "faults": faults,
        "more_faults": report.more_faults,
        "unprotected": report.unprotected,
        "unfinished": report.unfinished.as_ref().map(|torn| json!({
            "file": torn.file, "offset": torn.offset, "bytes": torn.bytes,
        })),
        "sealed": report.sealed.as_ref().map(|head| head.size),
        "starts": report.starts,
    });
    // Only where it is so.
    if let Some(pruned) = &report.begins {
        value["pruned"] = json!({
            "first": pruned.first, "time": pruned.time, "keep_days": pruned.keep_days,
        });
    }
    value
}

fn fault_json(fault: &Fault) -> Value {
    json!({
        "kind": fault.kind.name(),
        "index": fault.index,
        "count": fault.count,
        "file": fault.file,
        "offset": fault.offset,
        "message": fault.to_string(),
    })
}

fn report_lines(report: &Report) -> Vec<Line> {
    let span = match (&report.first_time, &report.last_time) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    let mut lines = vec![Line::new(format!("{} entries{span}", report.entries))];
    if let Some(pruned) = &report.begins {
        lines.push(Line::new(format!(
            "Entries before {} were pruned; an entry of {} says so, by a policy of {} days.",
            pruned.first, pruned.time, pruned.keep_days
        )));
    }
    for fault in &report.faults {
        lines.push(
            Line::default()
                .styled(Style::Bad, "FAULT  ")
                .text(fault.to_string()),
        );
    }
    if report.more_faults > 0 {
        lines.push(Line::new(format!("and {} more faults", report.more_faults)));
    }
    if let Some(torn) = &report.unfinished {
        lines.push(
            Line::new(format!(
                "{} bytes at the end are no part of the log (",
                torn.bytes
            ))
            .text(&torn.file)
            .text(format!(
                ", byte {}): the agent is writing, the host crashed, or somebody put them there.",
                torn.offset
            )),
        );
    }
    if let Some(head) = &report.sealed {
        lines.push(
            Line::new(format!("{} entries are sealed, by ", head.size))
                .text(&head.key.name)
                .text(format!("; opened {} times", report.starts)),
        );
    }
    for segment in &report.unprotected {
        lines.push(Line::new("Not append-only: ").text(segment));
    }
    lines.push(if report.is_ok() {
        Line::default().styled(Style::Good, "No fault.")
    } else {
        Line::default().styled(
            Style::Bad,
            format!(
                "{} faults: the journal was changed or damaged.",
                report.faults.len() as u64 + report.more_faults
            ),
        )
    });
    lines
}

fn show(ctx: &Context, last: Option<usize>) -> u8 {
    let mut exit = Exit::Ok;
    let mut kept = VecDeque::new();
    for entry in journal::read(Path::new(DIR)) {
        match entry {
            Err(fault) => {
                exit = Exit::Problems;
                let line = Line::default().styled(Style::Bad, "FAULT  ");
                ctx.out.note_line(&line.text(fault.to_string()));
            }
            Ok(entry) => match last {
                None => {
                    if !print(ctx, &entry) {
                        return exit.code();
                    }
                }
                Some(last) => {
                    kept.push_back(entry);
                    if kept.len() > last {
                        kept.pop_front();
                    }
                }
            },
        }
    }
    for entry in &kept {
        if !print(ctx, entry) {
            break;
        }
    }
    exit.code()
}

pub fn print(ctx: &Context, entry: &Entry) -> bool {
    if ctx.out.is_json() {
        ctx.out.json(&entry_json(entry))
    } else {
        ctx.out.lines(&[entry_line(entry)])
    }
}

/// The record with its index; a record that is no object stands whole under `raw`.
fn entry_json(entry: &Entry) -> Value {
    let mut value = match serde_json::from_str::<Value>(&entry.json) {
        Ok(Value::Object(record)) => Value::Object(record),
        _ => json!({ "raw": entry.json }),
    };
    value["index"] = json!(entry.index);
    value["schema_version"] = json!(SCHEMA_VERSION);
    value
}

fn entry_line(entry: &Entry) -> Line {
    let time = serde_json::from_str::<Value>(&entry.json)
        .ok()
        .and_then(|v| v["time"].as_str().map(str::to_owned))
        .unwrap_or_else(|| "-".to_owned());
    Line::new(format!("{:>6}  ", entry.index))
        .text(time)
        .text("  ")
        .text(journal::render_line(&entry.json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{AppendOnly, Draft, FaultKind, HostKey, Identity, Journal, Record, Timestamp};

    fn entry(json: &str) -> Entry {
        Entry {
            index: 7,
            json: json.to_owned(),
            chain: [0; 32],
            file: "f".to_owned(),
            offset: 0,
        }
    }

    #[test]
    fn a_record_is_one_line_with_index_and_time() {
        let shown = entry_line(&entry(
            r#"{"type":"use","time":"2026-11-20T13:56:03.120Z","reason":"a\nb\u001b[2J"}"#,
        ));
        assert!(
            shown
                .plain()
                .starts_with("     7  2026-11-20T13:56:03.120Z  use ")
        );
        assert!(!shown.plain().contains('\n') && !shown.plain().contains('\x1b'));
    }

    /// A log that is so long that reading it says something, read with a patience of `every`.
    #[test]
    fn a_long_check_says_how_far_it_is_and_a_short_one_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (log, head) = (dir.path().join("log"), dir.path().join("head"));
        let (_, key) = statement::sign::Signer::generate().unwrap();
        let identity = Identity {
            host: "h".to_owned(),
            key: HostKey::from_pkcs8(&key).unwrap(),
        };
        let now = Timestamp {
            unix_ms: 1,
            boot_ns: 1,
            boot_id: "b".to_owned(),
        };
        let (mut journal, _) =
            Journal::open_with(&log, &head, &now, identity, AppendOnly::Off).unwrap();
        let draft = Draft::new(&Record::new("probe", now)).unwrap();
        let drafts = vec![draft; 10_000];
        for _ in 0..11 {
            journal.append_batch(&drafts).unwrap();
        }
        drop(journal);
        let said = |every: Duration| {
            let mut said = Vec::new();
            let mut progress = progress(every, |text| said.push(text));
            let report = journal::check_with(&log, Some(&head), None, &mut progress);
            drop(progress);
            assert_eq!((report.entries, &report.faults[..]), (110_000, &[][..]));
            said
        };
        let all = ["50000 entries read …", "100000 entries read …"];
        assert_eq!(said(Duration::ZERO), all);
        assert!(said(Duration::from_secs(3600)).is_empty());
    }

    #[test]
    fn json_is_the_record_with_its_index() {
        let value = entry_json(&entry(r#"{"type":"use","grant":"G"}"#));
        assert_eq!(
            value,
            json!({ "schema_version": 1, "index": 7, "type": "use", "grant": "G" })
        );
        assert_eq!(entry_json(&entry("not json"))["raw"], "not json");
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        let report = Report {
            entries: 3,
            first_time: Some("A".to_owned()),
            last_time: Some("B".to_owned()),
            faults: vec![Fault {
                kind: FaultKind::Edited,
                index: Some(1),
                count: 1,
                file: "seg-0".to_owned(),
                offset: Some(128),
                what: "its bytes were changed".to_owned(),
            }],
            ..Report::default()
        };
        let text: Vec<String> = report_lines(&report).iter().map(Line::plain).collect();
        assert_eq!(text[0], "3 entries, A to B");
        assert!(text[1].starts_with("FAULT  entry 1: edited"));
        let value = report_json(&report);
        assert_eq!(value["ok"], false);
        assert_eq!(value["faults"][0]["kind"], "edited");
        assert_eq!(value["faults"][0]["offset"], 128);
    }
}
