#!/usr/bin/env python3
# Trick:   the tail is cut off, the head file set back, and the log goes on with a start as the agent would write it,
#          sealed with the host's key, which root can read.
# Source:  docs/spec/journal.md, Seals: "root can sign a start with the host's key, behind a cut"
# Seen by: copy
# Named:   differ
# Witness: rollback fork
from jitlog import ENTRY, SEAL, Frame, Keys, b64, expect, host_seed, log, public, save, seal_anew

segments = log()
segment, keys = segments[-1], Keys(host_seed())
seal = segment.seals()[-3]
segment.frames = segment.frames[: segment.frames.index(seal) + 1]
start = next(f for f in segments[0].entries() if f.json()["type"] == "start").json()
last = segment.entries()[-1].json()
epoch = max(s.json()["next"]["epoch"] for seg in segments for s in seg.seals() if "next" in s.json()) + 1
named = {"epoch": epoch, "key": b64(public(keys.epoch(epoch)))}
record = {k: v for k, v in start.items() if k not in ("epoch", "key")}
entry = Frame(ENTRY, seal.index, b"")
entry.put({**record, "time": last["time"], **named})
made = Frame(SEAL, seal.index + 1, b"")
made.put({"n": seal.json()["n"] + 1, "root": "", "sig": "", "next": named})
segment.frames += [entry, made]
seal_anew(segments, seal.index, keys.sign, rename=False)
save(segments)
expect("differ", entry.index)
