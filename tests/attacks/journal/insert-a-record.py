#!/usr/bin/env python3
# Trick:   a record is put between two others, with the next number and the chain value that follows.
# Source:  MITRE ATT&CK T1565.001, stored data manipulation: an innocent who never did it
# Seen by: verify
# Named:   inserted
from jitlog import ENTRY, Frame, edit, expect, log, target, write

segment = log()[0]
frame = target(segment)
forged = Frame(ENTRY, frame.index + 1, frame.payload)
edit(forged, login="carol", uid=1003)
forged.chain = forged.link(frame.chain)
segment.frames.insert(segment.frames.index(frame) + 1, forged)
write(segment.name, segment.bytes())
expect("inserted", forged.index)
