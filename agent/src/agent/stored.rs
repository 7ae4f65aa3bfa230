//! A stored grant in memory. What gives a right is a [`Whole`], and only verifying makes one. What starts later is kept
//! small until then: its plain file, and of the signed one the [`Terms`] that a revocation may name. The signed one stays
//! on disk and is verified anew when the grant starts.

use super::accept::{self, Marks};
use super::activate::groups_of;
use super::extend::continues;
use crate::deadline::Deadline;
use crate::decide::View;
use crate::store::grants::{self, GrantFile, Phase};
use crate::store::identity::{self, Enrolled};
use statement::claims::{Revocation, Target};
use statement::verify::{HostIdentity, VerifiedGrant, verify_grant};

/// A stored grant: the plain file beside what is known of the signed one.
pub struct Stored {
    /// Without what was signed, unless the grant is whole.
    pub file: GrantFile,
    signed: Signed,
}

enum Signed {
    /// Starts later, and nobody has looked at it yet: believed for taking away alone.
    Unread,
    /// Starts later; it was verified.
    PutBy(Box<Terms>),
    Whole(Box<Whole>),
}

/// A verified grant and all that it says.
pub struct Whole {
    pub grant: VerifiedGrant,
    /// What extended it, in order. Its id, unit and processes stay those of the first.
    pub later: Vec<VerifiedGrant>,
    /// The end that counts while an extension is stored and not yet in force.
    pub until: Option<Deadline>,
}

/// What is remembered of a verified grant until it starts.
pub struct Terms {
    jti: Box<str>,
    extends: Option<Box<str>>,
    sub: Box<str>,
    iat: u64,
    epoch: u32,
    kid: Box<str>,
    request_kid: Box<str>,
    /// Who approved it, and who signed its request.
    people: Box<[Box<str>]>,
    reason: Box<str>,
    /// Hash of its request, when a person signed that elsewhere.
    elsewhere: Option<Box<str>>,
}

impl Terms {
    fn of(grant: &VerifiedGrant) -> Self {
        let claims = grant.claims();
        let asker = grant.asked_by();
        let approvers = grant.approvers().iter().map(|a| a.person.as_str());
        let people = approvers.chain(asker.map(|a| a.person.as_str()));
        Self {
            jti: claims.jti.as_str().into(),
            extends: claims.extends.as_deref().map(Into::into),
            sub: claims.sub.as_str().into(),
            iat: claims.iat,
            epoch: claims.epoch,
            kid: grant.kid().into(),
            request_kid: grant.request_kid().into(),
            people: people.map(Into::into).collect(),
            reason: claims.reason.as_str().into(),
            elsewhere: asker.map(|_| grant.request_hash().into()),
        }
    }
}

impl Marks for Terms {
    fn jti(&self) -> &str {
        &self.jti
    }

    fn extends(&self) -> Option<&str> {
        self.extends.as_deref()
    }

    fn sub(&self) -> &str {
        &self.sub
    }

    fn iat(&self) -> u64 {
        self.iat
    }

    fn is_of_key(&self, kid: &str) -> bool {
        kid == &*self.kid || kid == &*self.request_kid
    }

    fn rests_on(&self, person: &str) -> bool {
        self.people.iter().any(|p| **p == *person)
    }
}

impl Whole {
    /// The grant and what extended it, the oldest first.
    pub fn chain(&self) -> impl Iterator<Item = &VerifiedGrant> {
        std::iter::once(&self.grant).chain(&self.later)
    }

    /// The grant, or the last that extended it.
    #[must_use]
    pub fn newest(&self) -> &VerifiedGrant {
        self.later.last().unwrap_or(&self.grant)
    }

    /// Is it a grant for one use (`once`)?
    #[must_use]
    pub fn is_for_one_use(&self) -> bool {
        let mut details = self.grant.claims().authorization_details.iter();
        details.any(|d| d.once)
    }
}

impl Stored {
    /// A grant that was just taken.
    #[must_use]
    pub fn new(file: GrantFile, grant: VerifiedGrant) -> Self {
        Self::whole_of(file, grant, Vec::new())
    }

    fn whole_of(file: GrantFile, grant: VerifiedGrant, later: Vec<VerifiedGrant>) -> Self {
        let until = None;
        let whole = Whole {
            grant,
            later,
            until,
        };
        let signed = Signed::Whole(Box::new(whole));
        Self { file, signed }
    }

    /// As found on disk: what starts later is left for later, all else is verified now.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn found(file: GrantFile, enrolled: &Enrolled) -> Result<Self, String> {
        let later = file.phase == Phase::Waiting && file.extensions.is_empty();
        // Files of before the request was named in them.
        if !later || file.request.is_empty() {
            return Self::load(file, enrolled);
        }
        Ok(Self {
            file: GrantFile {
                bundle: String::new(),
                ..file
            },
            signed: Signed::Unread,
        })
    }

    /// What is stored, verified anew.
    ///
    /// # Errors
    /// One sentence: a bundle is not believed, or the plain file says something else.
    pub fn load(mut file: GrantFile, enrolled: &Enrolled) -> Result<Self, String> {
        let verify =
            |b: &String| verify_grant(b, &enrolled.ring, &enrolled.me).map_err(|e| e.to_string());
        let grant = identity::verify_stored(&file.bundle, &enrolled.trust, &enrolled.me)?;
        let later = file
            .extensions
            .iter()
            .map(verify)
            .collect::<Result<Vec<_>, _>>()?;
        if file.request.is_empty() {
            file.request.clone_from(&grant.request().id);
        }
        let stored = Self::whole_of(file, grant, later);
        match stored.whole() {
            Some(whole) if whole.matches(&stored.file)? => Ok(stored),
            _ => Err("its file does not match the signed grant".to_owned()),
        }
    }

    /// The same of a grant that was put by: its plain file as it is in memory, beside what was signed as it is on disk.
    ///
    /// # Errors
    /// As [`Self::load`], or the file is gone.
    pub fn again(file: &GrantFile, enrolled: &Enrolled) -> Result<Self, String> {
        let kept = grants::read(&file.jti).map_err(|e| e.to_string())?;
        let kept = kept.ok_or("its file is gone")?;
        let file = GrantFile {
            bundle: kept.bundle,
            extensions: kept.extensions,
            ..file.clone()
        };
        Self::load(file, enrolled)
    }

    /// Keep of a whole one only what is needed until it starts. What was signed must be on disk.
    pub fn put_by(&mut self) {
        if let Signed::Whole(whole) = &self.signed {
            self.signed = Signed::PutBy(Box::new(Terms::of(&whole.grant)));
            self.file.bundle = String::new();
        }
    }

    /// Verified, with all that it says. None: it starts later, and was put by.
    #[must_use]
    pub fn whole(&self) -> Option<&Whole> {
        match &self.signed {
            Signed::Whole(whole) => Some(whole),
            Signed::Unread | Signed::PutBy(_) => None,
        }
    }

    /// The same, with the file.
    pub fn whole_mut(&mut self) -> Option<(&mut GrantFile, &mut Whole)> {
        match &mut self.signed {
            Signed::Whole(whole) => Some((&mut self.file, whole)),
            Signed::Unread | Signed::PutBy(_) => None,
        }
    }

    /// Has nobody looked at what was signed?
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self.signed, Signed::Unread)
    }

    /// As the decision sees it; what was put by has no say.
    #[must_use]
    pub fn view(&self) -> Option<View<'_>> {
        let whole = self.whole()?;
        Some(View {
            claims: whole.grant.claims(),
            max_stale: whole
                .chain()
                .map(|g| g.claims().max_stale)
                .min()
                .unwrap_or(0),
            phase: self.file.phase,
            deadline: self.deadline(),
            used: self.file.used,
        })
    }

    #[must_use]
    pub fn deadline(&self) -> Deadline {
        let until = self.whole().and_then(|w| w.until);
        until.unwrap_or(Deadline {
            wall_s: self.file.until_s,
            boot_ns: self.file.until_boot_ns,
        })
    }

    /// Is this the id of the grant or of one that extended it?
    #[must_use]
    pub fn is_called(&self, jti: &str) -> bool {
        let mut later = self.whole().into_iter().flat_map(|w| &w.later);
        self.file.jti == jti || later.any(|g| g.claims().jti == jti)
    }

    /// Is this the id of a request it answered?
    #[must_use]
    pub fn was_asked_as(&self, request: &str) -> bool {
        let mut later = self.whole().into_iter().flat_map(|w| &w.later);
        self.file.request == request || later.any(|g| g.request().id == request)
    }

    /// Does this revocation end any link of the chain, and so the whole? Of one that is unread, only its own id is known.
    #[must_use]
    pub fn revoked_by(&self, r: &Revocation, me: &HostIdentity) -> bool {
        match &self.signed {
            Signed::Unread => matches!(&r.target, Target::Grant(jti) if *jti == self.file.jti),
            Signed::PutBy(terms) => accept::revokes(r, &**terms, me),
            Signed::Whole(whole) => whole.chain().any(|g| accept::revokes(r, g, me)),
        }
    }

    /// Epoch of the grant, once it is known.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        match &self.signed {
            Signed::Unread => None,
            Signed::PutBy(terms) => Some(terms.epoch),
            Signed::Whole(whole) => Some(whole.grant.claims().epoch),
        }
    }

    /// When it was made, Unix seconds, once it is known.
    #[must_use]
    pub fn made_s(&self) -> Option<u64> {
        match &self.signed {
            Signed::Unread => None,
            Signed::PutBy(terms) => Some(terms.iat),
            Signed::Whole(whole) => Some(whole.newest().claims().iat),
        }
    }

    /// What it was asked for, as far as it is known.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.signed {
            Signed::Unread => "",
            Signed::PutBy(terms) => &terms.reason,
            Signed::Whole(whole) => &whole.grant.claims().reason,
        }
    }

    /// Hash of its request, when a person signed that elsewhere.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&str> {
        match &self.signed {
            Signed::Unread => None,
            Signed::PutBy(terms) => terms.elsewhere.as_deref(),
            Signed::Whole(whole) => {
                let asker = whole.grant.asked_by();
                asker.map(|_| whole.grant.request_hash())
            }
        }
    }
}

impl Whole {
    /// Does the plain file say what was signed?
    ///
    /// # Errors
    /// What was signed does not hang together.
    fn matches(&self, file: &GrantFile) -> Result<bool, String> {
        for (before, after) in self.chain().zip(&self.later) {
            continues(after.claims(), before.claims())?;
        }
        let claims = self.grant.claims();
        Ok(claims.jti == file.jti
            && self.grant.request().id == file.request
            && claims.nbf == file.from_s
            && self.newest().claims().exp == file.until_s
            && claims.role == file.role
            && groups_of(claims) == file.groups
            && claims
                .authorization_details
                .iter()
                .all(|d| d.login == file.login && d.uid == file.uid))
    }
}

#[cfg(test)]
mod tests;
