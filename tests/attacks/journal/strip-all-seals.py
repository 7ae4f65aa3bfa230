#!/usr/bin/env python3
# Trick:   every seal is taken out and every header made as those of a log that never had any; then records can be changed.
# Source:  systemd issue 15425: verify passes a journal that is not sealed at all
# Seen by: verify
# Named:   seal-missing
from jitlog import ENTRY, HEADER, edit, expect, log, save, target

segments = log()
edit(target(segments[0]), login="carol", uid=1003)
for segment in segments:
    segment.frames = [f for f in segment.frames if f.kind in (HEADER, ENTRY)]
    header = segment.frames[0].json()
    header["v"] = 1
    del header["sealed"]
    segment.frames[0].put(header)
save(segments)
expect("seal-missing", 0)
