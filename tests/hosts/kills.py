"""Users who become root in every way, and a killer: arguments are a seed and how many processes to kill.

Says as JSON what was done and what outlived its end.
"""

import json, os, random, re, signal, subprocess, sys, threading, time

SEED, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
USERS = [f"k{n}" for n in range(5)]
LATE = 3.0
TICKS = "/root/ticks"

# Writes the time into its file again and again: the last moment at which it ran.
TICKER = """#!/usr/bin/python3 -I
import os, re, sys, time
unit = re.search("jit-([0-9A-Z]{26})", open("/proc/self/cgroup").read())
fd = os.open(sys.argv[1].replace("GRANT", unit[1]), os.O_CREAT | os.O_WRONLY, 0o600)
while True:
    os.pwrite(fd, b"%.6f" % time.time(), 0)
    time.sleep(0.01)
"""
# Asks for a right, uses it, and now and then gives it back, until told to stop. Each use has a mark of its own; what ran is noted.
BUSY = """
RANDOM=$1
n=0
use() { n=$((n + 1)); sudo -n true $USER-$n && echo $USER-$n >>/tmp/ran.$USER; }
while ! test -e /tmp/enough; do
    role=admin; test $((RANDOM % 4)) = 0 && role=logs
    jitctl elevate --role $role --reason chaos --for $((2 + RANDOM % 3))s
    use
    n=$((n + 1)); sudo -n -b /usr/local/bin/ticker /root/ticks/GRANT.$USER-$n
    use
    test $((RANDOM % 2)) = 0 && jitctl drop --all
done >/tmp/busy.$USER 2>&1
"""


def sh(script):
    return subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()


def main_of(unit):
    pid = int(sh(f"systemctl show -P MainPID {unit}") or 0)
    return [pid] if pid else []


def enders():
    """Running jit-ends."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read() == "jit-end\n":
                found.append(int(pid))
        except OSError:
            pass
    return found


def next_ender(dice):
    """One that runs within a second, a moment after it was seen."""
    limit = time.time() + 1
    while time.time() < limit:
        found = enders()
        if found:
            time.sleep(dice.random() ** 2 * 0.1)
            return [dice.choice(found)]
    return []


def sample(stop, seen):
    """When each membership of these users was there last before it went."""
    while not stop.is_set():
        now = time.time()
        if os.path.isdir("/run/userdb"):
            for name in os.listdir("/run/userdb"):
                if name.split(":")[0] in USERS:
                    seen.append((now, name.split(":")[0]))
        time.sleep(0.05)


def main():
    dice = random.Random(SEED)
    for user in USERS:
        sh(f"useradd --create-home {user} && usermod -aG jit-eligible {user}")
    os.makedirs(TICKS, mode=0o700)
    with open("/usr/local/bin/ticker", "w") as ticker:
        ticker.write(TICKER)
    os.chmod("/usr/local/bin/ticker", 0o755)
    busy = [
        subprocess.Popen(["runuser", "-u", u, "--", "bash", "-c", f"cd; USER={u}; {BUSY}", "busy", str(dice.randrange(32768))])
        for u in USERS
    ]
    stop, seen = threading.Event(), []
    sampler = threading.Thread(target=sample, args=(stop, seen))
    sampler.start()
    killed = {"jit-agent": 0, "jit-end": 0, "jit-link": 0}
    while sum(killed.values()) < ROUNDS:
        time.sleep(0.05 + dice.random() * 0.6)
        what = dice.choices(list(killed), [10, 9, 1])[0]
        for pid in next_ender(dice) if what == "jit-end" else main_of(what):
            try:
                os.kill(pid, signal.SIGKILL)
                killed[what] += 1
            except ProcessLookupError:
                pass
    open("/tmp/enough", "w").close()
    for b in busy:
        b.wait()
    # The last of them ends by itself.
    time.sleep(4 + LATE)
    stop.set()
    sampler.join()

    records = [json.loads(line) for line in sh("jitctl log show --json").splitlines()]
    given = {r["grant"]: r for r in records if r["type"] == "grant"}
    wrong = []
    late = 0.0
    files = os.listdir(TICKS)
    for file in files:
        grant = file.split(".")[0]
        if grant not in given:
            wrong.append(f"{file} ran and there is no record of its grant")
            continue
        with open(f"{TICKS}/{file}") as tick:
            after = float(tick.read() or 0) - given[grant]["detail"]["ends"]
        late = max(late, after)
        if after > LATE:
            wrong.append(f"{file} ran {after:.2f} s after its end")
    running = sh("pgrep -af /usr/local/bin/ticker")
    if running:
        wrong.append("running: " + running)
    ends = {}
    for r in given.values():
        ends.setdefault(r["login"], []).append(r["detail"]["ends"])
    member = 0.0
    for when, user in seen:
        after = min((max(0, when - e) for e in ends.get(user, [])), default=1e9)
        # Some grant of his had not ended yet, or only just.
        alive = any(when <= e for e in ends.get(user, []))
        if not alive:
            member = max(member, after)
            if after > LATE:
                wrong.append(f"{user} was a member {after:.2f} s after the end of his last grant")
                break
    uses = [r for r in records if r["type"] == "use"]
    for r in uses:
        if r["grant"] not in given:
            wrong.append(f"a use without a grant: {r}")
    # Whatever ran: those whose sudo returned 0, and each ticker, by the file that it made.
    ran = [["/usr/bin/true", mark] for mark in sh("cat /tmp/ran.*").split()]
    ran += [["/usr/local/bin/ticker", f"{TICKS}/GRANT.{file.split('.')[1]}"] for file in files]
    written = [r["command"] for r in uses]
    wrong += [f"{command} ran and its use is not in the journal" for command in ran if command not in written]
    print(json.dumps({
        "killed": killed, "grants": len(given), "uses": len(uses), "tickers": len(files), "ran": len(ran),
        "late": round(late, 3), "member": round(member, 3), "wrong": wrong,
        "given": sorted(given),
    }))


main()
