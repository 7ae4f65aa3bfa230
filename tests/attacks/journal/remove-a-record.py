#!/usr/bin/env python3
# Trick:   a record and its signed head are taken out, everything behind moves up.
# Source:  MITRE ATT&CK T1070.002, clear Linux system logs
# Seen by: verify
# Named:   removed
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
segment.frames.remove(frame)
write(segment.name, segment.bytes())
expect("removed", frame.index)
