//! Durations as people write them: `90s`, `15m`, `1h`. The one parser for configuration and command line.

use std::fmt;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Not digits and one unit.
    Form,
    /// Zero.
    Zero,
    /// More seconds than 64 bits hold.
    TooLong,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "not a duration: write a whole number and s, m or h, as in 90s, 15m or 1h"
            }
            Self::Zero => "a duration is at least 1s",
            Self::TooLong => "this duration is too long",
        })
    }
}

impl std::error::Error for Bad {}

/// Whole seconds, at least 1. Digits and exactly one of `s`, `m`, `h`; no sign, fraction, blank or sum, so that
/// a typing error is never a longer right.
///
/// # Errors
/// [`Bad`], whose text says how to write it.
pub fn parse(text: &str) -> Result<u64, Bad> {
    match parse_or_zero(text)? {
        0 => Err(Bad::Zero),
        seconds => Ok(seconds),
    }
}

/// The same, with zero allowed: `max_stale = "0s"` means "online only".
pub(crate) fn parse_or_zero(text: &str) -> Result<u64, Bad> {
    let (digits, unit) = match text.as_bytes() {
        [digits @ .., b's'] => (digits, 1),
        [digits @ .., b'm'] => (digits, 60),
        [digits @ .., b'h'] => (digits, 3600),
        _ => return Err(Bad::Form),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Form);
    }
    digits
        .iter()
        .try_fold(0u64, |n, d| {
            n.checked_mul(10)?.checked_add(u64::from(d - b'0'))
        })
        .and_then(|n| n.checked_mul(unit))
        .ok_or(Bad::TooLong)
}

/// The shortest form that [`parse`] reads back: `5400` is `90m`, `61` is `61s`.
#[must_use]
pub fn show(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        s if s.is_multiple_of(3600) => format!("{}h", s / 3600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_minutes_and_hours() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("15m", 900),
            ("1h", 3600),
            ("12h", 43_200),
            ("007m", 420),
            ("18446744073709551615s", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "s", "m", "15", "15 m", " 15m", "15m ", "15m\n", "-1s", "+1s", "1.5h", "1h30m",
            "15min", "15M", "1d", "1e3s", "0x10s", "١s", "1_000s", "infinity",
        ] {
            assert_eq!(parse(text), Err(Bad::Form), "{text:?}");
        }
        assert_eq!(parse("0s"), Err(Bad::Zero));
        assert_eq!(parse("0h"), Err(Bad::Zero));
        assert_eq!(parse("18446744073709551616s"), Err(Bad::TooLong));
        assert_eq!(parse("18446744073709551615m"), Err(Bad::TooLong));
    }

    #[test]
    fn shown_durations_read_back() {
        for seconds in [1, 59, 60, 61, 900, 3600, 5400, 43_200] {
            assert_eq!(parse(&show(seconds)), Ok(seconds));
        }
        assert_eq!(show(5400), "90m");
    }
}
