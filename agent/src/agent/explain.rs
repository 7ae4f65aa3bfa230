//! What the journal tells a user about his own requests, grants and uses. The journal is root's to read; of it a user gets the
//! records that are about him, and not whether there are others.

use super::Agent;
use super::elevate::error;
use crate::paths;
use journal::{About, Subject};
use std::path::Path;
use wire::cli::{self, Code, Error, Reply, Told};

/// Bytes of uses and refusals; with the few records of a life beside them a reply has room for more.
const ROOM: usize = 256 << 10;

impl Agent {
    /// One at a time: it reads the whole journal.
    ///
    /// # Errors
    /// What the user is told.
    pub async fn explain(&self, uid: u32, subject: cli::Subject) -> Result<Reply, Error> {
        let Ok(_one) = self.explaining.try_lock() else {
            return Err(error(
                Code::Busy,
                "the journal is being read for somebody",
                Some("ask again in a moment"),
            ));
        };
        let known = !matches!(&subject, cli::Subject::Id(id) if !statement::id::is_ulid(id));
        let read = tokio::task::spawn_blocking(move || {
            let subject = match &subject {
                cli::Subject::Index(index) => Subject::Index(*index),
                cli::Subject::Id(id) => Subject::Id(id),
            };
            journal::about(Path::new(paths::JOURNAL_DIR), subject, ROOM)
        });
        let about = read
            .await
            .map_err(|e| error(Code::Internal, e.to_string(), None))?;
        if !known || !(uid == 0 || is_about(&about, uid)) {
            return Err(error(
                Code::NotYours,
                "the journal tells nothing of that which is yours",
                Some("see: jitctl status"),
            ));
        }
        let told = |told: &journal::Told| Told {
            index: told.index,
            record: told.record.to_string(),
        };
        Ok(Reply::Explained {
            records: about.records.iter().map(told).collect(),
            left_out: about.left_out,
            faulty: about.faulty,
        })
    }
}

/// Some record names this user, and none another.
fn is_about(about: &About, uid: u32) -> bool {
    let uids = || {
        about
            .records
            .iter()
            .filter_map(|t| t.record["uid"].as_u64())
    };
    uids().next().is_some() && uids().all(|whose| whose == u64::from(uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn about(records: &[&Value]) -> About {
        let told = |(index, record): (u64, &&Value)| journal::Told {
            index,
            record: (*record).clone(),
        };
        About {
            records: (0..).zip(records).map(told).collect(),
            ..About::default()
        }
    }

    #[test]
    fn only_what_is_wholly_his_is_told() {
        let (his, hers, none) = (
            json!({ "uid": 7 }),
            json!({ "uid": 8 }),
            json!({ "type": "start" }),
        );
        assert!(is_about(&about(&[&his]), 7));
        assert!(is_about(&about(&[&none, &his]), 7));
        assert!(!is_about(&about(&[&his, &hers]), 7));
        assert!(!is_about(&about(&[&none]), 7));
        assert!(!is_about(&about(&[]), 7));
        assert!(!is_about(&about(&[&his]), 0));
    }
}
