//! The one file that reads clocks. Everything else gets a [`Now`].

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use std::fmt;
use std::time::Duration;
use tokio::sync::mpsc;

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of `CLOCK_REALTIME` since 1970.
    pub wall_ms: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`: counts suspend, never set by anyone.
    pub boot_ns: u64,
    /// Microseconds of `CLOCK_MONOTONIC`, for systemd's timers.
    pub mono_us: u64,
}

impl Now {
    /// Whole seconds of wall time, rounded down.
    #[must_use]
    pub fn wall_s(&self) -> u64 {
        self.wall_ms / 1000
    }

    /// By how many milliseconds the wall clock was set ahead since `earlier`, of the same boot; negative = back.
    #[must_use]
    pub fn set_since(&self, earlier: Self) -> i64 {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let wall = signed(self.wall_ms).saturating_sub(signed(earlier.wall_ms));
        let boot = signed(self.boot_ns.saturating_sub(earlier.boot_ns) / 1_000_000);
        wall.saturating_sub(boot)
    }

    /// Milliseconds of sleep since `earlier`, of the same boot.
    #[must_use]
    pub fn slept_since(&self, earlier: Self) -> u64 {
        let boot = self.boot_ns.saturating_sub(earlier.boot_ns) / 1_000_000;
        boot.saturating_sub(self.mono_us.saturating_sub(earlier.mono_us) / 1000)
    }
}

/// Tells when the wall clock was set, or the host has slept.
pub struct Steps(mpsc::Receiver<()>);

impl Steps {
    /// Watch from now on. A thread of its own waits for the kernel; it ends with its reader.
    ///
    /// # Errors
    /// When the kernel gives no such timer.
    pub fn watch() -> std::io::Result<Self> {
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC)?;
        arm(&timer)?;
        let (tx, rx) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("clock".into())
            .spawn(move || {
                while let Ok(()) | Err(Errno::ECANCELED | Errno::EINTR) = timer.wait() {
                    // Armed before it is told, so that a second step meanwhile is not missed.
                    if arm(&timer).is_err() {
                        return;
                    }
                    if let Err(mpsc::error::TrySendError::Closed(())) = tx.try_send(()) {
                        return;
                    }
                }
            })?;
        Ok(Self(rx))
    }

    /// Wait for the next step; false when the watch is broken.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Never to elapse, only to be cancelled by whoever sets the clock (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).
fn arm(timer: &TimerFd) -> Result<(), Errno> {
    let never = TimeSpec::from_duration(Duration::from_secs(u64::from(u32::MAX) * 2));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    match timer.set(Expiration::OneShot(never), flags) {
        // It was set once more meanwhile; the timer is armed all the same.
        Err(Errno::ECANCELED) => Ok(()),
        other => other,
    }
}

/// A clock could not be read; no right is given without one.
#[derive(Debug)]
pub struct ClockError(String);

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock cannot be read: {}", self.0)
    }
}

impl std::error::Error for ClockError {}

/// Read all three clocks.
///
/// # Errors
/// When the kernel refuses one, or says a time before 1970.
pub fn now() -> Result<Now, ClockError> {
    let read = |id| clock_gettime(id).map_err(|e| ClockError(e.to_string()));
    let wall = read(ClockId::CLOCK_REALTIME)?;
    let boot = read(ClockId::CLOCK_BOOTTIME)?;
    let mono = read(ClockId::CLOCK_MONOTONIC)?;
    let parts = |t: nix::sys::time::TimeSpec| -> Result<(u64, u64), ClockError> {
        let s = u64::try_from(t.tv_sec()).map_err(|_| ClockError("it is before 1970".into()))?;
        let ns =
            u64::try_from(t.tv_nsec()).map_err(|_| ClockError("negative nanoseconds".into()))?;
        Ok((s, ns))
    };
    let (ws, wn) = parts(wall)?;
    let (bs, bn) = parts(boot)?;
    let (ms, mn) = parts(mono)?;
    Ok(Now {
        wall_ms: ws * 1000 + wn / 1_000_000,
        boot_ns: bs * 1_000_000_000 + bn,
        mono_us: ms * 1_000_000 + mn / 1000,
    })
}

/// What names this boot: the kernel's id, and when PID 1 was started. In a container the kernel's id outlives a reboot;
/// PID 1's start time is new with each, and stays over a daemon-reexec.
///
/// # Errors
/// When `/proc` does not say it.
pub fn boot_id() -> Result<String, ClockError> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|e| ClockError(format!("boot id: {e}")))?;
    let init = crate::effects::processes::start_of(1)
        .map_err(|e| ClockError(format!("start of PID 1: {e}")))?;
    Ok(format!("{}.{init}", kernel.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_and_sleep_are_told_apart() {
        let at = |wall_s: u64, boot_s: u64, mono_s: u64| Now {
            wall_ms: wall_s * 1000,
            boot_ns: boot_s * 1_000_000_000,
            mono_us: mono_s * 1_000_000,
        };
        let start = at(10_000, 100, 90);
        assert_eq!(at(10_005, 105, 95).set_since(start), 0);
        assert_eq!(at(10_005, 105, 95).slept_since(start), 0);
        assert_eq!(at(13_605, 105, 95).set_since(start), 3_600_000);
        assert_eq!(at(6_405, 105, 95).set_since(start), -3_600_000);
        assert_eq!(at(10_065, 165, 95).set_since(start), 0);
        assert_eq!(at(10_065, 165, 95).slept_since(start), 60_000);
    }
}
