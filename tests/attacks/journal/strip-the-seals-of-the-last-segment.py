#!/usr/bin/env python3
# Trick:   only what was written since the last opening loses its seals, so that its records can be changed.
# Source:  CVE-2023-31439; systemd issue 15425: a journal without a seal verifies
# Seen by: verify
# Named:   seal-missing
from jitlog import ENTRY, HEADER, edit, expect, log, save, target

segments = log()
segment = segments[-1]
edit(target(segment), login="carol", uid=1003)
segment.frames = [f for f in segment.frames if f.kind in (HEADER, ENTRY)]
header = segment.frames[0].json()
header["v"] = 1
del header["sealed"]
segment.frames[0].put(header)
save(segments)
expect("seal-missing", segment.entries()[0].index)
