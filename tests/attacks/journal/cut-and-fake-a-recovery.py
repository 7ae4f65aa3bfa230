#!/usr/bin/env python3
# Trick:   the tail is cut off and a recovery forged, as after a crash: a new segment whose header names the cut as the end,
#          and a record that says an unfinished write was skipped. Without the host's key.
# Source:  CVE-2023-31438; docs/spec/journal.md, Opening
# Seen by: verify
# Named:   seal-invalid
import json
from jitlog import ENTRY, HEADER, SEAL, Frame, Segment, Tree, b64, expect, leaf, log, path, public, save, seal_anew, sha256, sign

segments = log()
old = segments[-1]
seal = old.seals()[-3]
old.frames = old.frames[: old.frames.index(seal) + 1]
tree = Tree()
for segment in segments:
    for frame in segment.entries():
        tree.push(leaf(frame.payload))
generation = int(old.name.split(".")[1]) + 1
name = f"{seal.index:020}.{generation}.seg"
header = old.frames[0].json()
time = old.entries()[-1].json()["time"]
header.update(file=name, time=time, prev={"file": old.name, "length": 0, "next": 0, "chain": ""}, torn=[])
header["sealed"].update(n=seal.json()["n"] + 1, tree=[b64(node) for node in tree.nodes])
header["sealed"].pop("signs", None)
mine = sha256(b"mine")
named = {"epoch": header["sealed"]["epochs"] + 40, "key": b64(public(mine))}
record = {"time": time, "type": "recovery", "detail": {"why": "an unfinished write was skipped"}}
first, entry, made = Frame(HEADER, seal.index, b""), Frame(ENTRY, seal.index, b""), Frame(SEAL, seal.index + 1, b"")
first.put(header)
entry.put({**record, **named})
made.put({"n": header["sealed"]["n"], "root": "", "sig": "", "next": named})
open(path(name), "wb").close()
new = Segment(name)
new.frames = [first, entry, made]
segments.append(new)
seal_anew(segments, seal.index, lambda text, seal: sign(mine, text), rename=False)
save(segments)
expect("seal-invalid", seal.index)
