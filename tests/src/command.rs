//! Runs one command with a time limit and keeps everything it said.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What a command did. Its `Display` is what a failed assertion shows.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as it was asked for.
    pub command: String,
    /// Exit status; 128 + N when signal N ended it, as shells count.
    pub code: i32,
    pub stdout: String,
    /// Empty for commands typed into a [`crate::Shell`], whose terminal shows both streams as one.
    pub stderr: String,
    /// From start to exit of the outer command, including about 10 ms to enter the host.
    pub elapsed: Duration,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "exit {} after {:?}", self.code, self.elapsed)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

impl Output {
    /// Fails the test unless the command exited with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Fails the test unless the command exited with exactly `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit {code}\n{self}");
        self
    }

    /// Fails the test if the command exited with 0.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert!(self.code != 0, "expected a failure\n{self}");
        self
    }

    /// Fails the test unless one of the streams holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.said(text), "expected to read {text:?}\n{self}");
        self
    }

    /// Fails the test if one of the streams holds `text`.
    #[track_caller]
    pub fn hides(self, text: &str) -> Self {
        assert!(!self.said(text), "expected not to read {text:?}\n{self}");
        self
    }

    /// Fails the test unless the command ended within `limit`.
    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        assert!(
            self.elapsed <= limit,
            "expected an end within {limit:?}\n{self}"
        );
        self
    }

    /// Whether one of the streams holds `text`.
    pub fn said(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }

    /// Standard output without white space at its ends.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("expected JSON: {e}\n{self}"))
    }
}

/// Runs `command` to its end, at most for `limit`; then its process group is killed and the test fails. Its output
/// goes through files, so a child that outlives it and holds a stream open delays nothing.
#[track_caller]
pub fn run(command: &mut Command, shown: &str, limit: Duration) -> Output {
    try_run(command, shown, limit).unwrap_or_else(|late| panic!("{late}"))
}

/// The same; the error says that time is up, and what was said until then.
#[track_caller]
pub(crate) fn try_run(
    command: &mut Command,
    shown: &str,
    limit: Duration,
) -> Result<Output, String> {
    let mut out = tempfile::tempfile().expect("a file for standard output");
    let mut err = tempfile::tempfile().expect("a file for standard error");
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a second handle on the output"))
        .stderr(err.try_clone().expect("a second handle on the errors"))
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", command.get_program().display()));
    let group = Pid::from_raw(child.id().try_into().expect("a process id"));
    let (tell, end) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // The receiver is gone only when the test has failed already.
        let _ = tell.send((child.wait(), start.elapsed()));
    });
    let answer = end.recv_timeout(limit);
    if answer.is_err() {
        // The waiter has not reaped it, so the number still names this group.
        let _ = killpg(group, Signal::SIGKILL);
    }
    waiter.join().expect("the waiting thread");
    let (stdout, stderr) = (read(&mut out), read(&mut err));
    let Ok((status, elapsed)) = answer else {
        let said = format!("--- stdout\n{stdout}\n--- stderr\n{stderr}");
        return Err(format!("no end within {limit:?}\n$ {shown}\n{said}"));
    };
    let code = exit_code(status.expect("the exit status"));
    Ok(Output {
        command: shown.to_owned(),
        code,
        stdout,
        stderr,
        elapsed,
    })
}

/// Runs a program of this machine, at most for `limit`, and fails the test unless it exits with 0.
#[track_caller]
pub fn must(program: &str, args: &[&str], limit: Duration) -> Output {
    let shown = format!("{program} {}", args.join(" "));
    run(Command::new(program).args(args), &shown, limit).ok()
}

/// The status as shells count it.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn read(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("the start of the output");
    file.read_to_end(&mut bytes).expect("the output");
    String::from_utf8_lossy(&bytes).into_owned()
}
