//! Rules for the door su, whose only gate is PAM.

use super::look::{Seen, Sight};
use super::pam;
use super::rules::{Findings, REINSTALL};
use crate::block;
use crate::su::{self, SU_FILES};
use crate::sudo_rs::PAM_COPY;
use wire::wiring::{Manifest, Part};

const REWIRE: &str = "jitctl setup pam";

/// The PAM files of su as they are.
#[derive(Clone, Debug)]
pub struct Files {
    /// In the order of [`SU_FILES`].
    pub pam: [Seen; 2],
}

impl Files {
    /// Any line of ours.
    pub fn wired(&self) -> bool {
        self.pam
            .iter()
            .any(|seen| matches!(seen, Ok(Some(c)) if block::found(&c.text()).is_some()))
    }
}

/// Do the files of this door, or of sudo, stand in the record of setup?
pub fn recorded(sight: &Sight, part: Part) -> bool {
    let Ok(Some(record)) = &sight.manifest else {
        return false;
    };
    Manifest::parse(&record.bytes)
        .is_ok_and(|m| m.files.iter().any(|f| Part::of(f.path.as_bytes()) == part))
}

/// Set up, as far as anything shows.
pub fn is_set_up(sight: &Sight) -> bool {
    sight.su.wired() || recorded(sight, Part::Pam)
}

pub fn rules(sight: &Sight, found: &mut Findings) {
    if !is_set_up(sight) {
        return;
    }
    if let Err(why) = &sight.rs.copy {
        found.fault(
            "pam-copy",
            format!("{why}: {PAM_COPY} is named by {}, so su fails for everyone, or runs what others wrote.", SU_FILES[0]),
            REINSTALL,
        );
    }
    for (path, seen) in SU_FILES.iter().zip(&sight.su.pam) {
        file(sight, path, seen, found);
    }
    found.note(
        "gate",
        format!("{}: PAM asks, as the last gate.", su::SU),
        "",
    );
}

fn file(sight: &Sight, path: &'static str, seen: &Seen, found: &mut Findings) {
    let file = match seen {
        Ok(Some(file)) => file,
        // Not every system has a file of its own for `su -`.
        Ok(None) if path != SU_FILES[0] => return,
        Ok(None) => {
            return found.fault(
                "pam-su-missing",
                format!("{path} is gone: PAM falls back to `other`, which may ask nobody."),
                "Install util-linux again, then: jitctl setup pam",
            );
        }
        Err(why) => return found.fault("pam-su-unreadable", format!("{why}."), REWIRE),
    };
    if file.owner.uid != sight.root_uid || file.owner.mode & 0o022 != 0 {
        found.fault(
            "pam-su-mode",
            format!("{path} can be changed by others than root."),
            &format!("chown root:root {path}; chmod 0644 {path}"),
        );
    }
    let text = file.text();
    if !su::needs_lines(path, &text) {
        return;
    }
    if block::found(&text).is_none() {
        return found.fault(
            "pam-su-not-wired",
            format!("{path} has no line of ours (a package may have put its own back): whoever knows root's password becomes root without a grant."),
            REWIRE,
        );
    }
    for why in pam::faults(&text)
        .into_iter()
        .chain(pam::session_faults(&text))
    {
        found.fault(
            "pam-su-order",
            format!("{path}: {why}. su has no other gate."),
            REWIRE,
        );
    }
}
