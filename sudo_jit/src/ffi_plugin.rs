//! The three exported plugins: each callback reads what sudo hands over, asks [`Gates`] and turns the answer
//! into sudo's return code.

#![allow(unsafe_code, reason = "the C edge")]

use crate::call::{self, Caller, Settings};
use crate::command::{Command, Unclear};
use crate::ffi::{
    self, ApprovalPlugin, AuditPlugin, Conversation, ErrStr, GroupPlugin, Printf, Vector, Writable,
};
use crate::ffi_read::{string, vector};
use crate::ffi_world::Host;
use crate::gates::{Event, Gates, Verdict};
use crate::standing::Opening;
use crate::world::{Stream, World};
use core::cell::{RefCell, RefMut};
use core::ffi::{c_char, c_int, c_uint};
use std::ffi::{CStr, CString};
use std::panic::{self, AssertUnwindSafe};
use wire::Text;
use wire::nss::real_uid;

#[unsafe(no_mangle)]
pub static jit_audit: Writable<AuditPlugin> = Writable::new(AuditPlugin {
    kind: ffi::AUDIT_PLUGIN,
    version: ffi::API_VERSION,
    open: Some(audit_open),
    // Never NULL: it also makes sudo stay as the parent of every command.
    close: Some(audit_close),
    accept: Some(audit_accept),
    reject: Some(audit_reject),
    error: Some(audit_reject),
    show_version: None,
    register_hooks: None,
    deregister_hooks: None,
    event_alloc: None,
});

#[unsafe(no_mangle)]
pub static jit_approval: Writable<ApprovalPlugin> = Writable::new(ApprovalPlugin {
    kind: ffi::APPROVAL_PLUGIN,
    version: ffi::API_VERSION,
    open: Some(approval_open),
    close: None,
    // Never NULL: sudo skips a plugin without it.
    check: Some(approval_check),
    show_version: None,
});

#[unsafe(no_mangle)]
pub static group_plugin: Writable<GroupPlugin> = Writable::new(GroupPlugin {
    version: ffi::GROUP_VERSION,
    init: Some(group_init),
    cleanup: Some(group_cleanup),
    query: Some(group_query),
});

/// The one static state: sudo loads this library once for all three plugins.
struct Shared {
    gates: Gates,
    conversation: Option<Conversation>,
    /// Keeps the text alive that sudo was last pointed at.
    errstr: Option<CString>,
}

struct OneThread(RefCell<Shared>);

// SAFETY: sudo calls plugins from its one thread only, and we start none.
unsafe impl Sync for OneThread {}

static SHARED: OneThread = OneThread(RefCell::new(Shared {
    gates: Gates::new(),
    conversation: None,
    errstr: None,
}));

/// The guard at the C edge: `body` with the state, or `None` when it panicked or sudo came in a second time.
/// A panic shows nothing: the default hook would print to the user's terminal.
fn guard<T>(body: impl FnOnce(&mut Shared) -> T) -> Option<T> {
    panic::set_hook(Box::new(|_| {}));
    let run = AssertUnwindSafe(|| {
        let mut shared: RefMut<'_, Shared> = SHARED.0.try_borrow_mut().ok()?;
        Some(body(&mut shared))
    });
    panic::catch_unwind(run).unwrap_or_else(|payload| {
        // Its drop could panic again.
        core::mem::forget(payload);
        None
    })
}

/// After a panic: root and those known as unmanaged pass, everyone else is refused.
fn exempt() -> bool {
    real_uid() == 0
        || SHARED
            .0
            .try_borrow()
            .is_ok_and(|shared| shared.gates.exempt())
}

/// What a managed user reads, and sudo logs, after a panic.
const FAILED: &CStr =
    c"jit: refused after a fault inside sudo_jit; root's own sudo is not affected.";

/// Leaves [`FAILED`] for sudo.
///
/// # Safety
/// `to` is NULL or writable.
unsafe fn leave_failed(to: ErrStr) {
    if !to.is_null() {
        // SAFETY: writable by the caller's promise; the text is static.
        unsafe { *to = FAILED.as_ptr() };
    }
}

impl Shared {
    fn host(&self) -> Host {
        Host {
            conversation: self.conversation,
        }
    }

    /// Points sudo at `text`, which lives until the next one.
    ///
    /// # Safety
    /// `to` is NULL or writable.
    unsafe fn leave(&mut self, text: &str, to: ErrStr) {
        // One line for the log; escaped, so it holds no NUL.
        let line = Text::from(text.replace('\n', " ")).to_string();
        self.errstr = CString::new(line).ok();
        if let (Some(text), false) = (&self.errstr, to.is_null()) {
            // SAFETY: writable by the caller's promise; the text is owned by the static state.
            unsafe { *to = text.as_ptr() };
        }
    }
}

/// # Safety
/// Arguments as sudo gives them to `open`: vectors as in [`vector`], alive for the whole call of sudo.
unsafe fn opening(
    version: c_uint,
    settings: Vector,
    user_info: Vector,
    optind: c_int,
    argv: Vector,
) -> Opening {
    // SAFETY: the caller's promise, for all three.
    let (settings, user_info, argv) =
        unsafe { (vector(settings), vector(user_info), vector(argv)) };
    // Without the settings nothing is known of this call: no default stands for them.
    let known = match (&settings, &user_info) {
        (Ok(_), Ok(user_info)) => Caller::from_user_info(user_info),
        _ => None,
    };
    // Nothing may harm root.
    let root = || Caller {
        login: "root".into(),
        uid: 0,
        cwd: None,
        tty: None,
    };
    let caller = known.or_else(|| (real_uid() == 0).then(root));
    let argv = argv.unwrap_or_default();
    let (mode, about) = call::mode(&argv, usize::try_from(optind).unwrap_or(0));
    Opening {
        caller,
        settings: settings.map(|s| Settings::parse(&s)).unwrap_or_default(),
        mode,
        about,
        argv: argv.iter().map(|word| Text::from(*word)).collect(),
        too_old: version < ffi::API_VERSION,
    }
}

/// Always 1: 0 would take the plugin out, -1 would end sudo for everybody.
unsafe extern "C" fn audit_open(
    version: c_uint,
    conversation: Option<Conversation>,
    _printf: Printf,
    settings: Vector,
    user_info: Vector,
    optind: c_int,
    argv: Vector,
    _envp: Vector,
    _options: Vector,
    _errstr: ErrStr,
) -> c_int {
    // Without a cell G1 says no and G3 refuses.
    let _ = guard(|shared| {
        shared.conversation = conversation;
        let host = shared.host();
        // SAFETY: sudo's own arguments.
        let opening = unsafe { opening(version, settings, user_info, optind, argv) };
        shared.gates.open(&host, opening);
    });
    1
}

/// Always 1: 0 would run the command unchecked, -1 would end sudo for everybody. `check` refuses.
unsafe extern "C" fn approval_open(
    version: c_uint,
    conversation: Option<Conversation>,
    _printf: Printf,
    settings: Vector,
    user_info: Vector,
    optind: c_int,
    argv: Vector,
    _envp: Vector,
    _options: Vector,
    _errstr: ErrStr,
) -> c_int {
    let _ = guard(|shared| {
        shared.conversation = conversation;
        let host = shared.host();
        // SAFETY: sudo's own arguments.
        let opening = unsafe { opening(version, settings, user_info, optind, argv) };
        shared.gates.approval_open(&host, opening);
    });
    1
}

/// 1 allows, 0 refuses, -1 is an error of ours, which refuses too.
unsafe extern "C" fn approval_check(
    info: Vector,
    argv: Vector,
    envp: Vector,
    errstr: ErrStr,
) -> c_int {
    let answer = guard(|shared| {
        let host = shared.host();
        let read = || {
            // SAFETY: sudo's own vectors, alive during this call.
            let all = unsafe { (vector(info), vector(argv), vector(envp)) };
            match all {
                (Ok(info), Ok(argv), Ok(envp)) => Ok(Command { info, argv, envp }),
                _ => Err(Unclear::TooLarge),
            }
        };
        match shared.gates.check(&host, read) {
            Verdict::Allow => 1,
            Verdict::Refuse(text) => {
                // SAFETY: sudo's own pointer.
                unsafe { shared.leave(&text, errstr) };
                0
            }
        }
    });
    answer.unwrap_or_else(|| {
        if exempt() {
            return 1;
        }
        // SAFETY: sudo's own pointer.
        unsafe { leave_failed(errstr) };
        let _ = guard(|shared| shared.host().say(Stream::Error, &FAILED.to_string_lossy()));
        -1
    })
}

/// 1 goes on; 0 stops sudo before the command starts, with the text in `errstr`.
unsafe extern "C" fn audit_accept(
    _plugin: *const c_char,
    kind: c_uint,
    info: Vector,
    _argv: Vector,
    _envp: Vector,
    errstr: ErrStr,
) -> c_int {
    let answer = guard(|shared| {
        let host = shared.host();
        let event = match kind {
            ffi::FRONT_END => Event::FrontEnd,
            ffi::POLICY_PLUGIN => Event::Policy,
            _ => Event::Other,
        };
        // SAFETY: sudo's own vector, alive during this call.
        let info = unsafe { vector(info) }.unwrap_or_default();
        match shared
            .gates
            .accept(&host, event, call::value(&info, "command"))
        {
            Verdict::Allow => 1,
            Verdict::Refuse(text) => {
                // SAFETY: sudo's own pointer.
                unsafe { shared.leave(&text, errstr) };
                0
            }
        }
    });
    answer.unwrap_or_else(|| {
        if exempt() {
            return 1;
        }
        // SAFETY: sudo's own pointer.
        unsafe { leave_failed(errstr) };
        0
    })
}

/// `reject` and `error`. Always 1: anything else only adds a warning of sudo's.
unsafe extern "C" fn audit_reject(
    plugin: *const c_char,
    kind: c_uint,
    message: *const c_char,
    _info: Vector,
    _errstr: ErrStr,
) -> c_int {
    let _ = guard(|shared| {
        let host = shared.host();
        // SAFETY: sudo's own strings, alive during this call.
        let (plugin, message) = unsafe { (string(plugin), string(message)) };
        let plugin = plugin.unwrap_or_default();
        let ours = (kind == ffi::APPROVAL_PLUGIN && plugin == b"jit_approval").then_some("G3");
        shared
            .gates
            .refused(&host, ours, plugin, message.unwrap_or_default());
    });
    1
}

unsafe extern "C" fn audit_close(status_type: c_int, status: c_int) {
    let _ = guard(|shared| {
        let host = shared.host();
        shared.gates.close(&host, status_type, status);
    });
}

unsafe extern "C" fn group_init(_version: c_int, _printf: Printf, _argv: Vector) -> c_int {
    1
}

unsafe extern "C" fn group_cleanup() {}

/// 1 is a member, 0 is not, whatever goes wrong.
unsafe extern "C" fn group_query(
    user: *const c_char,
    group: *const c_char,
    passwd: *const libc::passwd,
) -> c_int {
    let member = guard(|shared| {
        let host = shared.host();
        // SAFETY: sudo's own strings, alive during this call.
        let (user, group) = unsafe { (string(user), string(group)) };
        let (Some(user), Some(group)) = (user, group) else {
            return false;
        };
        // SAFETY: NULL or the passwd entry of `user`, alive during this call.
        let uid = unsafe { passwd.as_ref() }.map(|entry| entry.pw_uid);
        shared.gates.query(&host, user, uid, group)
    });
    c_int::from(member.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_second_entry_end_at_the_edge() {
        const CHILD: &str = "SUDO_JIT_TEST_PANIC";
        const TEXT: &str = "must not be seen";
        if std::env::var_os(CHILD).is_some() {
            assert_eq!(guard(|_| 7), Some(7));
            assert_eq!(guard(|_| -> i32 { panic!("{TEXT}") }), None);
            assert_eq!(guard(|_| guard(|_| 7)), Some(None));
            assert_eq!(guard(|_| 7), Some(7), "a panic leaves the state usable");
            return;
        }
        // In a child: the panic hook belongs to the whole process, and what it shows is looked at.
        let name = "ffi_plugin::tests::a_panic_and_a_second_entry_end_at_the_edge";
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let shown = [run.stdout, run.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(
            run.status.success() && shown.contains("1 passed"),
            "{shown}"
        );
        assert!(!shown.contains(TEXT), "{shown}");
    }
}
