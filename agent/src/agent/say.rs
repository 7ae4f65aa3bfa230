//! What people read when a door refuses: what happened, why, and the command to run next.

use super::{Agent, Core};
use crate::callers::Peer;
use crate::clock::Now;
use crate::decide::{Who, Why};
use crate::effects::processes;
use statement::detail::{AllOr, Command, Door};
use statement::role::Role;
use statement::scope::{self, Ask};

/// What is known of what was wanted, to name the role that gives it.
pub(super) enum Wanted<'a> {
    Nothing,
    Use(&'a Ask<'a>),
    /// The words that sudo was called with: before a grant lives nobody has told more. They choose words, never a right.
    Words(Vec<Vec<u8>>),
}

impl Wanted<'_> {
    /// By the process that asks.
    pub(super) fn of(peer: &Peer) -> Self {
        processes::command_line(peer.process.facts.pid).map_or(Self::Nothing, Self::Words)
    }

    fn is_given_by(&self, name: &str, role: &Role, who: Who<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Use(ask) => {
                let right = role.expand(name, who.login, who.uid);
                // Behind other doors nobody says when the one use is over.
                scope::covers(&right, ask).is_ok() && (ask.door == Door::Sudo || !right.once)
            }
            Self::Words(words) => match &role.commands {
                AllOr::List(list) if role.doors.contains(&Door::Sudo) => {
                    list.iter().any(|command| calls(words, command))
                }
                _ => false,
            },
        }
    }
}

/// Do these words end in a call of the command, by its path or its name?
fn calls(words: &[Vec<u8>], command: &Command) -> bool {
    let name = command.path.rsplit('/').next().unwrap_or_default();
    let (fixed, open) = match command.args.split_last() {
        Some((last, fixed)) if last == "*" => (fixed, true),
        _ => (command.args.as_slice(), false),
    };
    (0..words.len()).any(|at| {
        let (before, args) = words.split_at(at + 1);
        let called = before
            .last()
            .is_some_and(|word| *word == name.as_bytes() || *word == command.path.as_bytes());
        called
            && (args.len() == fixed.len() || (open && args.len() > fixed.len()))
            && fixed.iter().zip(args).all(|(f, a)| f.as_bytes() == *a)
    })
}

impl Agent {
    /// The text of a refusal.
    pub(super) fn refusal(
        &self,
        core: &Core,
        why: &Why<'_>,
        who: Who<'_>,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> String {
        let mut text = format!("jit: {why}");
        if *why == Why::NoGrant
            && let Some((id, cause, wall_s)) = core.ended.get(&who.uid)
        {
            let ago = core.state.mark.time(now).saturating_sub(*wall_s);
            text.push_str(&format!(
                "; the last one ({id}) ended {ago} s ago because {cause}"
            ));
        }
        text.push_str(".\n");
        match why {
            Why::Stale { .. } => text.push_str("Wait for the issuer, and see: jitctl status"),
            Why::NoGrant | Why::NotThisDoor(_) | Why::OutOfScope { .. } => {
                text.push_str("Ask for one: ");
                let most_s = self.ceiling().map_or(0, |c| c.max_duration_s);
                text.push_str(&suggestion(core, who, wanted, most_s));
            }
        }
        text
    }
}

/// The `jitctl elevate` line that would help: the first role that covers the ask, else the default role, for as long as
/// the host allows.
fn suggestion(core: &Core, who: Who<'_>, wanted: &Wanted<'_>, most_s: u64) -> String {
    let Some(enrolled) = &core.enrolled else {
        return "this host is not enrolled yet (root: jitctl setup local)".into();
    };
    let Some(policy) = &enrolled.policy else {
        return "once a new policy has come (see: jitctl status)".into();
    };
    let covering = policy
        .roles
        .iter()
        .filter(|(name, role)| wanted.is_given_by(name, role, who))
        // The narrowest that will do: a list of commands before everything.
        .min_by_key(|(name, role)| {
            (
                matches!(role.commands, AllOr::All(_)),
                **name != policy.default_role,
            )
        })
        .map(|(name, _)| name);
    let name = covering.unwrap_or(&policy.default_role);
    let seconds = policy.roles.get(name).map_or(900, |r| r.default_s);
    format!(
        "jitctl elevate --role {name} --for {} --reason \"why\"",
        duration(seconds.min(most_s))
    )
}

/// Seconds as `jitctl` reads them: `1h`, `15m`, `90s`.
#[must_use]
pub fn duration(s: u64) -> String {
    match s {
        s if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_called(args: &[&str], line: &str) -> bool {
        let command = Command {
            path: "/usr/bin/systemctl".into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
        };
        let words: Vec<Vec<u8>> = line.split(' ').map(|w| w.as_bytes().to_vec()).collect();
        calls(&words, &command)
    }

    #[test]
    fn a_command_is_known_by_the_words_that_sudo_was_called_with() {
        let restart = ["restart", "nginx"];
        assert!(is_called(&restart, "sudo -n systemctl restart nginx"));
        assert!(is_called(
            &restart,
            "sudo -u root A=b /usr/bin/systemctl restart nginx"
        ));
        for other in [
            "sudo systemctl restart nginx now",
            "sudo systemctl restart",
            "sudo /tmp/systemctl restart nginx",
            "sudo restart nginx",
            "sudo",
        ] {
            assert!(!is_called(&restart, other), "{other}");
        }
        assert!(is_called(&["restart", "*"], "sudo systemctl restart a b"));
        assert!(is_called(&["restart", "*"], "sudo systemctl restart"));
        assert!(!is_called(&["restart", "*"], "sudo systemctl stop a"));
    }
}
