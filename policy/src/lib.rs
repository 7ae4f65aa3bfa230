//! Who may ask for what, and who must approve.
//!
//! A policy is a folder that people write and review (`/etc/jit/policy`): `roles.toml` with the roles and, for the
//! simple case, an ordered list of rules; or rules in Rego v1 beside it, with their tests; groups of approvers; who
//! is on call. [`load`] takes `roles.toml` alone, [`open`] a whole folder; both give a [`Policy`] or say in which file
//! and line what is wrong. [`Policy::decide`] answers one request. Whatever is not said, not understood or not
//! answered in time is a denial.
//!
//! The crate reads no clock and no network, and files only in [`dir`]. It never decides who is eligible on a host:
//! the host does that itself, at the moment of the call. Its spec is `docs/spec/policy.md`.

pub mod approvers;
pub mod dir;
pub mod duration;
pub mod replay;
pub mod trial;

mod answer;
mod ask;
mod bundle;
mod calls;
mod check;
mod engine;
mod error;
mod file;
mod on_call;
mod outcome;
mod rego;
mod table;

pub use ask::{Ask, Host, Requester};
pub use bundle::Files;
pub use engine::Step;
pub use error::{Error, Fault};
pub use outcome::{Outcome, Terms, in_words};
pub use rego::TIME_LIMIT;

use approvers::Approvers;
use ask::Input;
use engine::Engine;
use on_call::OnCall;
use statement::detail::Auth;
use statement::role::Role;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of one file; a longer one is refused unread.
pub const TEXT_MAX: usize = 64 * 1024;

/// A policy without a fault.
#[derive(Clone, Debug)]
pub struct Policy {
    roles: BTreeMap<String, Role>,
    default_role: String,
    engine: Arc<dyn Engine>,
    approvers: Approvers,
    on_call: OnCall,
    digest: String,
    commit: Option<String>,
}

/// Reads a policy that is `roles.toml` alone.
///
/// # Errors
/// The first fault, with its line and what to write instead.
pub fn load(text: &str) -> Result<Policy, Error> {
    let (parts, digest) = (check::roles(text)?, Files::digest_of_text(text));
    Ok(Policy {
        roles: parts.roles,
        default_role: parts.default_role,
        engine: Arc::new(parts.table),
        approvers: Approvers::default(),
        on_call: OnCall::default(),
        digest,
        commit: None,
    })
}

/// Reads a whole policy and tries every rule of it.
///
/// # Errors
/// The first fault of each file.
pub fn open(files: &Files) -> Result<Policy, Vec<Fault>> {
    let mut faults = Vec::new();
    let roles = files.roles();
    let parts = roles.and_then(|text| check::roles(text).map_err(|e| e.of("roles.toml")));
    let parts = parts.map_err(|fault| faults.push(fault)).ok();
    let approvers = Approvers::parse(files.approvers(), &mut faults);
    let on_call = OnCall::parse(files.on_call(), &mut faults);
    let rego = files.has_rego().then(|| rego::Rego::new(files.rego()));
    let rego = match rego.transpose() {
        Ok(rego) => rego,
        Err(found) => {
            faults.extend(found);
            None
        }
    };
    let (Some(parts), true) = (parts, faults.is_empty()) else {
        return Err(faults);
    };
    let engine: Arc<dyn Engine> = match rego {
        None => Arc::new(parts.table),
        Some(rego) => {
            if let Some(line) = parts.first_rule {
                return Err(vec![Fault::new(
                    "roles.toml",
                    line,
                    "rules both here and in Rego",
                    "keep them in one place: drop every [[approve]], or the .rego files",
                )]);
            }
            Arc::new(rego)
        }
    };
    let policy = Policy {
        roles: parts.roles,
        default_role: parts.default_role,
        engine,
        approvers,
        on_call,
        digest: files.digest(),
        commit: files.commit()?,
    };
    policy.try_out()?;
    Ok(policy)
}

impl Policy {
    /// The role table that goes into the signed policy.
    #[must_use]
    pub fn roles(&self) -> &BTreeMap<String, Role> {
        &self.roles
    }

    /// The role of a request that names none.
    #[must_use]
    pub fn default_role(&self) -> &str {
        &self.default_role
    }

    /// The groups of people who approve, as the policy lists them. Hosts believe the trust statement alone.
    #[must_use]
    pub fn approvers(&self) -> &Approvers {
        &self.approvers
    }

    /// The commit of its source, when the folder says so.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Roles that a table of rules gives to every eligible user without a person being asked and without a password.
    #[must_use]
    pub fn free_roles(&self) -> Vec<&str> {
        self.roles
            .iter()
            .filter(|(name, role)| role.auth == Auth::None && self.engine.gives_everyone(name))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// SHA-256 of the policy, base64url: of the text when it is `roles.toml` alone, else of its archive.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// An unknown role, a life over a maximum, no rule, an error, a rule that takes too long, an answer that is not
    /// understood: each is a denial.
    #[must_use]
    pub fn decide(&self, ask: &Ask) -> Outcome {
        let outcome = self
            .possible(ask)
            .and_then(|input| self.engine.route(&input))
            .and_then(|outcome| self.can_be_asked(outcome));
        match outcome {
            Ok(outcome) => outcome.within_cap(ask.duration),
            Err(why) => Outcome::Deny { why },
        }
    }

    /// Every rule in the order of the text, and what became of it for this request.
    #[must_use]
    pub fn explain(&self, ask: &Ask) -> Vec<Step> {
        match self.possible(ask) {
            Ok(input) => self.engine.explain(&input),
            Err(why) => vec![Step {
                rule: "roles.toml".to_owned(),
                said: why,
            }],
        }
    }

    /// The request as rules see it: `input`, also for other engines.
    ///
    /// # Errors
    /// Why no rule is asked.
    pub fn input(&self, ask: &Ask) -> Result<serde_json::Value, String> {
        serde_json::to_value(self.possible(ask)?).map_err(|e| e.to_string())
    }

    /// What no rule can allow; else the request as rules see it.
    fn possible(&self, ask: &Ask) -> Result<Input, String> {
        let Some(role) = self.roles.get(&ask.role) else {
            let all: Vec<&str> = self.roles.keys().map(String::as_str).collect();
            return Err(format!(
                "There is no role {:?}; roles are {}.",
                ask.role,
                all.join(", ")
            ));
        };
        if ask.duration == 0 || ask.duration > role.max_s {
            return Err(format!(
                "Role {} lasts at most {}; {} was asked for.",
                ask.role,
                duration::show(role.max_s),
                duration::show(ask.duration)
            ));
        }
        let mut ask = ask.clone();
        if ask.details.is_empty() {
            let who = &ask.requester;
            ask.details = vec![role.expand(&ask.role, &who.login, who.uid)];
        }
        let on_call = self.on_call.at(ask.at);
        Input::new(ask, on_call).ok_or_else(|| "The time of the request is no time.".to_owned())
    }

    /// A policy that lists its approvers may name only those.
    fn can_be_asked(&self, outcome: Outcome) -> Result<Outcome, String> {
        match &outcome {
            Outcome::Approve { rule, levels, .. } => match self.approvers.lacking(levels) {
                None => Ok(outcome),
                Some(why) => Err(format!("The policy's rule {rule:?} asks in vain: {why}.")),
            },
            _ => Ok(outcome),
        }
    }

    /// Asks for every role once, so that a fault which shows only when a rule runs is found before it counts.
    fn try_out(&self) -> Result<(), Vec<Fault>> {
        let asks = self.roles.iter().map(|(name, role)| {
            let mut ask = Ask::new(name, "nobody", role.default_s);
            ask.ticket = Some("T-1".to_owned());
            ask
        });
        let inputs = asks.filter_map(|ask| self.possible(&ask).ok());
        let mut faults: Vec<Fault> = inputs.filter_map(|i| self.engine.fault(&i)).collect();
        faults.extend(
            self.engine
                .levels()
                .into_iter()
                .filter_map(|(line, levels)| {
                    let why = self.approvers.lacking(levels)?;
                    let hint = "add the group to approvers/, or name another";
                    Some(Fault::new("roles.toml", line, why, hint))
                }),
        );
        faults.dedup();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}
