#!/usr/bin/env python3
# Trick:   the length of one record is made to reach over the next ones: a reader that trusts it never sees them.
# Source:  CVE-2023-31437 (journald: messages hidden from view in a sealed log)
# Seen by: verify
# Named:   edited removed
import struct
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
after = [f for f in segment.frames if f.at > frame.at][3]
data = bytearray(segment.data)
length = after.at + len(after.bytes()) - frame.at - 48
data[frame.at + 4 : frame.at + 8] = struct.pack(">I", length)
write(segment.name, data)
expect("edited", frame.index)
expect("removed", frame.index + 1)
