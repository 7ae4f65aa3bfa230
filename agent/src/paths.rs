//! Where things lie. One place for each name that another program or person relies on.

use std::path::{Path, PathBuf};

pub const STATE_DIR: &str = "/var/lib/jit";
pub const GRANTS_DIR: &str = "/var/lib/jit/grants";
pub const PENDING_DIR: &str = "/var/lib/jit/pending";
/// One file for each request of a person that a grant has answered, so that it answers no other.
pub const ANSWERED_DIR: &str = "/var/lib/jit/answered";
/// One file for each break-glass statement: also of those that were used, so that none is used twice.
pub const BREAKGLASS_DIR: &str = "/var/lib/jit/breakglass";
/// `jit-end` leaves one file a grant here; the agent journals and removes it.
pub const ENDED_DIR: &str = "/var/lib/jit/ended";
pub const STATE_FILE: &str = "/var/lib/jit/state.json";
pub const ENROLMENT_FILE: &str = "/var/lib/jit/enrolment.json";
pub const HOST_KEY_FILE: &str = "/var/lib/jit/host.key";
/// machine-id(5): the host's id in its enrolment and in the journal's origin.
pub const MACHINE_ID: &str = "/etc/machine-id";
pub const JOURNAL_DIR: &str = "/var/log/jit/journal";
pub const JOURNAL_HEAD: &str = "/var/lib/jit/journal.head";
/// The newest head of the journal that its witness cosigned.
pub const WITNESS_FILE: &str = "/var/lib/jit/witness.json";
/// Removes what the journal has given up.
pub const PRUNE_UNIT: &str = "jit-prune.service";
/// How far each receiver of syslog has the journal.
pub const RECEIVERS_FILE: &str = "/var/lib/jit/receivers.json";
/// There while the agent runs; on tmpfs. Found at its start, the run before ended without a word.
pub const RUNNING: &str = "/run/jit/running";
/// Numbers for a collector that reads files. Everyone may read it.
pub const METRICS_FILE: &str = "/run/jit/metrics/jit.prom";
/// Held by `jit-end` while it works out who still needs a membership. In a directory only root may enter.
pub const END_LOCK: &str = "/var/lib/jit/end.lock";
/// One empty file for each grant that is ending; on tmpfs, so that a full disk does not matter.
pub const ENDING_DIR: &str = "/run/jit/ending";
/// One empty file, `LOGIN:GROUP`, for each membership of ours: made before it, removed after it.
pub const LEDGER_DIR: &str = "/run/jit/given";
pub const USERDB_DIR: &str = "/run/userdb";
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";
pub const SLICE: &str = "jit.slice";
pub const JIT_END: &str = "/usr/libexec/jit/jit-end";
pub const SUDO_TICKETS: [&str; 2] = ["/run/sudo/ts", "/run/sudo-rs/ts"];

/// The cgroup of a grant's unit, known without asking systemd: the end must find it when nothing answers.
pub fn cgroup(jti: &str) -> PathBuf {
    Path::new(CGROUP_ROOT).join(SLICE).join(unit(jti))
}

/// `jit-<jti>.service`. Callers pass only checked ULIDs, so the name needs no escaping.
pub fn unit(jti: &str) -> String {
    format!("jit-{jti}.service")
}

/// `jit-<jti>-<n>.timer`
pub fn timer(jti: &str, n: u32) -> String {
    format!("jit-{jti}-{n}.timer")
}

/// `jit-<jti>-<n>.service`, what the timer starts: `jit-end <jti>`.
pub fn end_unit(jti: &str, n: u32) -> String {
    format!("jit-{jti}-{n}.service")
}
