//! Asking the agent.

use crate::exit::Code;
use crate::failure::Failure;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wire::cli::{Reply, Request};
use wire::client::{CallError, call};
use wire::frame;

/// For answers the agent has ready. An elevation is journaled before it is answered, so it gets more.
const QUICK: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_secs(15);
/// The whole journal is read for it.
const SLOWEST: Duration = Duration::from_secs(60);

/// Where the agent listens.
#[derive(Clone, Debug)]
pub struct Agent {
    path: PathBuf,
}

impl Default for Agent {
    fn default() -> Agent {
        Agent {
            path: PathBuf::from(wire::paths::AGENT_SOCK),
        }
    }
}

impl Agent {
    /// Asks once; never asks again by itself, so nothing happens twice.
    ///
    /// # Errors
    /// The agent's own refusal, or that it cannot be reached.
    pub fn ask(&self, request: &Request) -> Result<Reply, Failure> {
        let patience = match request {
            Request::Status { .. }
            | Request::HostKey
            | Request::Roles
            | Request::Receivers
            | Request::ProveKey { .. } => QUICK,
            Request::Elevate(_)
            | Request::Extend(_)
            | Request::Drop { .. }
            | Request::Enrol { .. }
            | Request::Explain { .. }
            | Request::Probe { .. }
            | Request::Import { .. } => SLOW,
            Request::Breakglass(_) => SLOWEST,
            Request::Wait { max_s, .. } => Duration::from_secs(u64::from(*max_s)) + QUICK,
        };
        match call::<_, Reply>(&self.path, request, frame::CLI, Instant::now() + patience) {
            Ok(Reply::Error(error)) => Err(error.into()),
            Ok(reply) => Ok(reply),
            Err(error) => Err(unreachable(&error)),
        }
    }

    #[cfg(test)]
    pub fn at(path: impl Into<PathBuf>) -> Agent {
        Agent { path: path.into() }
    }
}

/// The agent answered another question than the one asked.
pub fn unexpected() -> Failure {
    Failure::new(
        Code::Internal,
        "jit-agent's answer does not fit the question; are jitctl and jit-agent of the same version?",
    )
}

fn unreachable(error: &CallError) -> Failure {
    let failure = |code| Failure::new(code, format!("{error}."));
    match error {
        CallError::NotRunning => failure(Code::AgentUnreachable).hint(
            "Ask an administrator to run `jitctl doctor`; on a new host root runs `jitctl setup local` first.",
        ),
        CallError::TimedOut { sent: true } => failure(Code::AgentUnreachable)
            .hint("It has the request and may still act on it; see `jitctl status`."),
        CallError::NotAllowed | CallError::TimedOut { sent: false } | CallError::Closed | CallError::Io(_) => {
            failure(Code::AgentUnreachable).hint("`jitctl doctor` says what is wrong.")
        }
        CallError::Garbage(_) => failure(Code::AgentUnreachable)
            .hint("Are jitctl and jit-agent of the same version?"),
        CallError::TooLarge(_) => failure(Code::Usage),
        CallError::NoDescriptor => failure(Code::Internal),
    }
}

/// An agent of the tests: answers each call in turn, then is gone.
#[cfg(test)]
pub mod fake {
    use super::Agent;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;
    use wire::cli::{Reply, Request};
    use wire::frame;

    pub struct Fake {
        pub agent: Agent,
        thread: JoinHandle<Vec<Request>>,
        _dir: tempfile::TempDir,
    }

    impl Fake {
        pub fn answering(replies: Vec<Reply>) -> Fake {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("agent.sock");
            let listener = UnixListener::bind(&path).unwrap();
            let thread = std::thread::spawn(move || {
                let mut asked = Vec::new();
                for reply in replies {
                    let (mut socket, _) = listener.accept().unwrap();
                    let mut head = [0; frame::HEAD];
                    socket.read_exact(&mut head).unwrap();
                    let len = frame::body_len(head, frame::CLI_REQUEST).unwrap();
                    let mut body = vec![0; len];
                    socket.read_exact(&mut body).unwrap();
                    asked.push(frame::decode(&body).unwrap());
                    let reply = frame::encode(&reply, frame::CLI_REPLY).unwrap();
                    socket.write_all(&reply).unwrap();
                }
                asked
            });
            Fake {
                agent: Agent::at(path),
                thread,
                _dir: dir,
            }
        }

        /// All calls that were expected came; these are they.
        pub fn asked(self) -> Vec<Request> {
            self.thread.join().unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_agent_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::at(dir.path().join("none.sock"));
        let failure = agent.ask(&Request::Status { all: false }).unwrap_err();
        assert_eq!(failure.code, Code::AgentUnreachable);
        assert!(failure.hint.unwrap().contains("doctor"));
    }

    #[test]
    fn the_agents_refusal_is_passed_on_as_it_is() {
        let fake = fake::Fake::answering(vec![Reply::Error(wire::cli::Error {
            code: wire::cli::Code::NotEligible,
            message: "bob is not eligible.".to_owned(),
            hint: None,
        })]);
        let failure = fake.agent.ask(&Request::Status { all: false }).unwrap_err();
        assert_eq!(failure.code, Code::NotEligible);
        assert_eq!(failure.message, "bob is not eligible.");
        assert_eq!(fake.asked(), [Request::Status { all: false }]);
    }
}
