//! `jitctl breakglass`. The code is never an argument: others see those. It is not checked here but for typing errors, so
//! that one can be corrected at once.

use crate::agent::unexpected;
use crate::args;
use crate::ask::Pending;
use crate::context::Context;
use crate::elevate;
use crate::exit::{Code, Exit};
use crate::failure::Failure;
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use statement::breakglass;
use std::io::{self, BufRead, IsTerminal, Read, Stdin};
use wire::cli::{Breakglass, Reply, Request, Secret};

/// Bytes of a typed code.
const LINE_MAX: u64 = 256;
const CTRL_C: u8 = 3;
/// Place of the character that ends a line beside the line break.
const VEOL: usize = SpecialCharacterIndices::VEOL as usize;

pub fn command(ctx: &Context, args: &args::Breakglass) -> Result<u8, Failure> {
    let typed = read(ctx)?;
    breakglass::Code::parse(&typed).map_err(|e| {
        Failure::new(Code::Usage, format!("{e}.")).hint("Nothing was tried; type it again.")
    })?;
    let ask = Request::Breakglass(Breakglass {
        code: Secret(typed),
        seconds: args.seconds,
        reason: args.reason.clone(),
        ticket: args.ticket.clone(),
    });
    match ctx.agent.ask(&ask)? {
        Reply::Active { grant } => {
            ctx.out.json(&elevate::active_json(&grant));
            ctx.out.lines(&elevate::active_lines(&grant));
            if let Some(next) = elevate::next(&grant) {
                ctx.out.note(next);
            }
            ctx.out
                .note("It stands in the journal and on everyone's terminal. Give it back with: jitctl drop");
            Ok(Exit::Ok.code())
        }
        Reply::Pending {
            request,
            waiting_for,
        } => Ok(elevate::undecided(
            ctx,
            &Pending {
                request,
                role: String::new(),
                waiting_for,
            },
        )),
        _ => Err(unexpected()),
    }
}

/// One line: from a terminal without showing it, or from whatever the standard input is.
fn read(ctx: &Context) -> Result<String, Failure> {
    let failed = |e: io::Error| Failure::new(Code::Usage, format!("The code cannot be read: {e}."));
    let stdin = io::stdin();
    let hidden = if stdin.is_terminal() {
        let hidden = Hidden::of(&stdin).map_err(failed)?;
        ctx.out.note("Code:");
        Some(hidden)
    } else {
        None
    };
    let mut line = String::new();
    let read = if hidden.is_some() {
        // A terminal gives one line, or what stands before Ctrl-C.
        let mut lock = stdin.lock();
        lock.fill_buf()
            .map(|bytes| line.push_str(&String::from_utf8_lossy(bytes)))
    } else {
        stdin.lock().take(LINE_MAX).read_line(&mut line).map(|_| ())
    };
    drop(hidden);
    read.map_err(failed)?;
    if line.contains(char::from(CTRL_C)) {
        return Err(Failure::new(
            Code::Interrupted,
            "Interrupted; nothing was tried.",
        ));
    }
    if line.trim().is_empty() {
        return Err(Failure::new(Code::Usage, "No code was given."));
    }
    Ok(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn of(terminal: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Ctrl-C ends the line instead of this program, which puts the terminal right first.
        quiet
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        if let Some(end) = quiet.control_chars.get_mut(VEOL) {
            *end = CTRL_C;
        }
        quiet.local_flags.insert(LocalFlags::ECHONL);
        // What was typed ahead was shown already: it is not taken.
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Without a terminal there is nobody to type any more.
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}
