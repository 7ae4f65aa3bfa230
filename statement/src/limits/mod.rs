//! Limits of every claim. A statement that breaks one is refused, also when its signature is right.

mod breakglass;
mod forms;
mod host_auth;
mod right;
mod trust;

pub use forms::{reason, role_name, ticket};
pub use trust::needs;

use crate::Refused;
use crate::claims::{Enrol, Grant, Policy, Request, Revocation, State, Target};
use crate::detail::Detail;
use crate::digest;
use crate::keys::PublicKey;
use crate::trust::TrustClaims;
use forms::{audience, hash, short_text, spiffe, subject, time, ulid, uri, version};

/// Longest life of a grant, seconds.
pub const MAX_LIFE: u64 = 43_200;
/// Furthest start after the making of a grant, and longest wait for approval, seconds.
pub const MAX_AHEAD: u64 = 604_800;
/// Longest age of the view of revocations that a grant may tolerate, seconds.
pub const MAX_STALE: u32 = 86_400;
/// Longest life of a host's word that it is calling, seconds.
pub const MAX_HOST_AUTH_LIFE: u64 = 60;
/// Life of a state statement, seconds.
pub const STATE_LIFE: u64 = 120;
/// Longest life of a trust statement, seconds.
pub const MAX_TRUST_LIFE: u64 = 400 * 86_400;
/// Longest life of an unused break-glass statement, seconds.
pub const MAX_BREAKGLASS_LIFE: u64 = 400 * 86_400;
/// Bytes of a reason and of a ticket.
pub const MAX_REASON: usize = 512;
pub const MAX_TICKET: usize = 64;
/// Bytes of a role's name: with `jit-` it must fit a group's name.
pub const MAX_ROLE_NAME: usize = 28;

/// End of the year 9999: later times cannot be written in RFC 3339, and nothing below overflows.
const MAX_TIME: u64 = 253_402_300_799;
const MAX_NAME: usize = 32;
const MAX_PATH: usize = 1024;
const MAX_ARGUMENTS: usize = 64;
const MAX_SUBJECT: usize = 128;
const MAX_ID: usize = 256;

/// Claims that can be checked by themselves.
pub trait Limits {
    /// Refuses with [`Refused::Limit`], naming the member and the rule.
    fn check(&self) -> Result<(), Refused>;
}

fn rule(holds: bool, member: &'static str, rule: &'static str) -> Result<(), Refused> {
    if holds {
        Ok(())
    } else {
        Err(Refused::Limit { member, rule })
    }
}

fn details(list: &[Detail], role: &str) -> Result<(), Refused> {
    const MEMBER: &str = "authorization_details";
    rule((1..=8).contains(&list.len()), MEMBER, "1 to 8")?;
    let same_account = |d: &Detail| d.login == list[0].login && d.uid == list[0].uid;
    rule(
        list.iter().all(same_account),
        MEMBER,
        "all for one login and uid",
    )?;
    // A foreign role's group is that role's mark, and the others of ours are rights of their own.
    let own = |g: &String| !g.starts_with("jit-") || g.strip_prefix("jit-") == Some(role);
    rule(
        list.iter().all(|d| d.groups.iter().all(own)),
        "groups",
        "of jit's own groups only that of the role",
    )?;
    list.iter().try_for_each(Limits::check)
}

impl Limits for Request {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        rule(!self.iss.is_empty(), "iss", "must not be empty")?;
        short_text(&self.iss, MAX_ID, "iss")?;
        time(self.iat, "iat")?;
        ulid(&self.id, "id")?;
        let nonce = digest::decode(&self.nonce).is_some_and(|n| n.len() == 16);
        rule(nonce, "nonce", "not 16 bytes in base64url")?;
        subject(&self.sub, "sub")?;
        audience(&self.aud)?;
        role_name(&self.role)?;
        details(&self.authorization_details, &self.role)?;
        rule(
            self.not_before <= self.iat + MAX_AHEAD,
            "not_before",
            "at most 7 days ahead",
        )?;
        rule(
            (1..=MAX_LIFE).contains(&self.dur),
            "dur",
            "1 to 43200 seconds",
        )?;
        let wait = self.iat..=self.iat + MAX_AHEAD;
        rule(
            wait.contains(&self.approve_until),
            "approve_until",
            "from iat to 7 days later",
        )?;
        reason(&self.reason)?;
        self.ticket.iter().try_for_each(|t| ticket(t))?;
        self.extends.iter().try_for_each(|e| ulid(e, "extends"))
    }
}

impl Limits for Grant {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        audience(&self.aud)?;
        ulid(&self.jti, "jti")?;
        subject(&self.sub, "sub")?;
        time(self.nbf, "nbf")?;
        time(self.exp, "exp")?;
        rule(self.iat <= self.nbf, "nbf", "not before iat")?;
        rule(self.nbf < self.exp, "exp", "after nbf")?;
        rule(
            self.exp - self.nbf <= MAX_LIFE,
            "exp",
            "at most 43200 seconds after nbf",
        )?;
        rule(
            self.nbf - self.iat <= MAX_AHEAD,
            "nbf",
            "at most 604800 seconds after iat",
        )?;
        rule(
            self.max_stale <= MAX_STALE,
            "max_stale",
            "at most 86400 seconds",
        )?;
        role_name(&self.role)?;
        details(&self.authorization_details, &self.role)?;
        hash(&self.req_hash, "req_hash")?;
        hash(&self.policy.digest, "policy.digest")?;
        short_text(&self.policy.rule, MAX_SUBJECT, "policy.rule")?;
        reason(&self.reason)?;
        self.ticket.iter().try_for_each(|t| ticket(t))?;
        self.extends.iter().try_for_each(|e| ulid(e, "extends"))?;
        rule(
            self.extends.as_ref() != Some(&self.jti),
            "extends",
            "not the grant itself",
        )
    }
}

impl Limits for Revocation {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        rule(self.serial >= 1, "serial", "from 1")?;
        hash(&self.prev, "prev")?;
        match &self.target {
            Target::Grant(jti) => ulid(jti, "target")?,
            Target::Sub(who) | Target::Approver(who) => subject(who, "target")?,
            Target::Host(host) => spiffe(host, &["host"], "target")?,
            Target::Kid(kid) => hash(kid, "target")?,
            // It cannot be taken back, so it must not reach into the future.
            Target::IssuedBefore(t) => {
                rule(*t <= self.iat + 1, "target", "at most a second after iat")?
            }
        }
        short_text(&self.reason, 256, "reason")?;
        time(self.exp, "exp")?;
        rule(self.exp > self.iat, "exp", "after iat")
    }
}

impl Limits for State {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        rule(self.exp > self.iat, "exp", "after iat")?;
        rule(
            self.exp - self.iat <= STATE_LIFE,
            "exp",
            "at most 120 seconds after iat",
        )?;
        hash(&self.rev_head, "rev_head")
    }
}

impl Limits for Enrol {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        spiffe(&self.host, &["host"], "host")?;
        rule(self.groups.len() <= 64, "groups", "at most 64")?;
        self.groups
            .iter()
            .try_for_each(|g| spiffe(g, &["group"], "groups"))?;
        rule(self.labels.len() <= 32, "labels", "at most 32")?;
        for text in self.labels.keys().chain(self.labels.values()) {
            short_text(text, MAX_SUBJECT, "labels")?;
        }
        rule(
            PublicKey::from_jwk(&self.jwk).is_ok(),
            "jwk",
            "not an Ed25519 or P-256 key",
        )?;
        hash(&self.trust, "trust")
    }
}

impl Limits for Policy {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        hash(&self.digest, "digest")?;
        let is_commit =
            |c: &String| matches!(c.len(), 40 | 64) && c.bytes().all(|b| b.is_ascii_hexdigit());
        rule(
            self.commit.iter().all(is_commit),
            "commit",
            "not a Git commit",
        )?;
        rule((1..=64).contains(&self.roles.len()), "roles", "1 to 64")?;
        rule(
            self.roles.contains_key(&self.default_role),
            "default_role",
            "one of the roles",
        )?;
        self.roles
            .iter()
            .try_for_each(|(name, role)| role_name(name).and_then(|()| role.check()))
    }
}

impl Limits for TrustClaims {
    fn check(&self) -> Result<(), Refused> {
        version(self.ver)?;
        uri(&self.iss, "iss")?;
        time(self.iat, "iat")?;
        time(self.exp, "exp")?;
        rule(self.exp > self.iat, "exp", "after iat")?;
        rule(
            self.exp - self.iat <= MAX_TRUST_LIFE,
            "exp",
            "at most 400 days after iat",
        )?;
        rule(self.trust_ver >= 1, "trust_ver", "from 1")?;
        hash(&self.prev, "prev")?;
        rule((1..=32).contains(&self.keys.len()), "keys", "1 to 32")?;
        for key in &self.keys {
            rule(key.uses.len() == 1, "use", "one use a key")?;
            time(key.exp, "keys.exp")?;
            rule(key.nbf < key.exp, "keys.exp", "after keys.nbf")?;
        }
        rule(
            (1..=16).contains(&self.root.keys.len()),
            "root.keys",
            "1 to 16",
        )?;
        let threshold = 1..=self.root.keys.len();
        rule(
            threshold.contains(&(self.root.threshold as usize)),
            "root.threshold",
            "1 to the number of root keys",
        )?;
        trust::rules(&self.rules)?;
        rule(self.people.len() <= 512, "people", "at most 512")?;
        self.people.iter().try_for_each(trust::person)?;
        rule(self.carry.len() <= 256, "carry", "at most 256")?;
        self.carry.iter().try_for_each(|c| ulid(c, "carry"))
    }
}
