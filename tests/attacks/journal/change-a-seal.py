#!/usr/bin/env python3
# Trick:   one bit of a signature is changed.
# Source:  CT log Yeti 2022: one flipped bit between computing and storing ended the log
# Seen by: verify
# Named:   seal-edited
from jitlog import log, expect, seal_over, target, write

segment = log()[0]
seal = seal_over(segment, target(segment))
data = bytearray(segment.data)
data[data.index(b'"sig":"', seal.at) + 9] ^= 1
write(segment.name, data)
expect("seal-edited")
