#!/usr/bin/env python3
# Trick:   a hole is punched into a closed segment: its length stays, some records are zeros.
# Source:  fallocate(2), FALLOC_FL_PUNCH_HOLE
# Seen by: verify
# Named:   edited
import subprocess
from jitlog import expect, lock, log, path, seal_over, target, unlock

segment = log()[0]
frame = target(segment)
unlock()
hole = ["--punch-hole", "--offset", str(frame.at), "--length", str(seal_over(segment, frame).at - frame.at)]
subprocess.run(["fallocate", *hole, path(segment.name)], check=True)
lock()
expect("edited", frame.index)
