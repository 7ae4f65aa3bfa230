//! Which mounts show a local file system, each file system once (proc_pid_mountinfo(5)). Pure.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Kept on this machine's disks or in its memory. Not here: what a server or a user's process answers for (NFS, FUSE),
/// what holds no files, and what cannot be written.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ramfs", "reiserfs",
    "tmpfs", "ubifs", "xfs", "zfs",
];

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u64,
    /// `major:minor` of the file system.
    device: String,
    /// What part of the file system it shows.
    root: PathBuf,
    pub at: PathBuf,
    kind: String,
}

impl Mount {
    fn is_local(&self) -> bool {
        // An overlay's upper layer lies on another file system, where it is found; but for a machine that runs from one.
        LOCAL.contains(&self.kind.as_str())
            || (self.kind == "overlay" && self.at.as_os_str() == "/")
    }
}

/// All mounts; lines that make no sense are left out.
pub fn parse(table: &str) -> Vec<Mount> {
    table.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let id = left.next()?.parse().ok()?;
    Some(Mount {
        id,
        device: left.nth(1)?.to_owned(),
        root: unescaped(left.next()?),
        at: unescaped(left.next()?),
        kind: right.split(' ').next()?.to_owned(),
    })
}

/// Blanks and the like are written as `\` and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = match (first, more) {
            (b'\\', [a, b, c, ..]) => std::str::from_utf8(&[*a, *b, *c])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 8).ok()),
            _ => None,
        };
        out.push(code.unwrap_or(*first));
        rest = &rest[if code.is_some() { 4 } else { 1 }..];
    }
    PathBuf::from(OsString::from_vec(out))
}

/// The mounts to search so that every local file system is seen, and nothing of it twice: bind mounts show again what
/// another mount shows already. `visible` tells whether a mount is not covered by another one.
pub fn local(table: &[Mount], visible: impl Fn(&Mount) -> bool) -> Vec<Mount> {
    let mut kept: HashMap<&str, Vec<&Mount>> = HashMap::new();
    let mut candidates: Vec<&Mount> = table
        .iter()
        .filter(|m| m.is_local() && visible(m))
        .collect();
    // The widest view of each first.
    candidates.sort_by_key(|m| (m.root.components().count(), m.id));
    for m in candidates {
        let views = kept.entry(&m.device).or_default();
        if !views.iter().any(|seen| m.root.starts_with(&seen.root)) {
            views.push(m);
        }
    }
    let mut all: Vec<Mount> = kept.into_values().flatten().cloned().collect();
    all.sort_by_key(|m| m.id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
26 25 0:23 / /proc rw - proc proc rw
27 25 0:24 / /dev/shm rw,nosuid - tmpfs tmpfs rw
28 25 254:2 / /home rw shared:2 - xfs /dev/vda2 rw
29 25 254:2 /alice /srv/of\\040alice rw - xfs /dev/vda2 rw
30 25 254:1 /opt /mnt/opt rw - ext4 /dev/vda1 rw
31 25 0:40 / /mnt/nfs rw - nfs4 server:/x rw
32 25 0:41 / /home/alice/mnt rw - fuse.sshfs x rw
33 25 0:42 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,upperdir=/x
34 25 254:3 /@sub /data rw - btrfs /dev/vdb rw
35 25 254:3 /@other /other rw - btrfs /dev/vdb rw
36 25 254:4 / /covered rw - ext4 /dev/vdc rw
37 25 254:4 /part /part rw master:7 propagate_from:2 - ext4 /dev/vdc rw
nonsense
38 25 254:5 / /short
";

    fn places(table: &str) -> Vec<String> {
        let all = local(&parse(table), |m| m.at.as_os_str() != "/covered");
        all.iter().map(|m| m.at.display().to_string()).collect()
    }

    #[test]
    fn each_local_file_system_is_searched_once() {
        let expected = ["/", "/dev/shm", "/home", "/data", "/other", "/part"];
        assert_eq!(places(TABLE), expected);
    }

    #[test]
    fn an_overlay_counts_where_the_machine_runs_from_it() {
        let table = "1 0 0:50 / / rw - overlay overlay rw\n2 1 0:51 / /x rw - overlay overlay rw\n";
        assert_eq!(places(table), ["/"]);
    }

    #[test]
    fn escapes_are_undone() {
        for (text, path) in [
            ("a\\040b", "a b"),
            ("a\\134", "a\\"),
            ("\\", "\\"),
            ("\\9zz", "\\9zz"),
        ] {
            assert_eq!(unescaped(text), PathBuf::from(path), "{text}");
        }
    }
}
