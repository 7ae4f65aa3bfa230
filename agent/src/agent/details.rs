//! From a role's name to the claims of a request: the signed policy says what the role stands for, the ceiling what this
//! host allows of it.

use super::Agent;
use super::elevate::error;
use super::outcome::unreachable;
use crate::clock;
use settings::ceiling::Ceiling;
use statement::claims::Request;
use statement::detail::{Detail, Record as Recording};
use statement::limits::MAX_AHEAD;
use statement::scope::{self, NotNarrow};
use std::sync::Arc;
use wire::cli::{Code, Elevate, Error};

/// A request the issuer has not decided by then is dead.
pub(super) const APPROVE_WITHIN_S: u64 = 3600;

impl Agent {
    /// # Errors
    /// When no limit is known: then nothing is asked for.
    pub(super) fn usable_ceiling(&self) -> Result<Arc<Ceiling>, Error> {
        self.ceiling().map_err(|why| {
            error(
                Code::Internal,
                format!("this host's limits cannot be read: {why}"),
                None,
            )
        })
    }

    /// The claims of a request.
    ///
    /// # Errors
    /// What the user is told: unknown role, too long, more than the role or this host gives.
    pub(super) fn claims(
        &self,
        login: &str,
        uid: u32,
        ask: &Elevate,
        (id, nonce, now): (String, String, clock::Now),
    ) -> Result<Request, Error> {
        let core = self.core.borrow();
        let ceiling = self.usable_ceiling()?;
        let enrolled = core
            .enrolled
            .as_ref()
            .ok_or_else(|| unreachable("this host is not enrolled with an issuer"))?;
        let policy = enrolled.policy()?;
        let name = ask.role.as_deref().unwrap_or(&policy.default_role);
        let role = policy.roles.get(name).ok_or_else(|| {
            let known: Vec<&str> = policy.roles.keys().map(String::as_str).collect();
            error(
                Code::UnknownRole,
                format!("there is no role {name:?}"),
                Some(&format!("roles: {}", known.join(", "))),
            )
        })?;
        let seconds = ask.seconds.unwrap_or(role.default_s);
        let most = role.max_s.min(ceiling.max_duration_s);
        if seconds == 0 {
            return Err(error(
                Code::Usage,
                "a grant lasts at least one second",
                None,
            ));
        }
        if seconds > most {
            let most = super::say::duration(most);
            return Err(error(
                Code::TooLong,
                format!("role {name} is given for at most {most}"),
                Some(&format!("ask with: --for {most}")),
            ));
        }
        let detail = narrow(role.expand(name, login, uid), ask)?;
        if let Some(group) = detail.groups.iter().find(|g| !ceiling.allows_group(g)) {
            return Err(error(
                Code::Denied,
                format!("role {name} gives the group {group}, which equals root here"),
                Some("an administrator can name it in /etc/jit/ceiling.toml"),
            ));
        }
        if detail.record != Recording::None {
            return Err(error(
                Code::Denied,
                format!("role {name} demands a recording; this host has no recorder"),
                None,
            ));
        }
        let time_s = core.state.mark.time(now);
        let not_before = ask.start_at.unwrap_or(0);
        if ask.start_at.is_some_and(|at| at < time_s) {
            return Err(error(
                Code::Usage,
                "the start that was asked for has passed",
                None,
            ));
        }
        if not_before > time_s + MAX_AHEAD {
            return Err(error(
                Code::Usage,
                "a grant may start at most seven days from now",
                None,
            ));
        }
        self.check_budget(&core, uid, not_before.max(time_s), seconds)?;
        Ok(Request {
            ver: 1,
            iss: enrolled.me.host.clone(),
            iat: time_s,
            id,
            nonce,
            sub: format!("local:{uid}@{}", enrolled.me.host),
            aud: vec![enrolled.me.host.clone()],
            role: name.to_owned(),
            policy_ver: policy.policy_ver,
            authorization_details: vec![detail],
            not_before,
            dur: seconds,
            approve_until: now.wall_s() + APPROVE_WITHIN_S,
            reason: ask.reason.clone(),
            ticket: ask.ticket.clone(),
            extends: None,
        })
    }
}

/// Ask for just one command of the role's.
fn narrow(wide: Detail, ask: &Elevate) -> Result<Detail, Error> {
    let Some(words) = &ask.command else {
        return Ok(wide);
    };
    let usage = |m: &str| error(Code::Usage, m, None);
    let words: Vec<&str> = words
        .iter()
        .map(wire::Text::as_str)
        .collect::<Option<_>>()
        .ok_or_else(|| usage("the command is not UTF-8"))?;
    scope::narrow(&wide, &words).map_err(|e| match e {
        NotNarrow::Words(why) => usage(why),
        NotNarrow::Gap(_) => error(Code::Denied, e.to_string(), None),
    })
}
