//! The shape of the source tree: who may use whom, what the root core must never link, where `unsafe` may stand, how
//! long a file may grow. docs/architecture.md says why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jit_tests::project;
use serde_json::Value;

/// Crate, and the crates of ours that its programs may be made of. Tests may use more: see `jit-tests`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("statement", &[]),
    ("journal", &[]),
    ("wire", &[]),
    ("settings", &["statement"]),
    ("policy", &["statement", "settings"]),
    ("api", &["statement"]),
    ("pam_jit", &["wire"]),
    ("sudo_jit", &["wire"]),
    ("jit-agent", &["statement", "journal", "wire", "settings"]),
    ("jit-link", &["wire", "api", "settings"]),
    (
        "jitctl",
        &["wire", "api", "statement", "journal", "policy", "settings"],
    ),
    (
        "jit-issuer",
        &["statement", "journal", "policy", "api", "settings"],
    ),
    ("jit-tests", &["wire", "statement", "journal"]),
];

/// What the modules inside sudo and PAM may name beyond crates of ours.
const PLUGINS_MAY_NAME: &[&str] = &["libc", "pam-bindings", "serde_json", "wire"];

/// Network code: HTTP, TLS, name resolution. The root core has none, however deep.
const NETWORK: &[&str] = &[
    "aws-lc-rs",
    "axum",
    "h2",
    "h3",
    "hickory-client",
    "hickory-proto",
    "hickory-resolver",
    "http",
    "hyper",
    "hyper-util",
    "native-tls",
    "openssl",
    "openssl-sys",
    "quinn",
    "reqwest",
    "rustls",
    "rustls-native-certs",
    "tokio-native-tls",
    "tokio-rustls",
    "trust-dns-resolver",
    "tungstenite",
    "ureq",
    "webpki",
    "webpki-roots",
];

/// Asynchronous run-times and crypto, which have no place inside somebody else's process; nor in pure crates.
const RUNTIMES: &[&str] = &["async-io", "mio", "smol", "tokio", "zbus"];

/// The only files that may hold `unsafe`: the edges to C and to the kernel.
const UNSAFE_FILES: &[&str] = &["agent/src/sys.rs", "journal/src/sys.rs", "wire/src/sys.rs"];
const UNSAFE_PREFIXES: &[&str] = &["pam_jit/src/ffi", "sudo_jit/src/ffi"];

const LONGEST_FILE: usize = 800;

/// `cargo metadata`: packages by id, and the resolved normal and build dependencies of each.
struct Tree {
    names: BTreeMap<String, String>,
    uses: BTreeMap<String, Vec<String>>,
    members: Vec<String>,
}

impl Tree {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked"])
            .arg(format!(
                "--filter-platform={}-unknown-linux-gnu",
                std::env::consts::ARCH
            ))
            .current_dir(project::root())
            .output()
            .expect("cargo");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let data: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = data["packages"].as_array().unwrap();
        let names = packages
            .iter()
            .map(|p| (text(&p["id"]), text(&p["name"])))
            .collect();
        let mut uses = BTreeMap::new();
        for node in data["resolve"]["nodes"].as_array().unwrap() {
            let shipped = |dep: &&Value| {
                dep["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|k| k["kind"] != "dev")
            };
            let deps = node["deps"].as_array().unwrap().iter().filter(shipped);
            uses.insert(text(&node["id"]), deps.map(|d| text(&d["pkg"])).collect());
        }
        let members = data["workspace_members"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        Self {
            names,
            uses,
            members,
        }
    }

    fn id(&self, name: &str) -> &str {
        self.members
            .iter()
            .find(|id| self.names[*id] == name)
            .unwrap_or_else(|| panic!("no crate {name}"))
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.uses[self.id(name)]
            .iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }

    fn all(&self, name: &str) -> BTreeSet<&str> {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![self.id(name)]);
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(self.uses[id].iter().map(String::as_str));
            }
        }
        seen.iter().map(|id| self.names[*id].as_str()).collect()
    }
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let tree = Tree::read();
    let ours: BTreeSet<&str> = tree
        .members
        .iter()
        .map(|id| tree.names[id].as_str())
        .collect();
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, listed, "crates of the workspace and of the table");
    for (name, allowed) in MAY_USE {
        let used = tree.direct(name);
        let wrong: Vec<_> = used
            .intersection(&ours)
            .filter(|d| !allowed.contains(d))
            .collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn modules_of_sudo_and_pam_stay_small() {
    let tree = Tree::read();
    for name in ["pam_jit", "sudo_jit"] {
        let direct = tree.direct(name);
        let wrong: Vec<_> = direct
            .iter()
            .filter(|d| !PLUGINS_MAY_NAME.contains(d))
            .collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
        forbid(&tree, name, &[RUNTIMES, NETWORK, &["ring"]]);
    }
}

#[test]
fn the_root_core_has_no_network_code() {
    forbid(&Tree::read(), "jit-agent", &[NETWORK]);
}

#[test]
fn pure_crates_have_no_runtime_and_no_network() {
    let tree = Tree::read();
    for name in ["statement", "journal", "wire", "settings"] {
        forbid(&tree, name, &[RUNTIMES, NETWORK]);
    }
}

fn forbid(tree: &Tree, name: &str, lists: &[&[&str]]) {
    let all = tree.all(name);
    let wrong: Vec<_> = lists
        .iter()
        .flat_map(|l| l.iter())
        .filter(|d| all.contains(**d))
        .collect();
    assert!(wrong.is_empty(), "{name} must not link {wrong:?}");
}

#[test]
fn unsafe_stands_only_at_the_edges() {
    for (path, text) in sources() {
        let listed = UNSAFE_FILES.contains(&path.as_str())
            || UNSAFE_PREFIXES.iter().any(|p| path.starts_with(p));
        // The compiler refuses `unsafe` without this line.
        let opens = text.contains(concat!("allow(", "unsafe_code"))
            || text.contains(concat!("expect(", "unsafe_code"));
        assert!(!opens || listed, "{path} may not hold unsafe code");
        assert!(
            !opens || text.contains("// SAFETY:"),
            "{path}: say why each block is safe"
        );
    }
}

#[test]
fn no_crate_leaves_the_lint_table() {
    for (path, text) in manifests() {
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{path} must obey the lints of the workspace"
        );
    }
}

#[test]
fn no_file_grows_without_end() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{path} has {lines} lines, more than {LONGEST_FILE}"
        );
    }
}

/// A page that says what is tested must not outlive the test.
#[test]
fn every_test_that_a_page_names_exists() {
    let sources = sources();
    let mut named = 0;
    for page in fs::read_dir(project::root().join("docs")).unwrap() {
        let page = page.unwrap().path();
        if page.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        for (path, test) in text.split('`').filter_map(|word| word.split_once(".rs::")) {
            let path = format!("{path}.rs");
            let found = sources.iter().find(|(name, _)| *name == path);
            let there = found.is_some_and(|(_, text)| text.contains(&format!("fn {test}()")));
            assert!(
                there,
                "{} names {path}::{test}, which is not there",
                page.display()
            );
            named += 1;
        }
    }
    assert!(named > 30, "the page of the pitfalls is not where it was");
}

/// What works when a part is away: each row of the page is a test, each such test is called and has its row.
#[test]
fn each_row_of_the_offline_matrix_names_its_test() {
    let read = |path: &str| fs::read_to_string(project::root().join(path)).unwrap();
    let (page, test) = (
        read("docs/reference/offline-matrix.md"),
        read("tests/tests/offline/mod.rs"),
    );
    let word = |line: &str| line.split('(').next().unwrap_or_default().to_owned();
    let rows = page.lines().filter(|l| l.starts_with("| "));
    let named: Vec<String> = rows
        .filter_map(|l| l.split('`').rfind(|w| w.starts_with("row_")))
        .map(str::to_owned)
        .collect();
    let made = test.lines().filter_map(|l| l.strip_prefix("fn "));
    let made: Vec<String> = made.filter(|l| l.starts_with("row_")).map(word).collect();
    let calls = test.lines().map(str::trim);
    let called: Vec<String> = calls.filter(|l| l.starts_with("row_")).map(word).collect();
    assert!(named.len() > 5, "the matrix is not where it was");
    assert_eq!(named, made);
    assert_eq!(named, called);
}

/// Every Rust file of ours: path below the root, and text.
fn sources() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect()
}

fn manifests() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
        .collect()
}

/// The files of all crates.
fn files() -> Vec<(String, String)> {
    let root = project::root();
    let mut found = Vec::new();
    for entry in fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()) {
        if entry.join("Cargo.toml").is_file() {
            walk(&root, &entry, &mut found);
        }
    }
    assert!(found.len() > 20, "the source tree is not where it was");
    found
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") {
            walk(root, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "toml") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}
