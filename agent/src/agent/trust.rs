//! A new trust statement: what it no longer bears ends at once, then it is kept, journaled, and in force.

use super::statements::New;
use super::{Agent, accept};
use crate::clock;
use crate::store::grants::{self, Cause, Phase};
use crate::store::identity::{self, EnrolmentFile, Rotated};
use crate::store::state::State;
use journal::kind;
use statement::trust::{VerifiedTrust, verify_next};
use std::rc::Rc;

impl Agent {
    /// Takes the trust statement that follows ours. Called with the lock of `take` held.
    pub(super) async fn take_trust(self: &Rc<Self>, blob: &str) -> Result<New, String> {
        let now = clock::now().map_err(|e| e.to_string())?;
        let (next, file) = {
            let core = self.core.borrow();
            let enrolled = core.enrolled.as_ref().ok_or("this host is not enrolled")?;
            if statement::digest::sha256_b64(blob.as_bytes()) == enrolled.trust.hash() {
                return Ok(New::No);
            }
            let next = verify_next(&enrolled.trust, blob).map_err(|e| e.to_string())?;
            accept::trust(next.claims(), &core.state, now)?;
            let file = EnrolmentFile {
                rotated: Some(Rotated {
                    pin: next.hash().to_owned(),
                    trust: blob.to_owned(),
                }),
                ..enrolled.file.clone()
            };
            (next, file)
        };
        let ends = self.no_longer_borne(&next);
        for id in &ends {
            self.finish(id, Cause::Untrusted);
        }
        identity::write(&file).map_err(|e| e.to_string())?;
        let claims = next.claims();
        let record = self
            .record(kind::TRUST, now)
            .detail("version", claims.trust_ver)
            .detail("epoch", claims.epoch)
            .detail("hash", next.hash().to_owned())
            .detail("ends", ends);
        let _receipt = self.log.append(record).await.map_err(|e| e.to_string())?;
        {
            let mut core = self.core.borrow_mut();
            if claims.epoch != core.state.epoch {
                core.state = State::of_epoch(claims, &core.state, now);
            }
            if let Some(enrolled) = &mut core.enrolled {
                enrolled.policy = identity::policy_under(&file.policy, &next).ok();
                enrolled.file = file;
                enrolled.ring = next.ring();
                enrolled.trust = next;
            }
        }
        self.save_state().map(|()| New::Yes)
    }

    /// Grants whose key, approvers or epoch the next trust statement leaves out.
    fn no_longer_borne(&self, next: &VerifiedTrust) -> Vec<String> {
        let core = self.core.borrow();
        let Some(enrolled) = &core.enrolled else {
            return Vec::new();
        };
        let claims = next.claims();
        let carried = |jti: &String| {
            let same = claims.epoch == core.state.epoch;
            (if same {
                &core.state.carried
            } else {
                &claims.carry
            })
            .contains(jti)
        };
        core.grants
            .values()
            .filter(|s| s.file.phase != Phase::Ending)
            .filter(|s| {
                let of_epoch = |epoch| epoch == claims.epoch || carried(&s.file.jti);
                let verify = |bundle: &str| identity::verify_stored(bundle, next, &enrolled.me);
                let borne = match s.whole() {
                    Some(whole) => {
                        of_epoch(whole.grant.claims().epoch)
                            && whole.chain().all(|g| verify(g.bundle()).is_ok())
                    }
                    None => {
                        let kept = grants::read(&s.file.jti).ok().flatten();
                        let grant = kept.and_then(|file| verify(&file.bundle).ok());
                        grant.is_some_and(|g| of_epoch(g.claims().epoch))
                    }
                };
                !borne
            })
            .map(|s| s.file.jti.clone())
            .collect()
    }
}
