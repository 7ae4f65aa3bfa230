//! Who this host is: its key, and what its enrolment pinned.

use super::{StoreError, load, save};
use crate::effects::files;
use crate::paths::{ENROLMENT_FILE, HOST_KEY_FILE};
use serde::{Deserialize, Serialize};
use statement::breakglass;
use statement::claims::{Enrol, Policy};
use statement::keys::KeyRing;
use statement::sign::Signer;
use statement::trust::{self, VerifiedTrust};
use statement::verify::{
    HostIdentity, Verified, VerifiedGrant, verify_enrol, verify_grant, verify_policy,
};
use std::path::Path;

/// As kept on disk; verified anew at every start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentFile {
    /// Format, 1.
    pub v: u32,
    /// SHA-256 of the trust statement, base64url: what root pinned.
    pub pin: String,
    pub trust: String,
    pub enrolment: String,
    pub policy: String,
    /// The trust statement in force now, when it is no longer the one of the enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Rotated>,
}

/// A trust statement that followed the enrolment's, step by step. It was verified when it was taken; its hash is kept so
/// that it can be believed again without the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotated {
    /// SHA-256 of `trust`, base64url.
    pub pin: String,
    pub trust: String,
}

/// The verified form.
#[derive(Clone)]
pub struct Enrolled {
    pub file: EnrolmentFile,
    pub me: HostIdentity,
    /// When it was enrolled, by the issuer's clock; Unix seconds.
    pub since: u64,
    pub ring: KeyRing,
    pub trust: VerifiedTrust,
    /// `None` after a rotation that removed the key of the policy: no role is known until a new one comes.
    pub policy: Option<Verified<Policy>>,
}

/// Make the host key when there is none.
///
/// # Errors
/// When it can be neither read nor made durable.
pub fn host_key() -> Result<Signer, StoreError> {
    let path = Path::new(HOST_KEY_FILE);
    let err = |e: &dyn std::fmt::Display| StoreError::new(path, e);
    if let Some(pkcs8) = files::read(path).map_err(|e| err(&e))? {
        return Signer::from_pkcs8(&pkcs8).map_err(|e| err(&e));
    }
    let (signer, pkcs8) = Signer::generate().map_err(|e| err(&e))?;
    files::replace(path, &pkcs8).map_err(|e| err(&e))?;
    Ok(signer)
}

/// Verify what an enrolment brings: the trust statement is the pinned one, the enrolment names this host's key, the
/// policy is signed by a key of that trust.
///
/// # Errors
/// One sentence saying which of them is wrong.
pub fn verify(file: EnrolmentFile, key: &Signer) -> Result<Enrolled, String> {
    let believed = |doc: &str, pin: &str| {
        trust::verify_first(doc, pin).map_err(|e| format!("trust statement: {e}"))
    };
    let first = believed(&file.trust, &file.pin)?;
    let enrol: Verified<Enrol> =
        verify_enrol(&file.enrolment, &first.ring()).map_err(|e| format!("enrolment: {e}"))?;
    if enrol.jwk != key.public().to_jwk() {
        return Err("enrolment: it is for another host's key".into());
    }
    if enrol.trust != file.pin {
        return Err("enrolment: it names another trust statement".into());
    }
    if enrol.epoch != first.claims().epoch {
        return Err("the enrolment is not of the trust statement's epoch".into());
    }
    let (trust, policy) = match &file.rotated {
        None => {
            let policy = policy_under(&file.policy, &first)?;
            (first, Some(policy))
        }
        Some(now) => {
            let now = believed(&now.trust, &now.pin)?;
            let policy = policy_under(&file.policy, &now).ok();
            (now, policy)
        }
    };
    let ring = trust.ring();
    let me = HostIdentity {
        host: enrol.host.clone(),
        groups: enrol.groups.clone(),
        key: key.public(),
    };
    Ok(Enrolled {
        file,
        me,
        since: enrol.iat,
        ring,
        trust,
        policy,
    })
}

/// A stored bundle, verified anew: an issuer's grant, or a break-glass statement that was used.
///
/// # Errors
/// One sentence.
pub fn verify_stored(
    bundle: &str,
    trust: &VerifiedTrust,
    me: &HostIdentity,
) -> Result<VerifiedGrant, String> {
    let verified = if breakglass::is_kept(bundle) {
        breakglass::verify_kept(bundle, trust, me)
    } else {
        verify_grant(bundle, &trust.ring(), me)
    };
    verified.map_err(|e| e.to_string())
}

/// The policy, if a key of this trust statement signed it, in its epoch.
///
/// # Errors
/// One sentence.
pub fn policy_under(jws: &str, trust: &VerifiedTrust) -> Result<Verified<Policy>, String> {
    let policy = verify_policy(jws, &trust.ring()).map_err(|e| format!("policy: {e}"))?;
    if policy.epoch == trust.claims().epoch {
        Ok(policy)
    } else {
        Err("policy: it is not of the trust statement's epoch".into())
    }
}

/// # Errors
/// Unreadable, damaged, or no longer verifiable.
pub fn read(key: &Signer) -> Result<Option<Enrolled>, StoreError> {
    let path = Path::new(ENROLMENT_FILE);
    let Some(file) = load::<EnrolmentFile>(path)? else {
        return Ok(None);
    };
    verify(file, key)
        .map(Some)
        .map_err(|e| StoreError::new(path, e))
}

/// # Errors
/// When it cannot be made durable.
pub fn write(file: &EnrolmentFile) -> Result<(), StoreError> {
    save(Path::new(ENROLMENT_FILE), file)
}
