//! Writing the plan and taking it back. The record and the backups are complete on disk before the first file of
//! `/etc` changes, so `jit-end --unwire` can undo from any point at which this might die.

use super::plan::{Plan, Step, backup};
use crate::facts::SUDO_CONF;
use crate::files::{self, Content, Owner, Place};
use crate::sudo_rs::SUDOERS_RS;
use crate::sudoconf::SUDOERS;
use std::thread;
use wire::Text;
use wire::wiring::{self, File, Manifest};

/// What was written, for taking it back.
#[derive(Debug)]
pub struct Written<'a> {
    place: &'a Place,
    plan: &'a Plan,
    /// Names in the wiring directory that this run made.
    made: Vec<String>,
    /// Names that only the former manifest uses.
    former: Vec<String>,
    /// Steps of `plan` already written.
    done: usize,
}

/// Writes backups, manifest and files. `check` sees each file of rules (its name, then where it lies) before it is put
/// in force.
///
/// # Errors
/// A sentence without the full stop, after everything was taken back; with a second sentence if that failed too.
pub fn write<'a>(
    place: &'a Place,
    plan: &'a Plan,
    check: impl Fn(&str, &std::path::Path) -> Result<(), String>,
) -> Result<Written<'a>, String> {
    let mut written = Written {
        place,
        plan,
        made: Vec::new(),
        former: Vec::new(),
        done: 0,
    };
    match written.all(check) {
        Ok(()) => Ok(written),
        Err(why) => Err(match written.take_back() {
            Ok(()) => why,
            Err(also) => format!("{why}; and taking it back failed: {also}"),
        }),
    }
}

impl Written<'_> {
    fn all(
        &mut self,
        check: impl Fn(&str, &std::path::Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let place = self.place;
        self.record()?;
        for (at, step) in self.plan.steps.iter().enumerate() {
            let target = place.at(step.path);
            if let Some(dir) = target.parent() {
                files::make_dir(dir, 0o755)?;
            }
            if [SUDOERS, SUDOERS_RS].contains(&step.path) {
                let trial = wiring::trial(&target);
                files::write(&trial, &step.wanted)?;
                let checked = check(step.path, &trial);
                files::remove(&trial)?;
                checked?;
            }
            // Counted first: a write that failed late may have changed the file.
            self.done = at + 1;
            if step.changes() {
                files::write(&target, &step.wanted)?;
            }
        }
        Ok(())
    }

    /// Backups under new numbers, then the manifest that names them.
    fn record(&mut self) -> Result<(), String> {
        let place = self.place;
        let dir = place.at(wiring::DIR);
        if let Some(parent) = dir.parent() {
            files::make_dir(parent, 0o700)?;
        }
        files::make_dir(&dir, 0o700)?;
        let mut number = 0;
        if let Some((manifest, _)) = &self.plan.manifest {
            for file in &manifest.files {
                number = number.max(file.backup.saturating_add(1));
                self.former.push(file.original());
                self.former.push(file.ours());
            }
        }
        let mut manifest = Manifest {
            version: wiring::VERSION,
            files: Vec::new(),
        };
        for step in &self.plan.steps {
            let file = entry(step, number);
            if let Some(original) = &step.original {
                self.copy(file.original(), &original.bytes)?;
            }
            self.copy(file.ours(), &step.wanted.bytes)?;
            if step.edited
                && let Some(now) = &step.now
            {
                // Kept for the admin; no manifest names it and nothing removes it.
                let copy = backup(place, &format!("{number}.edited"));
                files::write(&copy, &private(place, &now.bytes))?;
            }
            manifest.files.push(file);
            number = number.saturating_add(1);
        }
        let bytes = manifest.to_json().map_err(|e| e.to_string())?;
        files::write(&backup(place, wiring::MANIFEST), &private(place, &bytes))
    }

    fn copy(&mut self, name: String, bytes: &[u8]) -> Result<(), String> {
        let path = backup(self.place, &name);
        self.made.push(name);
        files::write(&path, &private(self.place, bytes))
    }

    /// The new wiring stays: the former record's copies are of no use.
    pub fn keep(self) -> Result<(), String> {
        for name in self.former.iter().filter(|n| !self.made.contains(n)) {
            files::remove(&backup(self.place, name))?;
        }
        Ok(())
    }

    /// Everything as it was before this run, `/etc/sudo.conf` first.
    pub fn take_back(mut self) -> Result<(), String> {
        let mut failed = Vec::new();
        for step in self.plan.steps[..self.done].iter().rev() {
            let target = self.place.at(step.path);
            let back = match &step.now {
                Some(content) => files::write(&target, content),
                None => files::remove(&target),
            };
            failed.extend(back.err());
            if step.path == SUDO_CONF && step.changes() {
                thread::sleep(wiring::IN_FLIGHT);
            }
        }
        if !failed.is_empty() {
            // The record stays: `jit-end --unwire` can still use it.
            return Err(failed.join("; "));
        }
        let manifest = backup(self.place, wiring::MANIFEST);
        match &self.plan.manifest {
            Some((_, content)) => files::write(&manifest, content)?,
            None => files::remove(&manifest)?,
        }
        for name in std::mem::take(&mut self.made) {
            files::remove(&backup(self.place, &name))?;
        }
        Ok(())
    }
}

fn private(place: &Place, bytes: &[u8]) -> Content {
    Content {
        bytes: bytes.to_vec(),
        owner: Owner {
            mode: 0o600,
            uid: place.uid,
            gid: place.gid,
        },
    }
}

fn entry(step: &Step, number: u32) -> File {
    let owner = step
        .original
        .as_ref()
        .map_or(step.wanted.owner, |o| o.owner);
    File {
        path: Text::from(step.path),
        existed_before: step.original.is_some(),
        backup: number,
        mode: owner.mode,
        uid: owner.uid,
        gid: owner.gid,
    }
}
