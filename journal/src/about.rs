//! The records that tell of one grant, one request or one use.

use crate::record::kind;
use crate::{Entry, read, read_from};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// One record, and those of its grant or request.
    Index(u64),
    /// A grant, or what extended it, or a request.
    Id(&'a str),
}

/// A record and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub index: u64,
    pub record: Value,
}

/// What the log tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// In order.
    pub records: Vec<Told>,
    /// Uses, listings and refusals that there was no room for.
    pub left_out: u64,
    /// Parts of the log could not be read as they were written.
    pub faulty: bool,
}

/// Reads the log in `dir` for what it tells of `subject`; of uses, listings and refusals not more than `room` bytes. Reads
/// the log from its start to its end a few times.
#[must_use]
pub fn about(dir: &Path, subject: Subject<'_>, room: usize) -> About {
    let mut about = About::default();
    let asked = match subject {
        Subject::Id(_) => None,
        Subject::Index(index) => match read_from(dir, index).flatten().next() {
            Some(entry) if entry.index == index => Some(told(&entry)),
            _ => return about,
        },
    };
    let mut names = BTreeSet::new();
    match (&asked, subject) {
        (Some(told), _) => {
            names.extend(
                ["grant", "request"]
                    .map(|n| text(&told.record, n))
                    .into_iter()
                    .flatten(),
            );
        }
        (None, Subject::Id(id)) => drop(names.insert(id.to_owned())),
        (None, Subject::Index(_)) => {}
    }
    if names.is_empty() {
        about.records.extend(asked);
        return about;
    }
    // What a later record calls it may be what earlier ones are about.
    let mut known = 0;
    while names.len() > known {
        known = names.len();
        for entry in read(dir).flatten() {
            if holds(&entry.json, &names) {
                let more = related(&told(&entry).record, &names);
                names.extend(more);
            }
        }
    }
    let mut left = room;
    for item in read(dir) {
        let Ok(entry) = item else {
            about.faulty = true;
            continue;
        };
        if !holds(&entry.json, &names) {
            continue;
        }
        let told = told(&entry);
        let of = |name| text(&told.record, name).is_some_and(|id| names.contains(&id));
        let itself = asked.as_ref().is_some_and(|a| a.index == told.index);
        if !itself && !of("grant") && !of("request") {
            continue;
        }
        let small = matches!(
            told.record["type"].as_str(),
            Some(kind::USE | kind::REFUSED | kind::CLOSE | kind::LIST)
        );
        match left.checked_sub(entry.json.len()) {
            Some(rest) if small && !itself => left = rest,
            None if small && !itself => {
                about.left_out += 1;
                continue;
            }
            _ => {}
        }
        about.records.push(told);
    }
    about
}

fn told(entry: &Entry) -> Told {
    Told {
        index: entry.index,
        record: serde_json::from_str(&entry.json).unwrap_or_default(),
    }
}

fn text(record: &Value, name: &str) -> Option<String> {
    record[name].as_str().map(str::to_owned)
}

/// Most records need no reading.
fn holds(json: &str, names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| json.contains(name.as_str()))
}

/// The other names of what a record of asking or giving is about, if it is about one of these.
fn related(record: &Value, names: &BTreeSet<String>) -> Vec<String> {
    if !matches!(
        record["type"].as_str(),
        Some(kind::REQUEST | kind::GRANT | kind::EXTEND)
    ) {
        return Vec::new();
    }
    let all: Vec<String> = [
        text(record, "grant"),
        text(record, "request"),
        text(&record["detail"], "by"),
        text(&record["detail"], "extends"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match all.iter().any(|name| names.contains(name)) {
        true => all,
        false => Vec::new(),
    }
}
