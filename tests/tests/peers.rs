//! Whoever connected may be gone, and another process may have his number, before the agent looks: he is nobody then,
//! and never root. Source: polkit CVE-2021-3560 (a caller that had left was taken for root). With the number of an ended
//! caller, an heir of other uids is told apart on any kernel; one of the same needs Linux 6.5 (`SO_PEERPIDFD`).
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jit_tests::Host;
use jit_tests::grants::{elevate, records};
use serde_json::{Value, json};
use wire::frame::{self, Caps};
use wire::{cli, gate};

/// Reads lines of JSON: who connects (real and effective uid), to which socket, what he says, and whose process has
/// his number afterwards, if anybody's. Answers what came back, and the cgroup of that process.
const PEERS: &str = r#"
import ctypes, json, os, random, signal, socket, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
agent = lambda: int(subprocess.check_output(["systemctl", "show", "-P", "MainPID", "jit-agent"]))

def become(real, effective):
    os.setgroups([])
    os.setresgid(real, effective, effective)
    os.setresuid(real, effective, effective)

def with_number(pid, real, effective):
    # clone3(2) with set_tid
    ready, tell = os.pipe()
    tid = (ctypes.c_int * 1)(pid)
    args = struct.pack("11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(tid), 1, 0)
    got = libc.syscall(435, ctypes.create_string_buffer(args, len(args)), len(args))
    if got == 0:
        become(real, effective)
        os.write(tell, b"x")
        time.sleep(600)
        os._exit(0)
    assert got == pid, (got, ctypes.get_errno())
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)

def one(q):
    ours, theirs = socket.socketpair()
    patient = q["heir"] is not None or q["late"]
    if patient:
        os.kill(main, signal.SIGSTOP)
    child = os.fork()
    if child == 0:
        become(*q["who"])
        s = socket.socket(socket.AF_UNIX)
        s.connect(q["path"])
        s.sendall(bytes.fromhex(q["says"]))
        socket.send_fds(theirs, [b"x"], [s.fileno()])
        if not patient:
            time.sleep(random.random() * 0.003)
        os.kill(os.getpid(), signal.SIGKILL)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    if q["heir"] is not None:
        with_number(child, *q["heir"])
    if patient:
        os.kill(main, signal.SIGCONT)
    s = socket.socket(fileno=fds[0])
    s.settimeout(20)
    answer = b""
    try:
        while data := s.recv(65536):
            answer += data
    except ConnectionResetError:
        pass
    out = {"answer": json.loads(answer[4:])["m"] if answer else None}
    if q["heir"] is not None:
        out["cgroup"] = open(f"/proc/{child}/cgroup").read()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return out

for line in sys.stdin:
    main = agent()
    print(json.dumps(one(json.loads(line))), flush=True)
"#;

const ALICE: u32 = 1001;
const BOB: u32 = 1002;

fn bytes(question: &impl serde::Serialize, caps: Caps) -> String {
    let bytes = frame::encode(question, caps.request).unwrap();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn usage(uid: u32) -> gate::Request {
    gate::Request::Use(Box::new(gate::Use {
        subject: gate::Subject {
            login: "alice".into(),
            uid,
        },
        door: gate::Door::Sudo,
        command: "/usr/bin/id".into(),
        argv: vec!["id".into()],
        env: Vec::new(),
        runas_user: Some("root".into()),
        runas_uid: 0,
        runas_gid: 0,
        runas_group: None,
        cwd: None,
        chroot: None,
        tty: None,
        shell: false,
        sudoedit: false,
        files: Vec::new(),
        unusual: Vec::new(),
        source: None,
    }))
}

#[test]
fn a_caller_who_has_left_is_nobody_whoever_has_his_number() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 10m");
    host.write("/root/peers.py", PEERS);
    let mut peers = host.dialogue(&["python3", "/root/peers.py"]);
    let mut ask = |path: &str, says: &str, who: [u32; 2], heir: Option<[u32; 2]>, late: bool| {
        let question = json!({"path": path, "says": says, "who": who, "heir": heir, "late": late});
        peers.ask(&question, std::time::Duration::from_secs(30))
    };
    let uses = || {
        let all = records(&host);
        all.iter().filter(|r| r["type"] == "use").count()
    };
    let before = uses();

    // As sudo would ask: bob's process, and alice's has its number by the time the agent looks.
    let says = bytes(&usage(ALICE), frame::GATE);
    let gate = wire::paths::GATE_SOCK;
    for heir in [None, Some([ALICE, 0]), Some([0, 0])] {
        let said = ask(gate, &says, [BOB, 0], heir, true);
        assert_ne!(said["answer"]["re"], "allow", "{heir:?}: {said}");
        if heir.is_some() {
            let cgroup = said["cgroup"].as_str().unwrap();
            assert!(!cgroup.contains("jit.slice"), "{heir:?}: {said}");
        }
    }
    assert_eq!(uses(), before, "nothing was used");

    // On the socket that is open to all: what only root may ask, from one who was never root.
    let says = bytes(&cli::Request::Status { all: true }, frame::CLI);
    let agent = wire::paths::AGENT_SOCK;
    for heir in [None, Some([0, 0])] {
        let said = ask(agent, &says, [BOB, BOB], heir, true);
        assert!(
            said["answer"].is_null() || said["answer"]["re"] == "error",
            "{heir:?}: {said}"
        );
    }
    for _ in 0..60 {
        let said = ask(agent, &says, [BOB, BOB], None, false);
        assert!(
            said["answer"].is_null() || said["answer"]["re"] == "error",
            "{said}"
        );
    }
    // The question itself was a good one.
    let said = ask(agent, &says, [0, 0], None, false);
    assert!(
        said["answer"].is_null() || said["answer"]["re"] == "status",
        "{said}"
    );
    let words: Value = host
        .run(&["jitctl", "status", "--all", "--json"])
        .ok()
        .json();
    assert!(words.to_string().contains("alice"), "{words}");
    alice.run("sudo -n true").ok();
}
