//! `jit-end`: takes away. Run by the grant's timer, by the agent, when a grant's unit stops, and by package removal.
//! Needs no agent and no network.

use jit_agent::{ending, unwire};
use std::process::ExitCode;
use wire::wiring::Part;

const USAGE: &str = "usage: jit-end GRANT | --post GRANT | --all | --unwire [sudo|pam] | --revert";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(r) => r,
        Err(e) => return say(&format!("jit-end: {e}"), ending::NOT_GONE),
    };
    match words[..] {
        ["--unwire"] => undone(unwire::unwire(None)),
        ["--unwire", name] if Part::parse(name).is_some() => {
            undone(unwire::unwire(Part::parse(name)))
        }
        ["--revert"] => undone(unwire::revert()),
        ["--all"] => runtime.block_on(async {
            let mut code = 0;
            for id in ending::all_known() {
                code = code.max(report(&ending::end(&id).await));
            }
            ExitCode::from(code)
        }),
        ["--post", id] if statement::id::is_ulid(id) => {
            runtime.block_on(ending::post(id));
            ExitCode::SUCCESS
        }
        [id] if statement::id::is_ulid(id) => {
            ExitCode::from(report(&runtime.block_on(ending::end(id))))
        }
        _ => say(USAGE, 2),
    }
}

fn undone(result: Result<Vec<String>, unwire::UnwireError>) -> ExitCode {
    match result {
        Ok(lines) => say(&lines.join("\n"), 0),
        Err(e) => say(&format!("jit-end: {e}"), 1),
    }
}

/// Says what went wrong; the status is for systemd, which tries again where that helps.
fn report(proof: &ending::Proof) -> u8 {
    for e in &proof.errors {
        say(
            &format!("jit-end: grant {}: {e}", proof.jti),
            proof.status(),
        );
    }
    proof.status()
}

#[expect(
    clippy::print_stderr,
    reason = "a program's one way to speak to its caller"
)]
fn say(text: &str, code: u8) -> ExitCode {
    if !text.is_empty() {
        eprintln!("{text}");
    }
    ExitCode::from(code)
}
