//! How much of the interface one user may take up at once: whatever he does, the others are served.
//!
//! A call waits for the bus to say whose it is, then for polkit, then for the agent. Places are given by user as soon as he is
//! known, and until then by connection.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use zbus::names::OwnedUniqueName;

/// Calls of one user that are served at the same time; root's places are his own.
pub const CALLS_PER_UID: usize = 4;
/// Calls that are served at the same time, of all users but root together.
const CALLS: usize = 32;
/// Calls whose user is being asked for: in all, of as many each connection as a user has places.
const ASKED: usize = 32;
/// Connections whose user is remembered. The bus gives no name twice.
const KNOWN: usize = 4096;

/// What is taken up.
#[derive(Clone, Default)]
pub struct Shares(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    known: HashMap<OwnedUniqueName, u32>,
    asked: HashMap<OwnedUniqueName, usize>,
    calls: HashMap<u32, usize>,
}

/// A place; given back when dropped.
pub struct Place {
    shares: Shares,
    of: Of,
}

enum Of {
    Call(u32),
    Question(OwnedUniqueName),
}

/// Whose is a connection?
pub enum Whose {
    Known(u32),
    /// To be asked.
    Ask(Place),
    Busy,
}

impl Shares {
    fn with<T>(&self, what: impl FnOnce(&mut Taken) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn whose(&self, name: &OwnedUniqueName) -> Whose {
        self.with(|taken| {
            if let Some(uid) = taken.known.get(name) {
                return Whose::Known(*uid);
            }
            let own = taken.asked.get(name).copied().unwrap_or(0);
            if own >= CALLS_PER_UID || taken.asked.values().sum::<usize>() >= ASKED {
                return Whose::Busy;
            }
            taken.asked.insert(name.clone(), own + 1);
            Whose::Ask(self.place(Of::Question(name.clone())))
        })
    }

    pub fn is_of(&self, name: &OwnedUniqueName, uid: u32) {
        self.with(|taken| {
            if taken.known.len() >= KNOWN {
                taken.known.clear();
            }
            taken.known.insert(name.clone(), uid);
        });
    }

    /// `None` when he has too many already, or all others together have.
    pub fn enter(&self, uid: u32) -> Option<Place> {
        self.with(|taken| {
            let own = taken.calls.get(&uid).copied().unwrap_or(0);
            let all: usize = taken
                .calls
                .iter()
                .filter(|(uid, _)| **uid != 0)
                .map(|(_, n)| n)
                .sum();
            if own >= CALLS_PER_UID || (uid != 0 && all >= CALLS) {
                return None;
            }
            taken.calls.insert(uid, own + 1);
            Some(self.place(Of::Call(uid)))
        })
    }

    fn place(&self, of: Of) -> Place {
        Place {
            shares: self.clone(),
            of,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.with(|taken| match &self.of {
            Of::Question(name) => one_less(&mut taken.asked, name),
            Of::Call(uid) => one_less(&mut taken.calls, uid),
        });
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_his_share_and_root_one_that_nobody_takes() {
        let shares = Shares::default();
        let mut held: Vec<Place> = Vec::new();
        for uid in 1000..1008 {
            held.extend((0..CALLS_PER_UID).map(|_| shares.enter(uid).unwrap()));
            assert!(shares.enter(uid).is_none());
        }
        assert!(shares.enter(2000).is_none(), "all places are taken");
        assert!(shares.enter(0).is_some());
        held.pop();
        assert!(shares.enter(2000).is_some());
    }

    #[test]
    fn a_connection_is_asked_about_until_it_is_known() {
        let shares = Shares::default();
        let name = |n: usize| OwnedUniqueName::try_from(format!(":1.{n}")).unwrap();
        let questions: Vec<Whose> = (0..CALLS_PER_UID).map(|_| shares.whose(&name(1))).collect();
        assert!(questions.iter().all(|w| matches!(w, Whose::Ask(_))));
        assert!(matches!(shares.whose(&name(1)), Whose::Busy));
        assert!(matches!(shares.whose(&name(2)), Whose::Ask(_)));
        drop(questions);
        assert!(matches!(shares.whose(&name(1)), Whose::Ask(_)));
        shares.is_of(&name(1), 7);
        assert!(matches!(shares.whose(&name(1)), Whose::Known(7)));
        for n in 0..=KNOWN {
            shares.is_of(&name(n), 7);
        }
        assert!(shares.with(|taken| taken.known.len()) <= KNOWN);
    }
}
