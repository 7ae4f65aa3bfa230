//! `ceiling.toml`: parsing is apart from reading, unknown keys are errors. There is nothing else to set yet.

use crate::budget::DAY_S;
use serde::Deserialize;
use statement::detail::{All, AllOr};
use statement::limits::needs;
use statement::people::{Approver, Need, met};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Local limits no grant can exceed (`/etc/jit/ceiling.toml`). They tighten, never widen, what the issuer signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Longest life of a grant, extensions included, seconds.
    pub max_duration_s: u64,
    /// Oldest view of revocations a use may rest on, seconds; the lower of this and the grant's own counts.
    pub max_stale_s: u64,
    /// Seconds that one user may hold grants within any 24 hours; `None`: no such limit.
    pub max_per_day_s: Option<u64>,
    /// Root-equal groups a grant may give; all others of that kind are refused.
    pub groups: Vec<String>,
    /// Whether a managed user's own sudoers rules count.
    pub standing_rules: StandingRules,
    /// Roles that may be automatic here, of those that the trust statement lets be.
    pub automatic: AllOr<String>,
    /// Who must approve a role here, beside whom the trust statement names.
    pub approval: BTreeMap<String, Vec<Need>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandingRules {
    Deny,
    Allow,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            max_duration_s: 43_200,
            max_stale_s: 300,
            max_per_day_s: None,
            groups: Vec::new(),
            standing_rules: StandingRules::Deny,
            automatic: AllOr::All(All::All),
            approval: BTreeMap::new(),
        }
    }
}

/// Groups that equal root, or read what only root may: a member can become root without sudo.
pub const ROOT_EQUAL: &[&str] = &[
    "root",
    "sudo",
    "wheel",
    "admin",
    "adm",
    "docker",
    "podman",
    "lxd",
    "lxc",
    "incus",
    "incus-admin",
    "libvirt",
    "kvm",
    "disk",
    "shadow",
    "kmem",
    "tape",
    "video",
    "input",
    "staff",
    "systemd-journal",
    "systemd-network",
    "tty",
    "utmp",
    "sys",
    "bin",
    "daemon",
    "mail",
    "backup",
    "operator",
    "empower",
    "netdev",
    "plugdev",
    "jit-eligible",
    "jit-link",
    "jit-issuer",
];

/// A configuration file that cannot be used. The agent then gives no right.
#[derive(Debug)]
pub struct ConfigError {
    file: String,
    why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.why)
    }
}

impl std::error::Error for ConfigError {}

impl Ceiling {
    /// # Errors
    /// TOML errors, unknown keys, limits outside their range; the text names line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let c: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if c.max_duration_s == 0 || c.max_duration_s > 43_200 {
            return Err("max_duration_s must be 1 to 43200".into());
        }
        if c.max_stale_s > 86_400 {
            return Err("max_stale_s must be at most 86400".into());
        }
        if c.max_per_day_s.is_some_and(|s| s == 0 || s > DAY_S) {
            return Err(format!("max_per_day_s must be 1 to {DAY_S}"));
        }
        for (role, wanted) in &c.approval {
            needs(wanted).map_err(|e| format!("approval of {role}: {e}"))?;
        }
        Ok(c)
    }

    /// May a grant of this role rest on these approvals (none: it is automatic)?
    ///
    /// # Errors
    /// The sentence that says what is missing.
    pub fn approved(&self, role: &str, by: &[Approver]) -> Result<(), String> {
        let automatic = match &self.automatic {
            AllOr::All(_) => true,
            AllOr::List(roles) => roles.iter().any(|r| r == role),
        };
        if by.is_empty() && !automatic {
            return Err(format!("role {role} is not automatic on this host"));
        }
        self.approval
            .get(role)
            .map_or(Ok(()), |wanted| met(wanted, by))
    }

    /// May a grant give this group?
    #[must_use]
    pub fn allows_group(&self, group: &str) -> bool {
        !ROOT_EQUAL.contains(&group) || self.groups.iter().any(|g| g == group)
    }
}

/// The ceiling at `path`; a missing file is the vendor default (names no group).
///
/// # Errors
/// A file that is there and cannot be read or used: no default stands in for it.
pub fn load_ceiling(path: &Path) -> Result<Ceiling, ConfigError> {
    let err = |why: String| ConfigError {
        file: path.display().to_string(),
        why,
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ceiling::parse(&text).map_err(err),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ceiling::default()),
        Err(e) => Err(err(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors() {
        assert!(Ceiling::parse("max_durations_s = 5").is_err());
    }

    #[test]
    fn an_empty_file_names_no_root_equal_group() {
        let c = Ceiling::parse("").unwrap();
        assert!(!c.allows_group("docker"));
        assert!(!c.allows_group("adm"));
        assert!(c.allows_group("jit-admin"));
    }

    #[test]
    fn a_named_group_is_allowed_and_no_other() {
        let c = Ceiling::parse("groups = [\"adm\"]").unwrap();
        assert!(c.allows_group("adm"));
        assert!(!c.allows_group("shadow"));
    }

    #[test]
    fn approvals_are_only_ever_added() {
        let by = |person: &str| Approver {
            person: person.into(),
            groups: vec!["ops".into()],
            until: 0,
        };
        let c = Ceiling::parse("").unwrap();
        assert_eq!(c.approved("admin", &[]), Ok(()));
        let c = Ceiling::parse("automatic = [\"logs\"]").unwrap();
        assert_eq!(c.approved("logs", &[]), Ok(()));
        assert!(c.approved("admin", &[]).is_err());
        assert_eq!(c.approved("admin", &[by("bob")]), Ok(()));
        let c = Ceiling::parse("[approval]\nadmin = [{ group = \"ops\", count = 2 }]").unwrap();
        assert!(c.approved("admin", &[]).is_err());
        assert!(c.approved("admin", &[by("bob")]).is_err());
        assert_eq!(c.approved("admin", &[by("bob"), by("carol")]), Ok(()));
        assert_eq!(c.approved("logs", &[]), Ok(()));
        assert!(Ceiling::parse("[approval]\nadmin = []").is_err());
        assert!(Ceiling::parse("automatic = \"some\"").is_err());
    }

    #[test]
    fn a_limit_out_of_range_is_refused() {
        assert!(Ceiling::parse("max_duration_s = 0").is_err());
        assert!(Ceiling::parse("max_duration_s = 43201").is_err());
        assert!(Ceiling::parse("max_stale_s = 86401").is_err());
        assert!(Ceiling::parse("max_duration_s = -1").is_err());
        assert!(Ceiling::parse("max_per_day_s = 0").is_err());
        assert!(Ceiling::parse("max_per_day_s = 86401").is_err());
        assert_eq!(
            Ceiling::parse("max_per_day_s = 60").unwrap().max_per_day_s,
            Some(60)
        );
    }
}
