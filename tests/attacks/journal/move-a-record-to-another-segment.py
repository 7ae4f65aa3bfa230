#!/usr/bin/env python3
# Trick:   a record is moved from one segment to the end of another.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   removed inserted
from jitlog import expect, lock, log, path, target, unlock

one, two = log()[:2]
frame = target(one)
one.frames.remove(frame)
two.frames.append(frame)
unlock()
for segment in (one, two):
    with open(path(segment.name), "wb") as file:
        file.write(segment.bytes())
lock()
expect("removed", frame.index)
expect("inserted", frame.index)
