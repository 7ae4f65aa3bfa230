//! `jit-agent`: started by its sockets; with `--reconcile` it only puts stored grants in order, at boot; with
//! `--check-config` it only says what is wrong with what is set.

use jit_agent::{config, listen, supervise, sys};
use std::process::ExitCode;
use supervise::Sockets;

fn main() -> ExitCode {
    end_on_panic();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => serve(),
        ["--reconcile"] => block_on(supervise::reconcile()),
        ["--check-config"] => config::load().map(|_| ()).map_err(|e| e.to_string()),
        _ => return say("usage: jit-agent [--reconcile | --check-config]", 2),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => say(&format!("jit-agent: {e}"), 1),
    }
}

/// A panic in one of its tasks or threads must not leave an agent that lives on without it: systemd starts a whole one,
/// which puts everything in order first.
fn end_on_panic() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        say(info);
        // That thread holds nothing of ours, and is started anew.
        if std::thread::current().name() != Some(listen::dbus::THREAD) {
            std::process::abort();
        }
    }));
}

fn serve() -> Result<(), String> {
    // Before the runtime opens anything.
    let inherited =
        sys::inherited_sockets().map_err(|e| format!("no sockets from systemd: {e}"))?;
    block_on(async { supervise::run(Sockets::sort(inherited)?).await })
}

fn block_on<E: std::fmt::Display>(work: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("runtime: {e}"))?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, work).map_err(|e| e.to_string());
    // A name service that hangs must not hold the process.
    runtime.shutdown_background();
    result
}

#[expect(
    clippy::print_stderr,
    reason = "a program's one way to speak to systemd's journal before it has its own"
)]
fn say(text: &str, code: u8) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
