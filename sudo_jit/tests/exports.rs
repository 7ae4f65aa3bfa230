//! What the built plugin shows to the dynamic linker.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The library cargo built beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let library = test.parent().unwrap().join("libsudo_jit.so");
    assert!(library.exists(), "{} has not been built", library.display());
    library
}

fn output(program: &str, option: &str) -> String {
    let run = Command::new(program)
        .args(option.split(' '))
        .arg(library())
        .output()
        .unwrap_or_else(|e| panic!("{program} (package binutils) is needed for this test: {e}"));
    assert!(run.status.success());
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn exactly_the_three_plugins_are_exported_and_writable() {
    let mut names = BTreeSet::new();
    for line in output("nm", "-D --defined-only").lines() {
        names.extend(line.split_whitespace().nth(2).map(str::to_owned));
    }
    let expected = ["group_plugin", "jit_approval", "jit_audit"];
    assert_eq!(names, expected.map(str::to_owned).into());

    // sudo writes into the audit struct: .data.rel.ro would be read-only by then, and sudo dead.
    let symbols = output("objdump", "-T");
    for name in expected {
        let line = symbols.lines().find(|l| l.ends_with(name)).unwrap();
        assert!(line.split_whitespace().any(|w| w == ".data"), "{line}");
    }
}

#[test]
fn the_library_stays_loaded_and_is_bound_at_once() {
    let dynamic = output("readelf", "-d");
    for flag in ["NODELETE", "NOW"] {
        assert!(
            dynamic
                .lines()
                .any(|l| l.contains("FLAGS") && l.contains(flag)),
            "{flag} missing:\n{dynamic}"
        );
    }
    assert!(output("readelf", "-lW").contains("GNU_RELRO"));
}

#[test]
fn nothing_but_the_c_library_is_linked() {
    let dynamic = output("readelf", "-d");
    let needed = dynamic.lines().filter(|l| l.contains("(NEEDED)"));
    for line in needed {
        assert!(
            [
                "[libc.so.6]",
                "[libgcc_s.so.1]",
                "[ld-linux-x86-64.so.2]",
                "[ld-linux-aarch64.so.1]"
            ]
            .iter()
            .any(|known| line.contains(known)),
            "{line}"
        );
    }
}
