//! When something happened, on both clocks. Read by the caller; this crate has no clock.

/// One moment on the wall clock and on the clock that nobody can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Milliseconds of `CLOCK_REALTIME` since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
    /// `/proc/sys/kernel/random/boot_id`: `boot_ns` compares only within one boot.
    pub boot_id: String,
}

impl Timestamp {
    /// A moment of which only the wall clock is known: for comparing and showing, not for a record.
    #[must_use]
    pub const fn wall(unix_ms: u64) -> Self {
        Self {
            unix_ms,
            boot_ns: 0,
            boot_id: String::new(),
        }
    }

    /// RFC 3339 in UTC with milliseconds, such as `2026-11-20T13:56:03.120Z`.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        let (days, ms) = (self.unix_ms / 86_400_000, self.unix_ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let ms = ms % 1000;
        format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Milliseconds since 1970 of a time as [`Timestamp::rfc3339`] writes it.
pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (h, m, s, ms) = (
        number(11..13)?,
        number(14..16)?,
        number(17..19)?,
        number(20..23)?,
    );
    // The year is counted from March, as in `civil`.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        3..=12 => (year, month - 3),
        _ => return None,
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    let days = days + (153 * month + 2) / 5 + day.checked_sub(1)?;
    let ms = ((days.checked_sub(719_468)? * 24 + h) * 60 + m) * 60_000 + s * 1000 + ms;
    // Nothing but what is written here is read.
    (Timestamp::wall(ms).rfc3339() == text).then_some(ms)
}

/// Day count since 1970-01-01 to year, month, day of the Gregorian calendar. The year is counted from March, so
/// that the leap day is its last and month lengths follow one linear rule.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097); // 400 years are 146,097 days
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 = March
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64) -> String {
        Timestamp::wall(unix_ms).rfc3339()
    }

    // Expected values from `date -u -d @N +%FT%T`.
    #[test]
    fn known_dates() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_200_001), "2024-03-01T00:00:00.001Z");
        assert_eq!(at(1_795_182_963_120), "2026-11-20T13:56:03.120Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_written_is_read() {
        for ms in [
            0,
            951_782_400_000,
            1_709_251_199_999,
            1_795_182_963_120,
            4_107_542_400_000,
        ] {
            assert_eq!(unix_ms(&at(ms)), Some(ms));
        }
        for text in [
            "",
            "2026-11-20T13:56:03Z",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
        ] {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }

    #[test]
    fn any_value_is_a_sentence_not_a_crash() {
        assert!(at(u64::MAX).ends_with('Z'));
    }
}
