#!/usr/bin/env python3
# Trick:   a signed head stands there twice.
# Source:  docs/spec/journal.md, Seals: numbered without gaps
# Seen by: verify
# Named:   seal-invalid
from jitlog import expect, log, seal_over, target, write

segment = log()[0]
seal = seal_over(segment, target(segment))
segment.frames.insert(segment.frames.index(seal), seal)
write(segment.name, segment.bytes())
expect("seal-invalid")
