//! `jitctl`, the command line of jit: asks the agent of this host, shows what it answers, wires the host.
//!
//! It decides nothing. Who asks is told to the agent by the kernel, not by this program; every limit is checked
//! again behind it. Results go to stdout, progress and advice to stderr; `--json` prints JSON with every exit
//! code. Only `setup` and `enrol` write to `/etc`; `setup` as a transaction that undoes itself when sudo does not work as before.
//!
//! It never runs set-uid, keeps no secret but the ID token of a login (in the session's own folder in memory), and opens a network connection only for `enrol`, for those who log in, who approve and who ask from elsewhere:
//! else the issuer it speaks to is a socket of the same box. Text that came from elsewhere is never printed raw.
//!
//! Its contract is `docs/reference/jitctl.md`.

mod accounts;
mod agent;
mod args;
mod ask;
mod at;
mod block;
mod breakglass;
mod config;
mod context;
mod diff;
mod doctor;
mod elevate;
mod elf;
mod escape;
mod exit;
mod explain;
mod facts;
mod failure;
mod files;
mod give_back;
mod host;
mod hosts;
mod import;
mod interrupt;
mod log;
mod log_against;
mod log_checkpoints;
mod log_search;
mod log_tree;
mod log_witness;
mod login;
mod output;
mod person;
mod policies;
mod policy_usage;
mod program;
mod remote;
mod requests;
mod revoke;
mod run;
mod setup;
mod show;
mod simulate;
mod status;
mod su;
mod sudo_rs;
mod sudoconf;
mod sudoers;
mod sudos;

use args::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind;
use context::Context;
use exit::{Code, Exit};
use failure::Failure;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(not_parsed(&error, &words)),
    };
    let ctx = Context {
        out: Output::new(cli.json),
        agent: agent::Agent::default(),
    };
    let code = dispatch(&ctx, &cli.command).unwrap_or_else(|failure| {
        ctx.out.failure(&failure);
        failure.code.exit().code()
    });
    ExitCode::from(code)
}

fn dispatch(ctx: &Context, command: &Command) -> Result<u8, Failure> {
    match command {
        Command::Elevate(args) => elevate::command(ctx, args),
        Command::Extend(args) => elevate::extend(ctx, args),
        Command::Breakglass(args) => breakglass::command(ctx, args),
        Command::Run(args) => run::command(ctx, args),
        Command::Drop(args) => give_back::command(ctx, args),
        Command::Status(args) => status::command(ctx, args),
        Command::Revoke(args) => revoke::command(ctx, args),
        Command::Requests(args) => requests::command(ctx, args),
        Command::Approve(args) => requests::approve(ctx, args),
        Command::Deny(args) => requests::deny(ctx, args),
        Command::Login(args) => login::command(ctx, args),
        Command::Logout(args) => login::logout(ctx, args),
        Command::Hosts => hosts::command(ctx),
        Command::Doctor => doctor::command(ctx),
        Command::Log(args) => log::command(ctx, args),
        Command::Policy(args) => policies::command(ctx, args),
        Command::Config(args) => config::command(ctx, args),
        Command::Setup(args) => setup::command(ctx, args),
        Command::Enrol(args) => setup::join::command(ctx, args),
        Command::Import(args) => import::command(ctx, args),
        Command::Explain(args) => explain::command(ctx, args),
        Command::Simulate(args) => simulate::command(ctx, args),
    }
}

/// Help and version are results; the rest is wrong usage, in JSON too when `--json` stands before any `--`.
fn not_parsed(error: &clap::Error, words: &[OsString]) -> u8 {
    let text = error.render().to_string();
    let text = text.trim_end();
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let json = words
        .iter()
        .take_while(|w| *w != "--")
        .any(|w| w == "--json");
    let out = Output::new(json && !help);
    if help {
        for line in text.lines() {
            out.line(line);
        }
        return Exit::Ok.code();
    }
    if out.is_json() {
        // The first paragraph: what is wrong, then one line for each argument it is about.
        let said: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|l| !l.is_empty())
            .collect();
        let said = said.join(" ");
        let message = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was given",
            _ => said.strip_prefix("error: ").unwrap_or(&said),
        };
        out.failure(&Failure::new(Code::Usage, message).hint("See `jitctl --help`."));
    } else {
        for line in text.lines() {
            out.note(line);
        }
    }
    Exit::Usage.code()
}
