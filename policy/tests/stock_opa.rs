//! The same rules under stock OPA: every row of every Rego table, and the tests that a policy brings along. OPA comes as
//! a library from PyPI, below the target directory; a missing `python3` is a failure, never a skip.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use common::{Row, below, policy, rows};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[track_caller]
fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let done = command.status().expect("python3 is needed");
    assert!(done.success(), "{shown}: {done}");
}

/// OPA's library. Made once; needs PyPI then.
fn opa() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("opa-oracle");
    let library = dir.join("lib/opa_bindings/libopabridge.so");
    let list = below("oracles/requirements.txt");
    let (wanted, stamp) = (
        std::fs::read(&list).expect("list"),
        dir.join("installed.txt"),
    );
    if std::fs::read(&stamp).is_ok_and(|have| have == wanted) {
        return library;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(dir.join("venv")));
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ];
    run(Command::new(dir.join("venv/bin/python"))
        .args(pip)
        .args([
            "--upgrade",
            "--ignore-requires-python",
            "--require-hashes",
            "--target",
        ])
        .arg(dir.join("lib"))
        .arg("-r")
        .arg(list));
    std::fs::write(stamp, wanted).expect("stamp");
    library
}

/// What our engine's rule says before anything is made of it; None when it failed.
fn ours(row: &Row) -> Option<Value> {
    let steps = policy(&row.policy).explain(&row.ask);
    let step = steps.iter().find(|s| s.rule == "data.jit.decision")?;
    match step.said.as_str() {
        "does not hold" => Some(Value::Null),
        said => serde_json::from_str(said).ok(),
    }
}

#[test]
fn stock_opa_decides_every_row_as_we_do() {
    let rows: Vec<Row> = rows()
        .into_iter()
        .filter(|r| r.policy != "small" && policy(&r.policy).input(&r.ask).is_ok())
        .collect();
    let mut policies = BTreeMap::new();
    for name in ["estate", "odd"] {
        let dir = below(&format!("policies/{name}"));
        let texts: BTreeMap<String, String> = std::fs::read_dir(dir)
            .expect("policy")
            .map(|e| e.expect("entry").path())
            .filter(|p| p.extension().is_some_and(|e| e == "rego"))
            .map(|p| {
                let name = p.file_name().expect("name").to_string_lossy().into_owned();
                (name, std::fs::read_to_string(&p).expect("text"))
            })
            .collect();
        policies.insert(name, texts);
    }
    let asks: Vec<Value> = rows
        .iter()
        .map(|r| json!([r.policy, policy(&r.policy).input(&r.ask).expect("input")]))
        .collect();
    let (tried, _) = policy::trial::run(&policy("estate"));
    let tests: Vec<&str> = tried.iter().map(|t| t.name.as_str()).collect();
    let mut child = Command::new("python3")
        .arg(below("oracles/opa.py"))
        .arg(opa())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    let asked = json!({ "policies": policies, "asks": asks, "tests": tests }).to_string();
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(asked.as_bytes()).expect("asked");
    drop(stdin);
    let out = child.wait_with_output().expect("answers");
    assert!(out.status.success(), "{}", out.status);
    let said: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let answers = said["answers"].as_array().expect("answers");
    assert_eq!(answers.len(), rows.len());
    let mut failed = Vec::new();
    for (row, stock) in rows.iter().zip(answers) {
        match ours(row) {
            Some(ours) => assert_eq!(ours, *stock, "{} row {}", row.table, row.number),
            None => failed.push(row.ask.reason.as_str()),
        }
    }
    // Here ours is the stricter: OPA by default takes a failing built-in for something that does not hold.
    assert_eq!(failed, ["conflict", "failing built-in", "division by zero"]);
    for (name, holds) in said["tests"].as_object().expect("tests") {
        assert_eq!(*holds, json!(true), "{name}");
    }
}
