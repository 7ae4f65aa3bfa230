//! What the module answers, apart from PAM and from the system: see [`Outside`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use wire::client::CallError;
use wire::gate::{Door, PamPhase, PamVerdict, Reply, Request, Subject};
use wire::last_gate::Program;
use wire::nss::{NssError, User};
use wire::{Text, budget};

/// All that the decision asks of the world.
pub trait Outside {
    /// `getuid(2)`.
    fn real_uid(&self) -> u32;
    fn user_by_uid(&self, uid: u32) -> Result<Option<User>, NssError>;
    fn user_by_name(&self, login: &[u8]) -> Result<Option<User>, NssError>;
    fn eligible(&self, user: &User) -> Result<bool, NssError>;
    /// The program this code runs in, if it is one that asks nobody after PAM.
    fn last_gate(&self) -> Option<Program>;
    /// One call to the agent that takes at most `limit`.
    fn ask(&self, request: &Request, limit: Duration) -> Result<Reply, CallError>;
}

/// What PAM says about this call. Items that are not set are `None`.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub phase: PamPhase,
    /// `PAM_SERVICE`
    pub service: Option<&'a [u8]>,
    /// `PAM_USER`: with sudo the user who authenticates, with su the target.
    pub user: Option<&'a [u8]>,
    /// `PAM_TTY`
    pub tty: Option<&'a [u8]>,
    /// How long auth took in this transaction; zero where it was not asked.
    pub auth_took: Duration,
    /// In this transaction a grant stood for the password of auth, or changed whose is asked for.
    pub by_grant: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Auth only: the grant stands for the password.
    Success,
    /// Nothing to say: the rest of the stack decides.
    Ignore,
    /// Account only, where PAM is the last gate: this is a use of a grant. The rest of the stack decides.
    Use,
    /// Auth only: the rest of the stack decides, about the user himself in the place of whom PAM names.
    OwnPassword(Text),
    /// No, and this is what the user reads.
    Refuse(String),
}

/// Why a user is refused who may well hold a grant.
enum Doubt {
    Nss(NssError),
    NoSuchUid(u32),
    NoUserItem,
    NoSuchTarget(Text),
    OtherUser(Text),
    OtherDoor(Text),
    NoGate(Text),
    Agent(CallError),
    Answer,
    Ended,
    Panic,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ROOT: &str = "root's own sudo is not affected.";
        match self {
            Doubt::Nss(why) => write!(f, "jit: refused, it is unclear who asks ({why}); {ROOT}"),
            Doubt::NoSuchUid(uid) => {
                write!(f, "jit: refused, uid {uid} is in no user database; {ROOT}")
            }
            Doubt::NoUserItem => write!(f, "jit: refused, PAM names no user; {ROOT}"),
            Doubt::NoSuchTarget(name) => {
                write!(f, "jit: refused, \"{name}\" is in no user database; {ROOT}")
            }
            Doubt::OtherUser(name) => write!(
                f,
                "jit: refused, you would be authenticated as \"{name}\" (targetpw, rootpw or runaspw in \
                 sudoers); a grant is yours alone. Ask root to take that setting out"
            ),
            Doubt::OtherDoor(service) => {
                write!(f, "jit: refused, no grant opens the service \"{service}\"")
            }
            Doubt::NoGate(service) => write!(
                f,
                "jit: refused, this program asks jit nothing about commands (service \"{service}\"); {ROOT} \
                 An administrator can see why with: jitctl doctor"
            ),
            Doubt::Agent(why) => write!(
                f,
                "jit: the agent did not answer ({why}); {ROOT} Try: systemctl status jit-agent"
            ),
            Doubt::Answer => write!(
                f,
                "jit: the agent's answer does not fit the question; {ROOT} Try: systemctl status jit-agent"
            ),
            Doubt::Ended => write!(
                f,
                "jit: refused, the grant that stood for the password has just ended. Run it again"
            ),
            Doubt::Panic => write!(f, "jit: refused after a fault inside pam_jit; {ROOT}"),
        }
    }
}

impl From<NssError> for Doubt {
    fn from(why: NssError) -> Doubt {
        Doubt::Nss(why)
    }
}

/// The answer to one call. A panic anywhere below is a refusal.
pub fn decide(outside: &impl Outside, call: Call<'_>) -> Outcome {
    let judged =
        catch_unwind(AssertUnwindSafe(|| judge(outside, call))).unwrap_or_else(|payload| {
            // Dropping a payload may panic again.
            std::mem::forget(payload);
            Err(Doubt::Panic)
        });
    judged.unwrap_or_else(|doubt| Outcome::Refuse(doubt.to_string()))
}

fn judge(outside: &impl Outside, call: Call<'_>) -> Result<Outcome, Doubt> {
    let service = call.service.unwrap_or_default();
    let door = door_of(service);
    let Some(user) = managed_subject(outside, call, door)? else {
        return Ok(Outcome::Ignore);
    };
    // Somebody put the module into a service that is no door: it guards nothing there unless it refuses.
    let door = door.ok_or_else(|| Doubt::OtherDoor(service.into()))?;
    let last_gate = is_last_gate(outside, door, service)?;
    // With su PAM names whom the user would become.
    let target = match door {
        Door::Su => Some(named(outside, call.user)?),
        Door::Sudo | Door::Ssh | Door::Polkit => None,
    };
    let own_login = user.login.clone();
    let request = Request::Pam {
        subject: Subject {
            login: user.login,
            uid: user.uid,
        },
        door,
        phase: call.phase,
        service: service.into(),
        tty: call.tty.map(Text::from),
        last_gate,
        target,
    };
    let limit = match call.phase {
        PamPhase::Auth => budget::PAM_AUTH,
        PamPhase::Account => {
            let share = if last_gate {
                budget::PAM_LAST
            } else {
                budget::PAM_ACCOUNT
            };
            budget::with_rest(share, budget::PAM_AUTH, call.auth_took)
        }
    };
    match outside.ask(&request, limit).map_err(Doubt::Agent)? {
        Reply::Pam { verdict, text } => Ok(match (verdict, call.phase) {
            (PamVerdict::Refuse, _) => refusal(text),
            (PamVerdict::Success, PamPhase::Auth) => Outcome::Success,
            (PamVerdict::OwnPassword, PamPhase::Auth) if door == Door::Su => {
                Outcome::OwnPassword(own_login)
            }
            (PamVerdict::OwnPassword, _) => return Err(Doubt::Answer),
            // No grant covers it any more, and what auth asked for is not what a standing right asks for: whoever stops this
            // program in between would come in without either.
            (PamVerdict::Ignore, PamPhase::Account) if call.by_grant => return Err(Doubt::Ended),
            (PamVerdict::Success, PamPhase::Account) if last_gate => Outcome::Use,
            // Account only vetoes. A success would end the stack early under `sufficient` and let an expired
            // account in.
            (PamVerdict::Success, PamPhase::Account) | (PamVerdict::Ignore, _) => Outcome::Ignore,
        }),
        Reply::Deny { text } => Ok(refusal(Some(text))),
        Reply::State { .. } | Reply::Allow { .. } | Reply::Lines { .. } | Reply::Done => {
            Err(Doubt::Answer)
        }
    }
}

fn refusal(text: Option<String>) -> Outcome {
    Outcome::Refuse(text.unwrap_or_else(|| "jit: no active grant. Try: jitctl elevate".to_owned()))
}

/// The door behind a PAM service.
fn door_of(service: &[u8]) -> Option<Door> {
    match service {
        b"sudo-jit" | b"sudo" | b"sudo-i" => Some(Door::Sudo),
        b"su" | b"su-l" => Some(Door::Su),
        b"sshd" => Some(Door::Ssh),
        b"polkit-1" => Some(Door::Polkit),
        _ => None,
    }
}

/// Is PAM the last to be asked? Classic sudo sends managed users to its own service, where its plugin asks about the
/// command afterwards. sudo-rs and su know services of their own and ask nobody after PAM. Any other program there is one
/// whose wiring is incomplete: nothing would stand between it and the command.
fn is_last_gate(outside: &impl Outside, door: Door, service: &[u8]) -> Result<bool, Doubt> {
    match (door, outside.last_gate()) {
        (Door::Ssh | Door::Polkit, _) => Ok(false),
        (Door::Sudo, None) if service == b"sudo-jit" => Ok(false),
        (Door::Sudo | Door::Su, Some(program)) if program.serves(service) => Ok(true),
        _ => Err(Doubt::NoGate(service.into())),
    }
}

fn named(outside: &impl Outside, name: Option<&[u8]>) -> Result<Subject, Doubt> {
    let name = name.ok_or(Doubt::NoUserItem)?;
    let user = outside.user_by_name(name)?;
    let user = user.ok_or_else(|| Doubt::NoSuchTarget(name.into()))?;
    Ok(Subject {
        login: user.login,
        uid: user.uid,
    })
}

/// The user this call is about, if he is managed.
///
/// In a set-uid program that is whoever started it; in a daemon of root, whom PAM names. `PAM_RUSER` and the
/// environment are never looked at: the caller sets them.
fn managed_subject(
    outside: &impl Outside,
    call: Call<'_>,
    door: Option<Door>,
) -> Result<Option<User>, Doubt> {
    let uid = outside.real_uid();
    if uid != 0 {
        let user = outside.user_by_uid(uid)?.ok_or(Doubt::NoSuchUid(uid))?;
        if !outside.eligible(&user)? {
            return Ok(None);
        }
        // With su PAM names the target; everywhere else the user himself must authenticate.
        if door != Some(Door::Su) {
            let name = call.user.ok_or(Doubt::NoUserItem)?;
            let named = outside.user_by_name(name)?;
            if named.is_none_or(|named| named.uid != uid) {
                return Err(Doubt::OtherUser(name.into()));
            }
        }
        return Ok(Some(user));
    }
    if matches!(door, Some(Door::Sudo | Door::Su)) {
        // Root started it, whomever targetpw makes PAM name.
        return Ok(None);
    }
    let name = call.user.ok_or(Doubt::NoUserItem)?;
    if name == b"root" {
        // Also when the user database is down.
        return Ok(None);
    }
    match outside.user_by_name(name)? {
        Some(user) if user.uid != 0 && outside.eligible(&user)? => Ok(Some(user)),
        _ => Ok(None),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
