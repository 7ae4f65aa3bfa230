#!/usr/bin/env python3
# Trick:   the newest signed head is cut off, so that the entries before it look like an unfinished write.
# Source:  CVE-2023-31438 (journald: truncate a sealed log)
# Seen by: verify
# Named:   seal-missing
from jitlog import expect, log, write

segment = log()[-1]
segment.frames.remove(segment.seals()[-1])
write(segment.name, segment.bytes())
expect("seal-missing", segment.entries()[-1].index)
