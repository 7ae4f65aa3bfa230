//! A line on a user's own terminals. Whoever does not want it says `mesg n`: the agent is no more than a member of the
//! group `tty`, so the kernel keeps it out (tty(4), mesg(1)). Never waits: a terminal that is stopped or full gets nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Pseudo terminals: of ssh, desktop windows, tmux.
const DIR: &str = "/dev/pts";
/// Terminals of one user, and users, that are written to.
const MOST: usize = 64;

/// Write one line to each terminal the user owns. What is not printable in it is left out.
pub fn tell(uid: u32, line: &str) {
    let text: String = line.chars().filter(|c| !c.is_control()).collect();
    let text = format!("\r\n{text}\r\n");
    for path in of(uid) {
        // A terminal that cannot be written to now is not told; the end does not hang on it.
        let _ = write(&path, uid, text.as_bytes());
    }
}

/// Write one line to the terminals of everyone who is here, as wall(1) does.
pub fn tell_all(line: &str) {
    let owner = |path: &PathBuf| fs::symlink_metadata(path).ok().map(|m| m.uid());
    let mut everyone: Vec<u32> = all().iter().filter_map(owner).collect();
    everyone.sort_unstable();
    everyone.dedup();
    everyone
        .into_iter()
        .take(MOST)
        .for_each(|uid| tell(uid, line));
}

fn of(uid: u32) -> Vec<PathBuf> {
    all()
        .into_iter()
        .filter(|p| fs::symlink_metadata(p).is_ok_and(|m| is_own(&m, uid)))
        .take(MOST)
        .collect()
}

fn all() -> Vec<PathBuf> {
    let Ok(dir) = fs::read_dir(DIR) else {
        return Vec::new();
    };
    dir.flatten()
        .filter(|e| is_number(&e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect()
}

fn write(path: &Path, uid: u32, text: &[u8]) -> std::io::Result<()> {
    let mut terminal = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    // The number may be another's by now.
    if is_own(&terminal.metadata()?, uid) {
        // Once: what a full terminal does not take is dropped.
        let _written = terminal.write(text)?;
    }
    Ok(())
}

fn is_own(meta: &fs::Metadata, uid: u32) -> bool {
    meta.file_type().is_char_device() && meta.uid() == uid
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}
