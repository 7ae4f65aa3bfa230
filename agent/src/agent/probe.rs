//! Harmless records, to see the way to the receivers at work.

use super::elevate::error;
use super::{Agent, random, word};
use journal::kind;
use wire::cli::{self, Code, Error, Reply};

/// Of one call.
const MOST: u8 = 100;

impl Agent {
    /// Journals `count` records that say that nothing happened.
    ///
    /// # Errors
    /// Too many at once, or the journal cannot be written.
    pub async fn probe(&self, count: u8) -> Result<Reply, Error> {
        if count == 0 || count > MOST {
            return Err(error(
                Code::Usage,
                format!("between 1 and {MOST} probes"),
                None,
            ));
        }
        let failed = |why: String| error(Code::Internal, why, None);
        let mut probes = Vec::new();
        for _ in 0..count {
            let id = word::hex(&random::<8>().map_err(failed)?);
            let record = self.note(kind::PROBE).detail("probe", id.as_str()).detail(
                "why",
                "nothing happened: a test of the way to the receivers",
            );
            let receipt = self.log.append(record).await;
            let index = receipt.map_err(|e| failed(e.to_string()))?.index();
            probes.push(cli::Probe { index, id });
        }
        Ok(Reply::Probed { probes })
    }
}
