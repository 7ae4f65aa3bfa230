#!/usr/bin/env python3
# Trick:   a member is added a second time, of equal length taken from the reason: readers differ in which one counts.
# Source:  RFC 8259, 4: names should be unique; what a receiver does with others is unpredictable
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
frame.payload = b'{"login":"carol",' + frame.payload[1:]
write(segment.name, segment.bytes())
expect("edited", frame.index)
