//! `jitctl run`: the right for one command, and the command with sudo.

use crate::agent::unexpected;
use crate::args;
use crate::ask::{self, Answer};
use crate::context::Context;
use crate::elevate::undecided;
use crate::exit::Code;
use crate::failure::Failure;
use crate::interrupt::runtime;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::signal::unix::{SignalKind, signal};

/// A grant for one command is a limit that classic sudo can hold; where sudo-rs has its name it lies beside.
const CLASSIC_BESIDE: &str = "/usr/bin/sudo.ws";
const SUDO: &str = "/usr/bin/sudo";

pub fn command(ctx: &Context, args: &args::Run) -> Result<u8, Failure> {
    let words = ask::resolve(&args.command)?;
    let grant = match ask::obtain(ctx, &args.ask, Some(ask::texts(&words)), None)? {
        Answer::Active(grant) => grant,
        Answer::Scheduled(..) => return Err(unexpected()),
        Answer::Pending(pending) => return Ok(undecided(ctx, &pending)),
    };
    if !grant.doors.iter().any(|d| d == "sudo") {
        return Err(Failure::new(
            Code::Denied,
            format!("Role {} gives no right to sudo.", grant.role),
        )
        .hint(format!(
            "Grant {} is active; `jitctl drop {}` gives it back.",
            grant.id, grant.id
        )));
    }
    ctx.out.note(format!(
        "Grant {}, ends in {}.",
        grant.id,
        crate::show::seconds(grant.seconds_left)
    ));
    let mut sudo = vec![OsString::from("--")];
    sudo.extend(words);
    let beside = std::path::Path::new(CLASSIC_BESIDE).exists();
    start_and_wait(if beside { CLASSIC_BESIDE } else { SUDO }, &sudo)
}

/// Stands between the caller and the command without being noticed: the terminal's own signals reach the command
/// by themselves, the others are passed on, and the end is the command's.
fn start_and_wait(program: &str, args: &[OsString]) -> Result<u8, Failure> {
    let runtime = runtime()?;
    let failed = |what: &str, e: std::io::Error| {
        Failure::new(Code::Internal, format!("Cannot {what}: {e}."))
    };
    runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(|e| failed("listen for signals", e));
        // Ctrl-C and Ctrl-\ go to the whole foreground group: not to be passed on a second time.
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut quit = listen(SignalKind::quit())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut child = tokio::process::Command::new(program)
            .args(args)
            .spawn()
            .map_err(|e| failed("start sudo", e))?;
        let pass_on = |child: &tokio::process::Child, signal| {
            let pid = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = pid {
                // Not allowed or already gone: the wait below sees its end.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
            }
        };
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return ended.map(status).map_err(|e| failed("wait for sudo", e));
                }
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
                _ = terminate.recv() => pass_on(&child, nix::sys::signal::Signal::SIGTERM),
                _ = hangup.recv() => pass_on(&child, nix::sys::signal::Signal::SIGHUP),
            }
        }
    })
}

/// As shells do.
fn status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|n| 128 + n))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> u8 {
        start_and_wait("/bin/sh", &["-c".into(), script.into()]).unwrap()
    }

    #[test]
    fn the_status_is_the_commands() {
        assert_eq!(sh("exit 0"), 0);
        assert_eq!(sh("exit 42"), 42);
        assert_eq!(sh("exit 255"), 255);
        assert_eq!(sh("kill -TERM $$"), 143);
        assert_eq!(sh("kill -KILL $$"), 137);
    }

    #[test]
    fn what_cannot_start_is_an_error_of_ours() {
        let failure = start_and_wait("/nonexistent/sudo", &[]).unwrap_err();
        assert_eq!(failure.code, Code::Internal);
    }
}
