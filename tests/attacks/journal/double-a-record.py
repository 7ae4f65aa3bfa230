#!/usr/bin/env python3
# Trick:   a record stands there twice, to make a use look repeated.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   duplicated
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
segment.frames.insert(segment.frames.index(frame), frame)
write(segment.name, segment.bytes())
expect("duplicated", frame.index)
