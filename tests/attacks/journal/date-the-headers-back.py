#!/usr/bin/env python3
# Trick:   the headers of all segments but the first are dated forty days back, as with a clock that was set back, chain and
#          head file are made to fit: what is young then counts as old, and a search by time leaves it out. No seal is
#          over a header.
# Source:  MITRE ATT&CK T1070.006, timestomping; docs/spec/journal.md, Retention: "a clock set back makes nothing old"
# Seen by: verify
# Named:   header-edited
import time
from jitlog import expect, log, save

segments = log()
for segment in segments[1:]:
    header = segment.frames[0].json()
    header["time"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 40 * 86400))
    segment.frames[0].put(header)
save(segments)
expect("header-edited")
