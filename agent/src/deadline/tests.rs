use super::*;

const S: u64 = 1_000_000_000;

#[test]
fn the_boot_end_is_never_later_than_the_wall_end() {
    let now = Now {
        wall_ms: 1_000_750,
        boot_ns: 50 * S,
        mono_us: 0,
    };
    // 60 s of whole seconds, 0.75 of which have passed.
    let end = |exp| Deadline::from_now(exp, 1000, now).boot_ns;
    assert_eq!(end(1060), 50 * S + 59_250_000_000);
    assert_eq!(end(900), 50 * S - 750_000_000);
}

#[test]
fn a_new_boot_gives_no_more_than_was_left() {
    let old = Deadline {
        wall_s: 2000,
        boot_ns: 500 * S,
    };
    let now = Now {
        wall_ms: 1_200_000,
        boot_ns: 10 * S,
        mono_us: 0,
    };
    let seen = |boot_id: &str, s| Seen {
        boot_id: boot_id.into(),
        boot_ns: s * S,
    };
    let end = |seen: Option<Seen>| old.in_new_boot("a", seen.as_ref(), 1200, now).boot_ns / S;
    assert_eq!(end(Some(seen("a", 300))), 210);
    assert_eq!(end(Some(seen("a", 600))), 10);
    assert_eq!(end(Some(seen("b", 300))), 810);
    assert_eq!(end(None), 810);
}
