//! Where the source tree, the packages and the cache lie, and what this machine must have.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the source tree.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the folder above tests/").to_owned()
}

/// The .debs that hosts install, sorted by name: of `$JIT_PACKAGES`, else of `target/packages`.
#[track_caller]
pub fn packages() -> Vec<PathBuf> {
    built("deb")
}

/// The .rpms beside them.
#[track_caller]
pub fn rpms() -> Vec<PathBuf> {
    built("rpm")
}

#[track_caller]
fn built(kind: &str) -> Vec<PathBuf> {
    let dir =
        env::var_os("JIT_PACKAGES").map_or_else(|| root().join("target/packages"), PathBuf::from);
    let mut found: Vec<PathBuf> = std::fs::read_dir(&dir)
        .map(|entries| entries.map(|e| e.expect("a folder entry").path()).collect())
        .unwrap_or_default();
    found.retain(|path| path.extension().is_some_and(|e| e == kind));
    found.sort();
    assert!(
        !found.is_empty(),
        "no .{kind} in {}: run `make packages` first",
        dir.display()
    );
    found
}

/// Where trees and running hosts lie: `$JIT_TEST_CACHE`, else `/var/cache/jit-tests`. It must be a disk that knows
/// file flags and extended attributes; a tmpfs does not do.
pub fn cache() -> PathBuf {
    env::var_os("JIT_TEST_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/jit-tests"), PathBuf::from)
}

/// Fails with a sentence unless we are root and every tool is there.
#[track_caller]
pub fn need(tools: &[&str]) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "tests on booted hosts need root: run `make test` as root, or plain `cargo test` for the rest"
    );
    let path = env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = tools
        .iter()
        .filter(|tool| !env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
        .collect();
    assert!(
        missing.is_empty(),
        "missing {missing:?}: run scripts/setup-host"
    );
}
