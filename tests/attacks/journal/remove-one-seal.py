#!/usr/bin/env python3
# Trick:   one signed head is taken out; the entries stay.
# Source:  docs/spec/journal.md, Seals: behind the entries of each commit
# Seen by: verify
# Named:   seal-missing
from jitlog import expect, log, seal_over, target, write

segment = log()[0]
frame = target(segment)
seal = seal_over(segment, frame)
segment.frames.remove(seal)
write(segment.name, segment.bytes())
expect("seal-missing", frame.index)
