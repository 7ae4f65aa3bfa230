//! Every sudo of this host. Classic sudo asks the gates of its plugin; sudo-rs has PAM alone.

use crate::facts::{self, Sudo, Version};
use crate::files::Place;
use std::path::Path;
use wire::sudo_rs::Program;

/// Names that lead to a sudo, the usual one first: its own name, classic beside sudo-rs (Ubuntu), sudo-rs beside
/// classic, and where sudo-rs lies.
const NAMES: [&str; 5] = [
    "/usr/bin/sudo",
    "/usr/bin/sudo.ws",
    "/usr/bin/sudo-rs",
    "/usr/lib/cargo/bin/sudo",
    "/usr/libexec/sudo-rs/sudo",
];

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The first of the names that lead to it.
    pub path: &'static str,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Classic(Version),
    /// What it says of itself; `None` where it lies at a place that the PAM module does not know.
    Rs(String, Option<Program>),
    /// It does not say what it is.
    Unknown(String),
}

/// Each program once.
pub fn installed(place: &Place) -> Vec<Installed> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for path in NAMES {
        let Ok(real) = place.at(path).canonicalize() else {
            continue;
        };
        if seen.contains(&real) {
            continue;
        }
        let what = match facts::sudo(path) {
            Sudo::Classic(version) => What::Classic(version),
            Sudo::Rs(said) => What::Rs(said, wire::sudo_rs::at(&real)),
            Sudo::Unknown(said) => What::Unknown(said),
        };
        seen.push(real);
        all.push(Installed { path, what });
    }
    all
}

pub fn classic(all: &[Installed]) -> Option<(&'static str, Version)> {
    all.iter().find_map(|s| match s.what {
        What::Classic(version) => Some((s.path, version)),
        _ => None,
    })
}

/// The sudo-rs that can be wired.
pub fn rs(all: &[Installed]) -> Option<(&'static str, Program)> {
    all.iter().find_map(|s| match s.what {
        What::Rs(_, Some(program)) => Some((s.path, program)),
        _ => None,
    })
}

/// Which gates stand in each sudo of a wired host.
pub fn gates(all: &[Installed]) -> Vec<String> {
    all.iter()
        .filter_map(|s| {
            let path = s.path;
            match &s.what {
                What::Classic(version) => Some(format!(
                    "{path} is sudo {version}: its plugin and PAM ask about each command; every grant works"
                )),
                What::Rs(said, _) => Some(format!(
                    "{path} is {said}: PAM alone asks, as it loads no plugin; grants with limits (commands, run-as, no shell, one use, terminal) are refused there{}",
                    classic(all).map_or_else(String::new, |(other, _)| format!(" and work with {other}"))
                )),
                What::Unknown(_) => None,
            }
        })
        .collect()
}

/// What the judge of sudo-rs says of a file of rules with all that it includes.
///
/// # Errors
/// Its first line, without the full stop.
pub fn visudo_rs(program: Program, file: &Path) -> Result<(), String> {
    facts::judged(program.visudo, &file.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_named_for_each_sudo() {
        let all = [
            Installed {
                path: "/usr/bin/sudo",
                what: What::Classic(Version(1, 9, 16, 2)),
            },
            Installed {
                path: "/usr/bin/sudo-rs",
                what: What::Rs("sudo-rs 0.2.5".to_owned(), Some(wire::sudo_rs::PROGRAMS[0])),
            },
        ];
        let gates = gates(&all);
        assert!(gates[0].starts_with("/usr/bin/sudo is sudo 1.9.16p2: its plugin"));
        assert!(gates[1].contains("PAM alone") && gates[1].ends_with("work with /usr/bin/sudo"));
        assert_eq!(classic(&all).map(|c| c.0), Some("/usr/bin/sudo"));
        assert_eq!(rs(&all).map(|c| c.0), Some("/usr/bin/sudo-rs"));
        assert_eq!(rs(&all[..1]), None);
    }
}
