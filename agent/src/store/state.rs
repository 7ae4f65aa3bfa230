//! Counters of the issuer's statements and the clock mark: `/var/lib/jit/state.json`.
//!
//! Rules of TUF 1.0.34 §5.3: compare, then make durable, then act.

use super::{StoreError, load, save};
use crate::clock::Now;
use crate::paths::STATE_FILE;
use serde::{Deserialize, Serialize};
use statement::claims::{self, Revocation, Target};
use statement::limits::STATE_LIFE;
use statement::trust::TrustClaims;
use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

/// Revocations kept. Each is below a kilobyte and a half, so the file stays below the mebibyte that is read back.
const REVOKED: usize = 512;

const SECOND_NS: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Format, 1.
    pub v: u32,
    pub epoch: u32,
    pub state_seq: u64,
    /// `iat` of the newest state statement; 0 = none yet, or none whose age is known.
    pub state_iat: u64,
    /// `rev_serial` that the newest state statement names.
    pub state_rev_serial: u64,
    /// Newest revocation applied here.
    pub rev_serial: u64,
    /// SHA-256 of its bytes, base64url; of nothing at the start.
    pub rev_head: String,
    /// Revocations that can still touch a grant which comes late; each until its own `exp`.
    pub revoked: Vec<Revocation>,
    /// Grants of an earlier epoch that the trust statement of this one carries over.
    #[serde(default)]
    pub carried: Vec<String>,
    /// Position in the issuer's log up to which everything was taken.
    pub stream_pos: u64,
    /// Boot in which `received_boot_ns` and the mark were taken.
    pub boot_id: String,
    /// `CLOCK_BOOTTIME` when the newest state statement was made; `None` = it arrived in an earlier boot.
    pub received_boot_ns: Option<u64>,
    pub mark: Mark,
    /// SHA-256 of the trust statement whose issuer all this is about: another issuer's counters say nothing.
    pub pin: String,
    /// Grants made before this are not taken: more revocations came than are kept. Unix seconds.
    pub closed_before: u64,
    /// The last reading of an earlier boot's clock.
    pub seen: Option<Seen>,
}

/// A reading of `CLOCK_BOOTTIME` in the boot it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub boot_id: String,
    pub boot_ns: u64,
}

/// The latest time known to have passed: wall time never counts as earlier than this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Unix seconds.
    pub wall_s: u64,
    /// `CLOCK_BOOTTIME` nanoseconds at which that second began, as far as it is known: time counts on from the second's
    /// beginning, or each new mark would lose what had passed of it.
    pub boot_ns: u64,
}

impl Mark {
    /// What the wall clock says.
    #[must_use]
    pub fn at(now: Now) -> Self {
        Self {
            wall_s: now.wall_s(),
            boot_ns: now.boot_ns.saturating_sub(now.wall_ms % 1000 * 1_000_000),
        }
    }

    /// What somebody else says it is now, in whole seconds: at the end of that second, so that no end comes late.
    fn told(wall_s: u64, now: Now) -> Self {
        Self {
            wall_s,
            boot_ns: now.boot_ns.saturating_sub(SECOND_NS - 1),
        }
    }

    /// What the wall clock says, unless it is behind what somebody else says.
    fn not_behind(wall_s: u64, now: Now) -> Self {
        let clock = Self::at(now);
        match clock.wall_s >= wall_s {
            true => clock,
            false => Self::told(wall_s, now),
        }
    }

    /// This mark, counted on to now in whole seconds.
    fn counted(&self, now: Now) -> Self {
        let passed = now.boot_ns.saturating_sub(self.boot_ns) / SECOND_NS;
        Self {
            wall_s: self.wall_s.saturating_add(passed),
            boot_ns: self.boot_ns.saturating_add(passed * SECOND_NS),
        }
    }

    /// The time that counts: wall time, but never earlier than the mark plus the boot time passed since.
    #[must_use]
    pub fn time(&self, now: Now) -> u64 {
        self.advanced(now).wall_s
    }

    /// How long it is until that second begins, by the time that counts; zero = it has begun.
    #[must_use]
    pub fn until(&self, wall_s: u64, now: Now) -> Duration {
        let at = self.advanced(now);
        let passed = Duration::from_nanos(now.boot_ns.saturating_sub(at.boot_ns));
        Duration::from_secs(wall_s.saturating_sub(at.wall_s)).saturating_sub(passed)
    }

    /// Move the mark up to now.
    #[must_use]
    pub fn advanced(&self, now: Now) -> Self {
        let (clock, counted) = (Self::at(now), self.counted(now));
        match clock.wall_s.cmp(&counted.wall_s) {
            Ordering::Greater => clock,
            Ordering::Less => counted,
            // The second that began earlier ends earlier.
            Ordering::Equal => Self {
                boot_ns: clock.boot_ns.min(counted.boot_ns),
                ..clock
            },
        }
    }
}

impl State {
    /// Before the first statement.
    #[must_use]
    pub fn new(pin: &str, epoch: u32, boot_id: &str, now: Now) -> Self {
        Self {
            v: 1,
            epoch,
            state_seq: 0,
            state_iat: 0,
            state_rev_serial: 0,
            rev_serial: 0,
            rev_head: statement::digest::sha256_b64(b""),
            revoked: Vec::new(),
            carried: Vec::new(),
            stream_pos: 0,
            boot_id: boot_id.to_owned(),
            received_boot_ns: None,
            mark: Mark::at(now),
            pin: pin.to_owned(),
            closed_before: 0,
            seen: None,
        }
    }

    /// The counters of a new epoch, and a mark that no earlier clock has poisoned. What was read of the issuer's log stays
    /// read.
    #[must_use]
    pub fn of_epoch(trust: &TrustClaims, before: &Self, now: Now) -> Self {
        Self {
            carried: trust.carry.clone(),
            stream_pos: before.stream_pos,
            ..Self::new(&before.pin, trust.epoch, &before.boot_id, now)
        }
    }

    /// Is a grant of this epoch, which has this id, of the present epoch, or carried over into it?
    #[must_use]
    pub fn stands(&self, epoch: u32, jti: &str) -> bool {
        epoch == self.epoch || self.carried.iter().any(|c| c == jti)
    }

    /// Read it, as it counts in this boot.
    ///
    /// # Errors
    /// Unreadable or damaged.
    pub fn load(boot_id: &str, now: Now) -> Result<Option<Self>, StoreError> {
        let Some(s) = load::<Self>(Path::new(STATE_FILE))? else {
            return Ok(None);
        };
        if s.v != 1 {
            return Err(StoreError::new(
                Path::new(STATE_FILE),
                format!("format {} is not known", s.v),
            ));
        }
        Ok(Some(s.in_boot(boot_id, now)))
    }

    /// What was measured on an earlier boot's clock, as far as it is still known: the mark keeps its wall time, counted
    /// from now (a container's `CLOCK_BOOTTIME` does not start with its boot). A wall clock behind the mark does not know
    /// how long the host was off: then nothing is fresh until the issuer is heard, whatever the clock is set to.
    #[must_use]
    pub fn in_boot(mut self, boot_id: &str, now: Now) -> Self {
        if self.boot_id != boot_id {
            self.seen = Some(Seen {
                boot_id: std::mem::replace(&mut self.boot_id, boot_id.to_owned()),
                boot_ns: self.mark.boot_ns,
            });
            self.received_boot_ns = None;
            if now.wall_s() < self.mark.wall_s {
                self.state_iat = 0;
            }
            self.mark = Mark::not_behind(self.mark.wall_s, now);
        }
        self
    }

    /// Take an accepted state statement in. It resets a mark that ran ahead of it. `news`: a use may rest on it.
    pub fn hear(&mut self, s: &claims::State, news: bool, now: Now) {
        let clock = Mark::at(now);
        let near = clock.wall_s.abs_diff(s.iat) <= STATE_LIFE;
        // The second in which it was made, by the clock by which it is fresh.
        let made_boot_ns = [self.mark.advanced(now), clock]
            .into_iter()
            .find(|time| time.wall_s < s.exp)
            .map_or(now.boot_ns, |time| {
                let under_way_s = time.wall_s.saturating_sub(s.iat);
                time.boot_ns.saturating_sub(under_way_s * SECOND_NS)
            });
        self.state_seq = s.state_seq;
        self.state_rev_serial = s.rev_serial;
        if news {
            self.state_iat = s.iat;
            self.received_boot_ns = Some(made_boot_ns);
        }
        self.mark = match near {
            true => Mark::not_behind(s.iat, now),
            false => Mark::told(s.iat, now),
        };
    }

    /// Keep a revocation for grants that come after it. Those that can touch no grant any more go; so do the oldest when
    /// there are too many, and with them every grant that they could have meant.
    pub fn keep(&mut self, r: Revocation, time_s: u64) {
        self.revoked.retain(|r| r.exp > time_s);
        self.revoked.push(r);
        if self.revoked.len() > REVOKED {
            // A key's revocation means grants made later, too.
            let of_key = |r: &Revocation| matches!(r.target, Target::Kid(_));
            let (keys, mut others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.revoked)
                .into_iter()
                .partition(of_key);
            let kept = others.split_off(others.len().saturating_sub(REVOKED / 2));
            let newest = others.iter().map(|r| r.iat.saturating_add(1)).max();
            self.closed_before = self.closed_before.max(newest.unwrap_or(0));
            self.revoked = keys;
            self.revoked.extend(kept);
        }
    }

    /// # Errors
    /// When it cannot be made durable.
    pub fn save(&self) -> Result<(), StoreError> {
        save(Path::new(STATE_FILE), self)
    }

    /// Seconds since the newest state statement was made, by the clock that says more; `None` = there was none, or
    /// nobody knows how long ago it was.
    #[must_use]
    pub fn age_s(&self, now: Now) -> Option<u64> {
        if self.state_iat == 0 {
            return None;
        }
        let by_clock = self.mark.time(now).saturating_sub(self.state_iat);
        let by_boot = self
            .received_boot_ns
            .map_or(0, |at| now.boot_ns.saturating_sub(at) / SECOND_NS);
        Some(by_clock.max(by_boot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_s: u64, boot_s: u64) -> Now {
        Now {
            wall_ms: wall_s * 1000,
            boot_ns: boot_s * 1_000_000_000,
            mono_us: boot_s * 1_000_000,
        }
    }

    #[test]
    fn a_clock_set_back_does_not_turn_time_back() {
        let mark = Mark {
            wall_s: 10_000,
            boot_ns: 100 * 1_000_000_000,
        };
        assert_eq!(mark.time(at(6_400, 160)), 10_060);
        assert_eq!(mark.time(at(10_060, 160)), 10_060);
        assert_eq!(mark.time(at(13_660, 160)), 13_660);
    }

    #[test]
    fn marks_kept_again_and_again_lose_no_part_of_a_second() {
        let ms = |wall_ms: u64, boot_ms: u64| Now {
            wall_ms,
            boot_ns: boot_ms * 1_000_000,
            mono_us: boot_ms * 1000,
        };
        // Set back an hour at once, and kept every 1.9 s for 190 s.
        let mut mark = Mark::at(ms(10_000_900, 50_300));
        for round in 1..=100 {
            mark = mark.advanced(ms(6_400_900 + round * 1900, 50_300 + round * 1900));
        }
        assert_eq!(mark.time(ms(6_590_900, 240_300)), 10_190);
        assert_eq!(mark.time(ms(6_591_000, 240_400)), 10_191);
    }

    #[test]
    fn a_second_is_waited_for_to_its_beginning_and_no_longer() {
        let now = |wall_ms: u64, boot_ms: u64| Now {
            wall_ms,
            boot_ns: boot_ms * 1_000_000,
            mono_us: boot_ms * 1000,
        };
        let mark = Mark::at(now(10_000_900, 50_300));
        let wait = |n| mark.until(10_008, n).as_millis();
        assert_eq!(wait(now(10_000_900, 50_300)), 7100);
        assert_eq!(wait(now(10_007_999, 57_399)), 1);
        assert_eq!(wait(now(10_008_000, 57_400)), 0);
        assert_eq!(wait(now(10_020_000, 69_400)), 0);
        // Set back an hour: counted on from the mark. Set ahead: what the clock says.
        assert_eq!(wait(now(6_405_900, 55_300)), 2100);
        assert_eq!(wait(now(10_007_500, 50_400)), 500);
    }

    #[test]
    fn age_counts_by_the_clock_that_says_more() {
        let mut s = State::new("", 1, "b", at(1000, 50));
        assert_eq!(s.age_s(at(1000, 50)), None);
        s.state_iat = 1000;
        s.received_boot_ns = Some(50 * 1_000_000_000);
        assert_eq!(s.age_s(at(1010, 60)), Some(10));
        // Held back by the link for a minute: old by its own date, though just received.
        s.received_boot_ns = Some(110 * 1_000_000_000);
        assert_eq!(s.age_s(at(1060, 110)), Some(60));
        // Wall clock set back: boot time goes on.
        assert_eq!(s.age_s(at(900, 170)), Some(120));
    }
}
