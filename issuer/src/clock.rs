//! The one place where the issuer reads clocks.

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
