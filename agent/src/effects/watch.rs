//! Notice files that are put into a directory (inotify(7)).

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use std::io;
use std::path::Path;
use tokio::sync::mpsc;

/// A watched directory.
pub struct Arrivals(mpsc::Receiver<()>);

impl Arrivals {
    /// Watch from now on. A thread of its own waits for the kernel; it ends with its reader.
    ///
    /// # Errors
    /// When the directory cannot be watched.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let fd = init(CreateFlags::CLOEXEC)?;
        add_watch(&fd, dir, WatchFlags::MOVED_TO)?;
        // One place: arrivals that were not looked at yet are one arrival.
        let (tx, rx) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("arrivals".into())
            .spawn(move || {
                let mut buffer = [0_u8; 4096];
                while rustix::io::read(&fd, &mut buffer).is_ok() {
                    if let Err(mpsc::error::TrySendError::Closed(())) = tx.try_send(()) {
                        return;
                    }
                }
            })?;
        Ok(Self(rx))
    }

    /// Wait until something was renamed into the directory since the last call; false when the watch is broken. What
    /// arrived is not told: look.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}
