//! The numbers of this host, put where a collector finds them.

use super::Agent;
use crate::clock;
use crate::metrics::{self, Counts, Levels};
use crate::paths::METRICS_FILE;
use crate::store::grants::Phase;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether a number has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often the file is written though none has: it says when the agent was last there.
const ALIVE: Duration = Duration::from_secs(15);
/// The link may be away so long: it is restarted with each update.
const LINK_AWAY: Duration = Duration::from_secs(60);

impl Agent {
    fn levels(&self) -> Levels {
        let waiting = self.waiting();
        let core = self.core.borrow();
        let live = core.grants.values();
        Levels {
            grants: live.filter(|s| s.file.phase == Phase::Active).count() as u64,
            requests: core.pending.len() as u64,
            next: self.log.next_index(),
            journal_writable: self.log.trouble().is_none(),
            link: core.link.tx.is_some(),
            issuer: core.link.connected,
            waiting,
        }
    }
}

/// Writes the file when a number has changed, and tells of a link that stays away.
pub async fn publish(agent: Rc<Agent>) {
    let mut last: Option<(Instant, Counts, Levels)> = None;
    let (mut seen, mut told) = (Instant::now(), false);
    loop {
        let (now, counts, levels) = (Instant::now(), agent.log.counts(), agent.levels());
        if levels.link {
            (seen, told) = (now, false);
        } else if now - seen >= LINK_AWAY && !told {
            told = true;
            let why = "the link is away: neither revocations nor records travel; see: systemctl status jit-link";
            agent.alert_as("link", why);
        }
        let same = last
            .as_ref()
            .is_some_and(|(then, c, l)| (c, l) == (&counts, &levels) && now - *then < ALIVE);
        if !same {
            let time_s = clock::now().map_or(0, |now| now.wall_s());
            let text = metrics::render(&counts, &levels, time_s);
            // A file of a few lines on tmpfs.
            if let Err(e) = metrics::write(Path::new(METRICS_FILE), &text) {
                agent.alert_rarely(&format!("{METRICS_FILE}: {e}"));
            }
            last = Some((now, counts, levels));
        }
        tokio::time::sleep(LOOK).await;
    }
}
