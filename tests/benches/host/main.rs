//! `make bench`: what jit costs and how fast it takes away, on booted hosts, beside what people would use instead.
//!
//! The same program is copied into the hosts and measures there, asked line by line (`inside`), so that nothing but the
//! measured call lies between two readings of the clock. Rounds of ours and of what stands beside it take turns.
//! Two hosts run: one as Debian ships it, one with the packages and `jitctl setup local`.
//!
//! `JIT_BENCH_QUICK=1` is a look at a tenth of the rounds, `JIT_BENCH_PART` names one part of: sudo, ending, footprint,
//! thirteen, issuer, together, decision. What each row means is in docs/performance.md.
// A step that fails ends the bench; there is no caller that could go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod decision;
mod ending;
mod footprint;
mod home_made;
mod inside;
mod issuer;
mod places;
mod stored;
mod sudo;
mod thirteen;
mod together;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jit_tests::bench::Table;
use places::Places;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("inside") => inside::serve(),
        Some("echo") => inside::gate::echo(&args[2]),
        // Cargo says --bench.
        _ => outside(),
    }
}

type Part = fn(&Places, &mut Table);

fn outside() {
    let parts: [(&str, Part); 7] = [
        ("sudo", sudo::measure),
        ("ending", ending::measure),
        ("footprint", footprint::measure),
        ("thirteen", thirteen::measure),
        ("issuer", issuer::measure),
        ("together", together::measure),
        // Last: it leaves more grants than anyone has.
        ("decision", decision::measure),
    ];
    let wanted = std::env::var("JIT_BENCH_PART").ok();
    let mut table = Table::default();
    let places = Places::boot();
    let mut broken = Vec::new();
    for (name, measure) in parts {
        let wanted = wanted.as_ref().is_none_or(|part| part == name);
        // One part that breaks must not cost the figures of the others.
        let part = AssertUnwindSafe(|| measure(&places, &mut table));
        if wanted && catch_unwind(part).is_err() {
            broken.push(name);
        }
    }
    table.finish(&wanted.map_or("host".to_owned(), |part| format!("host-{part}")));
    assert!(broken.is_empty(), "parts that broke: {broken:?}");
}
