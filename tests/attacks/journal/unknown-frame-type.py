#!/usr/bin/env python3
# Trick:   a record gets a type that no reader knows, so that a lenient one skips it.
# Source:  CVE-2023-31437 (journald: objects of unknown type are passed over)
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
data = bytearray(segment.data)
data[frame.at + 2] = 9
write(segment.name, data)
expect("edited", frame.index)
