//! `jitctl config` as a program, and by it every file that is shipped and every example that the docs show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const KINDS: [&str; 6] = ["agent", "ceiling", "link", "issuer", "jitctl", "roles"];

fn jitctl(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_jitctl"))
        .arg("config")
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap(), said)
}

/// What the program says of `text`.
fn check(kind: &str, text: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new");
    fs::write(&file, text).unwrap();
    jitctl(&["check", "--file", file.to_str().unwrap(), "--as", kind])
}

fn below(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn every_file_that_is_shipped_is_good_also_with_all_that_it_only_shows() {
    let mut files = Vec::new();
    below(&Path::new(ROOT).join("packaging/etc"), ".toml", &mut files);
    assert_eq!(files.len(), KINDS.len(), "{files:?}");
    for file in files {
        let (code, said) = jitctl(&["check", "--file", file.to_str().unwrap()]);
        assert_eq!((code, said.as_str()), (0, "No fault.\n"), "{file:?}");
        let kind = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        // A key in a comment, by any of the marks: of a default, of another choice, of a line to uncomment.
        let key = |l: &str| {
            l.split([' ', '=', '.', ']']).next().is_some_and(|w| {
                !w.is_empty()
                    && w.bytes()
                        .all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'['))
            })
        };
        let looks =
            |l: &str| key(l) && (l.contains(" = ") || (l.starts_with('[') && l.ends_with(']')));
        let mut shown = 0;
        let lines = text.lines().map(|line| {
            let bare = line
                .trim_start_matches('#')
                .trim_start_matches(['>', '+'])
                .trim_start();
            if line.starts_with('#') && looks(bare) {
                shown += 1;
                bare
            } else {
                line
            }
        });
        let all: String = lines.fold(String::new(), |text, l| text + l + "\n");
        // A key that is shown twice has its other choice first.
        let mut said = std::collections::HashSet::new();
        let mut table = String::new();
        let once: Vec<&str> = all
            .lines()
            .filter(|l| {
                if l.starts_with('[') {
                    table = (*l).to_owned();
                }
                let key = l.split(" = ").next().unwrap_or_default();
                l.starts_with(['#', '['])
                    || !l.contains(" = ")
                    || said.insert(format!("{table}{key}"))
            })
            .collect();
        let (code, said) = check(kind, &once.join("\n"));
        assert_eq!(
            (code, said.as_str()),
            (0, "No fault.\n"),
            "{file:?} with {shown} more lines:\n{all}"
        );
    }
}

#[test]
fn every_example_of_the_docs_is_good() {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    below(&Path::new(ROOT).join("docs"), ".md", &mut pages);
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let mut blocks = text.split("\n```toml");
        blocks.next();
        for block in blocks {
            let (kind, rest) = block.split_once('\n').unwrap();
            let kind = kind.trim();
            assert!(
                KINDS.contains(&kind),
                "{page:?}: say after ```toml which of {KINDS:?} it is"
            );
            let (example, _) = rest.split_once("\n```").unwrap();
            let (code, said) = check(kind, example);
            assert_eq!(
                (code, said.as_str()),
                (0, "No fault.\n"),
                "{page:?}:\n{example}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 5, "the page of the settings is not where it was");
}

#[test]
fn a_fault_names_line_and_hint_and_ends_with_7() {
    let (code, said) = check("ceiling", "# limits\nmax_durations_s = 5\n");
    assert_eq!(code, 7);
    assert!(
        said.ends_with(": line 2: unknown key `max_durations_s`; did you mean `max_duration_s`?\n"),
        "{said}"
    );
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("link.toml.d");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("10-site.toml");
    fs::write(&file, "issuer = \"http://x\"").unwrap();
    let file = file.to_str().unwrap();
    let (code, said) = jitctl(&["check", "--file", file, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"]), (7, &json!(false)));
    assert_eq!(said["schema_version"], 1);
    assert_eq!(
        (&said["faults"][0]["file"], &said["faults"][0]["line"]),
        (&json!(file), &json!(1))
    );
}

#[test]
fn what_cannot_be_looked_at_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("source");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let (code, said) = jitctl(&["check", "--file", file]);
    assert!(code == 2 && said.contains("--as ceiling"), "{said}");
    let (code, _) = jitctl(&["check", "--file", &format!("{file}-not"), "--as", "link"]);
    assert_eq!(code, 2);
    assert_eq!(jitctl(&["check", "--as", "link"]).0, 2);
    assert_eq!(jitctl(&["show", "roles"]).0, 2);
}
