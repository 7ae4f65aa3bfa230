//! How far the approvals of a request reach: which of them count, which level is next, and what it lacks.

use crate::store::Given;
use policy::Policy;
use statement::Verified;
use statement::claims::Request;
use statement::detail::Detail;
use statement::keys::KeyRing;
use statement::people::{Approval, Approver, Format, Need, missing};
use statement::sshsig::SshSig;

/// How far the approvals of a request reach.
pub(super) struct Reach {
    /// Those that count now.
    pub counted: Vec<Approval>,
    /// Levels that are filled; the trust statement's needs are the last.
    filled: usize,
    /// What the next level lacks; nothing when all is filled.
    pub lacks: Vec<Need>,
}

impl Reach {
    pub fn of(
        policy: &Policy,
        ring: &KeyRing,
        request: &Verified<Request>,
        levels: &[Need],
        given: &[Given],
        now: u64,
    ) -> Self {
        let mut counted = Vec::new();
        let (mut by_policy, mut by_trust) = (Vec::new(), Vec::new());
        for one in given {
            // One whose key has ended, or who is gone, counts no more.
            let Ok((approval, approver)) = verified(ring, request, one, now) else {
                continue;
            };
            let Ok(signature) = SshSig::parse(&one.sig) else {
                continue;
            };
            let mut narrowed: Approver = approver.clone();
            narrowed
                .groups
                .retain(|g| policy.approvers().admits(g, signature.key()));
            counted.push(approval);
            by_policy.push(narrowed);
            by_trust.push(approver);
        }
        for n in 0..levels.len() {
            let lacks = missing(&levels[..=n], &by_policy);
            if !lacks.is_empty() {
                return Self {
                    counted,
                    filled: n,
                    lacks,
                };
            }
        }
        let needs = ring.needs(&request.role).unwrap_or_default();
        Self {
            lacks: missing(needs, &by_trust),
            counted,
            filled: levels.len(),
        }
    }

    /// Whether more is filled than before.
    pub fn is_beyond(&self, before: &Self) -> bool {
        let open = |r: &Self| r.lacks.iter().map(|n| u64::from(n.count)).sum::<u64>();
        self.filled > before.filled || (self.filled == before.filled && open(self) < open(before))
    }
}

/// As a host verifies it, for a grant that is made at `now`.
pub(super) fn verified(
    ring: &KeyRing,
    request: &Verified<Request>,
    given: &Given,
    now: u64,
) -> Result<(Approval, Approver), statement::Refused> {
    let approval = Approval {
        fmt: Format::Sshsig,
        by: given.person.clone(),
        sig: given.sig.clone(),
    };
    // Limits make all details of one request name the same account, and there is at least one.
    let (login, uid) = request
        .authorization_details
        .first()
        .map_or(("", 0), |d: &Detail| (d.login.as_str(), d.uid));
    // A request is for one host; a person's is made elsewhere.
    let host = request.aud.first().map_or("", String::as_str);
    let who = (login, uid, host);
    let approver = ring.approver(&approval, request.jws(), &request.role, who, now)?;
    Ok((approval, approver))
}
