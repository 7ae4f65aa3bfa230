//! `jitctl log verify --against FILE`: is what a receiver got what the journal holds?

use crate::exit::Code;
use crate::failure::Failure;
use journal::Pruned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

use crate::log_checkpoints::Checkpoint;

/// What a receiver got.
#[derive(Debug, Default)]
pub struct Received {
    pub records: BTreeMap<u64, Value>,
    pub checkpoints: Vec<Checkpoint>,
}

/// What the comparison showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Against {
    /// Records that were compared.
    pub compared: u64,
    /// Received, and not in the journal (any more).
    pub gone: Vec<u64>,
    /// Received, and given up here in good order.
    pub pruned: u64,
    /// Received with another content.
    pub differ: Vec<u64>,
    /// In the journal between the first and the last one received, and not received.
    pub lacking: u64,
}

impl Against {
    /// Does the journal hold all that was received, unchanged? What a receiver lacks is its own loss.
    pub fn is_ok(&self) -> bool {
        self.gone.is_empty() && self.differ.is_empty()
    }

    pub fn to_json(&self) -> Value {
        json!({
            "ok": self.is_ok(),
            "compared": self.compared,
            "gone": self.gone,
            "pruned": self.pruned,
            "differ": self.differ,
            "lacking": self.lacking,
        })
    }

    /// Sentences: what is wrong, then what is only told.
    pub fn faults(&self) -> Vec<String> {
        let gone = self
            .gone
            .iter()
            .map(|n| format!("entry {n}: the receiver has it, the journal has not"));
        let differ = self
            .differ
            .iter()
            .map(|n| format!("entry {n}: the receiver has another content"));
        gone.chain(differ).collect()
    }
}

/// Reads what was received: one JSON object a line, or one array, each with `index` and the record's members as
/// `log show --json` prints them, or an event that the link made of a record; or a checkpoint.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn received(path: &Path) -> Result<Received, Failure> {
    let fail = |why: String| Failure::new(Code::Usage, format!("{}: {why}.", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let mut all = Vec::new();
    for item in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        match item.map_err(|e| fail(e.to_string()))? {
            Value::Array(items) => all.extend(items),
            one => all.push(one),
        }
    }
    let checkpoints: Vec<_> = all.iter().filter_map(Checkpoint::read).collect();
    let records = all
        .into_iter()
        .filter(|record| Checkpoint::read(record).is_none())
        .map(|record| {
            let (index, record) = match record["raw_data"].as_str() {
                Some(text) => (
                    record["metadata"]["sequence"].as_u64(),
                    serde_json::from_str(text).map_err(|e| fail(e.to_string()))?,
                ),
                None => (record["index"].as_u64(), bare(record)),
            };
            let index = index.ok_or_else(|| fail("a record has no index".into()))?;
            Ok((index, record))
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Received {
        records,
        checkpoints,
    })
}

/// The record alone.
fn bare(mut record: Value) -> Value {
    if let Value::Object(members) = &mut record {
        members.remove("index");
        members.remove("origin");
        members.remove("schema_version");
    }
    record
}

/// Compares with the journal's entries, which come in order, and with what it says it has given up.
pub fn compare<'a>(
    received: &BTreeMap<u64, Value>,
    entries: impl Iterator<Item = (u64, &'a str)>,
    pruned: Option<&Pruned>,
) -> Against {
    let mut left = received.clone();
    let mut found = Against::default();
    let span = received
        .keys()
        .next()
        .copied()
        .zip(received.keys().last().copied());
    for (index, json) in entries {
        match left.remove(&index) {
            Some(theirs) => {
                found.compared += 1;
                if serde_json::from_str::<Value>(json).ok() != Some(theirs) {
                    found.differ.push(index);
                }
            }
            None if span.is_some_and(|(first, last)| first < index && index < last) => {
                found.lacking += 1;
            }
            None => {}
        }
    }
    let limit = pruned.map(|pruned| (pruned.first, pruned.limit()));
    for (index, record) in left {
        let time = record["time"].as_str();
        match &limit {
            // One that was younger than the policy has it was not given up but removed.
            Some((first, limit)) if index < *first && time.is_some_and(|t| t <= limit.as_str()) => {
                found.pruned += 1;
            }
            _ => found.gone.push(index),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_differs_or_was_not_received_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("siem.json");
        std::fs::write(
            &path,
            "{\"index\":1,\"schema_version\":1,\"type\":\"use\"}\n[{\"index\":4,\"type\":\"end\"},{\"index\":9}]\n\
             {\"metadata\":{\"sequence\":0},\"raw_data\":\"{}\"}{\"type\":\"checkpoint\",\"next\":3}",
        )
        .unwrap();
        let received = received(&path).unwrap();
        let log = [
            (0, "{}"),
            (1, "{\"type\":\"use\"}"),
            (2, "{}"),
            (4, "{\"type\":\"grant\"}"),
        ];
        assert_eq!(received.checkpoints.len(), 1);
        let found = compare(&received.records, log.into_iter(), None);
        let expected = Against {
            compared: 3,
            gone: vec![9],
            pruned: 0,
            differ: vec![4],
            lacking: 1,
        };
        assert_eq!(found, expected);
        assert!(!found.is_ok() && found.faults()[0].starts_with("entry 9"));
        let pruned = Pruned {
            first: 5,
            time: "2026-11-20T13:56:03.120Z".into(),
            keep_days: 30,
        };
        let old = |index: u64, time: &str| (index, json!({ "time": time }));
        let all = BTreeMap::from([
            old(1, "2026-10-20T00:00:00.000Z"),
            old(2, "2026-11-19T00:00:00.000Z"),
            old(7, "2026-10-20T00:00:00.000Z"),
        ]);
        let found = compare(&all, std::iter::empty(), Some(&pruned));
        assert_eq!((found.pruned, found.gone), (1, vec![2, 7]));
        std::fs::write(&path, "{\"type\":\"use\"}").unwrap();
        assert!(super::received(&path).is_err());
    }
}
