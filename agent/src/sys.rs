//! The agent's one C edge: file descriptors that systemd put into this process, and waiting for one.
// A C edge: the conversion from a raw descriptor, and the promise that a registered one stays open.
#![allow(unsafe_code)]

use crate::supervise::Inherited;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Take the sockets systemd handed over (sd_listen_fds(3)). Called once, before anything else opens a file.
///
/// # Errors
/// When the environment systemd made is not what it should be.
pub fn inherited_sockets() -> io::Result<Vec<Inherited>> {
    let fds = sd_notify::listen_fds_with_names()?;
    Ok(fds
        .map(|(fd, name)| {
            // SAFETY: systemd opened this descriptor for us and nothing else in this process owns it: `main` calls
            // this once, first, and each number appears once.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            Inherited { name, fd }
        })
        .collect())
}

/// Wait until the kernel calls this descriptor readable.
///
/// # Errors
/// When it cannot be waited for.
pub async fn readable(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: an `OwnedFd` is open, and it lies in the `AsyncFd` untouched until that is dropped.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
    fd.readable().await.map(drop)
}
