//! The one place where statements are made. Each is verified as a host would before it leaves: what hosts would
//! refuse is a fault here, not a surprise there.

use crate::error::Error;
use crate::files;
use crate::init::Layout;
use crate::keys;
use crate::store::{Head, Host, Minted, Next, Signed};
use journal::Witness;
use policy::Policy;
use ring::rand::{SecureRandom, SystemRandom};
use statement::breakglass::{VerifiedBreakglass, verify_breakglass};
use statement::claims::{Enrol, Grant, Mode, PolicyRef, Request, Revocation, State, Target, Typ};
use statement::detail::Detail;
use statement::digest::sha256_b64;
use statement::keys::{KeyRing, PublicKey};
use statement::limits::{MAX_REASON, MAX_TICKET, STATE_LIFE};
use statement::people::Approval;
use statement::role::Role;
use statement::sign::{self, SignError, Signer};
use statement::trust::{self, MAX_TRUST, Use};
use statement::{HostIdentity, Refused, Verified, asked, id, verify_persons_request};

/// Keys, trust statement and the fixed members of all statements.
pub struct Authority {
    iss: String,
    trust_domain: String,
    epoch: u32,
    trust_ver: u64,
    trust: String,
    trust_hash: String,
    trust_exp: u64,
    ring: KeyRing,
    grant: Signer,
    revocation: Signer,
    state: Signer,
    enrol: Signer,
    policy: Signer,
    witness: Option<Witness>,
}

/// What a grant adds to its request.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    pub now_ms: u64,
    pub seq: u64,
    pub max_stale: u32,
    pub policy: PolicyRef,
    pub host: &'a HostIdentity,
    /// Of the request; none: an automatic grant.
    pub approvals: &'a [Approval],
}

impl Authority {
    /// Reads what `init` made and checks that it fits together.
    ///
    /// # Errors
    /// [`Error::NotInitialised`], [`Error::File`], [`Error::Exposed`], [`Error::Keys`].
    pub fn load(at: &Layout) -> Result<Self, Error> {
        if !at.trust().exists() {
            return Err(Error::NotInitialised(at.dir.clone()));
        }
        let trust = files::read_text(&at.trust(), MAX_TRUST)?;
        let trust_hash = sha256_b64(trust.as_bytes());
        let verified = trust::verify_first(&trust, &trust_hash)
            .map_err(|e| Error::Keys(format!("{}: {e}", at.trust().display())))?;
        let ring = verified.ring();
        let claims = verified.claims();
        let find = |name: &str, key_use: Use| {
            // A key made for a rotation takes the place of the old one as soon as the trust statement names it.
            for name in [keys::coming(name), name.to_owned()] {
                if keys::exists(&at.keys(), &name) {
                    let signer = keys::load(&at.keys(), &name)?;
                    if keys::may(&ring, signer.kid(), key_use) {
                        return Ok((name, signer));
                    }
                }
            }
            Err(Error::Keys(format!(
                "{} is not a key of the trust statement for this use",
                keys::file(&at.keys(), name).display()
            )))
        };
        let load = |name: &str, key_use: Use| find(name, key_use).map(|(_, signer)| signer);
        // One that was made before there were witnesses has no such key.
        let witness = match ring.witnesses() {
            [] => None,
            _ => {
                let (name, _) = find("witness", Use::Witness)?;
                Some(keys::witness(&at.keys(), &name, &ring.witness_name())?)
            }
        };
        let trust_domain = claims
            .iss
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_suffix("/issuer"))
            .ok_or_else(|| Error::Keys(format!("{:?} names no issuer", claims.iss)))?;
        Ok(Self {
            iss: claims.iss.clone(),
            trust_domain: trust_domain.to_owned(),
            epoch: claims.epoch,
            trust_ver: claims.trust_ver,
            trust_exp: claims.exp,
            grant: load("grant", Use::Grant)?,
            revocation: load("revocation", Use::Revocation)?,
            state: load("state", Use::State)?,
            enrol: load("enrol", Use::Enrol)?,
            policy: load("policy", Use::Policy)?,
            witness,
            ring: ring.clone(),
            trust,
            trust_hash,
        })
    }

    /// Cosigns heads of journals; none: this issuer is no witness.
    #[must_use]
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// What statements name as their maker, and hosts as whom they mean.
    #[must_use]
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// A break-glass statement that its host would take.
    ///
    /// # Errors
    /// [`Error::OwnStatement`].
    pub fn breakglass(&self, doc: &str, host: &HostIdentity) -> Result<VerifiedBreakglass, Error> {
        let trust = trust::verify_first(&self.trust, &self.trust_hash);
        trust
            .and_then(|trust| verify_breakglass(doc, &trust, host))
            .map_err(Error::OwnStatement)
    }

    /// The key that signs grants now.
    #[must_use]
    pub fn grant_kid(&self) -> &str {
        self.grant.kid()
    }

    /// Until when a grant of this key may begin, if it may sign grants.
    #[must_use]
    pub fn signs_grants_until(&self, kid: &str) -> Option<u64> {
        self.ring.find(kid, Typ::Grant).map(|record| record.exp)
    }

    /// Keys, people and rules, as hosts have them.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Would hosts still take this policy?
    #[must_use]
    pub fn bears(&self, policy: &str) -> bool {
        statement::verify_policy(policy, &self.ring).is_ok_and(|p| p.epoch == self.epoch)
    }

    /// The trust statement, exactly as it was signed.
    #[must_use]
    pub fn trust(&self) -> &str {
        &self.trust
    }

    /// Unix seconds.
    #[must_use]
    pub fn trust_exp(&self) -> u64 {
        self.trust_exp
    }

    /// SHA-256 of the trust statement, base64url: what hosts pin.
    #[must_use]
    pub fn trust_hash(&self) -> &str {
        &self.trust_hash
    }

    /// The id of a host that is called so when it first enrols; a later name does not change it. None for a name that
    /// makes none.
    #[must_use]
    pub fn host_id(&self, name: &str) -> Option<String> {
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let good = (1..=64).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(plain);
        good.then(|| format!("spiffe://{}/host/{name}", self.trust_domain))
    }

    /// Every host of this issuer, also those to come.
    #[must_use]
    pub fn group_all(&self) -> String {
        format!("spiffe://{}/group/all", self.trust_domain)
    }

    /// Whether an id is a host's and of our trust domain.
    #[must_use]
    pub fn is_our_host(&self, id: &str) -> bool {
        id.strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(self.trust_domain.as_str()))
            .and_then(|rest| rest.strip_prefix("/host/"))
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    }

    /// Who a host is, as it knows it itself.
    ///
    /// # Errors
    /// [`Error::Keys`] for a key that is none.
    pub fn identity(&self, host: &Host) -> Result<HostIdentity, Error> {
        Ok(HostIdentity {
            host: host.id.clone(),
            groups: vec![self.group_all()],
            key: PublicKey::from_jwk(&host.jwk).map_err(|e| Error::Keys(e.to_string()))?,
        })
    }

    /// A request that a host or a person signed, verified as its host will verify it for a grant that is made at `at`.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn request(
        &self,
        jws: &str,
        host: &HostIdentity,
        at: u64,
    ) -> Result<Verified<Request>, Refused> {
        if asked::is_persons(jws) {
            return verify_persons_request(jws, &self.ring, &host.host, at)
                .map(|(request, _)| request);
        }
        let request = statement::verify_request(jws, &host.key)?;
        if request.iss == host.host {
            Ok(request)
        } else {
            Err(Refused::NotOurRequest)
        }
    }

    /// A grant of exactly what was asked for, and its bundle. It starts now or when asked, whichever is later.
    ///
    /// # Errors
    /// [`Error::Sign`] (too large), [`Error::OwnStatement`], [`Error::Random`].
    pub fn grant(&self, asked: &Verified<Request>, terms: &Terms<'_>) -> Result<Minted, Error> {
        let jti = id::ulid(terms.now_ms, random()?);
        let claims = self.grant_claims(asked, &asked.hash(), &jti, terms);
        let jws = self.grant.sign(Typ::Grant, &claims)?;
        let bundle = sign::approved(&jws, asked.jws(), terms.approvals);
        statement::verify_grant(&bundle, &self.ring, terms.host).map_err(Error::OwnStatement)?;
        Ok(Minted {
            jti,
            bundle,
            exp: claims.exp,
        })
    }

    fn grant_claims(&self, asked: &Request, hash: &str, jti: &str, terms: &Terms<'_>) -> Grant {
        let iat = terms.now_ms / 1000;
        let nbf = iat.max(asked.not_before);
        Grant {
            ver: 1,
            iss: self.iss.clone(),
            iat,
            epoch: self.epoch,
            aud: asked.aud.clone(),
            jti: jti.to_owned(),
            seq: terms.seq,
            sub: asked.sub.clone(),
            nbf,
            exp: nbf.saturating_add(asked.dur),
            max_stale: terms.max_stale,
            role: asked.role.clone(),
            authorization_details: asked.authorization_details.clone(),
            req_hash: hash.to_owned(),
            mode: match terms.approvals {
                [] => Mode::Auto,
                _ => Mode::Approved,
            },
            policy: terms.policy.clone(),
            reason: asked.reason.clone(),
            ticket: asked.ticket.clone(),
            extends: asked.extends.clone(),
        }
    }

    /// Whether a grant of this role has room for the longest login, reason and ticket.
    ///
    /// # Errors
    /// [`Error::Sign`] with the size.
    pub fn fits(&self, name: &str, role: &Role, policy: &PolicyRef) -> Result<(), Error> {
        let host = format!("spiffe://{}/host/{}", self.trust_domain, "x".repeat(32));
        let detail: Detail = role.expand(name, &"x".repeat(32), u32::MAX);
        let asked = Request {
            ver: 1,
            iss: host.clone(),
            iat: 0,
            id: "x".repeat(26),
            nonce: String::new(),
            sub: format!("local:{}@{host}", u32::MAX),
            aud: vec![host.clone()],
            role: name.to_owned(),
            policy_ver: 0,
            authorization_details: vec![detail],
            not_before: u64::from(u32::MAX),
            dur: role.max_s,
            approve_until: 0,
            reason: "x".repeat(MAX_REASON),
            ticket: Some("x".repeat(MAX_TICKET)),
            extends: Some("x".repeat(26)),
        };
        let terms = Terms {
            now_ms: 0,
            seq: u64::from(u32::MAX),
            max_stale: role.max_stale_s,
            policy: policy.clone(),
            host: &HostIdentity {
                host,
                groups: Vec::new(),
                key: self.grant.public(),
            },
            approvals: &[],
        };
        let claims = self.grant_claims(&asked, &policy.digest, &asked.id, &terms);
        self.grant.sign(Typ::Grant, &claims)?;
        Ok(())
    }

    /// # Errors
    /// [`Error::Sign`], [`Error::OwnStatement`].
    pub fn revocation(
        &self,
        target: &Target,
        reason: &str,
        now: u64,
        next: &Next,
    ) -> Result<Signed, Error> {
        let claims = Revocation {
            ver: 1,
            iss: self.iss.clone(),
            iat: now,
            epoch: self.epoch,
            serial: next.serial,
            prev: next.prev.clone(),
            target: target.clone(),
            reason: reason.to_owned(),
            exp: next.reach.saturating_add(3600),
        };
        let jws = self.revocation.sign(Typ::Revocation, &claims)?;
        let verified =
            statement::verify_revocation(&jws, &self.ring).map_err(Error::OwnStatement)?;
        Ok(Signed {
            hash: verified.hash(),
            jws,
        })
    }

    /// # Errors
    /// [`Error::Sign`], [`Error::OwnStatement`].
    pub fn state(&self, seq: u64, now: u64, head: &Head) -> Result<String, Error> {
        let claims = State {
            ver: 1,
            iss: self.iss.clone(),
            iat: now,
            epoch: self.epoch,
            exp: now.saturating_add(STATE_LIFE),
            state_seq: seq,
            rev_serial: head.rev_serial,
            rev_head: head.rev_head.clone(),
            policy_ver: head.policy_ver,
            trust_ver: self.trust_ver,
        };
        let jws = self.state.sign(Typ::State, &claims)?;
        statement::verify_state(&jws, &self.ring).map_err(Error::OwnStatement)?;
        Ok(jws)
    }

    /// # Errors
    /// [`Error::Sign`], [`Error::OwnStatement`].
    pub fn enrolment(&self, host: &Host, now: u64) -> Result<String, Error> {
        let claims = Enrol {
            ver: 1,
            iss: self.iss.clone(),
            iat: now,
            epoch: self.epoch,
            host: host.id.clone(),
            groups: vec![self.group_all()],
            labels: {
                let mut labels = host.labels.clone();
                labels.insert("name".to_owned(), host.name.clone());
                labels
            },
            jwk: host.jwk.clone(),
            trust: self.trust_hash.clone(),
        };
        let jws = self.enrol.sign(Typ::Enrol, &claims)?;
        statement::verify_enrol(&jws, &self.ring).map_err(Error::OwnStatement)?;
        Ok(jws)
    }

    /// # Errors
    /// [`Error::Sign`] (too large), [`Error::OwnStatement`].
    pub fn policy(&self, policy: &Policy, ver: u64, now: u64) -> Result<String, Error> {
        let claims = statement::claims::Policy {
            ver: 1,
            iss: self.iss.clone(),
            iat: now,
            epoch: self.epoch,
            policy_ver: ver,
            digest: policy.digest().to_owned(),
            commit: policy.commit().map(str::to_owned),
            default_role: policy.default_role().to_owned(),
            roles: policy.roles().clone(),
        };
        let jws = self.policy.sign(Typ::Policy, &claims)?;
        statement::verify_policy(&jws, &self.ring).map_err(Error::OwnStatement)?;
        Ok(jws)
    }
}

/// The sentence for a right that is too long to be signed.
pub(crate) fn too_large(e: &Error) -> Option<String> {
    match e {
        Error::Sign(SignError::TooLarge { bytes, limit }) => Some(format!(
            "it needs {bytes} bytes, at most {limit} can be signed"
        )),
        _ => None,
    }
}

/// Bytes nobody can guess.
///
/// # Errors
/// [`Error::Random`].
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(bytes)
}
