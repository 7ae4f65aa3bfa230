//! The witness of the journal, at the issuer: it is shown each head, and remembers them where nobody on this host can reach.
//! Here: when it is shown one, and what is not given before it has cosigned. The exchange itself is in [`exchange`].
//!
//! The link carries the heads and is not believed: a cosignature is verified with a key of the trust statement. What else
//! comes through the link can only delay.

mod exchange;

use super::Agent;
use crate::clock::{self, Now};
use exchange::{Names, Next};
use journal::{Cosigned, Follower, HostKey, Receipt, kind};
use settings::ceiling::{Ceiling, WitnessMode};
use statement::detail::{Detail, Witnessed};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// A head is shown so often, also when nothing happens.
const EVERY: Duration = Duration::from_secs(60);
/// And so often while the last one was not cosigned.
const SOON: Duration = Duration::from_secs(5);
/// How long what is to begin waits for the witness.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where the host lets it begin without the witness.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a use waits; the gate waits for `wire::budget::CHECK` and what `open` left, and for the journal and the move, too.
const USE_PATIENCE: Duration = Duration::from_millis(600);
/// Heads shown one after the other; a link that lies makes no more work than this.
const ROUNDS: usize = 16;
/// Without a cosignature for so long, people are told.
const LATE_S: u64 = 180;

/// What is known of the witness.
#[derive(Default)]
pub struct Witness {
    /// The newest head that was cosigned.
    kept: Option<Cosigned>,
    /// How many entries it has.
    size: u64,
    /// The log's origin, without its generation; empty before the first look.
    log: String,
    key: Option<Rc<HostKey>>,
    /// What the next head is to go on from, as far as is known.
    generation: u64,
    known: u64,
    follower: Option<Follower>,
    /// How often, one after the other, the log could not be read.
    failed: u32,
    /// It cosigned since this agent started.
    proven: bool,
    /// The journal is not what the witness remembers: nothing begins.
    trouble: Option<String>,
    /// Why the last try came to nothing.
    why: Option<String>,
    /// `CLOCK_BOOTTIME` nanoseconds of the last cosignature of this run, or of its first look.
    since_ns: u64,
}

impl Witness {
    /// What an earlier turn was told counts no more: it may have been the link's word.
    fn begin_with_kept(&mut self) {
        self.generation = self.kept.as_ref().map_or(1, |kept| kept.generation);
        self.known = self.size;
    }

    /// Seconds without it, and at least since the last cosignature that is kept.
    fn age_s(&self, now: Now, time_s: u64) -> u64 {
        let here = now.boot_ns.saturating_sub(self.since_ns) / 1_000_000_000;
        match &self.kept {
            Some(kept) if !self.proven => here.max(time_s.saturating_sub(kept.at)),
            _ => here,
        }
    }
}

/// What of these details must be witnessed, beyond what the host demands.
fn demanded(details: &[Detail]) -> Option<Witnessed> {
    details.iter().filter_map(|d| d.witnessed).max()
}

impl Agent {
    /// Shows heads for as long as the agent runs.
    pub async fn watch_witness(self: Rc<Self>) {
        let mut growth = self.log.growth();
        while *growth.borrow_and_update() == 0 {
            if growth.changed().await.is_err() {
                return;
            }
        }
        let mut beat = false;
        loop {
            let settled = self.witness_turn(beat).await;
            let every = if settled { EVERY } else { SOON };
            beat = tokio::select! {
                () = tokio::time::sleep(every) => settled,
                () = self.show_head.notified() => false,
            };
        }
    }

    /// Shows what is new. False: it is to be tried again soon.
    async fn witness_turn(&self, beat: bool) -> bool {
        let Some(names) = self.witness_names() else {
            *self.witness.borrow_mut() = Witness::default();
            return true;
        };
        if let Err(why) = self.look_at_log(&names).await {
            return self.not_witnessed(why);
        }
        self.witness.borrow_mut().begin_with_kept();
        if beat && self.witness.borrow().size >= self.log.next_index() {
            // So that whoever repeats what we said before does not pass for us.
            let record = self.note(kind::HEARTBEAT);
            if let Err(e) = self.log.append(record).await {
                return self.not_witnessed(e.to_string());
            }
        }
        for _ in 0..ROUNDS {
            match self.show_one(&names).await {
                Next::Again => {}
                Next::Done => return true,
                Next::Stop(why) => return self.not_witnessed(why),
            }
        }
        false
    }

    fn not_witnessed(&self, why: String) -> bool {
        self.witness.borrow_mut().why = Some(why);
        self.changed.notify_waiters();
        false
    }

    fn witness_names(&self) -> Option<Names> {
        let core = self.core.borrow();
        let enrolled = core.enrolled.as_ref()?;
        Names::of(&enrolled.me.host, &enrolled.ring)
    }

    fn has_witness(&self) -> bool {
        let core = self.core.borrow();
        core.enrolled
            .as_ref()
            .is_some_and(|e| !e.ring.witnesses().is_empty())
    }

    /// Entries below this one stand in a head that the witness has cosigned in this run; all, where there is no witness.
    pub(super) fn witness_has(&self) -> u64 {
        let witness = self.witness.borrow();
        match (self.has_witness(), witness.proven) {
            (false, _) => u64::MAX,
            (true, true) => witness.size,
            (true, false) => 0,
        }
    }

    /// Why nothing may begin, whatever else allows it.
    pub(super) fn witness_trouble(&self) -> Option<String> {
        let trouble = self.witness.borrow().trouble.clone()?;
        self.has_witness().then_some(trouble)
    }

    /// Waits for the witness's word on the journal as it was at this agent's start. The answer stands in the record of what
    /// begins: `None`, it said so; else why that does not matter here.
    ///
    /// # Errors
    /// Why nothing may begin.
    pub(super) async fn witness_before(
        &self,
        details: &[Detail],
        emergency: bool,
    ) -> Result<Option<&'static str>, String> {
        if !self.has_witness() {
            let demands = demanded(details).is_some();
            return match (demands, self.witness_mode()) {
                _ if emergency => Ok(None),
                (true, _) => Err("its role demands that the journal is witnessed, and the trust statement names no witness".into()),
                (_, WitnessMode::BeforeGrant) => Err("ceiling.toml demands that the journal is witnessed, and the trust statement names no witness".into()),
                _ => Ok(None),
            };
        }
        if emergency {
            return Ok(Some("emergency"));
        }
        let said = || {
            let witness = self.witness.borrow();
            witness.proven || witness.trouble.is_some()
        };
        if !said() {
            self.show_head.notify_one();
            // Who may begin without it does not wait long.
            let patience = self.without_witness().map_or(PATIENCE, |()| SHORT_PATIENCE);
            self.changed_until(Instant::now() + patience, said).await;
        }
        if let Some(trouble) = self.witness_trouble() {
            return Err(trouble);
        }
        if self.witness.borrow().proven {
            return Ok(None);
        }
        self.without_witness()?;
        Ok(Some("offline"))
    }

    /// Waits until this record is below a cosigned head, where the host or the role demands it.
    ///
    /// # Errors
    /// It is not: nothing may begin.
    pub(super) async fn witness_after(
        &self,
        recorded: &Receipt,
        details: &[Detail],
        emergency: bool,
    ) -> Result<(), String> {
        let mode = self.witness_mode();
        if !self.has_witness() || mode == WitnessMode::Interval && demanded(details).is_none() {
            return Ok(());
        }
        self.show_head.notify_one();
        let strict = demanded(details).is_some();
        if emergency || !strict && mode != WitnessMode::BeforeGrant {
            return Ok(());
        }
        match self.covered(recorded, PATIENCE).await {
            Err(_) if !strict && self.witness_trouble().is_none() => {
                self.without_witness()?;
                let record = self.note(kind::WITNESS).decision("allow");
                let record = record.detail("index", recorded.index());
                self.log.later(record.detail("what", "offline"));
                Ok(())
            }
            covered => covered,
        }
    }

    /// The same for one use of a role that demands it.
    ///
    /// # Errors
    /// What the user is told.
    pub(super) async fn witness_use(
        &self,
        recorded: &Receipt,
        details: &[Detail],
    ) -> Result<(), String> {
        if demanded(details) != Some(Witnessed::Use) {
            return Ok(());
        }
        if !self.has_witness() {
            return Err("the trust statement names no witness any more".into());
        }
        self.show_head.notify_one();
        self.covered(recorded, USE_PATIENCE).await
    }

    /// Waits until the witness has cosigned a head over this record.
    async fn covered(&self, recorded: &Receipt, patience: Duration) -> Result<(), String> {
        let covered = || {
            let witness = self.witness.borrow();
            witness.proven && witness.size > recorded.index()
        };
        let said = || covered() || self.witness.borrow().trouble.is_some();
        self.changed_until(Instant::now() + patience, said).await;
        if let Some(trouble) = self.witness_trouble() {
            return Err(trouble);
        }
        if covered() {
            return Ok(());
        }
        Err(format!("its record was not cosigned in time{}", self.why()))
    }

    fn why(&self) -> String {
        let witness = self.witness.borrow();
        witness
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!(" ({why})"))
    }

    /// May something begin that the witness has not seen? For so long as the host allows it.
    fn without_witness(&self) -> Result<(), String> {
        let most_s = self.ceiling()?.witness_offline_s;
        let age_s = self.witness_age()?;
        let looked = !self.witness.borrow().log.is_empty();
        if looked && age_s <= most_s {
            return Ok(());
        }
        Err(format!(
            "the witness of this host's journal has not cosigned it for {age_s} s{}; without it grants begin for {most_s} s (ceiling.toml, witness_offline_s)",
            self.why()
        ))
    }

    fn witness_age(&self) -> Result<u64, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let time_s = self.core.borrow().state.mark.time(now);
        Ok(self.witness.borrow().age_s(now, time_s))
    }

    fn witness_mode(&self) -> WitnessMode {
        // A ceiling that cannot be read lets nothing begin anyway.
        let ceiling = self.ceiling();
        ceiling.map_or_else(|_| Ceiling::default().witness, |c| c.witness)
    }

    /// For people: what is wrong, or `None`.
    pub(super) fn witness_note(&self) -> Option<String> {
        if let Some(trouble) = self.witness_trouble() {
            return Some(trouble);
        }
        let age_s = self.witness_age().ok()?;
        let looked = !self.witness.borrow().log.is_empty();
        (self.has_witness() && looked && age_s > LATE_S).then(|| {
            let why = self.why();
            format!("the journal's witness has not cosigned it for {age_s} s{why}")
        })
    }
}
