#!/usr/bin/env python3
# Trick:   a record is changed, the chain computed anew through all segments, and the head file written to match. All
#          hashes fit; only the signed heads do not.
# Source:  RFC 6962, 2.1.4 and C2SP tlog-checkpoint: a hash that nobody signed proves nothing
# Seen by: verify
# Named:   seal-invalid
from jitlog import edit, expect, log, save, target

segments = log()
frame = target(segments[0])
edit(frame, login="carol", uid=1003)
save(segments)
expect("seal-invalid", frame.index)
