//! Attacks on the moment of the end and of the start: who holds, floods, stops, forks or breaks something just then
//! wins no time, and nothing is left half given or half taken.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jit_tests::grants::{Grant, elevate, list, proof, records, wait_until};
use jit_tests::{Host, Shell, command};
use serde_json::Value;

/// For the right, the membership and what heeds a signal.
const SOON: Duration = Duration::from_secs(1);
/// For proofs, and for ends that must do without a part of the host.
const LATER: Duration = Duration::from_secs(3);

/// Writes the time into its file again and again: the last moment at which it ran. The file's name takes the place of
/// `GRANT` from the unit it runs in.
const TICKER: &str = r#"#!/usr/bin/python3 -I
import os, re, sys, time
unit = re.search("jit-([0-9A-Z]{26})", open("/proc/self/cgroup").read())
fd = os.open(sys.argv[1].replace("GRANT", unit[1]), os.O_CREAT | os.O_WRONLY, 0o600)
while True:
    os.pwrite(fd, b"%.6f" % time.time(), 0)
    time.sleep(0.002)
"#;

/// One question to a socket of the agent as bytes, and its answer.
const RAW: &str = r#"
import json, os, socket, struct, sys, time
def frame(message):
    body = json.dumps({"v": 1, "m": message}).encode()
    return struct.pack(">I", len(body)) + body
def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(path)
    return s
def ask(message):
    with connect("/run/jit/agent.sock") as s:
        s.sendall(frame(message))
        answer = b""
        while data := s.recv(65536):
            answer += data
    return json.loads(answer[4:])["m"]
"#;

/// A host with both programs, its ticker at `/usr/local/bin/ticker`.
fn prepared() -> (Host, Shell) {
    let host = Host::ready();
    host.write("/usr/local/bin/ticker", TICKER);
    host.sh("chmod 0755 /usr/local/bin/ticker").ok();
    let alice = host.shell("alice");
    (host, alice)
}

/// A program that speaks to the agent in bytes.
fn speaker(host: &Host, path: &str, program: &str) {
    host.write(path, &format!("{RAW}{program}"));
    host.sh(&format!("chmod 0644 {path}")).ok();
}

/// Starts the ticker as root with the grant, and waits until it runs.
#[track_caller]
fn tick(host: &Host, shell: &mut Shell, file: &str) {
    host.sh(&format!("rm -f {file}")).ok();
    shell
        .run(&format!("sudo -n -b /usr/local/bin/ticker {file}"))
        .ok();
    host.wait_for("the ticker runs", 5 * SOON, &format!("test -s {file}"));
}

/// When the ticker last ran.
#[track_caller]
fn last_tick(host: &Host, file: &str) -> SystemTime {
    let text = host.read(file);
    let seconds: f64 = text
        .trim()
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {text:?}"));
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

/// How much later than `end` that was; nothing when it was before.
fn after(end: SystemTime, moment: SystemTime) -> Duration {
    moment.duration_since(end).unwrap_or(Duration::ZERO)
}

/// Unit, timer, membership, marks and files of every grant are gone.
#[track_caller]
fn nothing_left(host: &Host, limit: Duration) {
    host.wait_for(
        "nothing is left",
        limit,
        "left=$(systemctl list-units --all --no-legend 'jit-0*'; ls /run/userdb 2>/dev/null | grep :; \
         ls /var/lib/jit/grants /var/lib/jit/ended | grep json; ls -A /run/jit/given /run/jit/ending 2>/dev/null | grep -v :$); \
         echo \"$left\"; test -z \"$left\"",
    );
    host.sh("id -nG alice")
        .ok()
        .hides("jit-admin")
        .hides("jit-logs")
        .hides("adm");
}

/// The right's own process last ran and died at most `limit` after `end`.
#[track_caller]
fn ended_by(host: &Host, file: &str, end: SystemTime, limit: Duration) {
    wait_until(end + limit);
    host.sh(&format!(
        "pgrep -af '^/usr/bin/python3 -I /usr/local/bin/ticker {file}$'"
    ))
    .refused();
    let late = after(end, last_tick(host, file));
    assert!(late <= limit, "it ran {late:?} after the end");
}

/// Opens and locks all that its user can open below the directories where jit keeps things, again and again.
const LOCKER: &str = r#"
import fcntl, os, time
held = {}
while True:
    for root in ("/run/jit", "/var/lib/jit", "/run/userdb", "/run/sudo", "/var/log/jit", "/etc/jit"):
        for here, _, files in os.walk(root):
            for path in [here] + [os.path.join(here, f) for f in files]:
                if path in held:
                    continue
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held[path] = fd
                except OSError:
                    pass
    with open("/tmp/held", "w") as out:
        out.write("\n".join(held))
    time.sleep(0.05)
"#;

#[test]
fn locks_and_a_crowd_of_processes_hold_up_no_end() {
    let (host, mut alice) = prepared();
    let mut bob = host.shell("bob");

    // Whatever bob can open he locks, also what an earlier ending has left.
    elevate(&mut alice, "--for 10m");
    alice.run("jitctl drop").ok();
    host.write("/usr/local/bin/locker", LOCKER);
    bob.run("python3 /usr/local/bin/locker & echo").ok();
    host.wait_for("locks are held", 5 * SOON, "grep -qx /run/jit /tmp/held");
    let grant = elevate(&mut alice, "--for 6s");
    tick(&host, &mut alice, "/run/tick-locks");
    ended_by(&host, "/run/tick-locks", grant.ends_at, SOON);
    host.sh("id -nG alice").ok().hides("jit-admin");
    let proven = proof(&host, &grant.id, LATER);
    assert_eq!(proven["decision"], "proven", "{proven}");
    nothing_left(&host, LATER);
    bob.run("kill %1").ok();

    // Even the lock of the endings itself, which only root can hold, is waited for only briefly.
    let grant = elevate(&mut alice, "--for 10s");
    tick(&host, &mut alice, "/run/tick-lock");
    host.sh("systemd-run --quiet --unit=holder flock /var/lib/jit/end.lock sleep infinity")
        .ok();
    host.wait_for(
        "it is held",
        5 * SOON,
        "! flock -n /var/lib/jit/end.lock true",
    );
    ended_by(&host, "/run/tick-lock", grant.ends_at, SOON);
    host.sh("id -nG alice").ok().hides("jit-admin");
    host.sh("systemctl stop holder").ok();

    // Three thousand processes to look at: the grant's own stand still meanwhile.
    let crowd = "for (1..3000) { next if fork; sleep 600; exit } sleep 600";
    alice.run(&format!("perl -e '{crowd}' & echo")).ok();
    host.wait_for(
        "the crowd is there",
        20 * SOON,
        "test $(find /sys/fs/cgroup/user.slice/user-1001.slice -name cgroup.procs -exec cat {} + | wc -l) -gt 3000",
    );
    let grant = elevate(&mut alice, "--for 6s");
    tick(&host, &mut alice, "/run/tick-crowd");
    ended_by(&host, "/run/tick-crowd", grant.ends_at, SOON);
    let proven = proof(&host, &grant.id, 3 * LATER);
    assert_eq!(proven["decision"], "proven", "{proven}");
    let started =
        UNIX_EPOCH + Duration::from_millis(proven["detail"]["started_ms"].as_u64().unwrap());
    let last = last_tick(&host, "/run/tick-crowd");
    // From the moment at which the ending runs: how soon that is, is the machine's affair.
    assert!(after(started, last) <= Duration::from_millis(100));
    nothing_left(&host, 2 * LATER);
    alice.run("kill %1; pkill -KILL -u alice perl; true").ok();
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn a_silent_bus_holds_up_no_end() {
    let (host, mut alice) = prepared();
    let bus = |signal: &str| {
        host.sh(&format!(
            "pkill --signal {signal} -x dbus-daemon -u messagebus"
        ))
        .ok()
    };
    for (how, life) in [("drop", "5m"), ("revoke", "5m"), ("deadline", "6s")] {
        let grant = elevate(&mut alice, &format!("--for {life}"));
        let file = format!("/run/tick-{how}");
        tick(&host, &mut alice, &file);
        bus("STOP");
        let (end, limit) = match how {
            "drop" => {
                let start = SystemTime::now();
                alice.send("jitctl drop\n");
                (start, LATER)
            }
            "revoke" => {
                let start = SystemTime::now();
                host.run(&["jitctl", "revoke", &grant.id, "--reason", "now"]);
                (start, LATER)
            }
            _ => (grant.ends_at, SOON),
        };
        ended_by(&host, &file, end, limit);
        host.sh("id -nG alice").ok().hides("jit-admin");
        bus("CONT");
        if how == "drop" {
            alice.expect("Given back");
            alice.expect("@@\n");
        }
        proof(&host, &grant.id, 5 * LATER);
        // All but the timer: only systemd can take that, and it was not reachable.
        let units = format!(
            "systemctl list-units --all --no-legend jit-{}.service",
            grant.id
        );
        assert_eq!(host.sh(&units).ok().text(), "");
        host.sh("ls /run/userdb /var/lib/jit/grants /var/lib/jit/ended /run/jit/given /run/jit/ending | grep -e alice -e json -e 0")
            .refused();
        alice.run("sudo -n true").refused();
    }
    host.run(&["jitctl", "log", "verify"]).ok();
}

/// Asks for `logs` and gives it back at another moment of its start each time.
const DROPPER: &str = r#"
def asked():
    answer = ask({"op": "elevate", "role": "logs", "seconds": 60, "reason": "soon given back"})
    assert answer["re"] == "submitted", answer
    return answer["request"]
rounds = int(sys.argv[1])
spans = []
for n in range(3):
    request = asked()
    start = time.monotonic()
    answer = ask({"op": "wait", "request": request, "max_s": 20})
    assert answer["re"] == "active", answer
    spans.append(time.monotonic() - start)
    ask({"op": "drop"})
# One that waited for the disk would spread the rounds over moments long after the start.
span = sorted(spans)[1]
for n in range(rounds):
    asked()
    time.sleep(span * n / rounds)
    while ask({"op": "drop"})["re"] != "dropped":
        pass
print("span", span)
"#;

/// Writes down each change of the membership as the name service shows it.
const SAMPLER: &str = r#"
import grp, os, time
gid = grp.getgrnam("adm").gr_gid
was = None
with open("/run/samples", "w", buffering=1) as out:
    while True:
        start = time.time()
        now = gid in os.getgrouplist("alice", 1001)
        if now != was:
            out.write("%.6f %d\n" % (start, now))
            was = now
        time.sleep(0.005)
"#;

/// The live grants of a person.
fn live(shell: &mut Shell) -> Vec<Grant> {
    let status = shell.run("jitctl status --json").ok();
    let mut grants: Vec<Grant> = list(&status).iter().map(Grant::read).collect();
    grants.sort_by_key(|g| g.ends_at);
    grants
}

/// The membership came once since `count` lines ago, and went once, when `end` had come and at most a second later.
#[track_caller]
fn came_and_went(host: &Host, count: &mut usize, end: SystemTime) {
    wait_until(end + SOON);
    let text = host.read("/run/samples");
    let lines: Vec<&str> = text.lines().skip(*count).collect();
    *count += lines.len();
    let [came, went] = lines[..] else {
        panic!("expected one coming and one going: {lines:?}")
    };
    assert!(came.ends_with(" 1") && went.ends_with(" 0"), "{lines:?}");
    let at: f64 = went.split(' ').next().unwrap().parse().unwrap();
    let at = UNIX_EPOCH + Duration::from_secs_f64(at);
    let early = end.duration_since(at).unwrap_or_default();
    assert!(
        early < Duration::from_millis(100),
        "it went {early:?} before the end"
    );
    assert!(after(end, at) <= SOON);
}

#[test]
fn a_membership_lives_exactly_as_long_as_a_grant_that_gives_it() {
    const ROUNDS: usize = 30;
    let (host, mut alice) = prepared();
    // Given back while it is being put in force.
    speaker(&host, "/usr/local/bin/dropper", DROPPER);
    let said = alice
        .run(&format!("python3 /usr/local/bin/dropper {ROUNDS}"))
        .ok();
    nothing_left(&host, LATER);
    let all = records(&host);
    let count = |kind: &str| all.iter().filter(|r| r["type"] == kind).count();
    assert_eq!(count("proof"), ROUNDS + 3, "{said}");
    let midway = |r: &&Value| {
        let why = r["detail"]["why"].as_str().unwrap_or_default();
        r["type"] == "refused" && why.contains("it ended while it was being put in force")
    };
    let hits = all.iter().filter(midway).count();
    assert!(hits >= 5, "only {hits} came midway\n{said}");

    // Some that begin together, and one that begins while the one before it is given back.
    for _ in 0..4 {
        alice
            .run("for i in 1 2 3 4; do jitctl elevate --role logs --reason x & done >/dev/null; wait")
            .ok();
        assert_eq!(live(&mut alice).len(), 4);
        alice.run("jitctl drop").ok();
        nothing_left(&host, LATER);
    }
    alice.run("jitctl elevate --role logs --reason x").ok();
    for _ in 0..8 {
        let before = live(&mut alice)[0].id.clone();
        alice
            .run(&format!(
                "jitctl drop {before} >/dev/null & d=$!; jitctl elevate --role logs --reason x && wait $d"
            ))
            .ok();
        assert_eq!(live(&mut alice).len(), 1);
        host.sh("id -nG alice").ok().says(" adm");
    }
    alice.run("jitctl drop").ok();
    nothing_left(&host, LATER);

    // Of three, one is given back and one ends while the third lives.
    host.write("/usr/local/bin/sampler", SAMPLER);
    host.sh("systemd-run --quiet --unit=sampler python3 /usr/local/bin/sampler")
        .ok();
    host.wait_for("samples come", 5 * SOON, "test -s /run/samples");
    let mut seen = 1;
    for life in ["10m", "4s", "7s"] {
        alice
            .run(&format!(
                "jitctl elevate --role logs --reason x --for {life}"
            ))
            .ok();
    }
    let grants = live(&mut alice);
    assert_eq!(grants.len(), 3);
    alice.run(&format!("jitctl drop {}", grants[2].id)).ok();
    came_and_went(&host, &mut seen, grants[1].ends_at);
    nothing_left(&host, LATER);

    // Two that end in the same second.
    let mut rounds = 0;
    while rounds < 3 {
        alice
            .run("for i in 1 2; do jitctl elevate --role logs --reason x --for 5s & done >/dev/null; wait")
            .ok();
        let grants = live(&mut alice);
        assert_eq!(grants.len(), 2);
        if grants[0].ends_at == grants[1].ends_at {
            rounds += 1;
        }
        came_and_went(&host, &mut seen, grants[1].ends_at);
        nothing_left(&host, LATER);
    }
    for record in records(&host).iter().filter(|r| r["type"] == "proof") {
        assert_eq!(record["decision"], "proven", "{record}");
        // Also where the agent had to run the end itself, within its own unit's limits.
        let unseen = record["detail"]["setgid_unseen"].to_string();
        assert!(!unseen.contains("not implemented"), "{unseen}");
    }
}

/// Holds the agent still from the moment a grant has its timer until that has ended it.
const HOLDER: &str = r#"
import glob, os, signal, subprocess, time
pid = int(subprocess.check_output(["systemctl", "show", "--value", "-p", "MainPID", "jit-agent"]))
while not glob.glob("/run/systemd/transient/jit-0*.timer"):
    pass
os.kill(pid, signal.SIGSTOP)
while not glob.glob("/var/lib/jit/ended/0*.json"):
    time.sleep(0.01)
time.sleep(0.5)
os.kill(pid, signal.SIGCONT)
"#;

#[test]
fn a_grant_that_ends_while_it_is_put_in_force_leaves_nothing() {
    const ROUNDS: u32 = 10;
    let (host, mut alice) = prepared();
    host.write("/usr/local/bin/holder", HOLDER);
    for _ in 0..3 {
        host.sh("systemd-run --quiet --collect --unit=holder python3 /usr/local/bin/holder")
            .ok();
        alice.run("jitctl elevate --role logs --reason x --for 2s");
        host.wait_for("it was held", 10 * SOON, "! systemctl -q is-active holder");
        nothing_left(&host, 4 * LATER);
    }
    for round in 1..=ROUNDS {
        // The end is the next whole second, and comes at another moment of the start each time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let next = UNIX_EPOCH + Duration::from_secs(now.as_secs() + 2);
        wait_until(next - round * Duration::from_millis(16));
        alice.run("jitctl elevate --role logs --reason x --for 1s >/dev/null 2>&1; true");
        nothing_left(&host, 3 * LATER);
    }
    let all = records(&host);
    let count = |kind: &str| all.iter().filter(|r| r["type"] == kind).count();
    assert_eq!(count("end"), count("proof"));
    let given = all
        .iter()
        .filter(|r| r["type"] == "grant" && r["decision"] == "allow");
    assert!(given.count() >= 5);
    alice.run("sudo -n true").refused();
    for record in all.iter().filter(|r| r["type"] == "proof") {
        assert_eq!(record["decision"], "proven", "{record}");
    }
}

/// Delivers a statement as the link does, and opens another connection a moment later, which says the same again.
const TWO_LINKS: &str = r#"
import pwd
user = pwd.getpwnam("jit-link")
os.setgroups([]); os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid); os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
hello = frame({"up": "hello", "version": 1, "name": "jit-link"}) + frame({"up": "connected"})
said = frame({"up": "statement", "n": None, "kind": "revocation", "blob": sys.argv[1]})
first = connect("/run/jit/link.sock")
first.sendall(hello)
first.recv(1)
first.sendall(said)
time.sleep(float(sys.argv[2]))
second = connect("/run/jit/link.sock")
second.sendall(hello)
time.sleep(0.3)
second.sendall(said)
time.sleep(1)
"#;

#[test]
fn a_new_link_cuts_no_revocation_short() {
    const GRANTS: usize = 6;
    let (host, mut alice) = prepared();
    speaker(&host, "/usr/local/bin/two-links", TWO_LINKS);
    for delay in ["0.0005", "0.002", "0.005", "0.012"] {
        alice
            .run(&format!(
                "for i in $(seq {GRANTS}); do jitctl elevate --for 10m --reason x & done >/dev/null; wait"
            ))
            .ok();
        assert_eq!(live(&mut alice).len(), GRANTS);
        tick(&host, &mut alice, "/run/tick-link");
        // The issuer's own revocation, which only the test carries.
        host.sh("systemctl stop jit-link").ok();
        host.run(&[
            "jitctl",
            "revoke",
            "--user",
            "alice",
            "--reason",
            "all of it",
        ]);
        let stream = host
            .sh("m=$(cat /etc/machine-id); curl -sN --max-time 1 --unix-socket /run/jit-issuer/api.sock \
                 \"http://x/v1/stream?host=spiffe://local.$m/host/$m&after=0\"")
            .stdout;
        let mut lines = stream.lines();
        let mut blob = None;
        while let Some(line) = lines.next() {
            if line.starts_with("event:") && line.contains("revocation") {
                blob = lines.find_map(|l| l.strip_prefix("data:"));
            }
        }
        let blob = blob
            .unwrap_or_else(|| panic!("no revocation: {stream}"))
            .trim();
        let start = SystemTime::now();
        host.run(&["python3", "/usr/local/bin/two-links", blob, delay])
            .ok();
        wait_until(start + LATER);
        alice.run("jitctl status").exits(6);
        host.sh("pgrep -f /usr/local/bin/ticker").refused();
        host.sh("id -nG alice").ok().hides("jit-admin");
        nothing_left(&host, LATER);
        host.sh("systemctl start jit-link").ok();
        host.wait_for(
            "the link is back",
            5 * SOON,
            "jitctl status --json | grep -q '\"link\": *\"ok\"'",
        );
    }
    let all = records(&host);
    let revoked = all
        .iter()
        .filter(|r| r["type"] == "end" && r["detail"]["cause"] == "revoked");
    assert_eq!(revoked.count(), 4 * GRANTS);
}

/// Eight processes ask for what their user cannot have, for so many seconds. Says how often that was refused.
const FLOOD: &str = r#"
end = time.monotonic() + float(sys.argv[1])
readers = []
for _ in range(8):
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        readers.append(read)
        continue
    refused = 0
    while True:
        answer = ask({"op": "elevate", "reason": "let me in"})
        assert answer["re"] == "error", answer
        refused += answer["code"] == "not-eligible"
        if time.monotonic() > end:
            break
    os.write(write, b"%d" % refused)
    os._exit(0)
print(sum(int(os.read(r, 20)) for r in readers))
"#;

/// Stops each sudo at another moment of its start, if it still can. Says how many are in the unit of the grant.
const STOPPER: &str = r#"
import os, signal, subprocess, sys, time
count, span = int(sys.argv[1]), float(sys.argv[2])
started = []
def signalled(p, which):
    try:
        os.kill(p.pid, which)
    except OSError:
        pass  # root's own by now
for n in range(count):
    p = subprocess.Popen(["sudo", "-n", "sleep", "30"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started.append(p)
    time.sleep(span * (0.2 + 0.8 * n / count))
    signalled(p, signal.SIGSTOP)
time.sleep(1)
inside = sum("jit.slice" in open(f"/proc/{p.pid}/cgroup").read() for p in started)
print("inside", inside, flush=True)
sys.stdin.readline()
for p in started:
    signalled(p, signal.SIGCONT)
print("all go on", flush=True)
"#;

#[test]
fn floods_and_stopped_calls_keep_nobody_from_being_served() {
    let (host, mut alice) = prepared();
    speaker(&host, "/usr/local/bin/flood", FLOOD);
    host.write("/usr/local/bin/stopper", STOPPER);
    let grant = elevate(&mut alice, "--for 10m");

    let refused = thread::scope(|scope| {
        let flood = scope.spawn(|| host.run_as("bob", "python3 /usr/local/bin/flood 5").ok());
        let mut calls = 0;
        while !flood.is_finished() {
            alice.run("sudo -n true").ok().within(5 * SOON);
            calls += 1;
        }
        assert!(calls >= 5, "only {calls} calls were made meanwhile");
        let said = flood.join().unwrap();
        said.text().parse::<u64>().unwrap()
    });
    assert!(refused > 1000, "only {refused} calls: no flood");
    // One more, when there is room again, says how many were not written down.
    thread::sleep(Duration::from_millis(1100));
    host.run_as("bob", "jitctl elevate --reason last").exits(3);
    host.wait_record("the last one", |r| {
        r["login"] == "bob" && r["reason"] == "last"
    });
    let all = records(&host);
    let bobs: Vec<&Value> = all.iter().filter(|r| r["login"] == "bob").collect();
    assert!(bobs.len() < 300, "{} records", bobs.len());
    let unwritten: u64 = bobs
        .iter()
        .map(|r| r["detail"]["not_recorded_before"].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(bobs.len() as u64 + unwritten, refused + 1);

    // Sixty calls of alice that stand still on their way.
    host.run(&["usermod", "-aG", "jit-eligible", "bob"]).ok();
    let mut bob = host.shell("bob");
    elevate(&mut bob, "--for 10m");
    bob.run("sudo -n true").ok();
    let fds = |host: &Host| -> usize {
        host.sh("ls /proc/$(systemctl show -P MainPID jit-agent)/fd | wc -l")
            .text()
            .parse()
            .unwrap()
    };
    let calm = fds(&host);
    let span = alice
        .run("for i in 1 2 3 4 5; do sudo -n true; done")
        .ok()
        .elapsed
        .as_secs_f32()
        / 5.0;
    let uses = |host: &Host| {
        let all = records(host);
        all.iter()
            .filter(|r| r["type"] == "use" && r["grant"] == grant.id.as_str())
            .count()
    };
    let before = uses(&host);
    // Without a terminal: with one, sudo itself keeps utmp locked now and then, and everybody waits for that.
    alice.send(&format!(
        "setsid --wait python3 /usr/local/bin/stopper 60 {span}\n"
    ));
    alice.expect("inside ");
    let inside: usize = alice.expect("\n").trim().parse().unwrap();
    let allowed = uses(&host) - before;
    let start = Instant::now();
    // Between the first question and the use: the move was begun and nobody came for it.
    let between = inside.saturating_sub(allowed);
    assert!(between >= 3, "{inside} inside, {allowed} allowed");
    bob.run("sudo -n true").ok().within(5 * SOON);
    let mut now = fds(&host);
    while now > calm + 2 {
        assert!(
            start.elapsed() < 10 * SOON,
            "{now} descriptors, {calm} before"
        );
        thread::sleep(Duration::from_millis(100));
        now = fds(&host);
    }
    let mut second = host.shell("alice");
    second.run("sudo -n true").ok().within(5 * SOON);
    bob.run("sudo -n true").ok().within(5 * SOON);
    alice.send("\n");
    alice.expect("all go on");
    second.run("jitctl drop").ok();
    host.wait_for("all have ended", LATER, "! pgrep -u root -fx 'sleep 30'");
}

/// A process that forks and ends, and so does its child, for ever, as fast as the kernel can. It hears no signal, and holds
/// a lock.
const CHAIN: &str = r"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (count != 2 || flock(open(words[1], O_CREAT | O_WRONLY, 0666), LOCK_EX) < 0)
        return 1;
    for (;;)
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) > 0)
            syscall(SYS_exit_group, 0);
}
";

fn build_chain(host: &Host) {
    let dir = tempfile::tempdir().unwrap();
    let (source, made) = (dir.path().join("chain.c"), dir.path().join("chain"));
    std::fs::write(&source, CHAIN).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-static", "-o"]).args([&made, &source]);
    command::run(&mut cc, "cc chain.c", Duration::from_secs(30)).ok();
    host.copy_in(&made, "/usr/local/bin/chain");
    host.run(&["chmod", "0755", "/usr/local/bin/chain"]).ok();
}

#[test]
fn a_chain_of_forks_does_not_outlive_a_grant_unseen() {
    let (host, mut alice) = prepared();
    build_chain(&host);
    // From a login made during the grant, and from a job that another service starts for its user.
    for (name, start) in [
        ("login", "setsid -f /usr/local/bin/chain /tmp/chain-login"),
        (
            "at",
            "echo '/usr/local/bin/chain /tmp/chain-at' | at now 2>&1",
        ),
    ] {
        let grant = elevate(&mut alice, "--role logs --for 8s");
        let mut login = host.shell("alice");
        login.run("id -nG").ok().says("adm");
        login.run(start).ok();
        let lock = format!("/tmp/chain-{name}");
        host.wait_for(
            "the chain runs",
            5 * SOON,
            &format!("test -e {lock} && ! flock -n {lock} true"),
        );
        assert!(SystemTime::now() < grant.ends_at);
        wait_until(grant.ends_at);
        let proven = proof(&host, &grant.id, 4 * LATER);
        // The lock is free when the last of them has ended.
        let dead = host.sh(&format!("flock -n {lock} true")).code == 0;
        assert!(dead || proven["decision"] != "proven", "{name}: {proven}");
        if name == "login" {
            assert!(dead, "the sessions of a user can be frozen: {proven}");
            let holders = "grep -lE '^Groups:.*\\b4\\b' /proc/[0-9]*/status | xargs -r grep -lE '^Uid:\\s1001'";
            assert_eq!(host.sh(holders).text(), "");
        }
        host.sh("id -nG alice").ok().hides("adm");
    }
}
