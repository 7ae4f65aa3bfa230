//! `jit-prune`: removes segments of the journal that an entry of the journal has given up. The only program of jit that clears
//! a flag of a segment; it decides nothing and asks nobody.

use jit_agent::paths::JOURNAL_DIR;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let dir = Path::new(JOURNAL_DIR);
    match prune(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("jit-prune: {why}; nothing more was removed"));
            ExitCode::FAILURE
        }
    }
}

/// The oldest first: whenever it is cut off, what is left is a whole log.
fn prune(dir: &Path) -> Result<(), String> {
    for path in journal::given_up(dir).map_err(|e| e.to_string())? {
        remove(&path).map_err(|e| format!("cannot remove {}: {e}", path.display()))?;
        say(&format!("jit-prune: removed {}", path.display()));
    }
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|e| format!("{}: {e}", dir.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let flags = ioctl_getflags(&file)?;
    ioctl_setflags(&file, flags - (IFlags::IMMUTABLE | IFlags::APPEND))?;
    std::fs::remove_file(path)
}

#[expect(
    clippy::print_stderr,
    reason = "a program's one way to speak to its caller"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
