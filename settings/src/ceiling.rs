//! `ceiling.toml`: local limits no grant can exceed. They tighten, never widen, what the issuer signed.

use crate::{Settings, Wrong};
use serde::{Deserialize, Serialize};
use statement::detail::{All, AllOr};
use statement::limits::needs;
use statement::people::{Approver, Need, met};
use statement::risk::ROOT_EQUAL;
use std::collections::BTreeMap;

/// Longest life of a grant, and what counts without a ceiling.
const DURATION_MAX_S: u64 = 43_200;
const STALE_MAX_S: u64 = 86_400;
const DAY_S: u64 = 86_400;
const OFFLINE_MAX_S: u64 = 604_800;

/// Local limits no grant can exceed (`/etc/jit/ceiling.toml`). They tighten, never widen, what the issuer signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether break-glass codes of the root keys may be used here.
    pub breakglass: bool,
    /// Whether requests count here that people sign elsewhere (`jitctl elevate --host`).
    pub remote: bool,
    /// Roles that may be automatic here, of those that the trust statement lets be.
    pub automatic: AllOr<String>,
    /// When the witness must have seen the journal before something begins.
    pub witness: WitnessMode,
    /// How long grants may begin without the witness, where no role demands it, seconds.
    pub witness_offline_s: u64,
    /// Who must approve a role here, beside whom the trust statement names.
    pub approval: BTreeMap<String, Vec<Need>>,
}

/// When the journal's witness is shown a head, and who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessMode {
    /// Once a minute.
    Interval,
    /// Also after each grant; nobody waits.
    Grant,
    /// Each grant waits until its record was cosigned.
    BeforeGrant,
}

/// Whether a managed user's own sudoers rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
            breakglass: true,
            remote: true,
            automatic: AllOr::All(All::All),
            witness: WitnessMode::Grant,
            witness_offline_s: 3600,
            approval: BTreeMap::new(),
        }
    }
}

impl Settings for Ceiling {
    const NAME: &'static str = "ceiling";

    fn check(&self) -> Result<(), Wrong> {
        let range = |key: &str, said: &str| {
            let what = format!("`{key}` must be {said}");
            Err(Wrong::new(key, what, "write a number within these"))
        };
        if self.max_duration_s == 0 || self.max_duration_s > DURATION_MAX_S {
            return range("max_duration_s", &format!("1 to {DURATION_MAX_S}"));
        }
        if self.max_stale_s > STALE_MAX_S {
            return range("max_stale_s", &format!("at most {STALE_MAX_S}"));
        }
        if self.max_per_day_s.is_some_and(|s| s == 0 || s > DAY_S) {
            return range("max_per_day_s", &format!("1 to {DAY_S}"));
        }
        if self.witness_offline_s > OFFLINE_MAX_S {
            return range("witness_offline_s", &format!("at most {OFFLINE_MAX_S}"));
        }
        for (role, wanted) in &self.approval {
            needs(wanted).map_err(|e| {
                let key = format!("approval.{role}");
                let hint = "name groups and how many people of each";
                Wrong::new(&key, format!("approval of {role}: {e}"), hint)
            })?;
        }
        Ok(())
    }
}

impl Ceiling {
    /// May a grant of this role rest on these approvals (none: it is automatic)? Whom this host demands is somebody else
    /// than who asks, whatever the trust statement lets count.
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
        self.approval.get(role).map_or(Ok(()), |wanted| {
            let others: Vec<Approver> = by.iter().filter(|a| !a.own).cloned().collect();
            met(wanted, &others)
        })
    }

    /// May a grant give this group?
    #[must_use]
    pub fn allows_group(&self, group: &str) -> bool {
        !ROOT_EQUAL.contains(&group) || self.groups.iter().any(|g| g == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Text, stack};

    fn parse(text: &str) -> Result<Ceiling, String> {
        let text = Text::new(std::path::Path::new("ceiling.toml"), text);
        let read = stack::<Ceiling>(&[text], |_| Ok(()));
        read.map(|s| s.value).map_err(|f| f.to_string())
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(parse("max_durations_s = 5").is_err());
    }

    #[test]
    fn an_empty_file_names_no_root_equal_group() {
        let c = parse("").unwrap();
        assert!(!c.allows_group("docker"));
        assert!(!c.allows_group("adm"));
        assert!(c.allows_group("jit-admin"));
    }

    #[test]
    fn a_named_group_is_allowed_and_no_other() {
        let c = parse("groups = [\"adm\"]").unwrap();
        assert!(c.allows_group("adm"));
        assert!(!c.allows_group("shadow"));
    }

    #[test]
    fn approvals_are_only_ever_added() {
        let by = |person: &str| Approver {
            person: person.into(),
            groups: vec!["ops".into()],
            until: 0,
            own: false,
        };
        let c = parse("").unwrap();
        assert_eq!(c.approved("admin", &[]), Ok(()));
        let c = parse("automatic = [\"logs\"]").unwrap();
        assert_eq!(c.approved("logs", &[]), Ok(()));
        assert!(c.approved("admin", &[]).is_err());
        assert_eq!(c.approved("admin", &[by("bob")]), Ok(()));
        let c = parse("[approval]\nadmin = [{ group = \"ops\", count = 2 }]").unwrap();
        assert!(c.approved("admin", &[]).is_err());
        assert!(c.approved("admin", &[by("bob")]).is_err());
        assert_eq!(c.approved("admin", &[by("bob"), by("carol")]), Ok(()));
        assert_eq!(c.approved("logs", &[]), Ok(()));
        let own = Approver {
            own: true,
            ..by("alice")
        };
        let why = c.approved("admin", &[own, by("bob")]).unwrap_err();
        assert!(why.contains("only bob did"), "{why}");
        assert!(parse("[approval]\nadmin = []").is_err());
        assert!(parse("automatic = \"some\"").is_err());
    }

    #[test]
    fn a_limit_out_of_range_is_refused() {
        assert!(parse("max_duration_s = 0").is_err());
        assert!(parse("max_duration_s = 43201").is_err());
        assert!(parse("max_stale_s = 86401").is_err());
        assert!(parse("max_duration_s = -1").is_err());
        assert!(parse("max_per_day_s = 0").is_err());
        assert!(parse("max_per_day_s = 86401").is_err());
        assert!(parse("witness_offline_s = 604801").is_err());
        assert!(parse("witness = \"never\"").is_err());
        assert_eq!(parse("max_per_day_s = 60").unwrap().max_per_day_s, Some(60));
    }
}
