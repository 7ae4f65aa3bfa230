//! What is kept of a login: one file for each issuer, in `$XDG_RUNTIME_DIR/jit`, which lies in memory, is the user's alone and
//! goes with the session's end. A token is sent to no other issuer than the one that it was got for.

use super::now;
use crate::exit::Code;
use crate::failure::Failure;
use api::Address;
use serde::{Deserialize, Serialize};
use statement::digest::sha256_b64;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FOLDER: &str = "XDG_RUNTIME_DIR";
/// Bytes of a file.
const FILE_MAX: u64 = 64 * 1024;

/// Somebody who logged in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Who it is, by the issuer.
    pub person: String,
    /// Unix seconds.
    pub exp: u64,
    pub token: String,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({}, until {})", self.person, self.exp)
    }
}

impl Kept {
    /// Who is logged in at that issuer now. What is not ours alone, or cannot be read, is nobody's login.
    pub fn live(issuer: &Address) -> Option<Self> {
        let kept = Place::of(issuer).ok()?.read().ok()?;
        kept.filter(|kept| kept.exp > now())
    }
}

/// The file for one issuer.
pub struct Place(PathBuf);

impl Place {
    /// # Errors
    /// This session has no folder of its own.
    pub fn of(issuer: &Address) -> Result<Self, Failure> {
        let folder = std::env::var_os(FOLDER).map(PathBuf::from);
        let folder = folder.filter(|f| f.is_absolute()).ok_or_else(|| {
            Failure::new(
                Code::Usage,
                format!("This session has no {FOLDER}, where a login would be kept."),
            )
            .hint("Log in on this machine as yourself (not with su), so that systemd makes one.")
        })?;
        Self::within(&folder, issuer)
    }

    fn within(folder: &Path, issuer: &Address) -> Result<Self, Failure> {
        is_own(folder)?;
        let name = format!("login-{}", sha256_b64(issuer.to_string().as_bytes()));
        Ok(Self(folder.join("jit").join(name)))
    }

    fn read(&self) -> Result<Option<Kept>, Failure> {
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&self.0);
        let file = match open {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&self.0, &e)),
        };
        is_own(&self.0)?;
        let mut text = String::new();
        let read = file.take(FILE_MAX).read_to_string(&mut text);
        read.map_err(|e| failed(&self.0, &e))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| failed(&self.0, &e))
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, kept: &Kept) -> Result<(), Failure> {
        if let Some(folder) = self.0.parent() {
            let made = DirBuilder::new().mode(0o700).create(folder);
            match made {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed(folder, &e));
                }
                _ => is_own(folder)?,
            }
        }
        self.remove()?;
        let text = serde_json::to_vec(kept).map_err(|e| failed(&self.0, &e))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.0)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|e| failed(&self.0, &e))
    }

    /// Whether there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> Result<bool, Failure> {
        match fs::remove_file(&self.0) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed(&self.0, &e)),
        }
    }
}

/// Whether nobody else can read or change what is there.
fn is_own(path: &Path) -> Result<(), Failure> {
    let meta = fs::symlink_metadata(path).map_err(|e| failed(path, &e))?;
    if meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    let why = "it is not yours alone";
    Err(failed(path, &why).hint(format!("See `ls -ld {}`.", path.display())))
}

fn failed(path: &Path, why: &dyn fmt::Display) -> Failure {
    Failure::new(
        Code::Internal,
        format!("The login cannot be kept in {}: {why}.", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    fn kept() -> Kept {
        Kept {
            person: "bob".to_owned(),
            exp: 7,
            token: "a.b.c".to_owned(),
        }
    }

    #[test]
    fn it_is_kept_for_one_issuer_and_for_its_user_alone() {
        let session = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(session.path(), fs::Permissions::from_mode(mode));
        mode(0o700).unwrap();
        let place = |url| Place::within(session.path(), &address(url)).unwrap();
        let (a, b) = (place("https://a"), place("https://b"));
        assert_eq!(a.read(), Ok(None));
        a.write(&kept()).unwrap();
        a.write(&kept()).unwrap();
        assert_eq!((a.read(), b.read()), (Ok(Some(kept())), Ok(None)));
        assert_eq!(fs::metadata(&a.0).unwrap().mode() & 0o777, 0o600);
        assert!(!format!("{:?}", kept()).contains("a.b.c"));
        fs::set_permissions(&a.0, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(a.read().is_err_and(|f| f.message.contains("yours alone")));
        assert_eq!((a.remove(), a.remove()), (Ok(true), Ok(false)));
        // One that leads elsewhere is not followed.
        std::os::unix::fs::symlink("/etc/hostname", &a.0).unwrap();
        assert!(a.read().is_err());
        // Nor is a session's folder used that others can look into.
        mode(0o755).unwrap();
        assert!(Place::within(session.path(), &address("https://a")).is_err());
    }
}
