//! When a grant shall start, as people write it.

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan, Zoned};

/// Unix seconds of `text` from now on.
///
/// # Errors
/// One sentence that says how to write it.
pub fn parse_now(text: &str) -> Result<u64, String> {
    parse(text, &Zoned::now())
}

fn parse(text: &str, now: &Zoned) -> Result<u64, String> {
    let start = if let Some(duration) = text.strip_prefix('+') {
        let seconds = policy::duration::parse(duration).map_err(|e| e.to_string())?;
        let seconds = i64::try_from(seconds).map_err(|e| e.to_string())?;
        now.timestamp().as_second().checked_add(seconds)
    } else if text.len() == 5 {
        clock(text, now)
    } else {
        text.parse::<Timestamp>().ok().map(|t| t.as_second())
    };
    let start = start
        .and_then(|s| u64::try_from(s).ok())
        .ok_or("write it as 2026-11-20T22:00:00Z, as 22:00 or as +30m")?;
    if start <= u64::try_from(now.timestamp().as_second()).unwrap_or(0) {
        return Err("that moment has passed".to_owned());
    }
    Ok(start)
}

/// The next time that the clock on the wall shows this.
fn clock(text: &str, now: &Zoned) -> Option<i64> {
    let time = Time::strptime("%H:%M", text).ok()?;
    let on = |day: jiff::civil::Date| day.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
    let today = on(now.date())?;
    let next = if today > *now {
        today
    } else {
        on(now.date().checked_add(1.day()).ok()?)?
    };
    Some(next.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vienna keeps summer time until 25 October 2026, 03:00.
    fn now() -> Zoned {
        let rule = "CET-1CEST,M3.5.0,M10.5.0/3";
        let zone = jiff::tz::TimeZone::posix(rule).unwrap();
        "2026-10-24T23:30:15Z"
            .parse::<Timestamp>()
            .unwrap()
            .to_zoned(zone)
    }

    fn at(text: &str) -> String {
        let seconds = parse(text, &now()).unwrap();
        Timestamp::from_second(i64::try_from(seconds).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn three_ways_to_write_it() {
        assert_eq!(at("2026-10-25T00:00:00Z"), "2026-10-25T00:00:00Z");
        assert_eq!(at("2026-10-25T01:00:00+01:00"), "2026-10-25T00:00:00Z");
        assert_eq!(at("+30m"), "2026-10-25T00:00:15Z");
        // It is 01:30 there; after the night the clock is an hour behind.
        assert_eq!(at("01:31"), "2026-10-24T23:31:00Z");
        assert_eq!(at("22:00"), "2026-10-25T21:00:00Z");
        assert_eq!(at("01:30"), "2026-10-26T00:30:00Z");
    }

    #[test]
    fn what_is_no_time_or_has_passed_is_refused() {
        for bad in [
            "",
            "now",
            "22",
            "22:0",
            "24:00",
            "25:61",
            "+",
            "+30",
            "+0s",
            "-30m",
            "2026-10-25",
            "2026-10-25T00:00:00",
            "2026-10-24T23:30:15Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert!(parse(bad, &now()).is_err(), "{bad}");
        }
    }
}
