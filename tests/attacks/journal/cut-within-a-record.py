#!/usr/bin/env python3
# Trick:   the end is cut off in the middle of a record, as a crash would leave it.
# Source:  CVE-2023-31438; docs/spec/journal.md, Opening
# Seen by: verify
# Named:   edited
from jitlog import expect, log, write

segment = log()[-1]
frame = segment.entries()[-3]
write(segment.name, segment.data[: frame.at + 40])
expect("edited", frame.index)
