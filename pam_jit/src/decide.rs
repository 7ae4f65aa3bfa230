//! What the module answers, apart from PAM and from the system: see [`Outside`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use wire::client::CallError;
use wire::gate::{Door, PamPhase, PamVerdict, Reply, Request, Subject};
use wire::nss::{NssError, User};
use wire::{Text, budget};

/// All that the decision asks of the world.
pub trait Outside {
    /// `getuid(2)`.
    fn real_uid(&self) -> u32;
    fn user_by_uid(&self, uid: u32) -> Result<Option<User>, NssError>;
    fn user_by_name(&self, login: &[u8]) -> Result<Option<User>, NssError>;
    fn eligible(&self, user: &User) -> Result<bool, NssError>;
    /// This code runs inside sudo-rs.
    fn in_sudo_rs(&self) -> bool;
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Auth only: the grant stands for the password.
    Success,
    /// Nothing to say: the rest of the stack decides.
    Ignore,
    /// No, and this is what the user reads.
    Refuse(String),
}

/// Why a user is refused who may well hold a grant.
enum Doubt {
    Nss(NssError),
    NoSuchUid(u32),
    NoUserItem,
    OtherUser(Text),
    OtherDoor(Text),
    NoGate(Text),
    Agent(CallError),
    Answer,
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
    let last_gate = door == Door::Sudo && is_last_gate(outside, service)?;
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
/// command afterwards. sudo-rs knows one service only and asks nobody after it. Any other program there is a sudo whose
/// wiring is incomplete: nothing would stand between it and the command.
fn is_last_gate(outside: &impl Outside, service: &[u8]) -> Result<bool, Doubt> {
    match (service, outside.in_sudo_rs()) {
        (b"sudo-jit", false) => Ok(false),
        (b"sudo" | b"sudo-i", true) => Ok(true),
        _ => Err(Doubt::NoGate(service.into())),
    }
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
