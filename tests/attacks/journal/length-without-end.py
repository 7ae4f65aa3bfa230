#!/usr/bin/env python3
# Trick:   a length field says four gigabytes: a reader that reserves them dies, one that seeks stops reading.
# Source:  CWE-789: memory reserved for a length that the data claims
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
data = bytearray(segment.data)
data[frame.at + 4 : frame.at + 8] = b"\xff\xff\xff\xff"
write(segment.name, data)
expect("edited", frame.index)
