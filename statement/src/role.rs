//! The role table: what a role's name stands for. The issuer signs it as part of the policy; the agent expands a
//! role from it, and a grant may be narrower than its request, never wider.

use crate::detail::{AllOr, Auth, Command, DETAIL_TYPE, Detail, Door, OnEnd, Record, Witnessed};
use serde::{Deserialize, Serialize};

/// A detail without a person, and the times a request for it may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub doors: Vec<Door>,
    /// Beside these, activation always adds `jit-<role>`.
    #[serde(default)]
    pub groups: Vec<String>,
    pub runas: AllOr<String>,
    pub commands: AllOr<Command>,
    #[serde(default)]
    pub shell: bool,
    #[serde(default)]
    pub sudoedit: Vec<String>,
    #[serde(default)]
    pub cwd: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub once: bool,
    pub auth: Auth,
    pub record: Record,
    pub on_end: OnEnd,
    #[serde(default)]
    pub unlock: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
    /// Seconds.
    pub default_s: u64,
    /// Seconds; a longer request is refused, not cut.
    pub max_s: u64,
    pub max_stale_s: u32,
}

impl Role {
    /// The detail a request for this role asks for: the role's own members, for one account, with the group
    /// `jit-<role>` added.
    pub fn expand(&self, role_name: &str, login: &str, uid: u32) -> Detail {
        let own = format!("jit-{role_name}");
        let mut groups = self.groups.clone();
        if !groups.contains(&own) {
            groups.push(own);
        }
        Detail {
            kind: DETAIL_TYPE.to_owned(),
            login: login.to_owned(),
            uid,
            doors: self.doors.clone(),
            groups,
            runas: self.runas.clone(),
            commands: self.commands.clone(),
            shell: self.shell,
            sudoedit: self.sudoedit.clone(),
            cwd: self.cwd.clone(),
            env: self.env.clone(),
            tty: self.tty,
            once: self.once,
            auth: self.auth,
            record: self.record,
            on_end: self.on_end,
            unlock: self.unlock.clone(),
            witnessed: self.witnessed,
        }
    }
}
