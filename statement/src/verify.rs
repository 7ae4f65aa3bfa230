//! From signed bytes to types that only this file can make.

use crate::Refused;
use crate::asked::Asker;
use crate::claims::{Enrol, Grant, HostAuth, Mode, Policy, Request, Revocation, State, Typ};
use crate::keys::{KeyRing, PublicKey};
use crate::limits::Limits;
use crate::people::{self, Approval, Approver};
use crate::{asked, digest, jws, scope, strict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// Largest grant bundle, in bytes.
pub const MAX_BUNDLE: usize = 65536;

/// Who this host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// `spiffe://<trust domain>/host/<id>`
    pub host: String,
    /// `spiffe://<trust domain>/group/<name>`, from the enrolment statement.
    pub groups: Vec<String>,
    /// Verifies the host's own requests.
    pub key: PublicKey,
}

/// A statement whose form, signature, key and limits were all found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    claims: T,
    jws: String,
    kid: String,
}

impl<T> Verified<T> {
    /// The compact bytes.
    pub fn jws(&self) -> &str {
        &self.jws
    }

    /// SHA-256 of the compact bytes, base64url.
    pub fn hash(&self) -> String {
        digest::sha256_b64(self.jws.as_bytes())
    }

    /// Key that signed.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.claims
    }
}

/// A grant for this host, made by the pinned issuer for a request of this host or of a person, and no wider than it. Whether it
/// is in force now is not said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedGrant {
    grant: Verified<Grant>,
    request: Verified<Request>,
    asker: Option<Asker>,
    approvers: Vec<Approver>,
    bundle: String,
}

impl<T> Verified<T> {
    /// For [`crate::breakglass`], which verifies by root keys.
    pub(crate) fn of(claims: T, jws: String, kid: String) -> Self {
        Self { claims, jws, kid }
    }
}

impl VerifiedGrant {
    /// For [`crate::breakglass`], which checks what a grant of an issuer is checked for here.
    pub(crate) fn of_breakglass(
        grant: Verified<Grant>,
        request: Verified<Request>,
        bundle: String,
    ) -> Self {
        Self {
            grant,
            request,
            asker: None,
            approvers: Vec::new(),
            bundle,
        }
    }

    pub fn claims(&self) -> &Grant {
        &self.grant
    }

    pub fn request(&self) -> &Request {
        &self.request
    }

    /// SHA-256 of the request's compact bytes, base64url: single use on a host.
    pub fn request_hash(&self) -> &str {
        &self.grant.req_hash
    }

    /// Key that signed the grant.
    pub fn kid(&self) -> &str {
        self.grant.kid()
    }

    /// Key that signed the request: the host's, or a person's.
    pub fn request_kid(&self) -> &str {
        self.request.kid()
    }

    /// The person who signed the request; none: this host did.
    pub fn asked_by(&self) -> Option<&Asker> {
        self.asker.as_ref()
    }

    /// What makes a person's request single on a host; see [`asked::once`].
    pub fn request_once(&self) -> String {
        asked::once(self.request.jws())
    }

    /// The persons who approved it; empty for an automatic one. They fill what the trust statement demands.
    pub fn approvers(&self) -> &[Approver] {
        &self.approvers
    }

    /// The person who approved what he asked for himself, which the trust statement lets count.
    pub fn self_approver(&self) -> Option<&str> {
        let own = self.approvers.iter().find(|a| a.own);
        own.map(|a| a.person.as_str())
    }

    /// The bundle as received.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }
}

/// On the wire: the grant and the exact bytes it answers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    v: u32,
    grant: String,
    /// The request's compact JWS, base64url once more: its bytes travel untouched.
    request: String,
    approvals: Vec<Approval>,
}

/// Verifies a grant bundle for this host. Not checked here, because it needs the host's clock and counters: the
/// grant's times against now, its epoch, replay of `jti` or `req_hash`, revocation.
pub fn verify_grant(
    bundle_json: &str,
    ring: &KeyRing,
    me: &HostIdentity,
) -> Result<VerifiedGrant, Refused> {
    if bundle_json.len() > MAX_BUNDLE {
        return Err(Refused::TooLarge {
            what: "grant bundle",
            bytes: bundle_json.len(),
            limit: MAX_BUNDLE,
        });
    }
    let bundle: Bundle = strict::parse("grant bundle", bundle_json.as_bytes())?;
    if bundle.v != 1 {
        return Err(Refused::Limit {
            member: "v",
            rule: "must be 1",
        });
    }
    let grant: Verified<Grant> = verify_pinned(&bundle.grant, Typ::Grant, ring)?;
    let named = |id: &String| *id == me.host || me.groups.contains(id);
    if !grant.aud.iter().any(named) {
        return Err(Refused::Audience);
    }

    let not_text = Refused::Encoding { what: "request" };
    let request_bytes = digest::decode(&bundle.request).ok_or(not_text.clone())?;
    if digest::sha256_b64(&request_bytes) != grant.req_hash {
        return Err(Refused::RequestHash);
    }
    let request_jws = String::from_utf8(request_bytes).map_err(|_| not_text)?;
    let (request, asker) = if asked::is_persons(&request_jws) {
        let (request, asker) =
            asked::verify_persons_request(&request_jws, ring, &me.host, grant.iat)?;
        (request, Some(asker))
    } else {
        let request = verify_request(&request_jws, &me.key)?;
        if request.iss != me.host {
            return Err(Refused::NotOurRequest);
        }
        (request, None)
    };

    within(&grant, &request)?;
    let approvers = approvers(&grant, &bundle.approvals, &request_jws, ring, me)?;
    Ok(VerifiedGrant {
        grant,
        request,
        asker,
        approvers,
        bundle: bundle_json.to_owned(),
    })
}

/// What the root keys demand for the role: nobody, or enough of the right people over exactly these bytes.
fn approvers(
    grant: &Grant,
    approvals: &[Approval],
    request_jws: &str,
    ring: &KeyRing,
    me: &HostIdentity,
) -> Result<Vec<Approver>, Refused> {
    let refuse = |why: &str| {
        Err(Refused::Approval {
            why: why.to_owned(),
        })
    };
    match grant.mode {
        Mode::Auto if !ring.may_be_automatic(&grant.role) => {
            refuse("the trust statement does not let this role be automatic")
        }
        Mode::Auto if !approvals.is_empty() => refuse("an automatic grant carries approvals"),
        Mode::Auto => Ok(Vec::new()),
        // No grant of an issuer is read as one.
        Mode::Breakglass => refuse("an issuer gives no break-glass grant"),
        Mode::Approved => {
            let request = request_jws.as_bytes();
            let found = people::verify(approvals, grant, request, ring, &me.host)?;
            match ring.needs(&grant.role) {
                Some(needs) => {
                    people::met(needs, &found).map_err(|why| Refused::Approval { why })?;
                }
                None if ring.may_be_automatic(&grant.role) => {}
                None => {
                    return refuse("the trust statement does not say who may approve this role");
                }
            }
            Ok(found)
        }
    }
}

/// Seconds that the clocks of a host and its issuer may be apart.
const SKEW: u64 = 120;

/// The grant gives nothing that was not asked for, to nobody else, nowhere else, for no longer.
fn within(grant: &Grant, request: &Request) -> Result<(), Refused> {
    let wider = |why: &str| {
        Err(Refused::Wider {
            why: why.to_owned(),
        })
    };
    if grant.sub != request.sub {
        return wider("it is for another subject");
    }
    if grant.role != request.role {
        return wider("it is for another role");
    }
    if grant.reason != request.reason || grant.ticket != request.ticket {
        return wider("it gives another reason or ticket");
    }
    if grant.extends != request.extends {
        return wider("it extends another grant");
    }
    if !grant.aud.iter().all(|id| request.aud.contains(id)) {
        return wider("it is for more hosts");
    }
    // Nobody was asked before that; whoever dates a grant back wants those to count who count no more.
    if grant.iat.saturating_add(SKEW) < request.iat {
        return wider("it is dated before its request");
    }
    if grant.iat > request.approve_until {
        return wider("it was given after the request had died");
    }
    if grant.nbf < request.not_before {
        return wider("it starts earlier");
    }
    // Limits keep `nbf < exp` and both starts far from overflow.
    if grant.exp - grant.nbf > request.dur {
        return wider("it lasts longer");
    }
    if grant.exp
        > request
            .not_before
            .max(grant.iat)
            .saturating_add(request.dur)
    {
        return wider("it ends later");
    }
    for detail in &grant.authorization_details {
        let mut first_gap = None;
        let within_one =
            request
                .authorization_details
                .iter()
                .any(|asked| match scope::subset(detail, asked) {
                    Ok(()) => true,
                    Err(gap) => {
                        first_gap.get_or_insert(gap);
                        false
                    }
                });
        if !within_one {
            return wider(
                &first_gap
                    .map_or_else(|| "nothing was asked for".to_owned(), |gap| gap.to_string()),
            );
        }
    }
    Ok(())
}

/// Verifies a revocation. Its place in the serial log is the caller's to compare.
pub fn verify_revocation(jws: &str, ring: &KeyRing) -> Result<Verified<Revocation>, Refused> {
    verify_pinned(jws, Typ::Revocation, ring)
}

/// Verifies a state statement. Freshness is the caller's to compare.
pub fn verify_state(jws: &str, ring: &KeyRing) -> Result<Verified<State>, Refused> {
    verify_pinned(jws, Typ::State, ring)
}

/// Verifies a policy statement. That its version goes up is the caller's to compare.
pub fn verify_policy(jws: &str, ring: &KeyRing) -> Result<Verified<Policy>, Refused> {
    verify_pinned(jws, Typ::Policy, ring)
}

/// Verifies an enrolment statement. That it names this host's own key is the caller's to compare.
pub fn verify_enrol(jws: &str, ring: &KeyRing) -> Result<Verified<Enrol>, Refused> {
    verify_pinned(jws, Typ::Enrol, ring)
}

/// Verifies a request by the key of whoever asks: a host's, known from its enrolment. That `iss` is that host is
/// the caller's to compare.
pub fn verify_request(jws: &str, key: &PublicKey) -> Result<Verified<Request>, Refused> {
    verify_by(jws, Typ::Request, key)
}

/// What a request says, read as its host will read it. Nobody's signature has been looked at: this is for showing it to
/// whoever is to approve these very bytes, never for acting on it.
pub fn unverified_request(jws: &str) -> Result<Request, Refused> {
    let split = match asked::is_persons(jws) {
        true => asked::split(jws),
        false => jws::split(jws, Typ::Request),
    };
    let claims: Request = split?.unverified_claims()?;
    claims.check()?;
    Ok(claims)
}

/// What a policy says. Nobody's signature has been looked at: this is for making a request by it elsewhere than on the host,
/// which judges the request by the policy that it has verified itself.
pub fn unverified_policy(jws: &str) -> Result<Policy, Refused> {
    let claims: Policy = jws::split(jws, Typ::Policy)?.unverified_claims()?;
    claims.check()?;
    Ok(claims)
}

/// Verifies a host's word that it is calling. That the host is the key's, that it means this issuer and this call, its
/// time and that it is new are the caller's to compare.
pub fn verify_host_auth(jws: &str, key: &PublicKey) -> Result<Verified<HostAuth>, Refused> {
    verify_by(jws, Typ::HostAuth, key)
}

/// Size, form, header, the one key, signature, JSON, limits: in this order.
fn verify_by<T>(jws: &str, typ: Typ, key: &PublicKey) -> Result<Verified<T>, Refused>
where
    T: DeserializeOwned + Serialize + Limits,
{
    let unverified = jws::split(jws, typ)?;
    let kid = unverified.header.kid.clone();
    if kid != key.kid() {
        return Err(Refused::UnknownKey { kid });
    }
    let claims: T = unverified.claims(key)?;
    claims.check()?;
    Ok(Verified {
        claims,
        jws: jws.to_owned(),
        kid,
    })
}

/// What every statement of the issuer has.
trait Issued {
    fn iss(&self) -> &str;
    fn iat(&self) -> u64;
}

macro_rules! issued {
    ($($claims:ty),*) => {
        $(impl Issued for $claims {
            fn iss(&self) -> &str {
                &self.iss
            }

            fn iat(&self) -> u64 {
                self.iat
            }
        })*
    };
}

issued!(Enrol, Grant, Policy, Revocation, State);

/// Size, form, header, key and its use, signature, JSON, limits, issuer, the key's time: in this order.
fn verify_pinned<T>(jws: &str, typ: Typ, ring: &KeyRing) -> Result<Verified<T>, Refused>
where
    T: DeserializeOwned + Serialize + Limits + Issued,
{
    let unverified = jws::split(jws, typ)?;
    let kid = unverified.header.kid.clone();
    let record = match ring.find(&kid, typ) {
        Some(record) => record,
        None if ring.get(&kid).is_some() => {
            return Err(Refused::KeyUse {
                kid,
                typ: typ.as_str(),
            });
        }
        None => return Err(Refused::UnknownKey { kid }),
    };
    let claims: T = unverified.claims(&record.key)?;
    claims.check()?;
    if claims.iss() != ring.iss() {
        return Err(Refused::Issuer {
            iss: claims.iss().to_owned(),
        });
    }
    if claims.iat() < record.nbf || claims.iat() >= record.exp {
        return Err(Refused::KeyTime { kid });
    }
    Ok(Verified {
        claims,
        jws: jws.to_owned(),
        kid,
    })
}
