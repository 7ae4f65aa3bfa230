//! Takes our lines out of `/etc`: what `jitctl setup sudo --undo`, `jitctl setup pam --undo` and package removal run. Needs
//! nothing but the manifest and the copies that setup left.
//!
//! Files go back in the reverse of the order in which they were written, so `/etc/sudo.conf`, which names all the
//! others, is first: sudo works at every step in between.

use crate::effects::files;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::wiring::{self, Manifest, Part, Undo};

/// Undo stopped; what was not reached is as it was, and the manifest is kept for another try.
#[derive(Debug)]
pub struct UnwireError(String);

impl fmt::Display for UnwireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; nothing after it was touched, try again with: jitctl setup sudo --undo",
            self.0
        )
    }
}

impl std::error::Error for UnwireError {}

/// Put everything back, or the files of one door. Returns what was done, one line each; nothing wired is fine.
///
/// # Errors
/// The first file that cannot be put back.
pub fn unwire(part: Option<Part>) -> Result<Vec<String>, UnwireError> {
    unwire_in(
        Path::new("/"),
        Path::new(wiring::DIR),
        part,
        wiring::IN_FLIGHT,
    )
}

/// Put back what nobody has confirmed: what its mark says.
///
/// # Errors
/// As [`unwire`].
pub fn revert() -> Result<Vec<String>, UnwireError> {
    let mark = Path::new(wiring::DIR).join(wiring::UNCONFIRMED);
    // One that cannot be read speaks for everything.
    let text = std::fs::read_to_string(mark).unwrap_or_default();
    unwire(wiring::unconfirmed_part(&text))
}

/// `in_flight` is how long a `sudo` that read the old `/etc/sudo.conf` may still open what it names.
fn unwire_in(
    root: &Path,
    dir: &Path,
    part: Option<Part>,
    in_flight: Duration,
) -> Result<Vec<String>, UnwireError> {
    let manifest_path = dir.join(wiring::MANIFEST);
    let err = |p: &Path, e: &dyn fmt::Display| UnwireError(format!("{}: {e}", p.display()));
    let unconfirmed = dir.join(wiring::UNCONFIRMED);
    // A mark of another door, or of both, stays with what it stands for.
    let marked = std::fs::read_to_string(&unconfirmed).unwrap_or_default();
    let confirms = part.is_none() || wiring::unconfirmed_part(&marked) == part;
    let unmark = || match confirms {
        true => files::remove(&unconfirmed).map_err(|e| err(&unconfirmed, &e)),
        false => Ok(()),
    };
    let manifest = match files::read(&manifest_path).map_err(|e| err(&manifest_path, &e))? {
        Some(json) => Manifest::parse(&json).map_err(|e| err(&manifest_path, &e))?,
        None => Manifest {
            version: wiring::VERSION,
            files: Vec::new(),
        },
    };
    let (theirs, kept): (Vec<_>, Vec<_>) = manifest
        .files
        .into_iter()
        .partition(|f| part.is_none_or(|part| Part::of(f.path.as_bytes()) == part));
    if theirs.is_empty() {
        unmark()?;
        let what = part.map_or("sudo", Part::program);
        return Ok(vec![format!("{what} is not wired to jit: nothing to undo")]);
    }
    let mut done = Vec::new();
    for file in theirs.iter().rev() {
        let target = file.target(root);
        let ours_path = dir.join(file.ours());
        let ours = files::read(&ours_path)
            .map_err(|e| err(&ours_path, &e))?
            .ok_or_else(|| err(&ours_path, &"the copy of what setup wrote is missing"))?;
        let orig_path = dir.join(file.original());
        let orig = if file.existed_before {
            let bytes = files::read(&orig_path).map_err(|e| err(&orig_path, &e))?;
            Some(bytes.ok_or_else(|| err(&orig_path, &"the copy of what was there is missing"))?)
        } else {
            None
        };
        // What a setup that died was writing.
        let trial = wiring::trial(&target);
        for left in [wiring::temporary(&target), wiring::temporary(&trial), trial] {
            files::remove(&left).map_err(|e| err(&left, &e))?;
        }
        let now = files::read(&target).map_err(|e| err(&target, &e))?;
        let undo = wiring::undo(now.as_deref(), orig.as_deref(), &ours);
        if undo == Undo::Nothing {
            continue;
        }
        if let (Undo::KeepCopyAndPutBack, Some(now)) = (undo, &now) {
            let copy = copy_name(&target);
            put(&copy, now, file.mode, file.uid, file.gid).map_err(|e| err(&copy, &e))?;
            done.push(format!(
                "{} was changed since setup; the changed file is kept as {}",
                target.display(),
                copy.display()
            ));
        }
        match &orig {
            Some(bytes) => {
                put(&target, bytes, file.mode, file.uid, file.gid).map_err(|e| err(&target, &e))?;
                done.push(format!("put back {}", target.display()));
            }
            None => {
                files::remove(&target).map_err(|e| err(&target, &e))?;
                done.push(format!("removed {}", target.display()));
            }
        }
        if target.ends_with("etc/sudo.conf") {
            std::thread::sleep(in_flight);
        }
    }
    if kept.is_empty() {
        files::remove(&manifest_path).map_err(|e| err(&manifest_path, &e))?;
    } else {
        let rest = Manifest {
            version: wiring::VERSION,
            files: kept,
        };
        let json = rest.to_json().map_err(|e| err(&manifest_path, &e))?;
        put(&manifest_path, &json, 0o600, 0, 0).map_err(|e| err(&manifest_path, &e))?;
    }
    for file in &theirs {
        for name in [file.ours(), file.original()] {
            // Without the manifest they mean nothing any more.
            let _ = files::remove(&dir.join(name));
        }
    }
    // Last: as long as it is there, what was not reached is tried again.
    unmark()?;
    Ok(done)
}

/// A name beside the file that sudo, PAM and dpkg ignore.
fn copy_name(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(OsStr::from_bytes(b".jit-changed"));
    PathBuf::from(name)
}

/// Write with owner and mode, whole or not at all.
fn put(path: &Path, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("a file without a directory"))?;
    let mut name = std::ffi::OsString::from(".jit-");
    name.push(
        path.file_name()
            .ok_or_else(|| io::Error::other("a path without a name"))?,
    );
    let tmp = dir.join(name);
    files::remove(&tmp)?;
    let mut f: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_CLOEXEC)
        .open(&tmp)?;
    f.write_all(bytes)?;
    fchown(&f, Some(uid), Some(gid))?;
    f.set_permissions(Permissions::from_mode(mode))?;
    f.sync_all()?;
    std::fs::rename(&tmp, path)?;
    files::sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Text;

    struct Tree {
        root: tempfile::TempDir,
    }

    impl Tree {
        /// A tree with sudo.conf wired over an original, and a PAM file that was not there before.
        fn wired() -> Self {
            let root = tempfile::tempdir().unwrap();
            let t = Self { root };
            let (uid, gid) = (
                nix::unistd::getuid().as_raw(),
                nix::unistd::getgid().as_raw(),
            );
            std::fs::create_dir_all(t.path("etc/pam.d")).unwrap();
            std::fs::create_dir_all(t.dir()).unwrap();
            std::fs::write(t.path("etc/sudo.conf"), "wired\n").unwrap();
            std::fs::write(t.path("etc/pam.d/sudo-jit"), "pam\n").unwrap();
            let file = |path: &str, backup, existed_before| wiring::File {
                path: Text::from(path),
                existed_before,
                backup,
                mode: 0o640,
                uid,
                gid,
            };
            let files = vec![
                file("/etc/pam.d/sudo-jit", 0, false),
                file("/etc/sudo.conf", 1, true),
            ];
            let manifest = Manifest {
                version: wiring::VERSION,
                files,
            };
            std::fs::write(t.dir().join("0.ours"), "pam\n").unwrap();
            std::fs::write(t.dir().join("1.ours"), "wired\n").unwrap();
            std::fs::write(t.dir().join("1.orig"), "original\n").unwrap();
            std::fs::write(t.dir().join(wiring::MANIFEST), manifest.to_json().unwrap()).unwrap();
            t
        }

        fn path(&self, p: &str) -> PathBuf {
            self.root.path().join(p)
        }

        fn dir(&self) -> PathBuf {
            self.path("var/lib/jit/wiring")
        }

        fn unwire(&self) -> Result<Vec<String>, UnwireError> {
            unwire_in(self.root.path(), &self.dir(), None, Duration::ZERO)
        }
    }

    #[test]
    fn every_file_is_put_back_byte_for_byte_and_with_its_mode() {
        let t = Tree::wired();
        t.unwire().unwrap();
        assert_eq!(
            std::fs::read_to_string(t.path("etc/sudo.conf")).unwrap(),
            "original\n"
        );
        assert_eq!(
            std::fs::metadata(t.path("etc/sudo.conf"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o640
        );
        assert!(!t.path("etc/pam.d/sudo-jit").exists());
        assert_eq!(std::fs::read_dir(t.dir()).unwrap().count(), 0);
    }

    #[test]
    fn undoing_twice_is_fine() {
        let t = Tree::wired();
        t.unwire().unwrap();
        assert!(t.unwire().unwrap()[0].contains("nothing to undo"));
    }

    #[test]
    fn an_edit_made_since_setup_is_kept_beside_and_said() {
        let t = Tree::wired();
        std::fs::write(t.path("etc/sudo.conf"), "wired\nedited\n").unwrap();
        let said = t.unwire().unwrap().join("\n");
        assert!(said.contains("sudo.conf.jit-changed"), "{said}");
        assert_eq!(
            std::fs::read_to_string(t.path("etc/sudo.conf.jit-changed")).unwrap(),
            "wired\nedited\n"
        );
        assert_eq!(
            std::fs::read_to_string(t.path("etc/sudo.conf")).unwrap(),
            "original\n"
        );
    }

    #[test]
    fn without_the_copy_of_the_original_nothing_is_touched() {
        let t = Tree::wired();
        std::fs::remove_file(t.dir().join("1.orig")).unwrap();
        assert!(t.unwire().is_err());
        assert_eq!(
            std::fs::read_to_string(t.path("etc/sudo.conf")).unwrap(),
            "wired\n"
        );
        assert!(t.path("etc/pam.d/sudo-jit").exists());
    }
}
