#!/usr/bin/env python3
# Trick:   what an opening found and wrote into a header is taken out, chain and head file are made to fit.
# Source:  docs/spec/journal.md, Frames: `torn`, `faults` tell what was wrong when it was opened
# Seen by: verify
# Named:   header-edited inserted
from jitlog import HEADER, expect, log, write

segment = log()[-1]
header = segment.frames[0].json()
header["torn"] = []
segment.frames[0].put(header)
write(segment.name, segment.bytes())
expect("header-edited", segment.frames[0].index)
# Bytes of the segment before, which only this header explained.
expect("inserted")
