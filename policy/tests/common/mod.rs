//! The policies and tables of the tests.
#![allow(dead_code, reason = "each test uses some of it")]

use policy::{Ask, Policy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

pub struct Row {
    pub table: String,
    pub number: usize,
    pub policy: String,
    pub ask: Ask,
    pub want: String,
}

pub fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// Opened once.
pub fn policy(name: &str) -> Policy {
    static ALL: LazyLock<Mutex<BTreeMap<String, Policy>>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().expect("policies");
    let open = || {
        let files = policy::dir::read(&below(&format!("policies/{name}"))).expect("files");
        policy::open(&files).unwrap_or_else(|faults| panic!("{name}: {faults:?}"))
    };
    all.entry(name.to_owned()).or_insert_with(open).clone()
}

pub fn rows() -> Vec<Row> {
    let mut tables: Vec<PathBuf> = std::fs::read_dir(below("tables"))
        .expect("tables")
        .map(|e| e.expect("entry").path())
        .collect();
    tables.sort();
    tables.iter().flat_map(|path| table(path)).collect()
}

fn table(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).expect("table");
    let all: toml::Table = text.parse().expect("TOML");
    let name = path
        .file_stem()
        .expect("name")
        .to_string_lossy()
        .into_owned();
    let policy = all["policy"].as_str().expect("policy").to_owned();
    let rows = all["row"].as_array().expect("rows").iter().enumerate();
    rows.map(|(n, row)| {
        let mut ask = all["base"].as_table().expect("base").clone();
        for (key, value) in row["set"].as_table().expect("set") {
            set(&mut ask, key, value);
        }
        Row {
            table: name.clone(),
            number: n + 1,
            policy: policy.clone(),
            ask: ask.try_into().expect("an ask"),
            want: row["want"].as_str().expect("want").to_owned(),
        }
    })
    .collect()
}

/// A value of the row over that of the base; what TOML cannot say has a word of its own.
fn set(ask: &mut toml::Table, key: &str, value: &toml::Value) {
    match (key, value) {
        ("no_ticket", _) => drop(ask.remove("ticket")),
        ("bare_host", _) => drop(ask.insert("host".to_owned(), toml::Table::new().into())),
        ("narrow", _) => {
            let mut detail = serde_json::to_value(
                crate::common::policy("estate").roles()["admin"].expand("admin", "x", 1000),
            )
            .expect("JSON");
            detail["commands"] = serde_json::json!([{ "path": "/usr/bin/id", "args": [] }]);
            detail["shell"] = false.into();
            let detail = toml::Value::try_from(detail).expect("TOML");
            ask.insert("details".to_owned(), vec![detail].into());
        }
        (_, toml::Value::Table(inner)) => {
            let entry = ask.entry(key).or_insert_with(|| toml::Table::new().into());
            for (key, value) in inner {
                set(entry.as_table_mut().expect("table"), key, value);
            }
        }
        _ => drop(ask.insert(key.to_owned(), value.clone())),
    }
}
