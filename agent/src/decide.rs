//! The one place that decides whether a grant gives a right now. Pure: time, grants and freshness come in, a
//! decision goes out. No other expiry check exists.

use crate::clock::Now;
use crate::deadline::Deadline;
use crate::store::grants::Phase;
use crate::store::state::State;
use statement::claims::{self, Mode};
use statement::detail::{Auth, Detail, Door};
use statement::scope::{self, Ask, Gap};
use std::fmt;

/// A stored grant as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub claims: &'a claims::Grant,
    /// Seconds; the lowest of the grant and of what extended it.
    pub max_stale: u32,
    pub phase: Phase,
    pub deadline: Deadline,
    /// It was for one use, and had it.
    pub used: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Does any grant open this door?
    Door(Door),
    /// Does one cover this very command?
    Use(&'a Ask<'a>),
}

/// Who asks. Both must match: a recreated login has another uid, a renamed one another name.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub login: &'a str,
    pub uid: u32,
}

#[derive(Clone, Debug)]
#[must_use]
pub enum Decision<'a> {
    /// By this grant and this detail of it.
    Allow(View<'a>, &'a Detail),
    Deny(Why<'a>),
}

/// Why not. `Display` is a sentence for the user, without what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    NoGrant,
    /// Grants live, none opens this door.
    NotThisDoor(Door),
    /// The issuer was not heard of in time: revocations might be missing.
    Stale {
        age_s: Option<u64>,
        max_s: u64,
    },
    /// The nearest miss.
    OutOfScope {
        grant: &'a str,
        role: &'a str,
        gap: Gap,
    },
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGrant => f.write_str("you have no active grant on this host"),
            Self::NotThisDoor(door) => write!(
                f,
                "none of your active grants opens the door {}",
                door_name(*door)
            ),
            Self::Stale { age_s: None, .. } => f.write_str(
                "this host has not heard from the issuer yet, so revocations could be missing",
            ),
            Self::Stale {
                age_s: Some(age),
                max_s,
            } => write!(
                f,
                "this host last heard from the issuer {age} s ago (at most {max_s} s allowed), so revocations could be missing"
            ),
            Self::OutOfScope { grant, role, gap } => {
                write!(f, "grant {grant} (role {role}) does not cover this: {gap}")
            }
        }
    }
}

/// The name of a door as people write it.
#[must_use]
pub fn door_name(door: Door) -> &'static str {
    match door {
        Door::Sudo => "sudo",
        Door::Su => "su",
        Door::Ssh => "ssh",
        Door::Polkit => "polkit",
    }
}

/// Decide. Of several grants that cover the ask, the one that ends last.
pub fn decide<'a>(
    grants: impl IntoIterator<Item = View<'a>>,
    state: &State,
    max_stale_s: u64,
    now: Now,
    who: Who<'_>,
    question: Question<'_>,
) -> Decision<'a> {
    let mut best: Option<(View<'a>, &'a Detail)> = None;
    let mut miss: Why<'a> = Why::NoGrant;
    for view in grants {
        if view.phase != Phase::Active
            || view.used
            || view.deadline.passed(state, now)
            || !state.stands(view.claims.epoch, &view.claims.jti)
        {
            continue;
        }
        let mine = view
            .claims
            .authorization_details
            .iter()
            .filter(|d| d.login == who.login && d.uid == who.uid);
        for detail in mine {
            if let Some(why) = refusal(&view, detail, state, max_stale_s, now, question) {
                miss = nearer(miss, why);
            } else if best.is_none_or(|(b, _)| ends_later(&view, &b)) {
                best = Some((view, detail));
            }
        }
    }
    match best {
        Some((view, detail)) => Decision::Allow(view, detail),
        None => Decision::Deny(miss),
    }
}

/// Must the user authenticate beside the grant? Yes as soon as one live grant for the door says so: which grant will
/// cover the command is not known yet when PAM asks.
#[must_use]
pub fn needs_password<'a>(
    grants: impl IntoIterator<Item = View<'a>>,
    state: &State,
    now: Now,
    who: Who<'_>,
    door: Door,
) -> bool {
    grants
        .into_iter()
        .filter(|v| v.phase == Phase::Active && !v.deadline.passed(state, now))
        .flat_map(|v| &v.claims.authorization_details)
        .any(|d| {
            d.login == who.login
                && d.uid == who.uid
                && d.doors.contains(&door)
                && d.auth == Auth::Password
        })
}

/// Could revocations be missing that would end this grant? Then nothing new is given by it.
#[must_use]
pub fn stale<'a>(view: &View<'_>, state: &State, max_stale_s: u64, now: Now) -> Option<Why<'a>> {
    // For when nobody can be heard: it rests on the root keys and on its code.
    if view.claims.mode == Mode::Breakglass {
        return None;
    }
    let max_s = max_stale_s.min(u64::from(view.max_stale));
    let age_s = state.age_s(now);
    // A state statement that names revocations not yet applied here is no proof of freshness.
    let complete = state.state_rev_serial <= state.rev_serial;
    (!complete || age_s.is_none_or(|age| age > max_s)).then_some(Why::Stale { age_s, max_s })
}

fn refusal<'a>(
    view: &View<'a>,
    detail: &Detail,
    state: &State,
    max_stale_s: u64,
    now: Now,
    question: Question<'_>,
) -> Option<Why<'a>> {
    if let Some(stale) = stale(view, state, max_stale_s, now) {
        return Some(stale);
    }
    let gap = match question {
        Question::Door(door) if !detail.doors.contains(&door) => {
            return Some(Why::NotThisDoor(door));
        }
        Question::Door(_) => return None,
        Question::Use(ask) => scope::covers(detail, ask).err()?,
    };
    Some(Why::OutOfScope {
        grant: &view.claims.jti,
        role: &view.claims.role,
        gap,
    })
}

fn ends_later(a: &View<'_>, b: &View<'_>) -> bool {
    (a.deadline.wall_s, a.deadline.boot_ns) > (b.deadline.wall_s, b.deadline.boot_ns)
}

/// The reason that helps the user most: stale beats scope beats door beats none.
fn nearer<'a>(a: Why<'a>, b: Why<'a>) -> Why<'a> {
    let rank = |w: &Why<'_>| match w {
        Why::NoGrant => 0,
        Why::NotThisDoor(_) => 1,
        Why::OutOfScope { .. } => 2,
        Why::Stale { .. } => 3,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

#[cfg(test)]
mod tests;
