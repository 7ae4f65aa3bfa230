//! What the agent does about time: it notices clocks that were set and sleep, looks at every deadline then, and keeps the
//! mark.

use super::Agent;
use crate::clock::{self, Now};
use crate::store::grants::{Cause, Phase};
use journal::kind;
use std::rc::Rc;

/// Less than this between two looks is the steering of a time service.
const STEP_MS: u64 = 1000;
/// A clock set by more needs a person's eye.
const ALERT_MS: u64 = 120_000;
/// How long the mark may be kept in memory alone.
const MARK_KEPT_NS: u64 = 60_000_000_000;

impl Agent {
    /// Called twice a second, and at once when the kernel says that the clock was set or the host has slept.
    pub fn look_at_clock(self: &Rc<Self>) {
        let Ok(now) = clock::now() else { return };
        let Some(last) = self.looked.replace(Some(now)) else {
            return;
        };
        let (set_ms, slept_ms) = (now.set_since(last), now.slept_since(last));
        let moved = set_ms.unsigned_abs() >= STEP_MS || slept_ms >= STEP_MS;
        if moved {
            self.log.later(
                self.record(kind::CLOCK, now)
                    .detail("set_by_ms", set_ms)
                    .detail("slept_ms", slept_ms),
            );
            if set_ms.unsigned_abs() > ALERT_MS {
                let why = format!(
                    "the clock was set {} by {} s; each grant ends by the earlier of its two deadlines",
                    if set_ms > 0 { "ahead" } else { "back" },
                    set_ms.unsigned_abs() / 1000,
                );
                self.alert_as("clock", &why);
            }
            self.check_deadlines(now);
        }
        self.keep_mark(now, moved);
    }

    /// End what is over by either clock.
    pub(super) fn check_deadlines(self: &Rc<Self>, now: Now) {
        let over: Vec<String> = {
            let core = self.core.borrow();
            let over = core
                .grants
                .values()
                .filter(|s| matches!(s.file.phase, Phase::Active | Phase::Arming))
                .filter(|s| s.deadline().passed(&core.state, now));
            over.map(|s| s.file.jti.clone()).collect()
        };
        for id in over {
            self.finish(&id, Cause::Deadline);
        }
    }

    /// What has passed has passed: a reboot must not turn it back.
    fn keep_mark(&self, now: Now, at_once: bool) {
        let due = {
            let mut core = self.core.borrow_mut();
            let mark = core.state.mark;
            let due = at_once || now.boot_ns.saturating_sub(mark.boot_ns) >= MARK_KEPT_NS;
            if due {
                core.state.mark = mark.advanced(now);
            }
            due
        };
        if due && let Err(e) = self.save_state() {
            self.alert_rarely(&e);
        }
    }
}
