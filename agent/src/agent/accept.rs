//! May this verified statement be taken? Pure: the statement against what is stored.

use crate::clock::Now;
use crate::store::answered;
use crate::store::pending::Pending;
use crate::store::state::State;
use settings::ceiling::Ceiling;
use statement::claims::{self, Mode, Target};
use statement::detail::Record as Recording;
use statement::scope;
use statement::trust::TrustClaims;
use statement::verify::{HostIdentity, VerifiedGrant};
use std::collections::BTreeMap;

/// How far ahead of this host's clock a statement may be dated.
const AHEAD_S: u64 = 120;

/// Why a grant is not taken; for the journal and for the one who waits.
pub type Refusal = String;

/// What a grant is compared with.
pub struct Against<'a> {
    pub state: &'a State,
    pub ceiling: &'a Ceiling,
    pub me: &'a HostIdentity,
    pub pending: &'a BTreeMap<String, Pending>,
    /// Requests of people that were answered here; `None`: it cannot be told.
    pub answered: Option<&'a BTreeMap<String, u64>>,
    /// The table of roles in force here, by which a person's request is judged; `None`: there is none.
    pub policy: Option<&'a claims::Policy>,
    pub known: &'a dyn Fn(&str) -> bool,
    /// End of this host's trust statement, Unix seconds.
    pub trust_exp: u64,
    pub now: Now,
}

/// What a grant answers.
#[derive(Clone, Copy, Debug)]
pub enum Answers<'a> {
    /// A request that this host made.
    Ours(&'a Pending),
    /// One that a person signed elsewhere.
    Persons,
}

/// Compare a grant with this host's own table, counters, clock and ceiling. Returns what it answers.
///
/// # Errors
/// One sentence.
pub fn grant<'a>(grant: &VerifiedGrant, with: &Against<'a>) -> Result<Answers<'a>, Refusal> {
    let claims = grant.claims();
    let time = with.state.mark.time(with.now);
    if claims.epoch != with.state.epoch {
        return Err(format!(
            "it is of epoch {}, this host is at {}",
            claims.epoch, with.state.epoch
        ));
    }
    if with.trust_exp <= time {
        return Err(
            "this host's trust statement has ended; the root keys must sign a new one".into(),
        );
    }
    if (with.known)(&claims.jti) {
        return Err("it was used before".into());
    }
    let answers = match grant.asked_by() {
        None => Answers::Ours(ours(grant, with.pending, time)?),
        Some(_) => {
            persons(grant, with, time)?;
            Answers::Persons
        }
    };
    if is_ahead(claims.iat, time) {
        return Err(format!(
            "it is dated {} s ahead of this host's clock",
            claims.iat - time
        ));
    }
    never(grant, with)?;
    Ok(answers)
}

/// What no wait mends and no other grant will: the issuer gave its one answer, and this host will not have it.
///
/// # Errors
/// One sentence.
pub fn never(grant: &VerifiedGrant, with: &Against<'_>) -> Result<(), Refusal> {
    let time = with.state.mark.time(with.now);
    if grant.claims().exp <= time {
        return Err("its time is over".into());
    }
    if grant.claims().iat < with.state.closed_before {
        return Err("it was made before revocations that this host no longer holds".into());
    }
    within(grant, with.ceiling, time)?;
    if let Some(r) = with
        .state
        .revoked
        .iter()
        .find(|r| revokes(r, grant, with.me))
    {
        return Err(format!("it was revoked ({})", r.reason));
    }
    Ok(())
}

/// The open request of this host that a grant answers.
fn ours<'a>(
    grant: &VerifiedGrant,
    pending: &'a BTreeMap<String, Pending>,
    time: u64,
) -> Result<&'a Pending, Refusal> {
    let pending = pending
        .values()
        .find(|p| p.hash == grant.request_hash())
        .ok_or("this host has no open request that it answers")?;
    if pending.until_s <= time {
        return Err("its request had waited too long".into());
    }
    if grant
        .claims()
        .authorization_details
        .iter()
        .any(|d| d.login != pending.login || d.uid != pending.uid)
    {
        return Err("it is for another account than its request".into());
    }
    Ok(pending)
}

/// May a person's request be answered here? What the agent looks at before it makes a request of its own is looked at here:
/// the role as this host knows it, and the most it gives. Whose account it is the verifier has said.
fn persons(grant: &VerifiedGrant, with: &Against<'_>, time: u64) -> Result<(), Refusal> {
    let (request, Some(asker)) = (grant.request(), grant.asked_by()) else {
        return Err("nobody asked for it".into());
    };
    if !with.ceiling.remote {
        return Err("this host's ceiling takes no requests from elsewhere".into());
    }
    let answered = with
        .answered
        .ok_or("what was answered here before cannot be read")?;
    if answered.contains_key(&grant.request_once()) {
        return Err("its request was answered before".into());
    }
    if answered.len() >= answered::MOST {
        return Err("too many requests from elsewhere were answered here lately".into());
    }
    if with.pending.contains_key(&request.id) {
        return Err("its request has the id of one that this host made".into());
    }
    if request.approve_until <= time {
        return Err("its request had waited too long".into());
    }
    if is_ahead(request.iat, time) {
        return Err("its request is dated ahead of this host's clock".into());
    }
    if asker.until <= time {
        return Err(format!(
            "the key of {}, who asked for it, has ended",
            asker.person
        ));
    }
    let policy = with
        .policy
        .ok_or("this host has no policy to judge its request by")?;
    let role = policy
        .roles
        .get(&request.role)
        .ok_or_else(|| format!("there is no role {} here", request.role))?;
    if request.dur > role.max_s {
        return Err(format!(
            "role {} is given for at most {} s",
            request.role, role.max_s
        ));
    }
    for detail in &request.authorization_details {
        let whole = role.expand(&request.role, &detail.login, detail.uid);
        scope::subset(detail, &whole)
            .map_err(|gap| format!("its request goes beyond role {}: {gap}", request.role))?;
    }
    Ok(())
}

/// Is a grant within what this host allows at this time?
///
/// # Errors
/// One sentence.
pub fn within(grant: &VerifiedGrant, ceiling: &Ceiling, time: u64) -> Result<(), Refusal> {
    let claims = grant.claims();
    if claims.exp - claims.nbf > ceiling.max_duration_s {
        return Err(format!(
            "it lasts longer than this host's ceiling of {} s",
            ceiling.max_duration_s
        ));
    }
    if claims.mode == Mode::Breakglass {
        if !ceiling.breakglass {
            return Err("this host's ceiling allows no break-glass".into());
        }
    } else {
        approved(grant, ceiling, time)?;
    }
    for detail in &claims.authorization_details {
        if let Some(group) = detail.groups.iter().find(|g| !ceiling.allows_group(g)) {
            return Err(format!(
                "it gives the group {group}, which equals root and is not named in ceiling.toml"
            ));
        }
        if detail.record != Recording::None {
            return Err("it demands a recording, and this host has no recorder".into());
        }
        if !detail.unlock.is_empty() {
            return Err("it unlocks protected files, and this host protects none".into());
        }
    }
    Ok(())
}

/// Do the approvals of an issuer's grant count here, now?
fn approved(grant: &VerifiedGrant, ceiling: &Ceiling, time: u64) -> Result<(), Refusal> {
    let claims = grant.claims();
    // Their keys were valid when the grant was made; they must be now, too.
    if let Some(a) = grant.approvers().iter().find(|a| a.until <= time) {
        return Err(format!("the key of its approver {} has ended", a.person));
    }
    ceiling
        .approved(&claims.role, grant.approvers())
        .map_err(|why| format!("this host's ceiling: {why}"))
}

/// What a revocation may name of a verified grant.
pub trait Marks {
    fn jti(&self) -> &str;
    fn extends(&self) -> Option<&str>;
    fn sub(&self) -> &str;
    fn iat(&self) -> u64;
    /// Did this key sign it, or its request?
    fn is_of_key(&self, kid: &str) -> bool;
    /// Did this person approve it, or sign its request?
    fn rests_on(&self, person: &str) -> bool;
}

impl Marks for VerifiedGrant {
    fn jti(&self) -> &str {
        &self.claims().jti
    }

    fn extends(&self) -> Option<&str> {
        self.claims().extends.as_deref()
    }

    fn sub(&self) -> &str {
        &self.claims().sub
    }

    fn iat(&self) -> u64 {
        self.claims().iat
    }

    fn is_of_key(&self, kid: &str) -> bool {
        kid == self.kid() || kid == self.request_kid()
    }

    fn rests_on(&self, person: &str) -> bool {
        self.approvers().iter().any(|a| a.person == *person)
            || self.asked_by().is_some_and(|a| a.person == *person)
    }
}

/// Does this revocation end this grant?
#[must_use]
pub fn revokes(r: &claims::Revocation, grant: &impl Marks, me: &HostIdentity) -> bool {
    let older = grant.iat() <= r.iat;
    match &r.target {
        Target::Grant(jti) => *jti == grant.jti() || grant.extends() == Some(jti),
        Target::Sub(sub) => *sub == grant.sub() && older,
        Target::Host(host) => *host == me.host && older,
        Target::Kid(k) => grant.is_of_key(k),
        // His word counts no more, whenever it was given.
        Target::Approver(who) => grant.rests_on(who),
        Target::IssuedBefore(t) => grant.iat() < *t,
    }
}

/// Is a statement dated further ahead than clocks may differ?
#[must_use]
pub fn is_ahead(iat: u64, time_s: u64) -> bool {
    iat > time_s.saturating_add(AHEAD_S)
}

/// May this trust statement, which follows ours, be taken now?
///
/// # Errors
/// Its time is over, or it is dated in the future.
pub fn trust(t: &TrustClaims, state: &State, now: Now) -> Result<(), Refusal> {
    // A new epoch is what mends a mark that a wrong clock has poisoned, so the wall clock counts beside it.
    let time = match t.epoch == state.epoch {
        true => state.mark.time(now),
        false => now.wall_s(),
    };
    if t.exp <= time {
        return Err("its time is over".into());
    }
    if is_ahead(t.iat, time) {
        return Err(format!(
            "it is dated {} s ahead of this host's clock",
            t.iat - time
        ));
    }
    Ok(())
}

/// What to do with a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// The next one: apply it.
    Next,
    /// Seen before.
    Old,
    /// One or more are missing before it: ask for them.
    Gap,
}

/// Order of a revocation against the last applied one.
///
/// # Errors
/// Another epoch, or a chain that does not continue ours.
pub fn revocation(r: &claims::Revocation, state: &State) -> Result<Serial, Refusal> {
    if r.epoch != state.epoch {
        return Err(format!(
            "it is of epoch {}, this host is at {}",
            r.epoch, state.epoch
        ));
    }
    if r.serial <= state.rev_serial {
        return Ok(Serial::Old);
    }
    if r.serial > state.rev_serial + 1 {
        return Ok(Serial::Gap);
    }
    if r.prev != state.rev_head {
        return Err("it does not continue the chain of revocations this host holds".into());
    }
    Ok(Serial::Next)
}

/// May this state statement be taken as fresh?
///
/// # Errors
/// Another epoch, rollback, or a date that is neither now by the wall clock nor by the mark.
pub fn state(s: &claims::State, stored: &State, now: Now) -> Result<(), Refusal> {
    if s.epoch != stored.epoch {
        return Err(format!(
            "it is of epoch {}, this host is at {}",
            s.epoch, stored.epoch
        ));
    }
    if s.state_seq <= stored.state_seq {
        return Err("it is older than the one this host holds".into());
    }
    if s.rev_serial < stored.rev_serial {
        return Err("it knows fewer revocations than this host".into());
    }
    if s.rev_serial == stored.rev_serial && s.rev_head != stored.rev_head {
        return Err("it names another chain of revocations than this host holds".into());
    }
    // The mark may be poisoned by a clock once set ahead, the wall clock may have been set back: a statement that is
    // fresh by either is fresh. After a boot with a dead real-time clock the wall clock is far behind, and the
    // first statement of the boot is taken if it is not behind the mark.
    let time = stored.mark.time(now);
    let fits = |clock: u64| s.iat <= clock + AHEAD_S && clock < s.exp;
    let first_of_boot =
        stored.received_boot_ns.is_none() && now.wall_s() + AHEAD_S < stored.mark.wall_s;
    if fits(now.wall_s()) || fits(time) || (first_of_boot && s.iat >= stored.mark.wall_s) {
        Ok(())
    } else {
        Err(format!(
            "it is dated {}, this host's clock says {}",
            s.iat, time
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::Mark;

    fn at(wall_s: u64, boot_s: u64) -> Now {
        Now {
            wall_ms: wall_s * 1000,
            boot_ns: boot_s * 1_000_000_000,
            mono_us: 0,
        }
    }

    fn stored() -> State {
        let mut s = State::new("", 1, "b", at(1_000_000, 100));
        s.state_seq = 5;
        s.received_boot_ns = Some(100 * 1_000_000_000);
        s
    }

    fn statement(iat: u64, seq: u64) -> claims::State {
        claims::State {
            ver: 1,
            iss: "i".into(),
            iat,
            epoch: 1,
            exp: iat + 120,
            state_seq: seq,
            rev_serial: 0,
            rev_head: statement::digest::sha256_b64(b""),
            policy_ver: 1,
            trust_ver: 1,
        }
    }

    #[test]
    fn rollback_and_replay_of_state_are_refused() {
        let s = stored();
        let now = at(1_000_010, 110);
        assert_eq!(state(&statement(1_000_010, 6), &s, now), Ok(()));
        assert!(state(&statement(1_000_010, 5), &s, now).is_err());
        assert!(state(&statement(1_000_010, 4), &s, now).is_err());
        assert!(
            state(
                &claims::State {
                    epoch: 2,
                    ..statement(1_000_010, 6)
                },
                &s,
                now
            )
            .is_err()
        );
        let mut later = s.clone();
        later.rev_serial = 3;
        assert!(state(&statement(1_000_010, 6), &later, now).is_err());
    }

    #[test]
    fn a_statement_held_back_or_from_the_future_is_refused() {
        let s = stored();
        assert!(state(&statement(1_000_010, 6), &s, at(1_000_131, 231)).is_err());
        assert!(state(&statement(1_000_300, 6), &s, at(1_000_010, 110)).is_err());
    }

    #[test]
    fn a_poisoned_mark_is_recovered_by_a_statement_fresh_by_the_wall_clock() {
        let mut s = stored();
        s.mark = Mark {
            wall_s: 1_003_600,
            boot_ns: 100 * 1_000_000_000,
        };
        assert_eq!(
            state(&statement(1_000_010, 6), &s, at(1_000_010, 110)),
            Ok(())
        );
    }

    #[test]
    fn a_dead_clock_after_boot_takes_the_first_statement_that_is_not_behind_the_mark() {
        let mut s = stored();
        s.received_boot_ns = None;
        s.mark.boot_ns = 0;
        assert_eq!(state(&statement(1_000_500, 6), &s, at(86_400, 10)), Ok(()));
        assert!(state(&statement(999_000, 6), &s, at(86_400, 10)).is_err());
        // With a sane clock no such door is open.
        assert!(state(&statement(1_000_500, 6), &s, at(1_000_100, 10)).is_err());
    }

    #[test]
    fn revocations_are_taken_in_order_and_only_on_our_chain() {
        let s = stored();
        let r = |serial, prev: &str| claims::Revocation {
            ver: 1,
            iss: "i".into(),
            iat: 1,
            epoch: 1,
            serial,
            prev: prev.into(),
            target: Target::Grant("x".into()),
            reason: "r".into(),
            exp: 10,
        };
        let head = statement::digest::sha256_b64(b"");
        assert_eq!(revocation(&r(1, &head), &s), Ok(Serial::Next));
        assert_eq!(revocation(&r(0, &head), &s), Ok(Serial::Old));
        assert_eq!(revocation(&r(2, &head), &s), Ok(Serial::Gap));
        assert!(revocation(&r(1, "other"), &s).is_err());
    }
}
