//! The C edge, on pam-bindings: its macro makes the six exported functions and checks handle and arguments.
#![allow(unsafe_code, reason = "the C edge")]

use crate::decide::{Call, Outcome, Outside, decide};
use pam::constants::{PAM_ERROR_MSG, PamFlag, PamResultCode};
use pam::conv::Conv;
use pam::items::{Service, Tty, User as UserItem};
use pam::module::{PamHandle, PamHooks};
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use wire::Text;
use wire::client::{self, CallError};
use wire::gate::{PamPhase, Reply, Request};
use wire::last_gate::{self, Program};
use wire::nss::{self, NssError, User};

/// Longest message in bytes, without the NUL (`PAM_MAX_MSG_SIZE` in `security/_pam_types.h`).
const LONGEST_LINE: usize = 511;
/// Most lines of one text.
const MOST_LINES: usize = 8;

struct PamJit;

pam::pam_hooks!(PamJit);

impl PamHooks for PamJit {
    fn sm_authenticate(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        guarded(refusal(PamPhase::Auth), || answer(pamh, PamPhase::Auth))
    }

    fn acct_mgmt(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        guarded(refusal(PamPhase::Account), || {
            answer(pamh, PamPhase::Account)
        })
    }

    /// Which session su opens: `success` is the one of a grant, see `packaging/wiring/pam-su`.
    fn sm_open_session(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        session(pamh)
    }

    fn sm_close_session(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        session(pamh)
    }

    /// Goes the way auth went, so that `success=done` means the same in both; there are no credentials to set.
    fn sm_setcred(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        guarded(PamResultCode::PAM_IGNORE, || {
            if recall(pamh).authenticated {
                PamResultCode::PAM_SUCCESS
            } else {
                PamResultCode::PAM_IGNORE
            }
        })
    }
}

/// pam-bindings turns a panic into PAM_ABORT, which `default=ignore` would pass over: so it ends here.
fn guarded(refusal: PamResultCode, work: impl FnOnce() -> PamResultCode) -> PamResultCode {
    // The default hook prints to the user's terminal. The hook is this module's own: so is its copy of std.
    std::panic::set_hook(Box::new(|_| {}));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        // Dropping a payload may panic again.
        std::mem::forget(payload);
        refusal
    })
}

fn refusal(phase: PamPhase) -> PamResultCode {
    match phase {
        // The one refusal that sudo neither repeats (AUTH_ERR: "Sorry, try again") nor that our stack's
        // `default=ignore` would pass over.
        PamPhase::Auth => PamResultCode::PAM_CRED_EXPIRED,
        PamPhase::Account => PamResultCode::PAM_PERM_DENIED,
    }
}

fn session(pamh: &PamHandle) -> PamResultCode {
    guarded(PamResultCode::PAM_IGNORE, || {
        if recall(pamh).in_use {
            PamResultCode::PAM_SUCCESS
        } else {
            PamResultCode::PAM_IGNORE
        }
    })
}

fn answer(pamh: &mut PamHandle, phase: PamPhase) -> PamResultCode {
    let mut memory = recall(pamh);
    // From here on PAM names again whom the user would become.
    if let Some(target) = memory.target.take()
        && set_user(pamh, &target).is_err()
    {
        return refusal(phase);
    }
    let start = Instant::now();
    let outcome = decide(
        &System,
        Call {
            phase,
            service: item::<Service<'_>>(pamh),
            user: item::<UserItem<'_>>(pamh),
            tty: item::<Tty<'_>>(pamh),
            auth_took: memory.auth_took,
            by_grant: memory.by_grant,
        },
    );
    let took = start.elapsed();
    let code = match outcome {
        Outcome::Success => PamResultCode::PAM_SUCCESS,
        Outcome::Ignore => PamResultCode::PAM_IGNORE,
        Outcome::Use => {
            memory.in_use = true;
            PamResultCode::PAM_IGNORE
        }
        Outcome::OwnPassword(login) => match take_the_place(pamh, &login) {
            Some(target) => {
                memory.target = Some(target);
                memory.by_grant = true;
                PamResultCode::PAM_IGNORE
            }
            None => refusal(phase),
        },
        Outcome::Refuse(text) => {
            // Said once: a stack that goes on after auth refused comes here again in account.
            if !memory.spoke {
                say(pamh, &text);
                memory.spoke = true;
            }
            refusal(phase)
        }
    };
    if phase == PamPhase::Auth {
        memory.authenticated = code == PamResultCode::PAM_SUCCESS;
        memory.by_grant |= memory.authenticated;
        memory.auth_took += took;
    }
    let counts = memory.by_grant;
    // Without memory, setcred answers "ignore", a text may come twice, and account may wait for longer: nothing that
    // lets anybody in. That a grant stood for a password must be known in account.
    if pamh.set_data(MEMORY, Box::new(memory)).is_err() && counts {
        return refusal(phase);
    }
    code
}

/// Lets PAM name this login; returns whom it named before.
fn take_the_place(pamh: &mut PamHandle, login: &Text) -> Option<CString> {
    let target = CString::new(item::<UserItem<'_>>(pamh)?).ok()?;
    let login = CString::new(login.as_bytes()).ok()?;
    set_user(pamh, &login).ok()?;
    Some(target)
}

fn set_user(pamh: &mut PamHandle, login: &CStr) -> Result<(), PamResultCode> {
    pamh.set_item_str(UserItem(login))
}

/// Shows the text line by line. PAM_SILENT is not asked for: sudo before 1.9.16 always sets it and shows
/// errors all the same.
fn say(pamh: &PamHandle, text: &str) {
    let Ok(Some(conversation)) = pamh.get_item::<Conv<'_>>() else {
        return;
    };
    for line in text.lines().take(MOST_LINES) {
        let shown = Text::from(line).to_string();
        // A user who cannot be told is refused all the same.
        let _ = conversation.send(PAM_ERROR_MSG, cut(&shown));
    }
}

/// The longest head of the line that PAM takes.
fn cut(line: &str) -> &str {
    let fits = |(at, c): (usize, char)| Some(at + c.len_utf8()).filter(|end| *end <= LONGEST_LINE);
    let end = line.char_indices().map_while(fits).last().unwrap_or(0);
    &line[..end]
}

fn item<'a, I>(pamh: &'a PamHandle) -> Option<&'a [u8]>
where
    I: pam::items::Item<'a> + std::ops::Deref<Target = &'a CStr>,
{
    // An item that cannot be read is one that is not set: either way `decide` refuses if it needs it.
    Some(pamh.get_item::<I>().ok()??.to_bytes())
}

/// What account and setcred need to know of auth in the same transaction.
#[derive(Clone, Default)]
struct Memory {
    spoke: bool,
    authenticated: bool,
    /// A grant stood for the password, or changed whose is asked for.
    by_grant: bool,
    /// Account let a use of a grant pass.
    in_use: bool,
    /// Whom PAM named before the user's own password was asked for.
    target: Option<CString>,
    /// All that was asked for in auth together: sudo asks again after a wrong password.
    auth_took: Duration,
}

/// PAM data are shared by all modules of a transaction; only this one uses the name.
const MEMORY: &str = "pam_jit.memory";

fn recall(pamh: &PamHandle) -> Memory {
    // SAFETY: data of this name are only ever set in `answer`, as a `Memory`.
    unsafe { pamh.get_data::<Memory>(MEMORY) }
        .cloned()
        .unwrap_or_default()
}

/// The real world.
struct System;

impl Outside for System {
    fn real_uid(&self) -> u32 {
        nss::real_uid()
    }

    fn user_by_uid(&self, uid: u32) -> Result<Option<User>, NssError> {
        nss::user_by_uid(uid)
    }

    fn user_by_name(&self, login: &[u8]) -> Result<Option<User>, NssError> {
        nss::user_by_name(login)
    }

    fn eligible(&self, user: &User) -> Result<bool, NssError> {
        user.eligible()
    }

    fn last_gate(&self) -> Option<Program> {
        last_gate::of_this_process()
    }

    fn ask(&self, request: &Request, limit: Duration) -> Result<Reply, CallError> {
        let deadline = Instant::now() + limit;
        client::call(wire::paths::GATE_SOCK, request, wire::frame::GATE, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(cut(""), "");
        assert_eq!(cut("jit: no"), "jit: no");
        assert_eq!(cut(&"x".repeat(600)).len(), LONGEST_LINE);
        assert_eq!(cut(&"é".repeat(600)).len(), LONGEST_LINE - 1);
    }

    #[test]
    fn a_panic_becomes_the_refusal() {
        let code = guarded(PamResultCode::PAM_CRED_EXPIRED, || panic!("on purpose"));
        // The other tests' panics shall be seen.
        drop(std::panic::take_hook());
        assert_eq!(code, PamResultCode::PAM_CRED_EXPIRED);
    }
}
