//! How long each gate may wait for the agent. A `sudo` call passes the gates one after another, with a password
//! prompt possibly between them, so each has a share of its own; together they are the three seconds that a
//! call may lose to a dead or hanging agent. What an earlier gate of the same shared object left of its share, a later
//! one may use ([`with_rest`]): whichever gate meets a restart of the agent, it waits longer than one takes.

use std::time::Duration;

/// G1: audit `open`.
pub const OPEN: Duration = Duration::from_millis(1000);
/// G2: PAM auth.
pub const PAM_AUTH: Duration = Duration::from_millis(1050);
/// G2: PAM account, besides what auth left.
pub const PAM_ACCOUNT: Duration = Duration::from_millis(150);
/// PAM account where it is the last gate, besides what auth left: it waits for what G3 waits for. No other gate
/// but PAM auth comes before.
pub const PAM_LAST: Duration = CHECK;
/// G3: approval `check`, which waits for the journal and for the move into the grant's cgroup; besides what `open` left.
pub const CHECK: Duration = Duration::from_millis(600);
/// Reports whose answer changes nothing.
pub const REPORT: Duration = Duration::from_millis(200);

/// A later gate's `share`, and what the gate before it, which `took` so long, left of its own.
pub fn with_rest(share: Duration, before: Duration, took: Duration) -> Duration {
    share + before.saturating_sub(took)
}

const _: () = assert!(
    OPEN.as_millis()
        + PAM_AUTH.as_millis()
        + PAM_ACCOUNT.as_millis()
        + CHECK.as_millis()
        + REPORT.as_millis()
        <= 3000
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gates_together_wait_no_longer_than_both_shares() {
        for took_ms in [0, 5, 999, 1000, 1001, 100_000] {
            let took = Duration::from_millis(took_ms);
            let later = with_rest(CHECK, OPEN, took);
            assert!(later >= CHECK, "its own share is left to it");
            assert!(took.min(OPEN) + later <= OPEN + CHECK);
        }
        assert_eq!(with_rest(CHECK, OPEN, Duration::ZERO), OPEN + CHECK);
    }
}
