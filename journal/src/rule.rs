//! The rules by which a use is allowed or refused, in the order in which they are looked at. `detail.rule` of a `refused`
//! record names the first that was not met; behind a `use` record all of them stand.

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Caller,
    Eligible,
    Limits,
    Grant,
    Fresh,
    Door,
    RunAs,
    Root,
    Terminal,
    Directory,
    Settings,
    Environment,
    Shell,
    Command,
    Disk,
    Recorded,
    Held,
    Still,
}

impl Rule {
    /// In order.
    pub const ALL: [Self; 18] = [
        Self::Caller,
        Self::Eligible,
        Self::Limits,
        Self::Grant,
        Self::Fresh,
        Self::Door,
        Self::RunAs,
        Self::Root,
        Self::Terminal,
        Self::Directory,
        Self::Settings,
        Self::Environment,
        Self::Shell,
        Self::Command,
        Self::Disk,
        Self::Recorded,
        Self::Held,
        Self::Still,
    ];

    /// As in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// What it demands.
    #[must_use]
    pub const fn says(self) -> &'static str {
        self.row().1
    }

    /// The rule of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Caller => (
                "caller",
                "the process that asks belongs to the user it asks for",
            ),
            Self::Eligible => (
                "eligible",
                "the user is in jit-eligible by the name service, at this very call",
            ),
            Self::Limits => ("limits", "the limits of this host can be read"),
            Self::Grant => (
                "grant",
                "a grant of this login and uid lives, by wall clock and boot clock",
            ),
            Self::Fresh => (
                "fresh",
                "the issuer was heard lately enough to know of every revocation",
            ),
            Self::Door => (
                "door",
                "the grant opens this door, and the door can hold it to its limits",
            ),
            Self::RunAs => (
                "run-as",
                "the user and the group to run as are in the grant",
            ),
            Self::Root => ("root", "no other root directory is asked for"),
            Self::Terminal => ("terminal", "there is a terminal if the grant asks for one"),
            Self::Directory => (
                "directory",
                "the working directory asked for is in the grant",
            ),
            Self::Settings => (
                "settings",
                "no setting of sudo is asked for that a grant with limits does not cover",
            ),
            Self::Environment => (
                "environment",
                "no variable changes what runs, and the others are harmless or in the grant",
            ),
            Self::Shell => ("shell", "a shell is asked for only if the grant gives one"),
            Self::Command => (
                "command",
                "the command with its arguments, or the file to edit, is in the grant",
            ),
            Self::Disk => (
                "disk",
                "nobody but root can change what a grant with limits names by its path",
            ),
            Self::Recorded => ("recorded", "the use is in the journal before it happens"),
            Self::Held => (
                "held",
                "the process is in the unit that ends with the grant",
            ),
            Self::Still => (
                "still",
                "after all this the same grant still covers it, and one for one use had none",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_place_and_its_own_name() {
        assert!(Rule::ALL.is_sorted());
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name()), Some(rule));
        }
        assert_eq!(Rule::named("Caller"), None);
    }
}
