//! sudo's plugin structs, declared by hand from `sudo_plugin.h` (API 1.17 to 1.22 agree on them; sudo 1.9.4 and
//! later). A test compiles the real header and compares every size and offset.

#![allow(unsafe_code, reason = "the C edge")]

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_uint, c_void};

/// `SUDO_API_MKVERSION`.
const fn version(major: c_uint, minor: c_uint) -> c_uint {
    (major << 16) | minor
}

/// What we declare, and the oldest sudo we open for: 1.17 added `event_alloc` to the audit struct.
pub const API_VERSION: c_uint = version(1, 17);
/// `GROUP_API_VERSION`.
pub const GROUP_VERSION: c_uint = version(1, 0);

/// `SUDO_FRONT_END`: the type an audit plugin sees for the last event before the command starts.
pub const FRONT_END: c_uint = 0;
pub const POLICY_PLUGIN: c_uint = 1;
pub const AUDIT_PLUGIN: c_uint = 3;
pub const APPROVAL_PLUGIN: c_uint = 4;

pub const CONV_ERROR_MSG: c_int = 3;
pub const CONV_INFO_MSG: c_int = 4;

/// A NULL-terminated vector of C strings, NULL itself allowed.
pub type Vector = *const *const c_char;
/// Where a plugin leaves an error text for the audit plugins; it stays ours.
pub type ErrStr = *mut *const c_char;

#[repr(C)]
pub struct ConvMessage {
    pub msg_type: c_int,
    pub timeout: c_int,
    pub msg: *const c_char,
}

#[repr(C)]
pub struct ConvReply {
    pub reply: *mut c_char,
}

pub type Conversation =
    unsafe extern "C" fn(c_int, *const ConvMessage, *mut ConvReply, *mut c_void) -> c_int;
/// `sudo_printf_t` is variadic and never called here; only its place in the argument list counts.
pub type Printf = *const c_void;

/// `open` of the audit and of the approval plugin: version, conversation, printf, settings, user_info,
/// submit_optind, submit_argv, submit_envp, plugin_options, errstr.
pub type Open = unsafe extern "C" fn(
    c_uint,
    Option<Conversation>,
    Printf,
    Vector,
    Vector,
    c_int,
    Vector,
    Vector,
    Vector,
    ErrStr,
) -> c_int;

/// `register_hooks`, `deregister_hooks`: not used.
pub type Hooks = unsafe extern "C" fn(c_int, *const c_void);

#[repr(C)]
pub struct AuditPlugin {
    pub kind: c_uint,
    pub version: c_uint,
    pub open: Option<Open>,
    pub close: Option<unsafe extern "C" fn(c_int, c_int)>,
    pub accept: Option<
        unsafe extern "C" fn(*const c_char, c_uint, Vector, Vector, Vector, ErrStr) -> c_int,
    >,
    pub reject:
        Option<unsafe extern "C" fn(*const c_char, c_uint, *const c_char, Vector, ErrStr) -> c_int>,
    pub error:
        Option<unsafe extern "C" fn(*const c_char, c_uint, *const c_char, Vector, ErrStr) -> c_int>,
    pub show_version: Option<unsafe extern "C" fn(c_int) -> c_int>,
    pub register_hooks: Option<Hooks>,
    pub deregister_hooks: Option<Hooks>,
    /// Written by sudo after loading, so the struct must lie in writable memory.
    pub event_alloc: Option<unsafe extern "C" fn() -> *mut c_void>,
}

#[repr(C)]
pub struct ApprovalPlugin {
    pub kind: c_uint,
    pub version: c_uint,
    pub open: Option<Open>,
    pub close: Option<unsafe extern "C" fn()>,
    pub check: Option<unsafe extern "C" fn(Vector, Vector, Vector, ErrStr) -> c_int>,
    pub show_version: Option<unsafe extern "C" fn(c_int) -> c_int>,
}

#[repr(C)]
pub struct GroupPlugin {
    pub version: c_uint,
    pub init: Option<unsafe extern "C" fn(c_int, Printf, Vector) -> c_int>,
    pub cleanup: Option<unsafe extern "C" fn()>,
    pub query:
        Option<unsafe extern "C" fn(*const c_char, *const c_char, *const libc::passwd) -> c_int>,
}

/// A plugin struct that sudo may write to. A plain `static` would lie in read-only memory and sudo would die
/// on its first write.
#[repr(transparent)]
pub struct Writable<T>(UnsafeCell<T>);

// SAFETY: sudo loads and calls plugins from its one thread; we start none, and never touch the struct after
// its construction.
unsafe impl<T> Sync for Writable<T> {}

impl<T> Writable<T> {
    pub const fn new(plugin: T) -> Self {
        Self(UnsafeCell::new(plugin))
    }
}

#[cfg(test)]
#[path = "ffi_layout_tests.rs"]
mod layout_tests;
