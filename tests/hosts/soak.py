"""What goes on at a host day after day, for so many seconds: soak.py SECONDS SEED.

Alice asks, uses, gives back or lets it end, is refused now and then; bob is refused; parts are restarted one after the other, the
receiver, too; the journal is verified again and again, also against what the receiver got. Says as JSON what was done and
what went otherwise than it should. None of it is anybody's attack.
"""

import itertools, json, random, subprocess, sys, threading, time

SECONDS, SEED = int(sys.argv[1]), int(sys.argv[2])
END = time.monotonic() + SECONDS
COPY = "/var/log/siem/json"
done, wrong = {}, []
lock = threading.Lock()
# What a user does who was told that nobody answers: he asks again.
BUSY = 5


def run(*argv, user=None):
    argv = ["runuser", "-u", user, "--", *argv] if user else argv
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


def do(name, expected, *argv, user=None):
    said = run(*argv, user=user)
    with lock:
        done[name] = done.get(name, 0) + 1
        if said.returncode not in expected:
            wrong.append(f"{name}: exit {said.returncode}: {said.stdout[-400:]}{said.stderr[-400:]}")
    return said.returncode


def still(seconds):
    """Waits, but not beyond the end."""
    time.sleep(max(0, min(seconds, END - time.monotonic())))
    return time.monotonic() < END


def alice(dice):
    while still(dice.uniform(0, 0.4)):
        role, seconds = dice.choice([("admin", 5), ("admin", 30), ("admin", 120), ("logs", 20)])
        asked = ["jitctl", "elevate", "--role", role, "--reason", "day after day", "--for", f"{seconds}s"]
        if do("elevate", (0, BUSY), *asked, user="alice") != 0:
            continue
        if role == "admin":
            for _ in range(dice.randint(1, 20)):
                # sudo's 1: the grant was over, which five seconds allow.
                do("use", (0, 1) if seconds == 5 else (0,), "sudo", "-n", "true", user="alice")
                still(dice.uniform(0, 0.08))
            if dice.random() < 0.2:
                do("list", (0, 1), "sudo", "-n", "-l", user="alice")
            if dice.random() < 0.2:
                # 1: five seconds were over before it was in force.
                do("extend", (0, 3, BUSY, 6, *([1] if seconds == 5 else [])), "jitctl", "extend", "--for", "150s", "--reason", "more", user="alice")
        else:
            do("refused use", (1,), "sudo", "-n", "true", user="alice")
        if dice.random() < 0.9:
            # Terminated or killed: it held the group of a grant that ended that moment, on a machine too busy to answer it first.
            do("drop", (0, 6, 137, 143), "jitctl", "drop", "--all", user="alice")
        else:
            still(min(seconds, 6))
            run("jitctl", "drop", "--all", user="alice")


def bob(dice):
    while still(dice.uniform(2, 20)):
        do("refused", (3,), "jitctl", "elevate", "--reason", "me, too", user="bob")


def parts(dice):
    turns = itertools.cycle(["jit-agent", "siem", "jit-link", "jit-issuer"])
    while still(dice.uniform(3, 6) if SECONDS < 600 else dice.uniform(5, 60)):
        part = next(turns)
        do(f"restart {part}", (0,), "systemctl", "restart", part)
        if part == "jit-agent":
            do("reload", (0,), "systemctl", "reload", "jit-agent")


def verifier(_):
    took = 0
    # A tenth of the time at most, however long the log.
    while still(max(3, 10 * took)):
        start = time.monotonic()
        do("verify", (0,), "jitctl", "log", "verify")
        do("compare", (0,), "jitctl", "log", "verify", "--against", COPY)
        do("tell", (0,), "jitctl", "log", "attest")
        took = time.monotonic() - start
        print(f"{time.monotonic() - END + SECONDS:.0f} s: {done} {wrong}", file=sys.stderr, flush=True)


def main():
    threads = [
        threading.Thread(target=work, args=(random.Random(f"{SEED} {work.__name__}"),))
        for work in (alice, bob, parts, verifier)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"done": done, "wrong": wrong}))


main()
