//! `jitctl log search` and `log tail`: some of the records.

use crate::args::LogFilter;
use crate::context::Context;
use crate::exit::Exit;
use crate::log::{DIR, print};
use crate::output::{Line, Style};
use journal::Entry;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

/// How often `tail -f` looks whether the journal has grown.
const LOOK: Duration = Duration::from_millis(200);

impl LogFilter {
    fn matches(&self, json: &str) -> bool {
        // Ids and plain names stand in a record as they are: most records need no reading.
        let plain = |text: &&String| {
            text.bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
        };
        let exact = [&self.grant, &self.ticket, &self.kind, &self.user];
        if exact
            .into_iter()
            .flatten()
            .filter(plain)
            .any(|text| !json.contains(text.as_str()))
        {
            return false;
        }
        let Ok(record) = serde_json::from_str::<Value>(json) else {
            return false;
        };
        let is = |name: &str, wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|text| record[name] == text.as_str())
        };
        let uid = |user: &String| user.parse::<u64>().is_ok_and(|uid| record["uid"] == uid);
        let time = || record["time"].as_str()?.parse::<jiff::Timestamp>().ok();
        is("grant", &self.grant)
            && is("ticket", &self.ticket)
            && is("type", &self.kind)
            && (is("login", &self.user) || self.user.as_ref().is_some_and(uid))
            && self
                .command
                .as_ref()
                .is_none_or(|text| words(&record["command"]).contains(text))
            && self
                .since
                .is_none_or(|since| time().is_some_and(|at| at >= since))
            && self
                .until
                .is_none_or(|until| time().is_some_and(|at| at < until))
    }
}

/// The words of a command; one that is no text stands as its hexadecimal.
fn words(command: &Value) -> String {
    let word = |word: &Value| {
        word.as_str()
            .or(word["hex"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let all: Vec<String> = command.as_array().into_iter().flatten().map(word).collect();
    all.join(" ")
}

pub fn search(ctx: &Context, filter: &LogFilter) -> u8 {
    let mut exit = Exit::Ok;
    for item in journal::read(Path::new(DIR)) {
        match item {
            Ok(entry) if filter.matches(&entry.json) => {
                if !print(ctx, &entry) {
                    break;
                }
            }
            Ok(_) => {}
            Err(fault) => {
                exit = Exit::Problems;
                tell(ctx, &fault);
            }
        }
    }
    exit.code()
}

/// The last records, and with `follow` each further one until interrupted.
pub fn tail(ctx: &Context, last: usize, follow: bool) -> u8 {
    let (mut exit, mut next) = (Exit::Ok, 0);
    let mut kept: VecDeque<Entry> = VecDeque::new();
    let mut seen = state();
    for item in journal::read(Path::new(DIR)) {
        match item {
            Ok(entry) => {
                next = entry.index + 1;
                kept.push_back(entry);
                if kept.len() > last {
                    kept.pop_front();
                }
            }
            Err(fault) => {
                exit = Exit::Problems;
                tell(ctx, &fault);
            }
        }
    }
    if !kept.iter().all(|entry| print(ctx, entry)) || !follow {
        return exit.code();
    }
    loop {
        std::thread::sleep(LOOK);
        let now = state();
        if now == seen {
            continue;
        }
        seen = now;
        for entry in journal::read_from(Path::new(DIR), next).flatten() {
            next = entry.index + 1;
            if !print(ctx, &entry) {
                return exit.code();
            }
        }
    }
}

/// Changes whenever the journal grows: its files and their sizes together.
fn state() -> (usize, u64) {
    let files = std::fs::read_dir(DIR).into_iter().flatten().flatten();
    files.fold((0, 0), |(count, size), file| {
        (
            count + 1,
            size + file.metadata().map_or(0, |meta| meta.len()),
        )
    })
}

fn tell(ctx: &Context, fault: &journal::Fault) {
    let line = Line::default().styled(Style::Bad, "FAULT  ");
    ctx.out.note_line(&line.text(fault.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"time":"2026-11-20T13:56:03.120Z","type":"use","grant":"01J","login":"alice","uid":1001,
        "ticket":"OPS \"7\"","command":["/bin/echo","a b",{"hex":"ff"}],"reason":"bob"}"#;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_filter_is_about_its_own_member() {
        let base = LogFilter::default;
        let at = |text: &str| Some(text.parse().unwrap());
        for (filter, wanted) in [
            (base(), true),
            (
                LogFilter {
                    user: some("alice"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    user: some("1001"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    user: some("bob"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    user: some("100"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    grant: some("01J"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    grant: some("01"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    ticket: some("OPS \"7\""),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    command: some("echo a b ff"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    command: some("echo b"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    kind: some("use"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    kind: some("end"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    since: at("2026-11-20T13:56:03.120Z"),
                    ..base()
                },
                true,
            ),
            (
                LogFilter {
                    until: at("2026-11-20T13:56:03.120Z"),
                    ..base()
                },
                false,
            ),
            (
                LogFilter {
                    since: at("2026-11-20T14:56:04+01:00"),
                    ..base()
                },
                false,
            ),
        ] {
            assert_eq!(filter.matches(JSON), wanted, "{filter:?}");
        }
        assert!(!base().matches("no record"));
    }
}
