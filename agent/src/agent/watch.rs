//! What tells that a grant's unit is being stopped, and what clears up after a silent bus.

use super::Agent;
use crate::effects::processes::Held;
use crate::effects::units;
use crate::store::grants::{Cause, Phase};
use std::rc::Rc;
use std::time::Duration;

/// Between two tries to reach systemd.
const TRY_AGAIN: Duration = Duration::from_secs(5);

impl Agent {
    /// Close the grant as soon as the unit's first process ends: with it systemd stops the unit, and who ignores TERM has
    /// two seconds more, in which nothing may be allowed.
    pub(super) async fn watch_unit(self: &Rc<Self>, jti: &str) -> Result<(), String> {
        let units = self.units().await?;
        let pid = units.main_pid(jti).await.map_err(|e| e.to_string())?;
        let first = Held::open(pid).map_err(|e| format!("the unit's first process: {e}"))?;
        let agent = self.clone();
        let id = jti.to_owned();
        tokio::task::spawn_local(async move {
            if let Err(e) = first.ended().await {
                // Its end shows later, when the unit has stopped.
                return agent.alert(&format!("the unit of grant {id} cannot be watched: {e}"));
            }
            // A reboot stops all units and ends no grant. Without an answer the proof tells, when the unit has stopped.
            if !matches!(units.is_shutting_down().await, Ok(false)) {
                return;
            }
            agent.finish(&id, agent.cause_now(&id, Cause::UnitStopped));
        });
        Ok(())
    }

    /// Stop timers of grants that are no longer stored: an end while systemd did not answer leaves them to elapse for
    /// nothing. On its own, until systemd answers.
    pub fn clear_timers(self: &Rc<Self>) {
        let agent = self.clone();
        tokio::task::spawn_local(async move {
            while agent.stop_stray_timers().await.is_err() {
                agent.lost_units();
                tokio::time::sleep(TRY_AGAIN).await;
            }
        });
    }

    async fn stop_stray_timers(&self) -> Result<(), String> {
        let work = async {
            let units = self.units().await?;
            let timers = units.timers().await.map_err(|e| e.to_string())?;
            for name in timers {
                let known = units::grant_of_timer(&name).is_none_or(|id| self.is_known(id));
                if !known {
                    units.stop(&name).await.map_err(|e| e.to_string())?;
                }
            }
            Ok(())
        };
        match tokio::time::timeout(TRY_AGAIN, work).await {
            Ok(result) => result,
            Err(_) => Err("systemd does not answer".to_owned()),
        }
    }

    /// Stored, and not on its way out.
    fn is_known(&self, jti: &str) -> bool {
        let core = self.core.borrow();
        core.grants
            .get(jti)
            .is_some_and(|s| s.file.phase != Phase::Ending)
    }
}
