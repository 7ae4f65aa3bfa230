//! Writes the man pages and the shells' completions of `jitctl` below a folder, from the one definition of its command
//! line: `jitctl-docs DESTDIR`. Runs when packages are built; is not installed.

#![allow(clippy::print_stderr, reason = "a build tool that says what failed")]

#[path = "../args.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "only the tree of commands is read here"
)]
mod args;
#[path = "../at.rs"]
mod at;
#[path = "../exit.rs"]
#[allow(dead_code, reason = "only its text for people is read here")]
mod exit;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dest) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("give the folder to write below");
        return ExitCode::from(2);
    };
    match man_pages(&dest).and_then(|()| completions(&dest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}: {e}", dest.display());
            ExitCode::FAILURE
        }
    }
}

/// `jitctl.1` and one page for each command, as `jitctl-log-verify.1`.
fn man_pages(dest: &Path) -> io::Result<()> {
    let dir = dest.join("usr/share/man/man1");
    fs::create_dir_all(&dir)?;
    clap_mangen::generate_to(args::Cli::command(), dir)
}

/// Where Debian's shells look; the .rpm moves zsh's.
fn completions(dest: &Path) -> io::Result<()> {
    let mut root = args::Cli::command();
    for (shell, place, name) in [
        (Shell::Bash, "bash-completion/completions", "jitctl"),
        (Shell::Zsh, "zsh/vendor-completions", "_jitctl"),
        (Shell::Fish, "fish/vendor_completions.d", "jitctl.fish"),
    ] {
        let dir = dest.join("usr/share").join(place);
        fs::create_dir_all(&dir)?;
        let made = generate_to(shell, &mut root, "jitctl", &dir)?;
        fs::rename(made, dir.join(name))?;
    }
    Ok(())
}
