"""Restarts receivers under load: restarts.py ROUNDS UNIT=INPUT,INPUT...; what an input got lies in /var/log/siem/INPUT.

ROUNDS is how many restarts there are at least, of all units together, which are restarted side by side. Each time every input has got something since the one before, so that each is in the middle of it. Once, half-way, all are left
alone until the agent knows that they have what they got. Prints for each restart and input how many records it had and what the agent
then knew it to have: what comes later begins no earlier.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

LIMIT = 60
# Once in each record, and in no checkpoint.
MARK = b" index="


class Got:
    """What an input has, read on from where it was read last."""

    def __init__(self, name):
        self.name, self.count, self.file, self.end = name, 0, None, b""

    def records(self):
        if self.file is None:
            try:
                self.file = open(f"/var/log/siem/{self.name}", "rb")
            except FileNotFoundError:
                return 0
        # The word may come in two pieces.
        text = self.end + self.file.read()
        self.count += text.count(MARK)
        self.end = text[1 - len(MARK) :]
        return self.count


def kept(name):
    try:
        return json.load(open("/var/lib/jit/receivers.json"))["next"].get(name, 0)
    except FileNotFoundError:
        return 0


def until(what, holds):
    end = time.monotonic() + LIMIT
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {LIMIT} s")
        time.sleep(0.01)


def restarts(unit, inputs, rounds):
    """The unit and its inputs, whatever the other units do meanwhile."""
    for number in range(rounds):
        for got in inputs:
            before = got.records()
            until(f"{got.name} gets something, round {number}", lambda: got.records() > before)
        if number == rounds // 2:
            for got in inputs:
                before = kept(got.name)
                until(f"the cursor of {got.name} moves", lambda: kept(got.name) > before)
        # Read before the end: no record that comes later is below.
        known = {got.name: kept(got.name) for got in inputs}
        subprocess.run(["systemctl", "stop", unit], check=True)
        said = [json.dumps([got.name, got.records(), known[got.name]]) + "\n" for got in inputs]
        sys.stdout.write("".join(said))
        subprocess.run(["systemctl", "start", unit], check=True)


def main():
    units = [arg.split("=") for arg in sys.argv[2:]]
    rounds = -(-int(sys.argv[1]) // len(units))
    with ThreadPoolExecutor() as pool:
        work = [
            pool.submit(restarts, unit, [Got(name) for name in names.split(",")], rounds)
            for unit, names in units
        ]
    for each in work:
        each.result()


main()
