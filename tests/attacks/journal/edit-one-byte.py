#!/usr/bin/env python3
# Trick:   one letter of one record is changed on the disk; checksums, if any, are left as they are.
# Source:  codenotary/immudb issue 2063: a value file edited on disk, and the auditor still says consistent
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
data = bytearray(segment.data)
at = segment.data.index(b"alice", frame.at)
data[at] ^= 2
write(segment.name, data)
expect("edited", frame.index)
