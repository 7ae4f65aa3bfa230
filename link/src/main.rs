//! The program `jit-link`; see the library.

use api::{Client, Transport};
use jit_link::config::Config;
use jit_link::{Options, out, run};
use sd_notify::NotifyState;
use settings::Places;
use std::io;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            out::error(format_args!("jit-link: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    let mut args = std::env::args_os().skip(1);
    let places = match (args.next(), args.next(), args.next()) {
        (None, ..) => Places::host(),
        (Some(flag), Some(path), None) if flag == "--config" => Places::File(path.into()),
        _ => return Err("usage: jit-link [--config FILE]".to_owned()),
    };
    let config = Config::read(&places).map_err(|e| e.to_string())?;
    let issuer = Transport::new(config.issuer, &config.roots).map_err(|e| e.to_string())?;
    let mut options = Options::new(config.agent, Client::new(issuer));
    options.receivers = config.receivers;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(service(options)))
        .map_err(|e| e.to_string())
}

async fn service(options: Options) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    // Ready at once: both peers may be away, and waiting for them is its work.
    notify(NotifyState::Ready);
    tokio::select! {
        () = run(options) => {}
        () = watchdog() => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    notify(NotifyState::Stopping);
    Ok(())
}

/// Tells the service manager that the one thread still turns.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut every = tokio::time::interval(limit / 3);
    loop {
        every.tick().await;
        notify(NotifyState::Watchdog);
    }
}

/// Without a service manager this does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        out::warn(format_args!("cannot tell the service manager: {e}"));
    }
}
