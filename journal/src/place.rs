//! What lies below a journal: the file system that keeps its files, or does not.

use crate::protect::protection;
use std::path::Path;

/// Keeps flags for those who come through it; the files of the layer below carry none.
const OVERLAY: &str = "overlay";
/// File systems that keep a file append-only.
const KEEP_FLAGS: [&str; 5] = ["ext4", "ext3", "xfs", "btrfs", "tmpfs"];

/// Where a log lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub mount: String,
    /// Type of the file system, as the kernel calls it.
    pub filesystem: String,
    /// A file has not the flags that it should have.
    pub bare: bool,
}

impl Place {
    /// That of the log in `dir`, as it is now.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (mount, filesystem) =
            of_table(&table, dir).unwrap_or_else(|| ("/".to_owned(), "unknown".to_owned()));
        Self {
            mount,
            filesystem,
            bare: !protection(dir).is_empty(),
        }
    }

    /// Is the file system known to keep a file append-only, if only for those who come through this mount?
    #[must_use]
    pub fn is_known(&self) -> bool {
        let kind = self.filesystem.as_str();
        kind == OVERLAY || KEEP_FLAGS.contains(&kind)
    }

    /// How well the files are kept: `append-only`, by the file system; `mount-only`, not in the layer below; `plain`, not at all,
    /// as far as is known.
    #[must_use]
    pub fn tier(&self) -> &'static str {
        match self.filesystem.as_str() {
            _ if self.bare => "plain",
            OVERLAY => "mount-only",
            _ if self.is_known() => "append-only",
            _ => "plain",
        }
    }
}

/// Mount point and type of the file system that holds this directory.
fn of_table(table: &str, dir: &Path) -> Option<(String, String)> {
    let entry = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.to_owned();
        Some((at, after.split(' ').next()?.to_owned()))
    };
    let above = |(at, _): &(String, String)| dir.starts_with(at);
    // The last of those as deep lies on top.
    table
        .lines()
        .filter_map(entry)
        .filter(above)
        .max_by_key(|(at, _)| at.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_last_mount_holds_a_directory() {
        let table = "21 1 8:1 / / rw - ext4 /dev/a rw\n\
                     22 21 8:2 / /var rw shared:1 - xfs /dev/b rw\n\
                     23 22 0:5 / /var rw - overlay overlay rw\n\
                     24 21 8:3 / /variant rw - vfat /dev/c rw\n";
        let of = |dir: &str| of_table(table, Path::new(dir)).unwrap();
        assert_eq!(
            of("/var/log/jit"),
            ("/var".to_owned(), "overlay".to_owned())
        );
        assert_eq!(of("/home"), ("/".to_owned(), "ext4".to_owned()));
        assert_eq!(of_table("", Path::new("/")), None);
    }

    #[test]
    fn a_tier_is_what_the_file_system_gives_and_the_files_have() {
        let tier = |filesystem: &str, bare| {
            let filesystem = filesystem.to_owned();
            let mount = "/var".to_owned();
            let place = Place {
                mount,
                filesystem,
                bare,
            };
            place.tier()
        };
        assert_eq!(tier("xfs", false), "append-only");
        assert_eq!(tier("overlay", false), "mount-only");
        assert_eq!(tier("nfs4", false), "plain");
        assert_eq!(tier("xfs", true), "plain");
    }
}
