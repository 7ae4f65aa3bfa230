//! A person at a terminal: one login that stays open, so that a test can try the same thing in the same shell before
//! and after something happened.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::command::Output;
use crate::host::LIMIT;

/// A login shell on a terminal of its own. Its session ends when this value is dropped.
pub struct Shell {
    user: String,
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Screen>,
    /// Bytes of the screen that earlier calls have consumed.
    read: usize,
    count: u32,
}

#[derive(Default)]
struct Screen {
    /// All that was ever shown, and whether the terminal has closed.
    shown: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Shell {
    /// Logs in with login(1): its PAM stack opens a session of logind and sets the login uid. `script` gives it a
    /// terminal, as a console or sshd would.
    #[track_caller]
    pub(crate) fn open(mut entering: Command, user: &str) -> Self {
        let mut child = entering
            .args([
                "script",
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &format!("login -f {user}"),
                "/dev/null",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a terminal in the host");
        let keyboard = child.stdin.take().expect("the keyboard");
        let mut output = child.stdout.take().expect("the screen");
        let screen = Arc::new(Screen::default());
        let shared = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let length = output.read(&mut buffer).unwrap_or(0);
                let mut shown = shared.shown.lock().expect("the screen");
                shown.0.extend_from_slice(&buffer[..length]);
                shown.1 = length == 0;
                shared.changed.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        let mut shell = Self {
            user: user.to_owned(),
            child,
            keyboard,
            screen,
            read: 0,
            count: 0,
        };
        shell.send(r"stty -echo; PS2= PROMPT_COMMAND=; unset HISTFILE; PS1='\n@@$n:$?@@\n'");
        shell.send("\n");
        shell.run("true").ok();
        shell
    }

    /// Types a script and waits for its end. Both streams are in `stdout`, as the terminal shows them.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Output {
        self.run_for(script, LIMIT)
    }

    /// The same with a time limit of its own.
    #[track_caller]
    pub fn run_for(&mut self, script: &str, limit: Duration) -> Output {
        self.count += 1;
        let start = Instant::now();
        // Nothing is typed ahead: sudo on a terminal of its own would eat it. The prompt tells the end.
        let quoted = script.replace('\'', r"'\''");
        self.send(&format!("n={}; eval '{quoted}'\n", self.count));
        let text = self.expect_for(&format!("\n@@{}:", self.count), limit);
        let code = self.expect_for("@@\n", limit);
        let code = code
            .trim_end_matches("@@\n")
            .parse()
            .expect("an exit status");
        let stdout = text
            .rsplit_once("\n@@")
            .map_or(text.as_str(), |(before, _)| before)
            .to_owned();
        Output {
            command: format!("[{}] {script}", self.user),
            code,
            stdout,
            stderr: String::new(),
            elapsed: start.elapsed(),
        }
    }

    /// Types text as it is; a newline presses Enter, `\x03` interrupts.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.keyboard
            .write_all(text.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .expect("an open terminal");
    }

    /// Waits until the shell asks for the next line, after a command that was typed with [`Shell::send`]; returns what
    /// was shown until then. A line typed earlier may be eaten by a program that still reads the terminal.
    #[track_caller]
    pub fn prompt(&mut self) -> String {
        self.expect("@@\n")
    }

    /// Waits until the screen shows `text` and returns all that was shown up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_for(text, LIMIT)
    }

    /// The same with a time limit of its own.
    #[track_caller]
    pub fn expect_for(&mut self, text: &str, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        let mut shown = self.screen.shown.lock().expect("the screen");
        loop {
            let fresh = String::from_utf8_lossy(&shown.0[self.read..]).replace('\r', "");
            if let Some(at) = fresh.find(text) {
                let end = at + text.len();
                self.read += raw_length(&shown.0[self.read..], end);
                return fresh[..end].to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if shown.1 || left.is_zero() {
                let why = if shown.1 {
                    "the terminal closed"
                } else {
                    "time is up"
                };
                panic!(
                    "[{}] {why} before it showed {text:?}\n--- screen\n{fresh}",
                    self.user
                );
            }
            shown = self
                .screen
                .changed
                .wait_timeout(shown, left)
                .expect("the screen")
                .0;
        }
    }

    /// Waits until the terminal closes, because the shell was ended from elsewhere; returns what it still showed.
    #[track_caller]
    pub fn wait_closed(&mut self, limit: Duration) -> String {
        let shown = self.screen.shown.lock().expect("the screen");
        let (shown, late) = self
            .screen
            .changed
            .wait_timeout_while(shown, limit, |shown| !shown.1)
            .expect("the screen");
        let text = String::from_utf8_lossy(&shown.0[self.read..]).replace('\r', "");
        assert!(
            !late.timed_out(),
            "[{}] still open after {limit:?}\n--- screen\n{text}",
            self.user
        );
        text
    }
}

/// How many bytes of the screen make `cleaned` bytes of text without carriage returns. Lossy decoding changes no
/// length here: the programs that we run print UTF-8.
fn raw_length(raw: &[u8], cleaned: usize) -> usize {
    let mut left = cleaned;
    let mut used = 0;
    for byte in raw {
        if left == 0 {
            break;
        }
        used += 1;
        if *byte != b'\r' {
            left -= 1;
        }
    }
    used
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The terminal goes with `script`, and the session's processes get SIGHUP.
        if let Ok(group) = self.child.id().try_into() {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
