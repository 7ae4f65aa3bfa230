//! `jitctl policy` as a program: exit codes, JSON, and what it says of good and bad policies.
#![allow(clippy::unwrap_used, reason = "test code")]

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/tests/policies");

fn jitctl(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_jitctl"))
        .arg("policy")
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap(), said)
}

fn as_json(args: &[&str]) -> (i32, Value) {
    let (code, said) = jitctl(&[args, &["--json"]].concat());
    let value: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(value["schema_version"], 1, "{said}");
    (code, value)
}

fn estate() -> String {
    format!("{POLICIES}/estate")
}

/// A copy of the estate with one file written anew.
fn edited(dir: &Path, file: &str, edit: impl Fn(&str) -> String) -> String {
    let copy = dir.join("edited");
    for name in [
        "roles.toml",
        "jit.rego",
        "estate.rego",
        "jit_test.rego",
        "on-call.json",
        "approvers/ops",
        "approvers/security",
        "approvers/dba",
    ] {
        let to = copy.join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let text = std::fs::read_to_string(Path::new(&estate()).join(name)).unwrap();
        let text = if name == file { edit(&text) } else { text };
        std::fs::write(to, text).unwrap();
    }
    copy.display().to_string()
}

#[test]
fn check_names_file_line_and_hint_and_ends_with_7() {
    let (code, ok) = as_json(&["check", &estate()]);
    assert_eq!(
        (code, &ok["ok"], &ok["faults"]),
        (0, &json!(true), &json!([]))
    );
    assert_eq!(ok["roles"], json!(["admin", "db", "logs", "restart-web"]));
    let dir = tempfile::tempdir().unwrap();
    let cases: &[(&str, &str, &str, &str, u64, &str)] = &[
        (
            "roles.toml",
            "max = \"8h\"",
            "maxx = \"8h\"",
            "roles.toml",
            11,
            "unknown key `maxx`",
        ),
        (
            "jit.rego",
            "estate.has_ticket",
            "time.now_ns() > 1",
            "jit.rego",
            25,
            "time.now_ns is neither built in nor defined here",
        ),
        (
            "jit.rego",
            "import data.estate",
            "import data.estate\nx := numbers.range(1, 9)",
            "jit.rego",
            5,
            "numbers.range is refused",
        ),
        ("jit.rego", "decision :=", "decision(", "jit.rego", 7, ""),
        (
            "jit.rego",
            "package jit",
            "package jot",
            "estate.rego",
            0,
            "nothing here decides",
        ),
        (
            "jit.rego",
            "input.role == \"logs\"",
            "input.role == undefined_thing",
            "jit.rego",
            16,
            "",
        ),
        (
            "on-call.json",
            "\"until\"",
            "\"untill\"",
            "on-call.json",
            3,
            "unknown key `untill`",
        ),
        (
            "approvers/ops",
            "alice namespaces",
            "al*ce namespaces",
            "approvers/ops",
            1,
            "is not one person's name",
        ),
        (
            "approvers/dba",
            "ssh-ed25519",
            "ssh-rsa",
            "approvers/dba",
            1,
            "frank has no key here",
        ),
    ];
    for (file, from, to, at, line, what) in cases {
        let copy = edited(dir.path(), file, |t| {
            assert!(t.contains(from), "{file} {from}");
            t.replacen(from, to, 1)
        });
        let (code, said) = as_json(&["check", &copy]);
        assert_eq!((code, &said["ok"]), (7, &json!(false)), "{said}");
        let fault = &said["faults"][0];
        assert_eq!(
            (&fault["file"], &fault["line"]),
            (&json!(at), &json!(line)),
            "{to}: {said}"
        );
        assert!(fault["what"].as_str().unwrap().contains(what), "{said}");
        assert!(!fault["hint"].as_str().unwrap().is_empty(), "{said}");
        let (code, said) = jitctl(&["check", &copy]);
        assert!(
            code == 7 && said.contains(&format!("FAULT  {at}: ")),
            "{said}"
        );
    }
    let (code, said) = as_json(&["check", "/nowhere"]);
    assert_eq!((code, &said["error"]["code"]), (2, &json!("usage")));
}

#[test]
fn rules_stand_in_one_place_and_name_groups_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let both = edited(dir.path(), "roles.toml", |t| {
        format!("{t}\n[[approve]]\nroles = [\"logs\"]\neffect = \"automatic\"\n")
    });
    let (code, said) = jitctl(&["check", &both]);
    assert!(
        code == 7 && said.contains("roles.toml: line 27: rules both here and in Rego"),
        "{said}"
    );
    let table = dir.path().join("table");
    std::fs::create_dir_all(table.join("approvers")).unwrap();
    std::fs::copy(
        format!("{POLICIES}/small/roles.toml"),
        table.join("roles.toml"),
    )
    .unwrap();
    std::fs::copy(
        format!("{}/approvers/ops", estate()),
        table.join("approvers/ops"),
    )
    .unwrap();
    let (code, said) = jitctl(&["check", table.to_str().unwrap()]);
    assert!(
        code == 7 && said.contains("there is no group \"security\"; add the group to approvers/"),
        "{said}"
    );
}

#[test]
fn the_policys_own_tests_run_and_a_failed_one_is_a_problem() {
    let (code, said) = as_json(&["test", &estate()]);
    assert_eq!(
        (code, &said["ok"], said["tests"].as_array().unwrap().len()),
        (0, &json!(true), 4)
    );
    assert!(said["lines_covered"].as_u64().unwrap() > 0);
    let dir = tempfile::tempdir().unwrap();
    let open = edited(dir.path(), "estate.rego", |t| {
        t.replace("^OPS-[0-9]{1,6}$", ".*")
    });
    let (code, said) = as_json(&["test", &open]);
    assert_eq!((code, &said["ok"]), (7, &json!(false)));
    let failed = said["tests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["ok"] == false)
        .unwrap();
    assert_eq!(failed["name"], "test_nothing_is_given_without_a_ticket");
}

#[test]
fn eval_decides_and_explains() {
    let estate = estate();
    let ask = [
        "eval",
        "--policy",
        &estate,
        "--login",
        "alice",
        "--host",
        "web1",
        "--label",
        "env=prod",
        "--at",
        "2025-11-20T10:00:00Z",
    ];
    let (code, said) = as_json(&[&ask[..], &["--ticket", "OPS-1", "--explain"]].concat());
    assert_eq!(
        (code, &said["decision"], &said["rule"]),
        (0, &json!("approve"), &json!("office hours"))
    );
    assert_eq!(said["levels"], json!([{ "group": "ops", "count": 1 }]));
    let held = |rule: &str| {
        let all = said["steps"].as_array().unwrap();
        all.iter().find(|s| s["rule"] == rule).unwrap()["said"].clone()
    };
    assert_eq!(held("data.estate.office_hours"), "true");
    assert_eq!(held("data.estate.on_call"), "does not hold");
    let (code, said) = as_json(&ask);
    assert_eq!((code, &said["decision"]), (0, &json!("deny")));
    let small = format!("{POLICIES}/small");
    let (_, said) = jitctl(&["eval", "--policy", &small, "--login", "lena", "--explain"]);
    assert!(
        said.contains(
            "  not mallory: not for lena\n  lead: decides: automatic\n  two levels: comes after"
        ),
        "{said}"
    );
    let (code, _) = jitctl(&["eval", "--policy", &small]);
    assert_eq!(code, 2);
}

#[test]
fn diff_replays_and_says_what_opens() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = dir.path().join("requests");
    let ask = json!({ "requester": { "login": "alice" }, "host": { "name": "web1", "labels": { "env": "prod" } },
        "role": "admin", "duration": 900, "at": 1_763_632_800 });
    let record = json!({ "type": "request", "role": "logs", "login": "bob", "uid": 1001, "reason": "x",
        "time": "2025-11-20T10:00:00Z", "detail": { "seconds": 60 } });
    std::fs::write(&recorded, format!("{ask}\n{record}\n")).unwrap();
    let replay = ["--replay", recorded.to_str().unwrap()];
    let open = edited(dir.path(), "estate.rego", |t| {
        t.replace(
            "has_ticket if regex",
            "has_ticket if true\n\nhad_ticket if regex",
        )
    });
    let estate = estate();
    let (code, said) = as_json(&[&["diff", &estate, &open][..], &replay].concat());
    assert_eq!(
        (code, &said["ok"], &said["needs_second_person"]),
        (7, &json!(false), &json!(true)),
        "{said}"
    );
    assert_eq!(
        (&said["replayed"], said["changes"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    let change = &said["changes"][0];
    assert_eq!(
        (
            &change["opens"],
            &change["old"]["decision"],
            &change["new"]["decision"]
        ),
        (&json!(true), &json!("deny"), &json!("approve"))
    );
    let (code, said) = as_json(&[&["diff", &open, &estate][..], &replay].concat());
    assert_eq!(
        (code, &said["ok"]),
        (0, &json!(true)),
        "what closes needs nobody"
    );
    std::fs::write(&recorded, "{\"rolle\":1}\n").unwrap();
    let (code, said) = jitctl(&[&["diff", &estate, &open][..], &replay].concat());
    assert!(code == 2 && said.contains("line 1 is no request"), "{said}");
}

#[test]
fn a_bundle_is_the_same_bytes_each_time_and_reads_back() {
    let (_, one) = jitctl(&["bundle", &estate()]);
    let dir = tempfile::tempdir().unwrap();
    let copy = edited(dir.path(), "", str::to_owned);
    std::fs::write(Path::new(&copy).join("README.md"), "not of the policy").unwrap();
    assert_eq!(jitctl(&["bundle", &copy]).1, one);
    let archive = dir.path().join("policy.json");
    std::fs::write(&archive, &one).unwrap();
    let (_, of_folder) = as_json(&["check", &copy]);
    let (code, of_archive) = as_json(&["check", archive.to_str().unwrap()]);
    assert_eq!((code, &of_archive["digest"]), (0, &of_folder["digest"]));
    let commit = "0123456789abcdef0123456789abcdef01234567";
    std::fs::write(Path::new(&copy).join("commit"), format!("{commit}\n")).unwrap();
    let (_, said) = as_json(&["check", &copy]);
    assert_eq!(said["commit"], commit);
    assert_ne!(said["digest"], of_folder["digest"]);
}
