//! Retention: entries older than the host's policy, which nobody needs any more, are given up in the journal itself. The
//! files are removed by `jit-prune`, a process of its own, since nothing here can clear a flag.

use super::Agent;
use crate::paths::{JOURNAL_DIR, PRUNE_UNIT};
use journal::{Timestamp, kind};
use statement::limits::MAX_BREAKGLASS_LIFE;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Between two looks; it is days that count.
const EVERY: Duration = Duration::from_secs(600);
/// Before the first one: receivers and the witness have been heard by then.
const FIRST: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 86_400_000;

impl Agent {
    /// Looks for what is old for as long as the agent runs.
    pub async fn watch_age(self: Rc<Self>) {
        tokio::time::sleep(FIRST).await;
        let mut before = Vec::new();
        loop {
            match self.prune().await {
                Ok(asked) if !asked.is_empty() && asked == before => {
                    let why = format!("{PRUNE_UNIT} removes nothing; see: journalctl -u jit-prune");
                    self.alert_rarely(&format!("old entries of the journal stay: {why}"));
                }
                Ok(asked) => before = asked,
                Err(why) => {
                    self.alert_rarely(&format!("old entries of the journal stay: {why}"));
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What is being removed from now on.
    async fn prune(&self) -> Result<Vec<PathBuf>, String> {
        if let Some(days) = self.keeps_days() {
            self.give_up(days).await?;
        }
        // Also what an earlier run did not get to.
        let given_up = tokio::task::spawn_blocking(|| journal::given_up(Path::new(JOURNAL_DIR)));
        let given_up = given_up.await.map_err(|e| e.to_string())?;
        let given_up = given_up.map_err(|e| e.to_string())?;
        if !given_up.is_empty() {
            let units = self.units().await?;
            let asked = units.start(PRUNE_UNIT).await;
            asked.map_err(|e| e.to_string())?;
        }
        Ok(given_up)
    }

    fn keeps_days(&self) -> Option<u64> {
        let config = self.config.borrow();
        // A fault in what is set is no reason to remove anything.
        config.as_ref().ok()?.manners.journal_keep_days
    }

    async fn give_up(&self, days: u64) -> Result<(), String> {
        // The issuer's time: whoever sets this host's clock ahead makes nothing old.
        let issuer_s = self.core.borrow().state.state_iat;
        let needed = self.receivers_have().min(self.witness_has());
        let found = tokio::task::spawn_blocking(move || {
            kept_from(Path::new(JOURNAL_DIR), issuer_s, days, needed)
        });
        let found = found.await.map_err(|e| e.to_string())?;
        let Some(first) = found.map_err(|e| e.to_string())? else {
            return Ok(());
        };
        let record = self.note(kind::PRUNE);
        // It would be taken for a forged one.
        if record.time.unix_ms > (issuer_s * 1000).saturating_add(DAY_MS) {
            return Err(
                "this host's clock is more than a day ahead of what the issuer said last".into(),
            );
        }
        let recorded = self.log.prune(first, days, record).await;
        recorded.map(drop).map_err(|e| e.to_string())
    }
}

/// The first entry to be kept by a policy of so many days before the issuer's time, if any before it is there.
fn kept_from(
    dir: &Path,
    issuer_s: u64,
    days: u64,
    needed: u64,
) -> Result<Option<u64>, journal::Error> {
    let limit_ms = (issuer_s * 1000).saturating_sub(days.saturating_mul(DAY_MS));
    let codes_since = (issuer_s * 1000).saturating_sub(MAX_BREAKGLASS_LIFE * 1000);
    let codes_since = Timestamp::wall(codes_since).rfc3339();
    let Some(first) = journal::prunable(dir, limit_ms, needed)? else {
        return Ok(None);
    };
    let code = journal::read_from(dir, 0)
        .flatten()
        .take_while(|entry| entry.index < first)
        .find(|entry| tells_of_code(&entry.json, &codes_since));
    match code {
        Some(code) => journal::prunable(dir, limit_ms, needed.min(code.index)),
        None => Ok(Some(first)),
    }
}

/// That a break-glass code was used is asked of the journal for as long as the code could live: its file can be put back.
fn tells_of_code(json: &str, since: &str) -> bool {
    if !json.contains(r#""type":"breakglass""#) {
        return false;
    }
    let record: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    record["type"] == kind::BREAKGLASS && record["time"].as_str().is_none_or(|time| time >= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{AppendOnly, HostKey, Identity, Journal, Record};
    use std::fs::OpenOptions;
    use std::io::Write;

    const NOW_S: u64 = 1_795_182_963;
    const DAY_S: u64 = DAY_MS / 1000;

    /// One entry by the host's clock, in a segment of its own.
    fn write(root: &Path, clock_s: u64, key: &[u8]) {
        let identity = Identity {
            host: "7b2e".into(),
            key: HostKey::from_pkcs8(key).unwrap(),
        };
        let (dir, at) = (root.join("journal"), Timestamp::wall(clock_s * 1000));
        let off = AppendOnly::Off;
        let opened = Journal::open_with(&dir, &root.join("head"), &at, identity, off);
        let (mut journal, _) = opened.unwrap();
        let _receipt = journal.append(&Record::new(kind::USE, at)).unwrap();
        drop(journal);
        // The beginning of a frame: what a crash leaves, so that the next start makes a new segment.
        let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let mut newest = OpenOptions::new()
            .append(true)
            .open(files.max().unwrap())
            .unwrap();
        newest.write_all(b"\xffJ").unwrap();
    }

    #[test]
    fn a_clock_set_ahead_makes_nothing_old() {
        let root = tempfile::tempdir().unwrap();
        let (_, key) = statement::sign::Signer::generate().unwrap();
        write(root.path(), NOW_S, &key);
        // The host's clock goes a hundred years ahead, and back.
        for clock_s in [NOW_S + 36_500 * DAY_S, NOW_S + 60, NOW_S + 120] {
            write(root.path(), clock_s, &key);
        }
        let dir = root.path().join("journal");
        let kept = |issuer_s| kept_from(&dir, issuer_s, 30, u64::MAX).unwrap();
        assert_eq!(kept(NOW_S), None);
        assert_eq!(kept(NOW_S + 29 * DAY_S), None);
        // What follows the false date is not dated before it: nothing is old until the issuer says that it has passed.
        assert_eq!(kept(NOW_S + 31 * DAY_S), None);
        assert!(kept(NOW_S + 36_531 * DAY_S).is_some());
        assert_eq!(
            kept_from(&dir, NOW_S + 36_531 * DAY_S, 30, 0).unwrap(),
            None
        );
    }

    #[test]
    fn a_code_is_remembered_for_as_long_as_it_could_live() {
        let record = |time: &str, kind: &str| format!(r#"{{"time":"{time}","type":"{kind}"}}"#);
        let since = Timestamp::wall(1_795_182_963_120).rfc3339();
        assert!(tells_of_code(
            &record("2026-11-20T13:56:03.120Z", "breakglass"),
            &since
        ));
        assert!(!tells_of_code(
            &record("2026-11-20T13:56:03.119Z", "breakglass"),
            &since
        ));
        assert!(!tells_of_code(
            &record("2026-11-20T13:56:03.120Z", "use"),
            &since
        ));
    }
}
