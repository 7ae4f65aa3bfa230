//! Where files are looked for, and the only code that reads them.
//!
//! `NAME.toml` is the first of `/etc/jit`, `/run/jit` and `/usr/lib/jit` that has it. Drop-ins `NAME.toml.d/*.toml` of all
//! three come after it in the order of their names; one of the same name in an earlier directory stands for it, and a
//! link to `/dev/null` for nothing.

use crate::fault::Fault;
use crate::stack::{Stacked, Text, stack};
use crate::{Settings, Wrong};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of one file; a longer one is refused.
pub const FILE_MAX: u64 = 64 * 1024;

/// Admin's, transient, vendor's.
const DIRS: [&str; 3] = ["etc/jit", "run/jit", "usr/lib/jit"];

/// Where the files of one kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Places {
    /// Directories in the order in which a file of one stands for one of the next.
    Dirs(Vec<PathBuf>),
    /// This file, whatever its name, and the drop-ins beside it.
    File(PathBuf),
}

impl Places {
    /// Those of this host.
    #[must_use]
    pub fn host() -> Self {
        Self::below(Path::new("/"))
    }

    /// Those of a host whose root is here.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self::Dirs(DIRS.iter().map(|d| root.join(d)).collect())
    }

    /// The main file of `name` in each.
    fn mains(&self, name: &str) -> Vec<PathBuf> {
        match self {
            Self::Dirs(dirs) => dirs
                .iter()
                .map(|d| d.join(format!("{name}.toml")))
                .collect(),
            Self::File(path) => vec![path.clone()],
        }
    }

    /// Everything that is said in files of this kind. `more` looks at what [`Settings::check`] cannot.
    ///
    /// # Errors
    /// The first fault: a file that cannot be read, that others could have written, or that is wrong.
    pub fn read<T: Settings>(
        &self,
        more: impl Fn(&T) -> Result<(), Wrong>,
    ) -> Result<Stacked<T>, Fault> {
        let paths = self.files(T::NAME).map_err(|(path, e)| {
            Fault::of_file(
                &path,
                format!("cannot be read: {e}"),
                "see its mode and owner",
            )
        })?;
        let texts: Vec<Text> = paths.iter().map(|p| read(p)).collect::<Result<_, _>>()?;
        stack(&texts, more)
    }

    /// The files of this name in their order.
    fn files(&self, name: &str) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
        let mains = self.mains(name);
        let mut files = Vec::new();
        for path in &mains {
            match fs::symlink_metadata(path) {
                Ok(_) => {
                    files.push(path.clone());
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err((path.clone(), e)),
            }
        }
        let mut more = BTreeMap::new();
        for main in mains {
            let mut dir = main.into_os_string();
            dir.push(".d");
            let dir = PathBuf::from(dir);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err((dir, e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| (dir.clone(), e))?;
                let name = entry.file_name();
                let text = name.to_string_lossy();
                if text.ends_with(".toml") && !text.starts_with('.') {
                    more.entry(name).or_insert_with(|| entry.path());
                }
            }
        }
        files.extend(more.into_values());
        Ok(files)
    }
}

/// One file, whole, if nobody but root or we could have written it.
fn read(path: &Path) -> Result<Text, Fault> {
    let unreadable = |e: io::Error| {
        Fault::of_file(
            path,
            format!("cannot be read: {e}"),
            "see its mode and owner",
        )
    };
    // A pipe by that name does not hold us up.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    if is_null(&file) {
        return Ok(Text::new(path, ""));
    }
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Fault::of_file(path, "is not a file", "put a file there"));
    }
    let me = nix::unistd::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != me {
        let what = format!(
            "belongs to uid {}, who could have written anything",
            meta.uid()
        );
        let hint = format!("chown root {}", path.display());
        return Err(Fault::of_file(path, what, &hint));
    }
    if meta.mode() & 0o022 != 0 {
        let what = format!(
            "has mode {:04o}: others could have written anything",
            meta.mode() & 0o7777
        );
        let hint = format!("chmod go-w {}", path.display());
        return Err(Fault::of_file(path, what, &hint));
    }
    let mut text = String::new();
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX {
        return Err(Fault::of_file(
            path,
            "is too large",
            "at most 64 KiB are read",
        ));
    }
    Ok(Text::new(path, text))
}

fn is_null(file: &File) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    match (file.metadata(), fs::metadata("/dev/null")) {
        (Ok(file), Ok(null)) => same(&file, &null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::Ceiling;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn groups(root: &Path) -> Result<Vec<String>, String> {
        let got = Places::below(root).read::<Ceiling>(|_| Ok(()));
        got.map(|s| s.value.groups).map_err(|f| f.to_string())
    }

    #[test]
    fn admin_stands_over_run_and_run_over_vendor_by_the_names_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(groups(root), Ok(Vec::new()));
        let one = |g: &str| format!("groups = [\"{g}\"]");
        put(root, "usr/lib/jit/ceiling.toml", &one("vendor"));
        assert_eq!(groups(root), Ok(vec!["vendor".to_owned()]));
        put(root, "run/jit/ceiling.toml", &one("run"));
        assert_eq!(groups(root), Ok(vec!["run".to_owned()]));
        put(root, "etc/jit/ceiling.toml", &one("etc"));
        assert_eq!(groups(root), Ok(vec!["etc".to_owned()]));
        // A drop-in of the vendor counts more than any main file, and its name decides among drop-ins.
        put(root, "usr/lib/jit/ceiling.toml.d/20-v.toml", &one("20v"));
        put(root, "etc/jit/ceiling.toml.d/10-e.toml", &one("10e"));
        assert_eq!(groups(root), Ok(vec!["20v".to_owned()]));
        put(root, "run/jit/ceiling.toml.d/20-v.toml", &one("20r"));
        assert_eq!(groups(root), Ok(vec!["20r".to_owned()]));
        symlink("/dev/null", root.join("etc/jit/ceiling.toml.d/20-v.toml")).unwrap();
        assert_eq!(groups(root), Ok(vec!["10e".to_owned()]));
        // Neither of these is one.
        put(root, "etc/jit/ceiling.toml.d/99.toml.bak", "nonsense");
        put(root, "etc/jit/ceiling.toml.d/.99.toml", "nonsense");
        assert_eq!(groups(root), Ok(vec!["10e".to_owned()]));
        put(root, "etc/jit/ceiling.toml.d/99.toml", "nonsense");
        assert!(groups(root).unwrap_err().contains("99.toml: line 1: "));
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/jit/ceiling.toml");
        put(dir.path(), "etc/jit/ceiling.toml", "");
        for (mode, good) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(groups(dir.path()).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/jit/ceiling.toml")).unwrap();
        assert!(groups(dir.path()).unwrap_err().contains("is not a file"));
        fs::remove_dir(dir.path().join("etc/jit/ceiling.toml")).unwrap();
        symlink("nowhere", dir.path().join("etc/jit/ceiling.toml")).unwrap();
        assert!(groups(dir.path()).unwrap_err().contains("cannot be read"));
        fs::remove_file(dir.path().join("etc/jit/ceiling.toml")).unwrap();
        put(dir.path(), "etc/jit/ceiling.toml", &"#".repeat(70_000));
        assert!(groups(dir.path()).unwrap_err().contains("too large"));
    }
}
