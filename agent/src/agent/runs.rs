//! Whole lives of a host, made up at random: clocks set, sleep, restarts, reboots with a good and with a dead real-time
//! clock, statements fresh, late and replayed. No right past min(end, last word of the issuer + `max_stale`), and no end
//! ever moves.

use super::accept;
use crate::clock::Now;
use crate::deadline::Deadline;
use crate::decide::{self, View};
use crate::store::grants::Phase;
use crate::store::state::State;
use proptest::prelude::*;
use statement::claims::{self, Mode, PolicyRef};

/// True time at the start, Unix milliseconds: statements count in whole seconds, clocks do not.
const START: u64 = 1_800_000_000_000;
/// How long a statement may be under way (`exp` of a state, [`accept::is_ahead`]).
const UNDER_WAY: u64 = 120;

#[derive(Clone, Debug)]
enum Event {
    /// All times are in milliseconds.
    Pass(u64),
    Sleep(u64),
    /// Someone sets the wall clock by so much.
    Set(i64),
    /// Off for so long. The real-time clock is right, or starts in 1970.
    Reboot {
        off: u64,
        dead: bool,
    },
    Restart,
    KeepMark,
    /// The issuer's next statement arrives after so long.
    Word {
        delay: u64,
    },
    /// An older one comes again.
    Replay(prop::sample::Index),
}

/// What may happen: `late`, the link holds statements back; `set`, the wall clock is set; `dead`, the real-time clock dies.
/// Whoever has two of them can pass an old word for a new one: a host that does not know the time believes the word that
/// fits its clock.
fn event(late: bool, set: bool, dead: bool) -> impl Strategy<Value = Event> {
    let longest_delay: u64 = if late { 300_000 } else { 0 };
    let dead = if dead {
        any::<bool>().boxed()
    } else {
        Just(false).boxed()
    };
    let far = if set {
        prop_oneof![-90_000_000_000_i64..90_000_000_000, -300_000_i64..300_000].boxed()
    } else {
        Just(0).boxed()
    };
    prop_oneof![
        4 => prop_oneof![0_u64..120_000, 0_u64..2000].prop_map(Event::Pass),
        1 => (0_u64..900_000).prop_map(Event::Sleep),
        2 => far.prop_map(Event::Set),
        1 => (1000_u64..900_000, dead).prop_map(|(off, dead)| Event::Reboot { off, dead }),
        1 => Just(Event::Restart),
        1 => Just(Event::KeepMark),
        4 => (0..=longest_delay).prop_map(|delay| Event::Word { delay }),
        1 => any::<prop::sample::Index>().prop_map(Event::Replay),
    ]
}

struct Host {
    /// True time and the wall clock, which may say anything.
    true_ms: u64,
    wall_ms: u64,
    boot_ms: u64,
    boot: u32,
    /// In memory, and on disk.
    state: State,
    disk: State,
    claims: claims::Grant,
    until: Deadline,
    until_boot: String,
    live: bool,
    /// All statements taken; how many were made; when the last taken one was made, Unix seconds.
    words: Vec<claims::State>,
    seq: u64,
    heard_s: u64,
}

impl Host {
    /// A host that has just heard its issuer, and then taken a grant.
    fn new(life: u64) -> Self {
        let (true_ms, boot_ms) = (START + 700, 1_000_400);
        let now = at(true_ms, boot_ms);
        let true_s = now.wall_s();
        let state = State::new("", 1, "0", now);
        let mut host = Self {
            true_ms,
            wall_ms: true_ms,
            boot_ms,
            boot: 0,
            disk: state.clone(),
            state,
            claims: grant(true_s, life),
            until: Deadline::from_now(true_s + life, true_s, now),
            until_boot: "0".into(),
            live: true,
            words: Vec::new(),
            seq: 0,
            heard_s: 0,
        };
        host.happen(&Event::Word { delay: 0 });
        host
    }

    fn now(&self) -> Now {
        at(self.wall_ms, self.boot_ms)
    }

    fn pass(&mut self, ms: u64) {
        self.true_ms += ms;
        self.wall_ms += ms;
        self.boot_ms += ms;
    }

    fn take(&mut self, word: &claims::State) -> bool {
        let taken = accept::state(word, &self.state, self.now()).is_ok();
        if taken {
            self.state.hear(word, true, self.now());
            self.disk = self.state.clone();
            self.heard_s = word.iat;
        }
        taken
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Pass(ms) | Event::Sleep(ms) => self.pass(*ms),
            Event::Set(by) => self.wall_ms = self.wall_ms.saturating_add_signed(*by),
            Event::Restart => {
                self.state = self
                    .disk
                    .clone()
                    .in_boot(&self.boot.to_string(), self.now());
            }
            Event::Reboot { off, dead } => self.reboot(*off, *dead),
            Event::KeepMark => {
                self.state.mark = self.state.mark.advanced(self.now());
                self.disk = self.state.clone();
            }
            Event::Word { delay } => {
                self.seq += 1;
                let word = word(self.seq, self.true_ms / 1000);
                self.pass(*delay);
                if self.take(&word) {
                    self.words.push(word);
                }
            }
            Event::Replay(which) => {
                let word = self.words[which.index(self.words.len())].clone();
                assert!(!self.take(&word), "a word counted twice");
            }
        }
        // What is over is ended, and stays so.
        self.live &= !self.until.passed(&self.state, self.now());
    }

    /// As `reconcile` does it.
    fn reboot(&mut self, off: u64, dead: bool) {
        self.boot += 1;
        self.true_ms += off;
        self.boot_ms = 7300;
        self.wall_ms = if dead { 30_000 } else { self.true_ms };
        let (now, boot) = (self.now(), self.boot.to_string());
        self.state = self.disk.clone().in_boot(&boot, now);
        self.disk = self.state.clone();
        let time_s = self.state.mark.time(now);
        self.live &= time_s < self.until.wall_s && !accept::is_ahead(self.claims.iat, time_s);
        let seen = self.state.seen.as_ref();
        let again = self.until.in_new_boot(&self.until_boot, seen, time_s, now);
        assert_eq!(again.wall_s, self.until.wall_s);
        self.until = again;
        self.until_boot = boot;
    }

    fn allows(&self, max_stale: u64) -> bool {
        let view = View {
            claims: &self.claims,
            max_stale: self.claims.max_stale,
            phase: Phase::Active,
            deadline: self.until,
            used: false,
        };
        let now = self.now();
        self.live
            && !self.until.passed(&self.state, now)
            && decide::stale(&view, &self.state, max_stale, now).is_none()
    }
}

fn at(wall_ms: u64, boot_ms: u64) -> Now {
    Now {
        wall_ms,
        boot_ns: boot_ms * 1_000_000,
        mono_us: 0,
    }
}

fn word(seq: u64, iat: u64) -> claims::State {
    claims::State {
        ver: 1,
        iss: "i".into(),
        iat,
        epoch: 1,
        exp: iat + UNDER_WAY,
        state_seq: seq,
        rev_serial: 0,
        rev_head: statement::digest::sha256_b64(b""),
        policy_ver: 1,
        trust_ver: 1,
    }
}

fn grant(iat: u64, life: u64) -> claims::Grant {
    claims::Grant {
        ver: 1,
        iss: "i".into(),
        iat,
        epoch: 1,
        aud: vec!["h".into()],
        jti: "01JABCDEFGHJKMNPQRSTVWXYZ0".into(),
        seq: 1,
        sub: "s".into(),
        nbf: iat,
        exp: iat + life,
        max_stale: 86_400,
        role: "admin".into(),
        authorization_details: vec![],
        req_hash: String::new(),
        mode: Mode::Auto,
        policy: PolicyRef {
            digest: String::new(),
            rule: String::new(),
        },
        reason: "r".into(),
        ticket: None,
        extends: None,
    }
}

/// Runs it all, looking after each event and in each second of what may pass after it.
fn run(life: u64, max_stale: u64, events: &[Event], slack: u64) -> Result<u64, TestCaseError> {
    let mut host = Host::new(life);
    let mut allowed = 0;
    for event in events {
        host.happen(event);
        if host.allows(max_stale) {
            allowed += 1;
            let true_s = host.true_ms / 1000;
            prop_assert!(
                true_s < START / 1000 + life,
                "past its end, after {event:?}"
            );
            prop_assert!(
                true_s <= host.heard_s + max_stale + slack,
                "past the issuer's last word, after {event:?}"
            );
        }
    }
    Ok(allowed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The link carries at once: not a second more, whatever is done to the clocks.
    #[test]
    fn no_right_past_the_end_or_past_the_last_word(
        life in 1_u64..3600,
        max_stale in 0_u64..900,
        events in prop::collection::vec(event(false, true, true), 1..40),
    ) {
        run(life, max_stale, &events, 0)?;
    }

    /// The link holds statements back, too: the end stays, and a word counts no longer than it may be under way.
    #[test]
    fn a_link_that_delays_gains_no_more_than_a_statement_lives(
        life in 1_u64..3600,
        max_stale in 0_u64..900,
        events in prop::collection::vec(event(true, false, false), 1..40),
    ) {
        run(life, max_stale, &events, UNDER_WAY)?;
    }

    /// Whoever sets the clock and holds statements back as well moves no end.
    #[test]
    fn nothing_moves_an_end(
        life in 1_u64..3600,
        events in prop::collection::vec(event(true, true, false), 1..40),
    ) {
        run(life, 900, &events, START)?;
    }
}

#[test]
fn a_right_outlives_clocks_reboots_and_sleep_within_its_time() {
    let events = [
        Event::Pass(60_000),
        Event::Word { delay: 1000 },
        Event::Set(-3_600_000),
        Event::Pass(30_000),
        Event::Word { delay: 1000 },
        Event::Sleep(100_000),
        Event::Word { delay: 1000 },
        Event::Reboot {
            off: 60_000,
            dead: false,
        },
        Event::Reboot {
            off: 60_000,
            dead: true,
        },
        Event::Word { delay: 1000 },
    ];
    // Refused only between the start with a dead clock and the issuer's next word.
    assert_eq!(run(1000, 300, &events, 0).unwrap(), events.len() as u64 - 1);
}
