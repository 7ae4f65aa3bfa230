//! The power goes while alice is at work: whatever was let through is in the journal after any cut, and no cut is taken for an
//! attack. `JIT_POWER_CUTS` says how many; `make test-long` takes twenty.
//!
//! The guest's kernel goes at once and with it all that it had not given to its disk. The disk does not: QEMU lives on, and what the
//! kernel gave it stays, in that order, whether the kernel had it flushed or not. So this does not show that an entry outlives a disk
//! that loses, tears or reorders what lies in its own cache: for that the journal trusts fdatasync(2). What such a disk may leave
//! of a last write is in `journal/src/tests/cuts.rs`, cut and zeroed at every byte.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::{Guest, seed};

/// Alice uses what she was given until the power goes, somewhere in it; what was let through is told outside at once.
const CUT: &str = r#"
jitctl log verify >/run/verified; echo "verified $?." >/dev/ttyS1
timeout 180 sh -c 'until runuser -u alice -- jitctl elevate --for 30m --reason cut; do sleep 1; done'
(until test -e /run/through; do sleep 0.1; done; sleep $((RANDOM % 4)).$((RANDOM % 1000)); echo b >/proc/sysrq-trigger) &
# An emulated agent may be too slow for a gate.
for n in $(seq 1000); do
    runuser -u alice -- sudo -n /bin/echo cut-CUT-$n && echo "through cut-CUT-$n." >/dev/ttyS1 && touch /run/through
done
"#;

const AFTER: &str = r#"
jitctl log verify
jitctl log show --json | grep '"type":"use"' | grep -o '"cut-[0-9]*-[0-9]*"' | sort -u
"#;

#[test]
fn what_was_let_through_is_in_the_journal_after_any_power_cut() {
    let cuts = seed::number("JIT_POWER_CUTS").unwrap_or(2);
    let mut guest = Guest::new().then(
        "setup",
        "jitctl setup local && usermod -aG jit-eligible alice",
    );
    for cut in 0..cuts {
        guest = guest.then("cut", &CUT.replace("CUT", &cut.to_string()));
    }
    let report = guest
        .then("after", AFTER)
        .run(Duration::from_secs(600 + 150 * cuts));
    report.of("setup").ok();

    let told = |word: &str| -> Vec<String> {
        let lines = report.log().lines().filter_map(|l| l.strip_prefix(word));
        // The power may go in the middle of the last one.
        lines
            .filter_map(|l| Some(l.trim_end().strip_suffix('.')?.to_owned()))
            .collect()
    };
    let log = report.log();
    assert_eq!(
        told("verified "),
        vec!["0"; usize::try_from(cuts).unwrap()],
        "{log}"
    );
    let through = told("through ");
    for cut in 0..cuts {
        let of = format!("cut-{cut}-");
        assert!(through.iter().any(|t| t.starts_with(&of)), "{of}\n{log}");
    }
    let after = report.of("after").ok().says("No fault.");
    for mark in through {
        assert!(after.said(&format!("\"{mark}\"")), "{mark}\n{log}");
    }
}
