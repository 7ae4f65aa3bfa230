//! Transient units by systemd's D-Bus API: one service and one timer a grant.
//!
//! The timer elapses at the earlier of the wall-clock end (`OnCalendar`) and the boot-time end (`OnStartupSec`,
//! counted from `UserspaceTimestampMonotonic`, so daemon-reload and -reexec do not start it anew). PID 1 then runs
//! `jit-end`, with or without an agent. See systemd.timer(5), org.freedesktop.systemd1(5).

use super::jobs::Jobs;
use crate::clock::Now;
use crate::paths;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use zbus::{Connection, ObjectPath, OwnedObjectPath, Variant, proxy};

/// How long systemd may take to start a unit of ours.
const JOB_TIMEOUT: Duration = Duration::from_secs(5);
/// TERM to KILL, for processes that ignore TERM and HUP.
const STOP_TIMEOUT_US: u64 = 1_500_000;
/// From an end that failed to the next try.
const END_AGAIN_US: u64 = 500_000;

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    #[allow(clippy::type_complexity, reason = "the signature of systemd's method")]
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Variant<'_>)],
        aux: &[(&str, &[(&str, Variant<'_>)])],
    ) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    #[allow(clippy::type_complexity, reason = "the signature of systemd's method")]
    fn list_units_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<
        Vec<(
            String,
            String,
            String,
            String,
            String,
            String,
            OwnedObjectPath,
            u32,
            String,
            OwnedObjectPath,
        )>,
    >;
    fn subscribe(&self) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn userspace_timestamp_monotonic(&self) -> zbus::Result<u64>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn system_state(&self) -> zbus::Result<String>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

/// systemd did not do it. The caller gives nothing.
#[derive(Debug)]
pub enum UnitError {
    Bus(zbus::Error),
    /// The job ended otherwise than `done`.
    Job {
        unit: String,
        result: String,
    },
    TimedOut {
        unit: String,
    },
    /// The end would already be over.
    Past,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(e) => write!(f, "systemd: {e}"),
            Self::Job { unit, result } => write!(f, "systemd could not start {unit}: {result}"),
            Self::TimedOut { unit } => write!(
                f,
                "systemd did not start {unit} within {} s",
                JOB_TIMEOUT.as_secs()
            ),
            Self::Past => f.write_str("the end has already passed"),
        }
    }
}

impl std::error::Error for UnitError {}

impl From<zbus::Error> for UnitError {
    fn from(e: zbus::Error) -> Self {
        Self::Bus(e)
    }
}

/// A connection to systemd.
#[derive(Clone)]
pub struct Units {
    manager: ManagerProxy<'static>,
    /// Listened to once somebody waits for one; `jit-end` never does.
    jobs: Arc<OnceCell<Jobs>>,
}

/// When a grant's timer must elapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerAt {
    /// Unix seconds.
    pub wall_s: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
}

impl Units {
    /// # Errors
    /// When the bus or systemd does not answer.
    pub async fn connect(bus: &Connection) -> Result<Self, UnitError> {
        let manager = ManagerProxy::new(bus).await?;
        manager.subscribe().await?;
        Ok(Self {
            manager,
            jobs: Arc::default(),
        })
    }

    /// Start the timer that ends the grant. `n` counts the timers of one grant: an extension starts the next one
    /// before the last is stopped.
    ///
    /// # Errors
    /// When systemd does not take it; nothing is left running then.
    pub async fn start_timer(
        &self,
        jti: &str,
        n: u32,
        at: TimerAt,
        now: Now,
    ) -> Result<(), UnitError> {
        let left_us = at.boot_ns.saturating_sub(now.boot_ns) / 1000;
        if left_us == 0 || at.wall_s <= now.wall_s() {
            return Err(UnitError::Past);
        }
        let startup = self.manager.userspace_timestamp_monotonic().await?;
        let on_startup = (now.mono_us + left_us).saturating_sub(startup);
        // systemd.time(7): seconds since 1970, no time zone involved.
        let calendar = format!("@{}", at.wall_s);
        let service = paths::end_unit(jti, n);
        let argv = vec!["jit-end", jti];
        let service_props: &[(&str, Variant<'_>)] = &[
            ("Description", Variant::from(format!("End of grant {jti}"))),
            ("Type", Variant::from("oneshot")),
            (
                "ExecStart",
                Variant::from(vec![(paths::JIT_END, argv, false)]),
            ),
            // The end must not be stopped half-way by a shutdown of the slice or a start limit.
            ("StartLimitIntervalUSec", Variant::from(0_u64)),
            ("CollectMode", Variant::from("inactive-or-failed")),
            // PID 1 alone sees it through: one that was killed, could not start or did not get everything is run again.
            ("Restart", Variant::from("on-failure")),
            ("RestartUSec", Variant::from(END_AGAIN_US)),
            (
                "RestartPreventExitStatus",
                Variant::from((
                    vec![i32::from(crate::ending::GONE_WITH_FAULTS)],
                    Vec::<i32>::new(),
                )),
            ),
        ];
        let props: &[(&str, Variant<'_>)] = &[
            (
                "Description",
                Variant::from(format!("Deadline of grant {jti}")),
            ),
            (
                "TimersCalendar",
                Variant::from(vec![("OnCalendar", calendar.as_str())]),
            ),
            (
                "TimersMonotonic",
                Variant::from(vec![("OnStartupSec", on_startup)]),
            ),
            ("AccuracyUSec", Variant::from(1000_u64)),
            ("RemainAfterElapse", Variant::from(false)),
            ("CollectMode", Variant::from("inactive-or-failed")),
        ];
        let name = paths::timer(jti, n);
        self.run_job(&name, async || {
            self.manager
                .start_transient_unit(&name, "replace", props, &[(&service, service_props)])
                .await
        })
        .await
    }

    /// Start the unit whose cgroup will hold everything that runs with the grant.
    ///
    /// # Errors
    /// When systemd does not start it.
    pub async fn start_service(&self, jti: &str, login: &str) -> Result<(), UnitError> {
        let post = vec!["jit-end", "--post", jti];
        let props: &[(&str, Variant<'_>)] = &[
            (
                "Description",
                Variant::from(format!("Grant {jti} of {login}")),
            ),
            ("Slice", Variant::from(paths::SLICE)),
            ("Type", Variant::from("simple")),
            (
                "ExecStart",
                Variant::from(vec![("/usr/bin/sleep", vec!["sleep", "infinity"], false)]),
            ),
            (
                "ExecStopPost",
                Variant::from(vec![(paths::JIT_END, post, false)]),
            ),
            // Ours to put processes into, with no controller switched on for it: systemd makes no cgroup below it, and a move
            // costs less. (With cpuset on, Linux 6.1 wants CAP_SYS_NICE for each move.)
            ("DelegateControllers", Variant::from(Vec::<&str>::new())),
            ("KillMode", Variant::from("control-group")),
            // Interactive shells ignore TERM.
            ("SendSIGHUP", Variant::from(true)),
            ("TimeoutStopUSec", Variant::from(STOP_TIMEOUT_US)),
            ("CollectMode", Variant::from("inactive-or-failed")),
        ];
        let name = paths::unit(jti);
        self.run_job(&name, async || {
            self.manager
                .start_transient_unit(&name, "fail", props, &[])
                .await
        })
        .await
    }

    /// Start the grant's end unit now. Returns when systemd has taken the job, not when it is done.
    ///
    /// # Errors
    /// When systemd does not take it; the caller then ends the grant itself.
    pub async fn start_end(&self, jti: &str, n: u32) -> Result<(), UnitError> {
        self.manager
            .start_unit(&paths::end_unit(jti, n), "replace")
            .await?;
        Ok(())
    }

    /// Start a unit of ours that is no grant's. Returns when systemd has taken the job.
    ///
    /// # Errors
    /// When systemd does not take it.
    pub async fn start(&self, name: &str) -> Result<(), UnitError> {
        self.manager.start_unit(name, "replace").await?;
        Ok(())
    }

    /// Stop a unit without waiting. One that is not loaded is fine.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub async fn stop(&self, name: &str) -> Result<(), UnitError> {
        match self.manager.stop_unit(name, "replace").await {
            Err(zbus::Error::MethodError(e, _, _))
                if e.as_str() == "org.freedesktop.systemd1.NoSuchUnit" =>
            {
                Ok(())
            }
            Err(e) => Err(e.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Stop a unit and wait until it is. One that is not loaded is fine.
    ///
    /// # Errors
    /// When systemd does not answer, or does not stop it.
    pub async fn stop_and_wait(&self, name: &str) -> Result<(), UnitError> {
        if !self.is_loaded(name).await? {
            return Ok(());
        }
        self.run_job(name, async || self.manager.stop_unit(name, "replace").await)
            .await
    }

    /// Is the unit loaded (running, stopping or waiting)?
    ///
    /// # Errors
    /// When systemd does not answer.
    pub async fn is_loaded(&self, name: &str) -> Result<bool, UnitError> {
        match self.manager.get_unit(name).await {
            Err(zbus::Error::MethodError(e, _, _))
                if e.as_str() == "org.freedesktop.systemd1.NoSuchUnit" =>
            {
                Ok(false)
            }
            Err(e) => Err(e.into()),
            Ok(_) => Ok(true),
        }
    }

    /// The process that systemd started as the grant's unit; 0 when it has none any more.
    ///
    /// # Errors
    /// When systemd does not answer, or does not know the unit.
    pub async fn main_pid(&self, jti: &str) -> Result<u32, UnitError> {
        let path = self.manager.get_unit(&paths::unit(jti)).await?;
        let bus = self.manager.inner().connection();
        let service = ServiceProxy::builder(bus).path(path).build().await?;
        Ok(service.main_pid().await?)
    }

    /// Is the host being shut down?
    ///
    /// # Errors
    /// When systemd does not answer.
    pub async fn is_shutting_down(&self) -> Result<bool, UnitError> {
        Ok(self.manager.system_state().await? == "stopping")
    }

    /// Names of all timers of grants that systemd holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn timers(&self) -> Result<Vec<String>, UnitError> {
        let units = self
            .manager
            .list_units_by_patterns(&[], &["jit-*.timer"])
            .await?;
        Ok(units.into_iter().map(|u| u.0).collect())
    }

    /// Queue a job and wait for its end.
    async fn run_job<F>(&self, unit: &str, start: F) -> Result<(), UnitError>
    where
        F: AsyncFnOnce() -> zbus::Result<OwnedObjectPath>,
    {
        let listen = || Jobs::listen(&self.manager);
        let asked = self.jobs.get_or_try_init(listen).await?.ask();
        let job = start().await?;
        let unit = unit.to_owned();
        match tokio::time::timeout(JOB_TIMEOUT, asked.end_of(job.as_str())).await {
            Ok(Some(result)) if result == "done" => Ok(()),
            Ok(Some(result)) => Err(UnitError::Job { unit, result }),
            Ok(None) => Err(zbus::Error::Failure("the bus closed".into()).into()),
            Err(_) => Err(UnitError::TimedOut { unit }),
        }
    }
}

/// The grant in `jit-<jti>-<n>.timer`; `None` for any other unit.
#[must_use]
pub fn grant_of_timer(name: &str) -> Option<&str> {
    let (jti, n) = name
        .strip_prefix("jit-")?
        .strip_suffix(".timer")?
        .split_once('-')?;
    (statement::id::is_ulid(jti) && n.bytes().all(|b| b.is_ascii_digit())).then_some(jti)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_timers_of_grants_are_ours() {
        let jti = "01JABCDEFGHJKMNPQRSTVWXYZ0";
        assert_eq!(grant_of_timer(&paths::timer(jti, 1)), Some(jti));
        assert_eq!(grant_of_timer(&paths::unit(jti)), None);
        assert_eq!(grant_of_timer("jit-backup.timer"), None);
        assert_eq!(grant_of_timer("jit-backup-1.timer"), None);
        assert_eq!(grant_of_timer(&format!("jit-{jti}-x.timer")), None);
    }
}
