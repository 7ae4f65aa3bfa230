//! Running other programs: by absolute path, with a clean environment and a deadline.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes kept of each stream.
const KEEP: u64 = 256 * 1024;
const STEP: Duration = Duration::from_millis(5);

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// The first line of stderr: programs that show the faulty line begin with what is wrong.
    pub fn first_line(&self) -> &str {
        let mut lines = self.err.lines().map(str::trim);
        lines
            .find(|l| !l.is_empty())
            .unwrap_or_else(|| self.last_line())
    }

    /// The last line it said, to stderr if it said something there.
    pub fn last_line(&self) -> &str {
        [&self.err, &self.out]
            .iter()
            .find_map(|t| t.lines().rev().find(|l| !l.trim().is_empty()))
            .map_or("it said nothing", str::trim)
    }
}

/// `Err` is a sentence without the full stop.
pub fn run(program: &str, args: &[&str], patience: Duration) -> Result<Ended, String> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/")
        .spawn()
        .map_err(|e| format!("{program} cannot be started: {e}"))?;
    let out = child.stdout.take().map(keep);
    let err = child.stderr.take().map(keep);
    let deadline = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(STEP),
            Ok(None) => {
                // It may run as root by itself and refuse; then it is left behind.
                let _ = child.kill();
                return Err(format!(
                    "{program} {} did not end within {} s",
                    args.join(" "),
                    patience.as_secs()
                ));
            }
            Err(e) => return Err(format!("{program} cannot be waited for: {e}")),
        }
    };
    Ok(Ended {
        code: status
            .code()
            .or_else(|| status.signal().map(|n| 128 + n))
            .unwrap_or(1),
        out: joined(out, deadline),
        err: joined(err, deadline),
    })
}

fn keep(mut stream: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = (&mut stream).take(KEEP).read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        // Keeps the writer from dying of a closed pipe.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    receive
}

/// A background child of the program may hold the pipe open; it is not waited for past the deadline.
fn joined(stream: Option<std::sync::mpsc::Receiver<String>>, deadline: Instant) -> String {
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(200));
    stream
        .and_then(|s| s.recv_timeout(left).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn code_and_words_come_back() {
        let ended = run(
            "/bin/sh",
            &["-c", "echo out; echo a >&2; echo b >&2; exit 3"],
            SOON,
        )
        .unwrap();
        assert_eq!(
            ended,
            Ended {
                code: 3,
                out: "out\n".to_owned(),
                err: "a\nb\n".to_owned()
            }
        );
        assert_eq!((ended.first_line(), ended.last_line()), ("a", "b"));
        assert_eq!(
            run("/bin/sh", &["-c", "kill -9 $$"], SOON).unwrap().code,
            137
        );
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let error = run("/bin/sleep", &["100"], Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not end"));
        assert!(run("/nonexistent", &[], SOON).is_err());
    }

    #[test]
    fn the_environment_is_not_the_callers() {
        let ended = run("/usr/bin/env", &[], SOON).unwrap();
        assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    }
}
