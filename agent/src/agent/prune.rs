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
        let now_s = self.core.borrow().state.state_iat;
        let needed = self.receivers_have().min(self.witness_has());
        let limit_ms = (now_s * 1000).saturating_sub(days.saturating_mul(DAY_MS));
        let codes_since = (now_s * 1000).saturating_sub(MAX_BREAKGLASS_LIFE * 1000);
        let codes_since = Timestamp::wall(codes_since).rfc3339();
        let found = tokio::task::spawn_blocking(move || {
            let dir = Path::new(JOURNAL_DIR);
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
        });
        let found = found.await.map_err(|e| e.to_string())?;
        let Some(first) = found.map_err(|e| e.to_string())? else {
            return Ok(());
        };
        let recorded = self.log.prune(first, days, self.note(kind::PRUNE)).await;
        recorded.map(drop).map_err(|e| e.to_string())
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
