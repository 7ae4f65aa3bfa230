#!/usr/bin/env python3
# Trick:   a true signed head of this log stands in the place of a later one, with index and chain made to fit.
# Source:  C2SP tlog-checkpoint: a head is good for its own size only
# Seen by: verify
# Named:   seal-invalid
from jitlog import expect, log, save, seal_over, target

segments = log()
frame = target(segments[0])
seals = segments[0].seals()
seal = seal_over(segments[0], frame)
earlier = seals[seals.index(seal) - 1].json()
mine = seal.json()
seal.put({**mine, "root": earlier["root"], "sig": earlier["sig"]})
save(segments)
expect("seal-invalid", frame.index)
