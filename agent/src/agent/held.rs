//! The budget of each user: what he holds, has held and is promised, against what this host lets him hold in a day.

use super::elevate::error;
use super::{Agent, Core, say};
use crate::budget::{DAY_S, Ledger, Span, longest};
use crate::clock;
use crate::paths;
use crate::store::grants::{GrantFile, Phase};
use settings::ceiling::Ceiling;
use std::path::Path;
use wire::cli::{Code, Error};

/// A day in the journal may begin this much earlier, by a clock that was set.
const SLACK_S: u64 = 3600;

impl Core {
    /// The longest that the user may hold one more grant from `from_s` on, at most `wanted_s`.
    fn left_of_day(&self, uid: u32, from_s: u64, wanted_s: u64, most_s: u64) -> u64 {
        let live = self.grants.values().map(|s| &s.file);
        let held: Vec<Span> = live
            .filter(|file| file.uid == uid && file.phase != Phase::Ending)
            .map(|file| Span {
                from_s: file.from_s,
                until_s: file.until_s,
            })
            .chain(self.held.of(uid))
            .collect();
        longest(&held, from_s, wanted_s, most_s)
    }

    /// Keep what a grant that ends now was held, and return it.
    pub(super) fn count(&mut self, file: &GrantFile) -> Span {
        let time_s = clock::now().map_or(file.until_s, |now| self.state.mark.time(now));
        let span = Span {
            from_s: file.from_s,
            until_s: file.until_s.min(time_s).max(file.from_s),
        };
        self.held.ended(&file.jti, file.uid, span, time_s);
        span
    }
}

impl Agent {
    /// May this user hold a grant for so long, from then on?
    ///
    /// # Errors
    /// What he is told.
    pub(super) fn check_budget(
        &self,
        core: &Core,
        uid: u32,
        from_s: u64,
        wanted_s: u64,
    ) -> Result<(), Error> {
        let Some(most_s) = self.usable_ceiling()?.max_per_day_s else {
            return Ok(());
        };
        let left = core.left_of_day(uid, from_s, wanted_s, most_s);
        if left >= wanted_s {
            return Ok(());
        }
        let most = say::duration(most_s);
        let hint = match left {
            0 => "time that you held longer than a day ago comes back; see also: jitctl drop"
                .to_owned(),
            left => format!("ask with: --for {}", say::duration(left)),
        };
        Err(error(
            Code::TooLong,
            format!(
                "on this host you may hold grants for {most} a day, and {wanted_s} s more is over that"
            ),
            Some(&hint),
        ))
    }

    /// Let the journal tell what was held within the last day.
    pub async fn recall_held(&self, ceiling: &Ceiling) {
        if ceiling.max_per_day_s.is_none() {
            return;
        }
        let Ok(now) = clock::now() else { return };
        let time_s = self.core.borrow().state.mark.time(now).min(now.wall_s());
        let since_ms = time_s.saturating_sub(DAY_S + SLACK_S) * 1000;
        let told = tokio::task::spawn_blocking(move || {
            let mut held = Ledger::default();
            for entry in journal::read_since(Path::new(paths::JOURNAL_DIR), since_ms).flatten() {
                held.hear(&entry.json);
            }
            held
        });
        if let Ok(held) = told.await {
            self.core.borrow_mut().held.join(held);
        }
    }
}
