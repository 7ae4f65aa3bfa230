#!/usr/bin/env python3
# Trick:   a record is changed, and the chain computed anew to the end of its segment.
# Source:  docs/spec/journal.md, Frames: the chain is a plain hash that everyone can compute
# Seen by: verify
# Named:   edited seal-invalid
from jitlog import ENTRY, SEAL, edit, expect, log, target, write

segment = log()[0]
frame = target(segment)
edit(frame, login="carol", uid=1003)
before = segment.frames[0].chain
for f in segment.frames[1:]:
    f.chain = f.link(before)
    before = f.chain if f.kind == ENTRY else before
write(segment.name, segment.bytes())
expect("edited", frame.index)
expect("seal-invalid", frame.index)
