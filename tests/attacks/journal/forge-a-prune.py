#!/usr/bin/env python3
# Trick:   the oldest segment is removed, and a record says that it was pruned by rule.
# Source:  C2SP tlog-tiles, Pruning: what may go is for a written policy to say
# Seen by: verify
# Named:   segment-missing
import json, os
from jitlog import ENTRY, Frame, expect, log, names, path, unlock, lock

segments = log()
last = segments[-1].entries()[-1]
forged = Frame(ENTRY, last.index + 1, b"")
forged.put({"type": "prune", "time": last.json()["time"], "detail": {"below": segments[1].frames[0].index}})
forged.chain = forged.link(last.chain)
with open(path(segments[-1].name), "ab") as file:
    file.write(forged.bytes())
unlock()
os.remove(path(segments[0].name))
lock()
expect("segment-missing", 0)
