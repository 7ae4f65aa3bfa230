//! How long one decision takes: `cargo run --release -p policy --example decision_speed [FOLDER]`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

const ROUNDS: usize = 20_000;

fn main() -> ExitCode {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies/estate");
    let folder = std::env::args().nth(1).unwrap_or_else(|| here.to_owned());
    let files = match policy::dir::read(Path::new(&folder)) {
        Ok(files) => files,
        Err(fault) => return say(&fault.to_string(), ExitCode::FAILURE),
    };
    let policy = match policy::open(&files) {
        Ok(policy) => policy,
        Err(faults) => return say(&format!("{faults:?}"), ExitCode::FAILURE),
    };
    let mut ask = policy::Ask::new(policy.default_role(), "alice", 900);
    ask.host.labels.insert("env".to_owned(), "prod".to_owned());
    ask.ticket = Some("OPS-1".to_owned());
    let mut took: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(policy.decide(&ask));
            start.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    let at = |part: usize| took.get(ROUNDS * part / 1000).copied().unwrap_or(0) / 1000;
    let line = format!(
        "{ROUNDS} decisions: p50 {} us, p99 {} us, p99.9 {} us",
        at(500),
        at(990),
        at(999)
    );
    say(&line, ExitCode::SUCCESS)
}

fn say(line: &str, code: ExitCode) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
    code
}
