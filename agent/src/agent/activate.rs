//! Putting a grant in force: timer, unit and memberships come together or not at all.

use super::{Agent, Outcome};
use crate::clock::{self, Now};
use crate::deadline::Deadline;
use crate::effects::groups;
use crate::effects::units::TimerAt;
use crate::ending::memberships;
use crate::paths;
use crate::store::grants::{self, Cause, GrantFile, Phase};
use journal::{Receipt, Record, kind};
use settings::ceiling::Ceiling;
use statement::claims::{Grant, Mode};
use statement::detail::{Detail, OnEnd};
use statement::risk::ROOT_EQUAL;
use statement::verify::VerifiedGrant;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long PID 1's timer has, past the deadline, before the agent asks for the end itself.
const TIMER_GRACE: Duration = Duration::from_millis(500);

/// How long systemd may take to start timer and unit.
pub(super) const UNITS_PATIENCE: Duration = Duration::from_secs(6);

/// How long other programs may give and take memberships before a grant is not given.
const GROUPS_PATIENCE: Duration = Duration::from_secs(3);

const ENDED_MEANWHILE: &str = "it ended while it was being put in force";

/// Every group that a grant gives, each once.
pub(super) fn groups_of(claims: &Grant) -> Vec<String> {
    let details = claims.authorization_details.iter();
    let all: BTreeSet<String> = details.flat_map(|d| d.groups.clone()).collect();
    all.into_iter().collect()
}

/// The plain file of a grant that was just taken.
pub(super) fn file_of(
    grant: &VerifiedGrant,
    boot_id: &str,
    journal_from: u64,
    time_s: u64,
    now: Now,
) -> GrantFile {
    let claims = grant.claims();
    let report = claims
        .authorization_details
        .iter()
        .all(|d| d.on_end == OnEnd::Report);
    let (login, uid) = claims
        .authorization_details
        .first()
        .map(|d| (d.login.clone(), d.uid))
        .unwrap_or_default();
    GrantFile {
        v: 1,
        jti: claims.jti.clone(),
        login,
        uid,
        role: claims.role.clone(),
        groups: groups_of(claims),
        on_end: if report { OnEnd::Report } else { OnEnd::Kill },
        from_s: claims.nbf,
        until_s: claims.exp,
        boot_id: boot_id.to_owned(),
        until_boot_ns: Deadline::from_now(claims.exp, time_s, now).boot_ns,
        timers: 1,
        phase: if claims.nbf > time_s {
            Phase::Waiting
        } else {
            Phase::Arming
        },
        cause: None,
        used: false,
        request: grant.request().id.clone(),
        bundle: grant.bundle().to_owned(),
        journal_from,
        extensions: Vec::new(),
    }
}

/// The names were held against the ceiling when the grant was taken; the kernel goes by the number.
fn refuse_twins(wanted: &[String], ceiling: &Ceiling) -> Result<(), String> {
    let unnamed = |g: &&String| !g.starts_with("jit-") && !ceiling.groups.contains(g);
    let mut forbidden = ROOT_EQUAL.to_vec();
    forbidden.retain(|g| !ceiling.allows_group(g));
    match groups::twins(wanted.iter().filter(unnamed), &forbidden) {
        Ok(None) => Ok(()),
        Ok(Some((group, other))) => Err(format!(
            "the group {group} has the number of {other}, which equals root and is not named in ceiling.toml"
        )),
        Err(e) => Err(e.to_string()),
    }
}

/// Who approved it, and apart from that, who of them had asked for it himself.
pub(super) fn with_approvers(record: Record, grant: &VerifiedGrant) -> Record {
    let by: Vec<&str> = grant
        .approvers()
        .iter()
        .map(|a| a.person.as_str())
        .collect();
    if by.is_empty() {
        return record;
    }
    let record = record.detail("approved_by", by);
    match grant.self_approver() {
        Some(person) => record.detail("self_approved_by", person),
        None => record,
    }
}

impl Agent {
    /// The trust statement lets it count, and nobody shall overlook it.
    pub(super) fn cry_own(&self, jti: &str, grant: &VerifiedGrant) {
        if let Some(person) = grant.self_approver() {
            let why = format!(
                "{person} approved the own request for role {}, as the trust statement lets count",
                grant.claims().role
            );
            let record = self.note(kind::ALERT).grant(jti);
            let record = record.detail("code", "self-approved");
            self.log.later(record.detail("why", why));
        }
    }

    /// Put a stored grant in force, when it is its turn: many at once would only keep each other from systemd until the
    /// patience with it is over, and start none.
    pub(super) async fn activate(self: &Rc<Self>, jti: &str) {
        self.core.borrow_mut().arming.insert(jti.to_owned());
        let _turn = self.starts.acquire().await;
        self.activate_now(jti).await;
    }

    /// Journal first: the receipt of its `grant` record is held for the whole of it.
    pub(super) async fn activate_now(self: &Rc<Self>, jti: &str) {
        self.core.borrow_mut().arming.insert(jti.to_owned());
        let result = match self.record_activation(jti).await {
            Ok((file, receipt)) => self.arm(&file, &receipt).await,
            Err(e) => Err(e),
        };
        let early = result.is_err() && self.outlast_end(jti).await;
        self.core.borrow_mut().arming.remove(jti);
        match result {
            Ok(()) => {
                self.settle(jti, Outcome::Granted(jti.to_owned()));
                self.tell_of(jti, None);
                self.watch_deadline(jti);
            }
            Err(why) => {
                self.log.later(
                    self.note(kind::REFUSED)
                        .grant(jti)
                        .decision("deny")
                        .detail("what", "activation")
                        .detail("why", why.clone()),
                );
                self.settle(jti, Outcome::Broken(why));
                // Whoever closed it meanwhile left the taking away to us.
                self.close(jti, self.cause_now(jti, Cause::NotArmed));
                self.make_gone_again(jti, early);
            }
        }
    }

    /// Tell whoever waits for the request of this grant.
    fn settle(&self, jti: &str, outcome: Outcome) {
        let mut core = self.core.borrow_mut();
        if let Some(stored) = core.grants.get(jti) {
            let (request, uid) = (stored.file.request.clone(), stored.file.uid);
            core.outcomes.put(&request, (uid, outcome));
        }
        drop(core);
        self.changed.notify_waiters();
    }

    async fn record_activation(&self, jti: &str) -> Result<(GrantFile, Receipt), String> {
        let (details, emergency) = {
            let core = self.core.borrow();
            let claims = core.grants.whole(jti).ok_or("it is gone")?.1.grant.claims();
            (
                claims.authorization_details.clone(),
                claims.mode == Mode::Breakglass,
            )
        };
        let unseen = self.witness_before(&details, emergency).await?;
        // Waiting took time.
        self.still_arming(jti)?;
        let now = clock::now().map_err(|e| e.to_string())?;
        let (file, record) = {
            let core = self.core.borrow();
            let (file, whole) = core.grants.whole(jti).ok_or("it is gone")?;
            let grant = &whole.grant;
            let claims = grant.claims();
            let mut record = self
                .record(kind::GRANT, now)
                .grant(jti)
                .request(file.request.as_str())
                .role(claims.role.as_str())
                .login(file.login.as_str())
                .uid(file.uid)
                .decision("allow")
                .reason(claims.reason.as_str())
                .detail("ends", claims.exp)
                .detail("groups", file.groups.clone())
                .detail("scope", scope(&claims.authorization_details))
                .detail("policy", claims.policy.rule.clone())
                .detail("kid", grant.kid());
            record = with_approvers(record, grant);
            if let Some(asker) = grant.asked_by() {
                record = record
                    .detail("asked_by", asker.person.as_str())
                    .detail("asked_kid", grant.request_kid());
            }
            if let Some(t) = &claims.ticket {
                record = record.ticket(t.as_str());
            }
            if let Some(why) = unseen {
                record = record.detail("witness", why);
            }
            (file.clone(), record)
        };
        let receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        if let Some((_, whole)) = self.core.borrow().grants.whole(jti) {
            self.cry_own(jti, &whole.grant);
        }
        self.witness_after(&receipt, &details, emergency).await?;
        self.still_arming(jti)?;
        Ok((file, receipt))
    }

    /// Timer first, so that nothing is ever in force without its end; memberships last.
    async fn arm(self: &Rc<Self>, file: &GrantFile, recorded: &Receipt) -> Result<(), String> {
        self.start_units(file, recorded).await?;
        self.still_arming(&file.jti)?;
        join_groups(file, self.ceiling()?).await?;
        self.still_arming(&file.jti)?;
        let active = {
            let mut core = self.core.borrow_mut();
            let stored = core.grants.get_mut(&file.jti).ok_or("it is gone")?;
            stored.file.phase = Phase::Active;
            stored.file.clone()
        };
        grants::write(&active).map_err(|e| e.to_string())
    }

    /// The timer, then the unit.
    pub(super) async fn start_units(
        self: &Rc<Self>,
        file: &GrantFile,
        _recorded: &Receipt,
    ) -> Result<(), String> {
        let units = self.units().await?;
        let now = clock::now().map_err(|e| e.to_string())?;
        let at = TimerAt {
            wall_s: file.until_s,
            boot_ns: file.until_boot_ns,
        };
        let started = async {
            let timer = units.start_timer(&file.jti, file.timers, at, now).await;
            timer.map_err(|e| e.to_string())?;
            let service = units.start_service(&file.jti, &file.login).await;
            service.map_err(|e| e.to_string())?;
            self.watch_unit(&file.jti).await
        };
        let started = tokio::time::timeout(UNITS_PATIENCE, started).await;
        let started = started.unwrap_or_else(|_| Err("systemd does not answer".into()));
        if started.is_err() {
            self.lost_units();
        }
        started
    }

    /// A drop, a revocation or the deadline may have come meanwhile.
    fn still_arming(&self, jti: &str) -> Result<(), String> {
        let core = self.core.borrow();
        let now = clock::now().map_err(|e| e.to_string())?;
        match core.grants.get(jti) {
            Some(s) if s.file.phase == Phase::Arming && !s.deadline().passed(&core.state, now) => {
                Ok(())
            }
            _ => Err(ENDED_MEANWHILE.into()),
        }
    }

    /// Run what a stored grant still needs: its start, or its end.
    pub fn schedule(self: &Rc<Self>, jti: &str) {
        let phase = self.core.borrow().grants.get(jti).map(|s| s.file.phase);
        match phase {
            Some(Phase::Waiting) => self.start_later(jti),
            Some(Phase::Active) => self.watch_deadline(jti),
            _ => {}
        }
    }

    /// PID 1 ends the grant; the agent notices, records, and makes sure.
    fn watch_deadline(self: &Rc<Self>, jti: &str) {
        self.warn_before_end(jti);
        let agent = self.clone();
        let id = jti.to_owned();
        tokio::task::spawn_local(async move {
            loop {
                let left = {
                    let core = agent.core.borrow();
                    let (Some(stored), Ok(now)) = (core.grants.get(&id), clock::now()) else {
                        return;
                    };
                    if stored.file.phase != Phase::Active {
                        return;
                    }
                    let deadline = stored.deadline();
                    if deadline.passed(&core.state, now) {
                        None
                    } else {
                        let boot =
                            Duration::from_nanos(deadline.boot_ns.saturating_sub(now.boot_ns));
                        let wall = Duration::from_secs(
                            deadline.wall_s.saturating_sub(core.state.mark.time(now)),
                        );
                        Some(boot.min(wall).min(Duration::from_secs(30)))
                    }
                };
                match left {
                    Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
                    None => break,
                }
            }
            agent.close(&id, Cause::Deadline);
            tokio::time::sleep(TIMER_GRACE).await;
            if agent.core.borrow().grants.contains_key(&id) {
                agent.make_gone(&id);
            }
        });
    }
}

/// What the grant gives, as signed: the journal tells it when the grant's own file is long gone.
fn scope(details: &[Detail]) -> serde_json::Value {
    serde_json::to_value(details).unwrap_or_default()
}

/// Give every membership of the grant, and see each in the name service. The grant's file says already that it needs them.
///
/// PID 1 may end the grant in the midst of this. The mark of that end is set before it looks, and looked for here when all
/// was given: one of the two sees the other. Whoever gets an error has it ended once more.
pub(super) async fn join_groups(file: &GrantFile, ceiling: Arc<Ceiling>) -> Result<(), String> {
    // One after the other here, so that the patience is for other programs.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let (jti, login, wanted) = (file.jti.clone(), file.login.clone(), file.groups.clone());
    let turn = TURN.lock().await;
    let lock = memberships::lock(GROUPS_PATIENCE).await;
    let lock = lock.map_err(|e| format!("{}: {e}", paths::END_LOCK))?;
    tokio::task::spawn_blocking(move || {
        let _held = (turn, lock);
        refuse_twins(&wanted, &ceiling)?;
        for group in &wanted {
            groups::add(&login, group).map_err(|e| e.to_string())?;
        }
        match memberships::is_ending(&jti) {
            true => Err(ENDED_MEANWHILE.into()),
            false => Ok(()),
        }
    })
    .await
    .map_err(|e| e.to_string())?
}
