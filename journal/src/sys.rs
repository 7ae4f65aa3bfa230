//! The system calls without a safe wrapper: inode flags, `statx`, `sync_file_range`; and the wiping of keys.
#![allow(
    unsafe_code,
    reason = "system calls and writes that must happen though nobody reads them"
)]

use nix::libc;
use ring::signature::Ed25519KeyPair;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `linux/fs.h`: file can only grow; open needs `O_APPEND`.
pub const APPEND: libc::c_int = 0x20;
/// `linux/fs.h`: file cannot change in any way.
pub const IMMUTABLE: libc::c_int = 0x10;

/// What the journal compares after each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub dev: (u32, u32),
    pub ino: u64,
    pub nlink: u32,
    pub size: u64,
    pub append: bool,
    pub immutable: bool,
    /// Something is mounted at this very name.
    pub mounted: bool,
}

/// Adds inode flags to an open file. Never clears one.
pub fn add_flags(file: &File, flags: libc::c_int) -> io::Result<()> {
    let fd = file.as_raw_fd();
    let mut now: libc::c_int = 0;
    // SAFETY: fd is open for the whole call; FS_IOC_GETFLAGS writes one int through the pointer (the `long` in
    // the request's name is historical, see ioctl_iflags(2)).
    if unsafe { libc::ioctl(fd, libc::FS_IOC_GETFLAGS, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if now & flags == flags {
        return Ok(());
    }
    let then = now | flags;
    // SAFETY: as above; FS_IOC_SETFLAGS reads one int through the pointer.
    if unsafe { libc::ioctl(fd, libc::FS_IOC_SETFLAGS, &raw const then) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `statx` of a path, a symbolic link itself and not its target.
pub fn stat(path: &Path) -> io::Result<Stat> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut out = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: path is a NUL-terminated string that outlives the call; out has room for one struct statx.
    let rc = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            libc::STATX_BASIC_STATS,
            out.as_mut_ptr(),
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all-zero bytes are a valid struct statx and the call filled it.
    let out = unsafe { out.assume_init() };
    let has = |bit: libc::c_int| out.stx_attributes & u64::from(bit.unsigned_abs()) != 0;
    Ok(Stat {
        dev: (out.stx_dev_major, out.stx_dev_minor),
        ino: out.stx_ino,
        nlink: out.stx_nlink,
        size: out.stx_size,
        append: has(libc::STATX_ATTR_APPEND),
        immutable: has(libc::STATX_ATTR_IMMUTABLE),
        mounted: has(libc::STATX_ATTR_MOUNT_ROOT),
    })
}

/// Lets the kernel begin to write out what was written to a file, and does not wait for the bytes to be there
/// (sync_file_range(2)). `Ok` promises nothing, that is for the sync behind it; an error counts: ext4 may tell it here alone
/// and drop the pages, and the sync then finds nothing to do. Where there is no such call it is no error.
pub fn begin_write_out(file: &File) -> io::Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: fd is open for the whole call, which takes no pointer.
    if unsafe { libc::sync_file_range(fd, 0, 0, libc::SYNC_FILE_RANGE_WRITE) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::EOPNOTSUPP) => Ok(()),
        _ => Err(error),
    }
}

/// Overwrites a private key. ring does not do that by itself.
pub fn wipe_key(pair: &mut Ed25519KeyPair) {
    let at: *mut Ed25519KeyPair = pair;
    // SAFETY: at points to one key that nobody else can see. ring's key is arrays of bytes and words without a
    // destructor, so all zeros are as valid as any other value. Volatile: the compiler would leave out a write
    // that nobody reads.
    unsafe { std::ptr::write_volatile(at.cast(), [0_u8; size_of::<Ed25519KeyPair>()]) };
}

/// Overwrites bytes that were secret.
pub fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a reference is valid for one write; volatile as above.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
}

/// Overwrites what functions called before by this one's caller have left of secrets on the stack.
#[inline(never)]
pub fn wipe_stack() {
    let mut room = MaybeUninit::<[u64; 2048]>::uninit();
    // SAFETY: room is ours and large enough; any bytes are valid integers.
    unsafe { std::ptr::write_volatile(room.as_mut_ptr(), [0; 2048]) };
    std::hint::black_box(&mut room);
}
