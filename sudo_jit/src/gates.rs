//! The gates: what each call of sudo into the plugins does and answers. No C here.
//!
//! sudo's order for a command: [`Gates::open`], [`Gates::query`] (several times), PAM, [`Gates::accept`] of the
//! policy, [`Gates::approval_open`], [`Gates::check`], [`Gates::accept`] of the front end, the command,
//! [`Gates::close`].

use crate::cell::{Cell, Stage};
use crate::command::{Command, Unclear};
use crate::standing::{Opening, Other, Right, Standing};
use crate::world::{Stream, World};
use wire::Text;
use wire::budget;
use wire::gate::{ListKind, Request};

/// Group of the sudoers rules: members are under our rules.
pub const MANAGED: &[u8] = b"jit-managed";
/// Group of the sudoers rules: members have a live grant for sudo.
pub const ACTIVE: &[u8] = b"jit-active";

/// `status_type` of audit `close`: the status is one of wait(2).
pub const WAIT_STATUS: i32 = 1;
/// `status_type` of audit `close`: the status is the errno of a failed execve.
pub const EXEC_ERROR: i32 = 2;

/// The event of audit `accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The policy said yes; the value of `command=`.
    Policy,
    /// Last event before the command starts.
    FrontEnd,
    Other,
}

/// The answer of a gate that can stop the command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Allow,
    /// With the reason. `check` has shown it to the user; for `accept` sudo itself shows and logs it.
    Refuse(String),
}

/// All gates of one call of sudo.
#[derive(Default)]
pub struct Gates {
    cell: Option<Cell>,
}

impl Gates {
    pub const fn new() -> Self {
        Self { cell: None }
    }

    /// Audit `open`: who called, is he managed, and does a grant live?
    pub fn open(&mut self, world: &impl World, opening: Opening) {
        self.cell = Some(Cell::open(world, opening, true));
    }

    /// Approval `open`. When audit `open` came first, nothing is left to do.
    pub fn approval_open(&mut self, world: &impl World, opening: Opening) {
        if self.cell.is_none() {
            self.cell = Some(Cell::open(world, opening, false));
        }
    }

    /// Known to be root or unmanaged. Before `open`, and in doubt, no.
    pub fn exempt(&self) -> bool {
        self.cell
            .as_ref()
            .is_some_and(|cell| cell.standing == Standing::Exempt)
    }

    /// G1, the group plugin's `query`: is `login` in `group`? Silent. `uid` is that of `login` by NSS.
    pub fn query(
        &mut self,
        world: &impl World,
        login: &[u8],
        uid: Option<u32>,
        group: &[u8],
    ) -> bool {
        let Some(cell) = self.cell.as_mut().filter(|cell| cell.audit_opened) else {
            return false;
        };
        if group != MANAGED && group != ACTIVE {
            return false;
        }
        let caller = cell.opening.caller.as_ref();
        let (managed, active) = if caller.is_some_and(|c| c.login.as_bytes() == login) {
            let same = uid.is_none() || uid == caller.map(|c| c.uid);
            let managed = cell.standing != Standing::Exempt;
            (
                managed,
                same && cell.standing == Standing::Managed(Right::Grant),
            )
        } else if let Some(uid) = uid.filter(|uid| *uid != 0) {
            let known = cell
                .other
                .take()
                .filter(|o| o.login == login && o.uid == uid);
            let other = known.unwrap_or_else(|| Other::ask(world, login, uid));
            let answer = (other.managed, other.active);
            cell.other = Some(other);
            answer
        } else {
            (false, false)
        };
        if group == MANAGED { managed } else { active }
    }

    /// G3, approval `check`: may this command run? `read` is called only when the answer depends on it.
    pub fn check<'a>(
        &mut self,
        world: &impl World,
        read: impl FnOnce() -> Result<Command<'a>, Unclear>,
    ) -> Verdict {
        let Some(cell) = &mut self.cell else {
            return Verdict::Refuse("sudo has not opened the plugin".to_owned());
        };
        (cell.stage, cell.until, cell.agent_said_no) = (Stage::Unchecked, None, false);
        match cell.approve(world, read) {
            Ok(()) => {
                cell.stage = Stage::Checked;
                Verdict::Allow
            }
            Err(text) => {
                world.say(Stream::Error, &text);
                Verdict::Refuse(text)
            }
        }
    }

    /// Audit `accept`. G4 is the front end's event: our check ran, and the grant has not ended since.
    pub fn accept(&mut self, world: &impl World, event: Event, command: Option<&[u8]>) -> Verdict {
        let Some(cell) = self
            .cell
            .as_mut()
            .filter(|cell| cell.standing != Standing::Exempt)
        else {
            return Verdict::Allow;
        };
        match (event, command) {
            (Event::Policy, Some(b"list")) => cell.list(world, ListKind::List),
            (Event::Policy, Some(b"validate")) => cell.list(world, ListKind::Validate),
            // A further command of the same call (intercept) must be checked anew.
            (Event::Policy, _) => cell.stage = Stage::Unchecked,
            (Event::FrontEnd, _) => {
                if let Err(text) = cell.start(world) {
                    cell.report(world, Text::from("G4"), Text::from(text.as_str()));
                    return Verdict::Refuse(text);
                }
            }
            (Event::Other, _) => {}
        }
        Verdict::Allow
    }

    /// Audit `reject` and `error`: the record of a refusal, for managed callers only. `ours` names the gate when
    /// one of our own plugins refused, else `plugin` is sudo's name for who did.
    pub fn refused(
        &mut self,
        world: &impl World,
        ours: Option<&str>,
        plugin: &[u8],
        message: &[u8],
    ) {
        let Some(cell) = self
            .cell
            .as_mut()
            .filter(|cell| cell.standing != Standing::Exempt)
        else {
            return;
        };
        if cell.agent_said_no {
            return;
        }
        let by = match (ours, &cell.standing) {
            (Some(gate), _) => Text::from(gate),
            // Without a grant sudoers had no rule for him: G1 kept it off.
            (None, Standing::Managed(Right::None(_)) | Standing::Doubt(_)) => Text::from("G1"),
            (None, _) => Text::from(plugin),
        };
        cell.report(world, by, Text::from(message));
    }

    /// Audit `close`: the end of an allowed use.
    pub fn close(&mut self, world: &impl World, status_type: i32, status: i32) {
        let Some(cell) = &mut self.cell else { return };
        let (Some(subject), Some(grant)) = (cell.subject(), cell.grant.take()) else {
            return;
        };
        let status = match status_type {
            WAIT_STATUS => status,
            // In words of wait(2), as a shell tells them: 127 for a command that could not be started, 1 for
            // one that sudo did not start.
            EXEC_ERROR => 127 << 8,
            _ => 1 << 8,
        };
        let _ = world.ask(
            &Request::Closed {
                subject,
                grant,
                status,
            },
            budget::REPORT,
        );
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
