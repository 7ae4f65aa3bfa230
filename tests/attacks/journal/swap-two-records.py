#!/usr/bin/env python3
# Trick:   two records exchange their places: first the command, then the right.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   reordered
from jitlog import ENTRY, expect, log, target, write

segment = log()[0]
frame = target(segment)
entries = segment.entries()
other = entries[entries.index(frame) + 1]
a, b = segment.frames.index(frame), segment.frames.index(other)
segment.frames[a], segment.frames[b] = other, frame
write(segment.name, segment.bytes())
expect("reordered")
