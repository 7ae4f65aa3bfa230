//! A program that logs people in all day loads and unloads our PAM module each time: it grows neither in descriptors nor
//! in memory, nor does it keep a thread or a signal handler of ours. Sources: pam-ssh-agent #108 (a handler that outlived
//! dlclose crashed sudo), authd #306, sudo PR #519 (threads of a module made sudo miss SIGCHLD).
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jit_tests::Host;
use jit_tests::grants::elevate;

/// Arguments: how many cycles, and what the account phase must answer. Says as JSON what the process has more than
/// after a tenth of them.
const CYCLES: &str = r#"
import ctypes, json, os, sys
count, expected = int(sys.argv[1]), int(sys.argv[2])
# As sudo is when alice starts it: for root's own there would be nothing to ask.
os.setresuid(1001, 0, 0)
pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
CONV = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
class Conversation(ctypes.Structure):
    _fields_ = [("conv", CONV), ("data", ctypes.c_void_p)]
def silent(n, _messages, answers, _data):
    answers[0] = libc.calloc(n, 16)
    return 0
talk = Conversation(CONV(silent), None)
def cycle():
    handle = ctypes.c_void_p()
    assert pam.pam_start(b"sudo-jit", b"alice", ctypes.byref(talk), ctypes.byref(handle)) == 0
    said = pam.pam_acct_mgmt(handle, 0)
    assert pam.pam_end(handle, said) == 0
    assert said == expected, said
def state():
    status = dict(l.split(":\t", 1) for l in open("/proc/self/status").read().splitlines())
    number = lambda name: int(status[name].split()[0])
    return {"fds": len(os.listdir("/proc/self/fd")), "kB": number("VmRSS"), "maps": len(open("/proc/self/maps").readlines()),
        "threads": number("Threads"), "handlers": int(status["SigCgt"], 16)}
handlers = state()["handlers"]
for _ in range(count // 10):
    cycle()
before = state()
assert before["handlers"] == handlers
for _ in range(count):
    cycle()
after = state()
print(json.dumps({k: after[k] - before[k] for k in after}))
"#;

#[test]
fn a_thousand_cycles_of_the_pam_module_leave_nothing_in_the_process() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    host.write("/root/cycles.py", CYCLES);
    let grows = |count: &str, expected: &str| {
        let said = host
            .run(&["python3", "/root/cycles.py", count, expected])
            .ok()
            .json();
        for what in ["fds", "maps", "threads", "handlers"] {
            assert_eq!(said[what], 0, "{said}");
        }
        let memory = said["kB"].as_i64().unwrap();
        assert!(memory < 256, "{said}");
    };
    elevate(&mut alice, "--for 10m");
    // PAM_SUCCESS
    grows("1000", "0");
    // Without an agent: PAM_PERM_DENIED, each time after a refused connection.
    host.sh("systemctl stop jit-link jit-agent.socket jit-gate.socket jit-link.socket jit-agent")
        .ok();
    grows("300", "6");
}
