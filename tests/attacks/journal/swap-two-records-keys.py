#!/usr/bin/env python3
# Trick:   two records exchange the keys that they name: each is a key of this log, of another epoch.
# Source:  docs/spec/journal.md, Seals: "A key is named in next and, where it is signed, as the last members"
# Seen by: verify
# Named:   edited
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
naming = [f for f in segment.entries() if b',"epoch":' in f.payload and f.index > frame.index]
other = naming[0]
one, two = (f.payload.rindex(b',"epoch":') for f in (frame, other))
frame.payload, other.payload = frame.payload[:one] + other.payload[two:], other.payload[:two] + frame.payload[one:]
write(segment.name, segment.bytes())
expect("edited", frame.index)
expect("edited", other.index)
