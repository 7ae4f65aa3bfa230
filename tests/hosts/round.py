"""Lives of grants with one fault in each: asked for, used, ended, and then a look at what is left.

A round is one line of JSON on standard input: {"phase", "target", "fault", "end", "user", "mark", "life"}; one comes back.
phase: the step that meets the fault: give, use, end. target: agent, jit-end or post (jit-end when the unit stops).
fault: what strace injects, e.g. "fsync:error=EIO:when=2"; "trace" only writes down which calls are made.
end: how the grant ends: drop, deadline, alone (the deadline, while no agent runs) or stop (alone, and the unit from outside).
"""

import datetime, json, os, re, subprocess, sys, time

END = "/usr/libexec/jit/jit-end"
TRACE = "/run/fault/trace"
LATE = 3.0
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


def sh(script, **kw):
    return subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)


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
    if code == 0 or "0" in said.splitlines():
        found.append("sudo: " + said)
    groups = sh(f"id -nG {user}").stdout.split()
    if "jit-admin" in groups:
        found.append("member: " + " ".join(groups))
    found += ["drop-in: " + f for f in os.listdir("/run/userdb") if f.startswith(user + ":")] if os.path.isdir("/run/userdb") else []
    running = sh(f"pgrep -axf 'sleep {mark}'").stdout.strip()
    if running:
        found.append("running: " + running)
    units = sh("systemctl list-units --all --plain --no-legend 'jit-0*'").stdout.strip()
    if units:
        found.append("units: " + units)
    return found


def alive():
    """What must work again, each with a word when it does not."""
    found = []
    for who, script in ("root", "sudo -n true"), ("carol", "runuser -u carol -- sudo -n true"):
        said = sh("timeout 10 " + script)
        if said.returncode:
            found.append(f"sudo of {who}: {said.stdout}")
    return found


def until(limit, look):
    """Looks again and again until nothing is found or the moment has come; what was found last."""
    while True:
        found = look()
        if not found or time.time() > limit:
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
    if code and not held:
        # An agent that fell is back at once; a grant whose request failed may have lived since and be over.
        if out.get("gave") is None and phase != "give":
            out["wrong"].append("a sound use is refused: " + said)

    held = hold("end")
    if end in ("alone", "stop"):
        sh(f"systemctl stop {SOCKETS} jit-link jit-agent")
        if time.time() > latest:
            out["wrong"].append("the agent was not stopped before the deadline")
        if end == "stop":
            sh("systemctl stop 'jit-0*.service'")
    elif end == "drop":
        out["drop"] = as_user(user, "jitctl drop --all", 15)[1]
    if held and end == "deadline":
        time.sleep(max(0, latest - time.time()) + 0.7)
    if held and end == "drop":
        until(time.time() + 0.5, lambda: left(user, mark))
    release(held)

    out["wrong"] += until(latest + LATE, lambda: left(user, mark))
    out["late"] = round(time.time() - latest, 2)
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
        # So that the next round starts from a clean host.
        sh(f"systemctl restart jit-agent; {END}.real --all; pkill -xf 'sleep {mark}'; systemctl reset-failed 'jit-*'")
    return out


os.makedirs("/run/fault", exist_ok=True)
if not os.path.exists(END + ".real"):
    os.rename(END, END + ".real")
    with open(END, "w") as wrapper:
        wrapper.write(WRAPPER.replace("END", END).replace("TRACE", TRACE))
    os.chmod(END, 0o755)
for line in sys.stdin:
    print(json.dumps(round_(json.loads(line))), flush=True)
