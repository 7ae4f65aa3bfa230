//! How long each gate may wait for the agent. A `sudo` call passes the gates one after another, with a password
//! prompt possibly between them, so each has a share of its own; together they are the three seconds that a
//! call may lose to a dead or hanging agent. Each is longer than a restart of the agent takes.

use std::time::Duration;

/// G1: audit `open`.
pub const OPEN: Duration = Duration::from_millis(800);
/// G2: PAM auth.
pub const PAM_AUTH: Duration = Duration::from_millis(600);
/// G2: PAM account.
pub const PAM_ACCOUNT: Duration = Duration::from_millis(500);
/// PAM account where it is the last gate: it waits for what G3 waits for. No other gate but PAM auth comes before.
pub const PAM_LAST: Duration = CHECK;
/// G3: approval `check`, which waits for the journal and for the move into the grant's cgroup.
pub const CHECK: Duration = Duration::from_millis(900);
/// Reports whose answer changes nothing.
pub const REPORT: Duration = Duration::from_millis(200);

const _: () = assert!(
    OPEN.as_millis()
        + PAM_AUTH.as_millis()
        + PAM_ACCOUNT.as_millis()
        + CHECK.as_millis()
        + REPORT.as_millis()
        <= 3000
);
