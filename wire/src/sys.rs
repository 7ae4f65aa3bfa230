//! The C edge: sockets and the user database.
#![allow(unsafe_code, reason = "the C edge")]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// A stream socket that no child inherits. Never 0, 1 or 2: in a program started with those closed, a stray
/// line on its standard output would reach the agent.
pub fn socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    let socket = owned(fd)?;
    if fd > libc::STDERR_FILENO {
        return Ok(socket);
    }
    // SAFETY: the descriptor is open, `socket` owns it; the third argument is an int as F_DUPFD_CLOEXEC wants.
    owned(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) })
}

fn owned(fd: c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the call that returned `fd` has just opened it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Bounds `connect` while the listener's backlog is full (unix(7), `SO_SNDTIMEO`). `limit` is above zero.
pub fn set_send_timeout(socket: &OwnedFd, limit: Duration) -> io::Result<()> {
    // Zero would mean no limit at all.
    let micros = limit.subsec_micros().max(1);
    let time = libc::timeval {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: micros.into(),
    };
    // SAFETY: the pointer and the length are those of `time`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            (&raw const time).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    })
}

pub fn connect(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = path.as_os_str().as_bytes();
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    // One byte stays for the closing NUL; an empty path would be the abstract name space.
    if path.is_empty() || path.len() >= address.sun_path.len() || path.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    let length = offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;
    // SAFETY: `address` outlives the call and `length` is at most its size.
    check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length as libc::socklen_t,
        )
    })
}

/// Never blocks, never raises SIGPIPE.
pub fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: pointer and length are those of `bytes`.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Never blocks; 0 is the end of the stream.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let at = buffer.as_mut_ptr().cast();
    // SAFETY: pointer and length are those of `buffer`, which nothing else uses during the call.
    let got = unsafe { libc::recv(socket.as_raw_fd(), at, buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Returns when one of `events`, an error or a hang-up is there, or after `limit`.
pub fn poll(socket: &OwnedFd, events: libc::c_short, limit: Duration) -> io::Result<()> {
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events,
        revents: 0,
    };
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // SAFETY: one entry and one timespec, both alive during the call; a null mask leaves signals as they are.
    check(unsafe { libc::ppoll(&raw mut entry, 1, &raw const time, std::ptr::null()) })
}

/// Most bytes for one entry of the user database. A group with 100,000 members needs about one MiB.
const LARGEST_ENTRY: usize = 16 << 20;
/// Most groups of one user; the kernel takes 65536 (`NGROUPS_MAX`), the database may name more.
const MOST_GROUPS: usize = 1 << 18;
/// How often a lookup broken off by a signal is begun anew.
const INTERRUPTIONS: usize = 16;

pub struct Passwd {
    pub name: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
}

/// `getpwuid_r(3)`; `None` when the database answers that there is none.
pub fn user_by_uid(uid: u32) -> io::Result<Option<Passwd>> {
    lookup(
        |entry: *mut libc::passwd, buffer, size, found| {
            // SAFETY: all pointers are valid for the call, `size` is the buffer's.
            unsafe { libc::getpwuid_r(uid, entry, buffer, size, found) }
        },
        read_passwd,
    )
}

/// `getpwnam_r(3)`.
pub fn user_by_name(name: &CStr) -> io::Result<Option<Passwd>> {
    lookup(
        |entry: *mut libc::passwd, buffer, size, found| {
            // SAFETY: as above, and `name` ends with a NUL.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, size, found) }
        },
        read_passwd,
    )
}

fn read_passwd(entry: &libc::passwd) -> Passwd {
    Passwd {
        // SAFETY: the C library filled the entry; the name ends with a NUL and lies in a buffer still alive.
        name: unsafe { CStr::from_ptr(entry.pw_name) }.to_bytes().to_vec(),
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    }
}

/// `getgrnam_r(3)`: the gid, and whether the group's own list names `login`.
pub fn group(name: &CStr, login: &CStr) -> io::Result<Option<(u32, bool)>> {
    lookup(
        |entry: *mut libc::group, buffer, size, found| {
            // SAFETY: as above.
            unsafe { libc::getgrnam_r(name.as_ptr(), entry, buffer, size, found) }
        },
        |entry| {
            let mut listed = false;
            let mut member = entry.gr_mem;
            // SAFETY: gr_mem is null or a list, ended by a null pointer, of strings ended by a NUL, all in the
            // buffer that is still alive.
            while !member.is_null() && unsafe { !(*member).is_null() } {
                // SAFETY: as above; the element is not null.
                listed |= unsafe { CStr::from_ptr(*member) } == login;
                // SAFETY: the closing null has not been reached.
                member = unsafe { member.add(1) };
            }
            (entry.gr_gid, listed)
        },
    )
}

/// Runs one of the `get…_r` functions with a buffer as large as it takes, and reads the entry while the buffer
/// lives.
fn lookup<E, T>(
    call: impl Fn(*mut E, *mut c_char, usize, *mut *mut E) -> c_int,
    read: impl Fn(&E) -> T,
) -> io::Result<Option<T>> {
    let mut buffer: Vec<c_char> = vec![0; 1024];
    let mut interruptions = 0;
    loop {
        let mut entry = std::mem::MaybeUninit::<E>::uninit();
        let mut found = std::ptr::null_mut();
        match call(
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        ) {
            0 if found.is_null() => return Ok(None),
            // SAFETY: success with a result means that `found` points to the filled `entry`.
            0 => return Ok(Some(read(unsafe { &*found }))),
            libc::ERANGE if buffer.len() < LARGEST_ENTRY => {
                let size = buffer.len() * 4;
                buffer = vec![0; size];
            }
            libc::EINTR if interruptions < INTERRUPTIONS => interruptions += 1,
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// `getgrouplist(3)`: gids of the groups that the database gives this user, `gid` among them.
pub fn groups_of(login: &CStr, gid: u32) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = c_int::try_from(groups.len()).unwrap_or(c_int::MAX);
        // SAFETY: `login` ends with a NUL, `count` is the room in `groups`.
        let result =
            unsafe { libc::getgrouplist(login.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        // Too small: `count` says what is needed. If it does not, memory ran out inside.
        if count <= groups.len() || count > MOST_GROUPS {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        groups.resize(count, 0);
    }
}

/// `getuid(2)`: in a set-uid program the user who started it.
pub fn real_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getuid() }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Lets `listener` hold one connection that nobody accepts, and no second.
    pub fn shrink_backlog(listener: &UnixListener) {
        // SAFETY: no pointer is passed.
        check(unsafe { libc::listen(listener.as_raw_fd(), 0) }).unwrap();
    }

    /// Interrupts the calling thread every few milliseconds while `work` runs.
    pub fn interrupted<T>(work: impl FnOnce() -> T) -> T {
        extern "C" fn nothing(_: c_int) {}
        // SAFETY: zero is a valid sigaction: no flags (so no SA_RESTART), empty mask; the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(c_int) as libc::sighandler_t;
            check(libc::sigaction(
                libc::SIGUSR1,
                &raw const action,
                std::ptr::null_mut(),
            ))
            .unwrap();
        }
        // SAFETY: takes nothing and cannot fail.
        let target = unsafe { libc::pthread_self() };
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                // SAFETY: the target outlives this thread, which is joined below.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        result
    }

    #[test]
    fn a_closed_peer_raises_no_sigpipe() {
        // In a child: the signal's action belongs to the whole process.
        const CHILD: &str = "WIRE_TEST_SIGPIPE";
        if std::env::var_os(CHILD).is_some() {
            // SAFETY: the default action is no handler of ours.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(theirs);
            let error = send(&OwnedFd::from(ours), b"x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
            return;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::tests::a_closed_peer_raises_no_sigpipe"])
            .env(CHILD, "1")
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "{status}");
    }

    #[test]
    fn a_socket_is_not_inherited() {
        let socket = socket().unwrap();
        // SAFETY: no pointer is passed.
        let flags = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
    }

    #[test]
    fn a_buffer_grows_until_the_entry_fits_and_no_further() {
        let needs = |size: usize| {
            lookup(
                |entry: *mut u8, _, have, found| {
                    if have < size {
                        return libc::ERANGE;
                    }
                    // SAFETY: both pointers are those of `lookup`.
                    unsafe {
                        entry.write(7);
                        *found = entry;
                    }
                    0
                },
                |entry| *entry,
            )
        };
        assert_eq!(needs(1).unwrap(), Some(7));
        assert_eq!(needs(LARGEST_ENTRY).unwrap(), Some(7));
        let error = needs(usize::MAX).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ERANGE));
    }

    #[test]
    fn a_lookup_goes_on_after_a_signal_but_not_for_ever() {
        let left = std::cell::Cell::new(3);
        let result = lookup(
            |_: *mut u8, _, _, _| {
                left.set(left.get() - 1);
                if left.get() > 0 { libc::EINTR } else { 0 }
            },
            |entry| *entry,
        );
        assert_eq!(result.unwrap(), None);
        let result = lookup(|_: *mut u8, _, _, _| libc::EINTR, |entry| *entry);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINTR));
    }
}
