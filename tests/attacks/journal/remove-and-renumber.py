#!/usr/bin/env python3
# Trick:   a record and its signed head are taken out, those behind it get the numbers before theirs, chain, numbers of
#          heads and head file are made to fit: no gap is left.
# Source:  CVE-2023-31437; docs/spec/journal.md: "An index is never used twice"
# Seen by: verify
# Named:   seal-unknown-key seal-invalid
from jitlog import SEAL, expect, log, save, seal_over, target

segments = log()
segment = segments[-1]
frame = target(segment)
seal = seal_over(segment, frame)
segment.frames.remove(frame)
segment.frames.remove(seal)
for f in segment.frames:
    if f.index > frame.index:
        f.index -= 1
        if f.kind == SEAL:
            f.put({**f.json(), "n": f.json()["n"] - 1})
save(segments)
expect("seal-unknown-key", frame.index)
expect("seal-invalid")
