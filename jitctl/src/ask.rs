//! Asking for a right and waiting for it; what `elevate` and `run` share.

use crate::agent::{Agent, unexpected};
use crate::args;
use crate::context::Context;
use crate::exit::Code;
use crate::failure::Failure;
use crate::interrupt::unless_interrupted;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::Text;
use wire::cli::{Elevate, Extend, Grant, Reply, Request};

/// The first answer is waited for in silence this long, also with `--no-wait`: automatic approval is faster.
const FIRST_S: u32 = 1;
/// Then the agent is asked again this often, so that a change of "waiting for" is seen.
const NEXT_S: u32 = 5;

/// Where sudo looks for a command (`secure_path` of Debian's sudoers), so that we name the file it will run.
const SECURE_PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Still undecided when the wait was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub request: String,
    pub role: String,
    pub waiting_for: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Active(Box<Grant>),
    /// Granted, and to start at this Unix time.
    Scheduled(Box<Grant>, u64),
    Pending(Pending),
}

/// How long to wait for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    None,
    Seconds(u64),
    Forever,
}

impl args::Wait {
    pub fn patience(&self) -> Patience {
        match (self.no_wait, self.wait) {
            (true, _) => Patience::None,
            (false, Some(Some(seconds))) => Patience::Seconds(seconds),
            (false, _) => Patience::Forever,
        }
    }
}

/// Asks, and waits as long as `ask` says.
///
/// # Errors
/// The refusal; no agent; Ctrl-C.
pub fn obtain(
    ctx: &Context,
    ask: &args::Ask,
    command: Option<Vec<Text>>,
    start_at: Option<u64>,
) -> Result<Answer, Failure> {
    let elevate = Request::Elevate(Elevate {
        role: ask.role.clone(),
        seconds: ask.seconds,
        reason: ask.reason.clone(),
        ticket: ask.ticket.clone(),
        start_at,
        command,
    });
    send(ctx, elevate, &ask.wait)
}

/// Asks for a later end, and waits as long as `ask` says.
///
/// # Errors
/// The refusal; no agent; Ctrl-C.
pub fn prolong(ctx: &Context, ask: &args::Extend) -> Result<Answer, Failure> {
    let extend = Request::Extend(Extend {
        grant: ask.id.clone(),
        seconds: ask.seconds,
        reason: ask.reason.clone(),
        ticket: ask.ticket.clone(),
    });
    send(ctx, extend, &ask.wait)
}

fn send(ctx: &Context, ask: Request, patience: &args::Wait) -> Result<Answer, Failure> {
    let agent = ctx.agent.clone();
    let (request, role) = unless_interrupted(
        "Interrupted while asking; `jitctl status` shows whether the request was taken.",
        move || match agent.ask(&ask)? {
            Reply::Submitted { request, role } => Ok((request, role)),
            _ => Err(unexpected()),
        },
    )?;
    let (agent, out, patience) = (ctx.agent.clone(), ctx.out, patience.patience());
    let id = request.clone();
    let waited = unless_interrupted("Interrupted.", move || {
        wait(&agent, request, role, patience, |request, whom| {
            out.note(format!(
                "Waiting for {whom}. Request {request}; Ctrl-C withdraws it."
            ));
        })
    });
    match waited {
        Err(failure) if failure.code == Code::Interrupted => Err(withdraw(ctx, &id, failure)),
        waited => waited,
    }
}

/// Nobody waits for it any more. What was granted in the meantime is given back.
fn withdraw(ctx: &Context, id: &str, mut failure: Failure) -> Failure {
    let drop = Request::Drop {
        grant: Some(id.to_owned()),
    };
    failure.message = match ctx.agent.ask(&drop) {
        Ok(_) => format!("Interrupted; request {id} was withdrawn."),
        Err(_) => format!("Interrupted; request {id} may go on, see `jitctl status`."),
    };
    failure
}

fn wait(
    agent: &Agent,
    request: String,
    role: String,
    patience: Patience,
    mut progress: impl FnMut(&str, &str),
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let mut max_s = FIRST_S;
    let mut told = None;
    loop {
        let reply = agent.ask(&Request::Wait {
            request: request.clone(),
            max_s,
        })?;
        let waiting_for = match reply {
            Reply::Active { grant } => return Ok(Answer::Active(Box::new(grant))),
            Reply::Scheduled { grant, starts_at } => {
                return Ok(Answer::Scheduled(Box::new(grant), starts_at));
            }
            Reply::Pending { waiting_for, .. } => waiting_for,
            _ => return Err(unexpected()),
        };
        let left = match patience {
            Patience::None => 0,
            Patience::Forever => u64::from(NEXT_S),
            Patience::Seconds(s) => Duration::from_secs(s)
                .saturating_sub(started.elapsed())
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX),
        };
        if left == 0 {
            return Ok(Answer::Pending(Pending {
                request,
                role,
                waiting_for,
            }));
        }
        max_s = u32::try_from(left).unwrap_or(u32::MAX).min(NEXT_S);
        if told.as_deref() != Some(waiting_for.as_str()) {
            progress(&request, &waiting_for);
            told = Some(waiting_for);
        }
    }
}

/// The command with its file's absolute path first, found as sudo finds it.
///
/// # Errors
/// Exit 2: there is no such file, or the words mean something else in a grant.
pub fn resolve(command: &[OsString]) -> Result<Vec<OsString>, Failure> {
    resolve_in(command, &SECURE_PATH)
}

fn resolve_in(command: &[OsString], path: &[&str]) -> Result<Vec<OsString>, Failure> {
    let (name, args) = command
        .split_first()
        .ok_or_else(|| Failure::new(Code::Usage, "No command was given."))?;
    if args.last().is_some_and(|last| last == "*") {
        return Err(Failure::new(
            Code::Usage,
            "A last argument `*` would stand for any arguments in a grant.",
        )
        .hint("Name the arguments, or ask with `jitctl elevate` for what the role allows."));
    }
    let file = find(name, path).ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!("There is no command {}.", Text::from(name.as_bytes())),
        )
        .hint(format!("sudo looks in {}.", path.join(", ")))
    })?;
    Ok(std::iter::once(file.into_os_string())
        .chain(args.iter().cloned())
        .collect())
}

fn find(name: &OsStr, path: &[&str]) -> Option<PathBuf> {
    let executable = |p: &Path| {
        std::fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok().filter(|p| executable(p));
    }
    if name.is_empty() {
        return None;
    }
    path.iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|p| executable(p))
}

/// For the agent.
pub fn texts(command: &[OsString]) -> Vec<Text> {
    command.iter().map(|w| Text::from(w.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fake::Fake;
    use crate::show::tests::grant;

    fn pending(whom: &str) -> Reply {
        Reply::Pending {
            request: "R".to_owned(),
            waiting_for: whom.to_owned(),
        }
    }

    fn waited(
        replies: Vec<Reply>,
        patience: Patience,
    ) -> (Result<Answer, Failure>, Vec<String>, Vec<Request>) {
        let fake = Fake::answering(replies);
        let mut told = Vec::new();
        let answer = wait(
            &fake.agent,
            "R".to_owned(),
            "admin".to_owned(),
            patience,
            |_, whom| told.push(whom.to_owned()),
        );
        (answer, told, fake.asked())
    }

    #[test]
    fn an_automatic_answer_is_silent() {
        let (answer, told, asked) =
            waited(vec![Reply::Active { grant: grant() }], Patience::Forever);
        assert_eq!(answer, Ok(Answer::Active(Box::new(grant()))));
        assert!(told.is_empty());
        assert_eq!(
            asked,
            [Request::Wait {
                request: "R".to_owned(),
                max_s: FIRST_S
            }]
        );
    }

    #[test]
    fn whom_one_waits_for_is_said_once_and_again_when_it_changes() {
        let (answer, told, _) = waited(
            vec![
                pending("ops"),
                pending("ops"),
                pending("sec"),
                Reply::Active { grant: grant() },
            ],
            Patience::Forever,
        );
        assert!(answer.is_ok());
        assert_eq!(told, ["ops", "sec"]);
    }

    #[test]
    fn without_patience_one_look_is_all() {
        let (answer, told, asked) = waited(vec![pending("ops")], Patience::None);
        assert!(matches!(answer, Ok(Answer::Pending(p)) if p.waiting_for == "ops"));
        assert!(told.is_empty());
        assert_eq!(asked.len(), 1);
    }

    #[test]
    fn a_limited_wait_never_asks_for_more_than_is_left() {
        let (_, _, asked) = waited(
            vec![pending("ops"), Reply::Active { grant: grant() }],
            Patience::Seconds(3),
        );
        let Request::Wait { max_s, .. } = asked[1] else {
            unreachable!()
        };
        assert!((1..=3).contains(&max_s));
    }

    #[test]
    fn commands_are_found_as_sudo_finds_them() {
        let words = |w: &[&str]| w.iter().map(OsString::from).collect::<Vec<_>>();
        let path = ["/nonexistent", "/usr/bin"];
        assert_eq!(
            resolve_in(&words(&["env", "-i"]), &path),
            Ok(words(&["/usr/bin/env", "-i"]))
        );
        assert_eq!(
            resolve_in(&words(&["/usr/bin/env"]), &path),
            Ok(words(&["/usr/bin/env"]))
        );
        for bad in [
            &["no-such-command"][..],
            &["/usr/bin"],
            &["/etc/passwd"],
            &[""],
            &["env", "*"],
        ] {
            assert_eq!(
                resolve_in(&words(bad), &path).unwrap_err().code,
                Code::Usage,
                "{bad:?}"
            );
        }
    }
}
