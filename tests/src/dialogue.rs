//! A program in a host that answers each line of JSON with another.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Runs as root, outside any login session. Dropping it ends the program.
pub struct Dialogue {
    child: Child,
    to: ChildStdin,
    from: Receiver<String>,
}

impl Dialogue {
    #[track_caller]
    pub(crate) fn open(mut entering: Command, argv: &[&str]) -> Self {
        let mut child = entering
            .args(argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program in the host");
        let to = child.stdin.take().expect("its input");
        let out = child.stdout.take().expect("its output");
        let (tell, from) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, to, from }
    }

    /// Says one thing and waits for the answer, at most for `limit`.
    #[track_caller]
    pub fn ask(&mut self, question: &Value, limit: Duration) -> Value {
        writeln!(self.to, "{question}")
            .and_then(|()| self.to.flush())
            .expect("a program that listens");
        let line = self
            .from
            .recv_timeout(limit)
            .unwrap_or_else(|e| panic!("no answer to {question}: {e}"));
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
