//! Rules for a host with sudo-rs, whose only gate is PAM.

use super::look::{Seen, Sight};
use super::pam;
use super::rules::{Findings, REINSTALL, REWIRE};
use crate::block;
use crate::sudo_rs::{self, PAM_COPY, PAM_FILES, SUDOERS_RS};
use crate::sudos::{self, What};
use std::path::Path;

/// The files of sudo-rs as they are, and what judges say of them.
#[derive(Clone, Debug)]
pub struct Files {
    /// In the order of [`PAM_FILES`].
    pub pam: [Seen; 2],
    /// The module that those files name: there, and why it is not root's alone.
    pub copy: Result<(), String>,
    pub sudoers: Seen,
    /// The block of rules that setup would write now; `None` when the role table cannot be asked.
    pub wanted: Option<String>,
    /// What the judge of sudo-rs says of the rules; `None` when not asked.
    pub judged: Option<Result<(), String>>,
}

impl Files {
    /// Any line of ours that counts for sudo-rs.
    pub fn wired(&self) -> bool {
        has_block(&self.sudoers) || self.pam.iter().any(has_block)
    }
}

fn has_block(seen: &Seen) -> bool {
    matches!(seen, Ok(Some(c)) if block::found(&c.text()).is_some())
}

pub fn rules(sight: &Sight, found: &mut Findings) {
    let installed = sight.sudos.iter().find_map(|s| match &s.what {
        What::Rs(said, place) => Some((s.path, said, place)),
        _ => None,
    });
    let files = &sight.rs;
    if let Some((path, said, None)) = installed {
        return found.fault(
            "sudo-rs-place",
            format!(
                "{path} is {said} at a place that pam_jit.so does not know: it refuses every grant."
            ),
            "Install sudo-rs from your distribution's package.",
        );
    }
    if let Some((path, said, _)) = installed
        && !files.wired()
        && sight.root
    {
        return found.fault(
            "sudo-rs-not-wired",
            format!("{path} is {said} and not wired: no grant works there, and rules of managed users' own count."),
            REWIRE,
        );
    }
    if !files.wired() {
        return;
    }
    pam_files(sight, found);
    sudoers(sight, found);
    if let Some(line) = sight.rules.nonunix.first() {
        found.warning(
            "sudo-rs-nonunix-group",
            format!("{line}: one such line in a drop-in makes sudo-rs fail for everyone."),
            "Take the line out; groups of a plugin are known to classic sudo only.",
        );
    }
    for gate in sudos::gates(&sight.sudos) {
        found.note("gate", format!("{gate}."), "");
    }
}

fn pam_files(sight: &Sight, found: &mut Findings) {
    if let Err(why) = &sight.rs.copy {
        found.fault(
            "pam-copy",
            format!("{why}: {PAM_COPY} is named by {}, so sudo fails for everyone, or runs what others wrote.", PAM_FILES[0]),
            REINSTALL,
        );
    }
    for (path, seen) in PAM_FILES.iter().zip(&sight.rs.pam) {
        let file = match seen {
            Ok(Some(file)) => file,
            Ok(None) => {
                found.fault(
                    "pam-sudo-missing",
                    format!("{path} is gone: PAM falls back to `other`, which may ask nobody."),
                    "Install the package that brings it again, then: jitctl setup sudo",
                );
                continue;
            }
            Err(why) => {
                found.fault("pam-sudo-unreadable", format!("{why}."), REWIRE);
                continue;
            }
        };
        if file.owner.uid != sight.root_uid || file.owner.mode & 0o022 != 0 {
            found.fault(
                "pam-sudo-mode",
                format!("{path} can be changed by others than root."),
                &format!("chown root:root {path}; chmod 0644 {path}"),
            );
        }
        for why in pam::faults(&file.text()) {
            found.fault(
                "pam-sudo-order",
                format!("{path}: {why}. sudo-rs has no other gate."),
                REWIRE,
            );
        }
    }
}

fn sudoers(sight: &Sight, found: &mut Findings) {
    let file = match &sight.rs.sudoers {
        Ok(Some(file)) => file,
        Ok(None) => {
            return found.fault(
                "sudoers-rs-missing",
                format!("{SUDOERS_RS} is gone: no grant works with sudo-rs."),
                REWIRE,
            );
        }
        Err(why) => {
            if sight.root {
                found.fault("sudoers-rs-unreadable", format!("{why}."), REWIRE);
            }
            return;
        }
    };
    if file.owner.uid != sight.root_uid || file.owner.mode & 0o022 != 0 {
        found.fault(
            "sudoers-rs-mode",
            format!(
                "{SUDOERS_RS} has mode {:04o} and uid {}: sudo-rs refuses it, or others write root's rules.",
                file.owner.mode, file.owner.uid
            ),
            &format!("chown root:root {SUDOERS_RS}; chmod 0440 {SUDOERS_RS}"),
        );
    }
    match (block::found(&file.text()), &sight.rs.wanted) {
        (None, _) => found.fault(
            "sudoers-rs-not-wired",
            format!("{SUDOERS_RS} has no line of ours: no grant works with sudo-rs."),
            REWIRE,
        ),
        (Some(now), Some(wanted)) if now != *wanted => found.warning(
            "sudoers-rs-outdated",
            format!("Our lines in {SUDOERS_RS} are not those of the role table in force: a new role gives nothing through sudo-rs yet, or they were edited."),
            REWIRE,
        ),
        _ => {}
    }
    if let Some(Err(why)) = &sight.rs.judged {
        found.fault(
            "sudoers-rs-syntax",
            format!("The judge of sudo-rs refuses {SUDOERS_RS} with what it includes: {why}."),
            &format!("visudo-rs -c -f {SUDOERS_RS}"),
        );
    }
}

/// Rules as setup would write them behind what is there.
pub fn wanted(now: &Seen, template: &Seen, roles: &[wire::cli::Role]) -> Option<String> {
    let (Ok(Some(template)), Ok(now)) = (template, now) else {
        return None;
    };
    let base = now.as_ref().map(crate::files::Content::text);
    block::found(&sudo_rs::sudoers(base.as_deref(), &template.text(), roles))
}

/// Is the module there that PAM files name, and root's alone?
pub fn copy(path: &Path, root_uid: u32) -> Result<(), String> {
    if !path.is_file() {
        return Err("the file is missing".to_owned());
    }
    match crate::files::loose(path, root_uid) {
        None => Ok(()),
        Some(loose) => Err(format!(
            "{} can be changed by others than root",
            loose.display()
        )),
    }
}
