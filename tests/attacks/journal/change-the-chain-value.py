#!/usr/bin/env python3
# Trick:   only the chain value of a record is changed.
# Source:  CT log Nimbus 2018: a stored hash that is not that of the data
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
frame.chain = bytes(32)
write(segment.name, segment.bytes())
expect("edited", frame.index)
