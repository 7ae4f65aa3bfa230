"""Lives of grants with one fault in each: asked for, used, ended, and then a look at what is left.

A round is one line of JSON on standard input: {"phase", "target", "fault", "end", "user", "mark", "life"}; one comes back.
phase: the step that meets the fault: give, use, end. target: agent, jit-end or post (jit-end when the unit stops).
fault: what strace injects, e.g. "fsync:error=EIO:when=2"; "trace" only writes down which calls are made.
end: how the grant ends: drop, deadline, alone (the deadline, while no agent runs) or stop (alone, and the unit from outside).
"""

import datetime, glob, json, os, re, subprocess, sys, time

END = "/usr/libexec/jit/jit-end"
TRACE = "/run/fault/trace"
LATE = 3.0
# What timeout(1) returns for a program that it had to end.
HANGS = 124, 137
# Units are gone when their jit-end has its proof on the disk, which others write to as well.
TIDY = 15.0
BEAT = "/run/fault/beat"
STALLS = "/run/fault/stalls"
SOCKETS = "jit-agent.socket jit-gate.socket jit-link.socket"

# In place of jit-end: the first run of the kind that is wanted meets the fault. Not where ptrace is forbidden.
WRAPPER = """#!/bin/sh
kind=jit-end
test "$1" = --post && kind=post
if ! grep -q jit-agent.service /proc/self/cgroup && mv /run/fault/$kind /run/fault/$kind.taken 2>/dev/null; then
    plan=$(cat /run/fault/$kind.taken)
    # strace can miss the end of what it killed, and would keep systemd from seeing it.
    case $plan in *signal=KILL*) limit="timeout --signal=KILL 1" ;; esac
    exec $limit strace -qq -f -o TRACE $plan END.real "$@"
fi
exec END.real "$@"
"""

# A unit of its own, which no ending freezes: when it did not run, nothing did. Half a second is longer than a busy host keeps
# a sleeper waiting.
SLEEPER = f"""
import os, time
last = time.time()
while True:
    time.sleep(0.02)
    now = time.time()
    if now - last > 0.5:
        with open("{STALLS}", "a") as stalls:
            stalls.write(f"{{now}} {{now - last}}\\n")
    last = now
    os.utime("{BEAT}")
"""


def sh(script):
    return subprocess.run(
        ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def as_user(user, script, limit):
    argv = ["timeout", "--kill-after=2", str(limit), "runuser", "-u", user, "--", "bash", "-c", script]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    return done.returncode, done.stdout.strip()


def agent():
    pid = int(sh("systemctl show -P MainPID jit-agent").stdout or 0)
    return pid or None


def options(fault):
    return [] if fault == "trace" else ["-e", "trace=" + fault.split(":")[0], "-e", "inject=" + fault]


class Fault:
    """strace on the agent, from the moment that all its threads are held."""

    def __init__(self, fault):
        open(TRACE, "w").close()
        until(time.time() + 10, lambda: [] if agent() else ["the agent does not run"])
        self.pid = agent()
        argv = ["strace", "-qq", "-f", "-p", str(self.pid), "-o", TRACE] + options(fault)
        self.strace = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.strace.poll() is None and not self.held():
            time.sleep(0.002)

    def held(self):
        try:
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{task}/status") as status:
                    if "TracerPid:\t0\n" in status.read():
                        return False
            return True
        except OSError:
            return True

    def off(self):
        self.strace.terminate()
        try:
            self.strace.wait(1)
        except subprocess.TimeoutExpired:
            # It can miss the end of what it traces; nobody else hears of that end before it is gone.
            self.strace.kill()
            self.strace.wait()


def calls():
    """How often each thread made each call at most, in the trace."""
    seen = {}
    for line in open(TRACE, errors="replace"):
        found = re.match(r"(\d+) +([a-z0-9_]+)\(", line)
        if found:
            seen[found.groups()] = seen.get(found.groups(), 0) + 1
    most = {}
    for (_, call), n in seen.items():
        most[call] = max(most.get(call, 0), n)
    return most


def met():
    """Did the fault happen?"""
    with open(TRACE, errors="replace") as trace:
        return bool(re.search(r"\((INJECTED|DELAYED)\)|killed by SIGKILL", trace.read()))


def left(user, mark):
    """What must not be there any more, each with a word."""
    found = []
    code, said = as_user(user, "sudo -n id -u", 10)
    if code == 0 or "0" in said.splitlines() or code in HANGS:
        found.append(f"sudo: {code} {said}")
    groups = sh(f"id -nG {user}").stdout.split()
    if "jit-admin" in groups:
        found.append("member: " + " ".join(groups))
    found += ["drop-in: " + f for f in os.listdir("/run/userdb") if f.startswith(user + ":")] if os.path.isdir("/run/userdb") else []
    running = sh(f"pgrep -axf 'sleep {mark}'").stdout.strip()
    if running:
        found.append("running: " + running)
    for pids in glob.glob("/sys/fs/cgroup/jit.slice/jit-0*/**/cgroup.procs", recursive=True):
        # The end of the unit runs in it.
        inside = sh(f"for p in $(cat {pids}); do tr '\\0' ' ' </proc/$p/cmdline; echo; done 2>/dev/null").stdout
        found += ["inside: " + line for line in inside.splitlines() if line and "jit-end" not in line]
    return found


def units():
    """Units of grants that systemd still has."""
    found = sh("systemctl list-units --all --plain --no-legend 'jit-0*'").stdout.strip()
    return ["units: " + found] if found else []


def alive():
    """What must work again, each with a word when it does not."""
    found = []
    for who, script in ("root", "sudo -n true"), ("carol", "runuser -u carol -- sudo -n true"):
        said = sh("timeout 10 " + script)
        if said.returncode:
            found.append(f"sudo of {who}: {said.stdout}")
    return found


def evidence(since):
    """What an ending that did not come to its end was doing: its processes, their cgroups, its calls, the host's journal."""
    return sh(f"""
for p in $(pgrep -f '[j]it-end|[s]leep 1[0-9]{{6}}|[s]leep infinity'); do
    echo "== $(tr '\\0' ' ' </proc/$p/cmdline)"
    grep -H -E '^(State|PPid|TracerPid)' /proc/$p/task/*/status
    cat /proc/$p/cgroup /proc/$p/task/*/syscall
done
grep -H . /sys/fs/cgroup/jit.slice/jit-*/cgroup.events
cat {STALLS} /proc/pressure/cpu /proc/pressure/io
tail -n 60 {TRACE}
timeout 20 journalctl --no-pager -o short-precise --since @{since:.3f} | tail -n 120
""").stdout


def stalled(since):
    """Seconds after that moment in which nothing in the host ran: no promise can be kept then, nor broken."""
    now = time.time()
    # Once more the sleeper has run, and has told of what it noticed.
    while os.stat(BEAT).st_mtime <= now and time.time() < now + 5:
        time.sleep(0.005)
    with open(STALLS) as stalls:
        told = [map(float, line.split()) for line in stalls]
    return sum(min(length, end - since) for end, length in told if end > since)


def until(limit, look, since=None):
    """Looks again and again until nothing is found or the moment has come; what was found last.

    The moment comes later by what the host stood still since then, or since now."""
    since = since or time.time()
    while True:
        found = look()
        if not found or (time.time() > limit and time.time() > limit + stalled(since)):
            return found
        time.sleep(0.02)


def elevate(user, life, limit):
    return as_user(user, f"jitctl elevate --reason fault --for {life}s", limit)


def ends(user):
    """When the last of the user's grants ends; the agent may be on its way back."""
    limit = time.time() + 5
    while True:
        code, said = as_user(user, "jitctl status --json", 10)
        try:
            grants = json.loads(said)["grants"]
            stamps = [g["ends_at"].replace("Z", "+00:00") for g in grants]
            return max((datetime.datetime.fromisoformat(t).timestamp() for t in stamps), default=time.time())
        except (ValueError, KeyError):
            if time.time() > limit:
                raise
            time.sleep(0.05)


def served(user):
    """A fresh request works, at the latest when the link has come back."""
    limit = time.time() + 20
    while True:
        code, said = elevate(user, 3, 15)
        if code == 0 or time.time() > limit:
            return None if code == 0 else said
        time.sleep(0.1)


def round_(r):
    user, mark, phase, fault, end = r["user"], r["mark"], r["phase"], r["fault"], r["end"]
    out = {"wrong": [], "used": False}
    start = time.time()
    held = None
    if r["target"] == "agent":
        hold = lambda now: Fault(fault) if phase == now else None
    else:
        hold = lambda now: None
        open(TRACE, "w").close()
        for kind in "jit-end", "post":
            for name in kind, kind + ".taken":
                if os.path.exists("/run/fault/" + name):
                    os.remove("/run/fault/" + name)
        with open("/run/fault/new", "w") as plan:
            plan.write(" ".join(options(fault)))
        os.rename("/run/fault/new", "/run/fault/" + r["target"])

    def release(held):
        if held:
            held.off()

    held = hold("give")
    code, said = elevate(user, r["life"], 15)
    release(held)
    if code:
        out["gave"] = said
        why = served(user)
        if why:
            out["wrong"].append("no fresh grant: " + why)
    latest = ends(user)

    held = hold("use")
    # What stays must not hold our pipe.
    code, said = as_user(user, f"sudo -n -b sleep {mark} >/tmp/{user} 2>&1; code=$?; cat /tmp/{user}; exit $code", 10)
    release(held)
    out["used"] = code == 0
    late = time.time() - latest
    # In time, or late for another reason than a host that stood still.
    if code and not held and (late < 0 or late > stalled(start) or code in HANGS):
        # An agent that fell is back at once; a grant whose request failed may have lived since and be over.
        if out.get("gave") is None and phase != "give":
            out["wrong"].append("a sound use is refused: " + said)

    held = hold("end")
    if end in ("alone", "stop"):
        sh(f"systemctl stop {SOCKETS} jit-link jit-agent")
        if time.time() > latest + stalled(start):
            out["wrong"].append("the agent was not stopped before the deadline")
        if end == "stop":
            sh("systemctl stop 'jit-0*.service'")
    elif end == "drop":
        out["drop"] = as_user(user, "jitctl drop --all", 15)[1]
    if held and end == "deadline":
        time.sleep(max(0, latest - time.time()) + 0.7)
    if held and end == "drop":
        until(time.time() + 0.5, lambda: left(user, mark) + units())
    release(held)

    out["wrong"] += until(latest + LATE, lambda: left(user, mark), latest)
    out["late"] = round(time.time() - latest, 2)
    # Before anything mends it.
    seen = evidence(start) if out["wrong"] else None
    out["wrong"] += until(latest + TIDY, units, latest)
    out["stalled"] = round(stalled(start), 2)
    if end in ("alone", "stop"):
        sh(f"systemctl start {SOCKETS} jit-agent jit-link")
    out["wrong"] += until(time.time() + 10, alive)
    if not agent():
        out["wrong"] += until(time.time() + 10, lambda: [] if agent() else ["the agent does not run"])
    out["met"] = met()
    out["took"] = round(time.time() - start, 2)
    if fault == "trace":
        out["calls"] = calls()
    if out["wrong"]:
        out["seen"] = seen or evidence(start)
        # So that the next round starts from a clean host.
        sh(f"systemctl restart jit-agent; {END}.real --all; pkill -xf 'sleep {mark}'; systemctl reset-failed 'jit-*'")
    return out


os.makedirs("/run/fault", exist_ok=True)
for path in BEAT, STALLS:
    open(path, "a").close()
subprocess.run(["systemd-run", "--quiet", "--unit=sleeper", "python3", "-c", SLEEPER], check=True, stdout=subprocess.DEVNULL)
if not os.path.exists(END + ".real"):
    os.rename(END, END + ".real")
    with open(END, "w") as wrapper:
        wrapper.write(WRAPPER.replace("END", END).replace("TRACE", TRACE))
    os.chmod(END, 0o755)
for line in sys.stdin:
    print(json.dumps(round_(json.loads(line))), flush=True)
