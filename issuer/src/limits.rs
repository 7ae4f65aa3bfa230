//! How much one host, and one user of it, may ask for.

use crate::clock::Monotonic;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Who has used too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    User,
    Host,
}

/// A user who asks for too much uses up his own share before his host's.
pub struct Shares {
    pub hosts: Buckets,
    pub users: Buckets,
}

impl Shares {
    /// # Errors
    /// Whose share is used up.
    pub fn take(&self, host: &str, sub: &str) -> Result<(), Over> {
        // The host first: it bounds how many names of users one host can bring in.
        if !self.hosts.take(host) {
            return Err(Over::Host);
        }
        if !self.users.take(&format!("{host} {sub}")) {
            self.hosts.give_back(host);
            return Err(Over::User);
        }
        Ok(())
    }
}

/// Names that are remembered; beyond it those with a full bucket are forgotten.
const REMEMBERED: usize = 16_384;

/// A token bucket a name: a minute's worth at once, then a steady trickle.
pub struct Buckets {
    per_minute: u64,
    start: Monotonic,
    levels: Mutex<HashMap<String, Level>>,
}

#[derive(Clone, Copy)]
struct Level {
    /// Thousandths of a token per request.
    tokens: u64,
    /// Milliseconds.
    at: u64,
}

impl Buckets {
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute: u64::from(per_minute),
            start: Monotonic::start(),
            levels: Mutex::new(HashMap::new()),
        }
    }

    /// Whether this host may make one more request now.
    pub fn take(&self, host: &str) -> bool {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.take_at(host, now)
    }

    /// What was taken was not used.
    fn give_back(&self, host: &str) {
        let full = self.per_minute * 1000;
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = levels.get_mut(host) {
            level.tokens = (level.tokens + 1000).min(full);
        }
    }

    fn take_at(&self, host: &str, now: u64) -> bool {
        let full = self.per_minute * 1000;
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= REMEMBERED && !levels.contains_key(host) {
            levels.retain(|_, level| now.saturating_sub(level.at) < 60_000);
            if levels.len() >= REMEMBERED {
                return false;
            }
        }
        let level = levels.entry(host.to_owned()).or_insert(Level {
            tokens: full,
            at: now,
        });
        // per_minute tokens in 60,000 ms are per_minute / 60 thousandths a millisecond.
        let gained = now.saturating_sub(level.at).saturating_mul(self.per_minute) / 60;
        if gained > 0 {
            level.tokens = level.tokens.saturating_add(gained).min(full);
            level.at = now;
        }
        if level.tokens < 1000 {
            return false;
        }
        level.tokens -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_at_once_then_a_trickle_and_others_unaffected() {
        let b = Buckets::new(60);
        assert_eq!((0..100).filter(|_| b.take_at("a", 0)).count(), 60);
        assert!(b.take_at("b", 0));
        assert!(!b.take_at("a", 999));
        assert!(b.take_at("a", 1000));
        assert!(!b.take_at("a", 1000));
        assert_eq!((0..100).filter(|_| b.take_at("a", 1_000_000)).count(), 60);
    }

    #[test]
    fn a_user_uses_up_his_own_share_first() {
        let shares = Shares {
            hosts: Buckets::new(5),
            users: Buckets::new(2),
        };
        assert_eq!(shares.take("h", "a"), Ok(()));
        assert_eq!(shares.take("h", "a"), Ok(()));
        assert_eq!(shares.take("h", "a"), Err(Over::User));
        assert_eq!(shares.take("h", "b"), Ok(()));
        assert_eq!(shares.take("g", "a"), Ok(()));
        assert_eq!(shares.take("h", "c"), Ok(()));
        assert_eq!(shares.take("h", "d"), Ok(()));
        assert_eq!(shares.take("h", "e"), Err(Over::Host));
    }

    #[test]
    fn names_that_are_quiet_are_forgotten() {
        let b = Buckets::new(60);
        for n in 0..REMEMBERED {
            assert!(b.take_at(&n.to_string(), 0));
        }
        assert!(!b.take_at("more", 59_999));
        assert!(b.take_at("0", 59_999));
        assert!(b.take_at("more", 60_000));
        assert_eq!(b.levels.lock().unwrap().len(), 2);
    }

    #[test]
    fn asking_often_does_not_stop_the_trickle() {
        let b = Buckets::new(1);
        assert!(b.take_at("a", 0));
        let first = (1..200_000).find(|ms| b.take_at("a", *ms));
        assert_eq!(first, Some(60_000));
    }
}
