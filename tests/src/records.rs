//! Waiting for what a host's journal says.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Host;
use crate::grants::records;

impl Host {
    /// Waits for a record of which `is_it` holds: refusals and endings are journaled right after the answer.
    #[track_caller]
    pub fn wait_record(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let limit = Duration::from_secs(5);
        let start = Instant::now();
        loop {
            let records = records(self);
            if let Some(found) = records.iter().rfind(|r| is_it(r)) {
                return found.clone();
            }
            assert!(
                start.elapsed() < limit,
                "no record of {what} within {limit:?}; the last ones:\n{}",
                records
                    .iter()
                    .rev()
                    .take(5)
                    .map(|r| format!("{r}\n"))
                    .collect::<String>()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the record of a refusal with that text, and returns it.
    #[track_caller]
    pub fn wait_refusal(&self, text: &str) -> Value {
        self.wait_record(text, |r| {
            let said = r["detail"]["why"].as_str().unwrap_or_default();
            r["type"] == "refused" && r["decision"] == "deny" && said.contains(text)
        })
    }
}
