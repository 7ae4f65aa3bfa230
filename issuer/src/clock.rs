//! The one place where the issuer reads clocks.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall clock, milliseconds since 1970; 0 for a clock before that, which makes every request too new to take.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Wall clock, whole seconds since 1970, rounded down.
#[must_use]
pub fn unix() -> u64 {
    unix_ms() / 1000
}

/// The time by which calls to others are made and repeated.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// Returns at that time, or before; whoever waits looks again.
    fn until(&self, unix_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Clock for System {
    fn unix_ms(&self) -> u64 {
        unix_ms()
    }

    fn until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // So that a clock that was set is noticed within a minute.
        let wait = at_ms.saturating_sub(unix_ms()).min(60_000);
        Box::pin(tokio::time::sleep(Duration::from_millis(wait)))
    }
}

/// Never goes back; only differences mean something.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
