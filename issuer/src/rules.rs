//! The policy in force: read from its folder, signed under a new version when its text changed, kept when the folder
//! has a fault or nobody has looked at what it gives.

use crate::authority::{Authority, too_large};
use crate::clock;
use crate::config::Config;
use crate::error::Error;
use crate::files;
use crate::out;
use crate::review;
use crate::store::Db;
use policy::{Files, Policy};
use statement::claims::PolicyRef;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// A policy and the version it is signed under.
#[derive(Debug)]
pub struct InForce {
    pub policy: Policy,
    pub ver: u64,
}

/// Shared between the calls and the reload.
pub struct Rules {
    file: PathBuf,
    review: Option<String>,
    now: RwLock<Arc<InForce>>,
}

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    New { ver: u64 },
    Same,
}

impl Rules {
    /// At start: the file, or, when it has a fault, the policy that was in force last. Revocations and heartbeats
    /// must not depend on an edit.
    ///
    /// # Errors
    /// [`Error::Policy`] for a fault with nothing before it; the store's.
    pub async fn start(
        config: &Config,
        db: &Db,
        authority: &Arc<Authority>,
    ) -> Result<Self, Error> {
        let (file, review) = (&config.roles, config.policy_review.as_deref());
        let before = match db.call(|core| core.store.policy()).await? {
            Some(stored) => Some(InForce {
                policy: reopen(file, &stored.text)?,
                ver: stored.ver,
            }),
            None => None,
        };
        let next = match read(file, authority) {
            Ok((policy, text)) => {
                let old = before.as_ref().map(|b| &b.policy);
                review::look(db, review, old, &policy, file, &text)
                    .await
                    .map(|()| (policy, text))
            }
            Err(fault) => Err(fault),
        };
        let in_force = match (next, before) {
            (Ok((policy, text)), _) => adopt(db, authority, policy, text).await?,
            (Err(fault), Some(before)) => {
                out::warn(format_args!(
                    "{fault}; policy version {} stays in force",
                    before.ver
                ));
                before
            }
            (Err(fault), None) => return Err(fault),
        };
        Ok(Self {
            file: file.clone(),
            review: config.policy_review.clone(),
            now: RwLock::new(Arc::new(in_force)),
        })
    }

    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        // A panic elsewhere cannot leave a half-written Arc.
        self.now
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// [`Error::Policy`], the store's; the policy before stays in force.
    pub async fn reload(&self, db: &Db, authority: &Arc<Authority>) -> Result<Reload, Error> {
        let (policy, text) = read(&self.file, authority)?;
        let old = self.in_force();
        let group = self.review.as_deref();
        review::look(db, group, Some(&old.policy), &policy, &self.file, &text).await?;
        let before = old.ver;
        let next = Arc::new(adopt(db, authority, policy, text).await?);
        let ver = next.ver;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(if ver == before {
            Reload::Same
        } else {
            Reload::New { ver }
        })
    }
}

fn read(file: &Path, authority: &Authority) -> Result<(Policy, String), Error> {
    let files = files(file)?;
    let policy = opened(file, &files)?;
    let fault = |why| Error::Policy {
        path: file.to_owned(),
        why,
    };
    let by = PolicyRef {
        digest: policy.digest().to_owned(),
        rule: "x".repeat(64),
    };
    for (name, role) in policy.roles() {
        authority
            .fits(name, role, &by)
            .map_err(|e| match too_large(&e) {
                Some(why) => fault(format!("role {name} is too long for a grant: {why}")),
                None => e,
            })?;
    }
    Ok((policy, files.to_text()))
}

/// The roles of a policy's file, for those who sign a right of one.
///
/// # Errors
/// [`Error::Policy`], [`Error::File`].
pub fn roles(file: &Path) -> Result<Policy, Error> {
    opened(file, &files(file)?)
}

/// The folder of `roles.toml`; a file of another name is a policy by itself.
fn files(file: &Path) -> Result<Files, Error> {
    if !file.exists() || file.file_name().is_none_or(|n| n != "roles.toml") {
        return Ok(Files::of_roles(&files::read_text(file, policy::TEXT_MAX)?));
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    policy::dir::read(folder).map_err(|fault| faulty(folder, &fault))
}

fn opened(file: &Path, files: &Files) -> Result<Policy, Error> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    policy::open(files).map_err(|faults| match faults.first() {
        Some(first) if first.file == "roles.toml" => Error::Policy {
            path: file.to_owned(),
            why: first.error.to_string(),
        },
        Some(first) => faulty(folder, first),
        None => Error::Worker,
    })
}

fn faulty(folder: &Path, fault: &policy::Fault) -> Error {
    Error::Policy {
        path: folder.join(&fault.file),
        why: fault.error.to_string(),
    }
}

/// What the store kept: it had no fault when it came.
fn reopen(file: &Path, text: &str) -> Result<Policy, Error> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let files = Files::from_text(text).map_err(|fault| faulty(folder, &fault))?;
    opened(file, &files)
}

/// Signs and stores a policy unless it is the one that was stored last.
async fn adopt(
    db: &Db,
    authority: &Arc<Authority>,
    policy: Policy,
    text: String,
) -> Result<InForce, Error> {
    let authority = Arc::clone(authority);
    db.call(move |core| {
        let last = core.store.policy()?;
        let ver = match last {
            Some(stored) if stored.digest == policy.digest() && authority.bears(&stored.jws) => {
                stored.ver
            }
            _ => {
                let now = clock::unix();
                core.store
                    .add_policy(&text, policy.digest(), now, &mut |ver| {
                        authority.policy(&policy, ver, now)
                    })?
            }
        };
        Ok(InForce { policy, ver })
    })
    .await
}
