//! How long to wait before the next try.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Doubles from `first` to `most`; each wait is drawn from its upper half, so that many links that lost the same
/// issuer do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// The peer is well: start from the beginning the next time.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The wait before this try.
    pub fn wait(&mut self) -> Duration {
        // Each RandomState has other keys. Good enough to spread; nothing secret hangs on it.
        self.draw(RandomState::new().build_hasher().finish())
    }

    fn draw(&mut self, random: u64) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.most);
        let half = whole / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(random % spread.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_most_and_starts_again() {
        let mut b = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut whole = 50;
        for random in [0, 1, u64::MAX, 12_345_678, 0, 7, 9, 11, 13, 17] {
            let got = b.draw(random).as_micros();
            assert!(
                got >= whole * 500 && got <= whole * 1000,
                "{got} of {whole} ms"
            );
            whole = (whole * 2).min(5000);
        }
        assert_eq!(whole, 5000);
        b.reset();
        assert!(b.wait() <= Duration::from_millis(50));
    }

    #[test]
    fn two_links_do_not_wait_alike() {
        let waits: std::collections::BTreeSet<_> = (0..20)
            .map(|_| Backoff::new(Duration::from_secs(5), Duration::from_secs(5)).wait())
            .collect();
        assert!(waits.len() > 10);
    }
}
