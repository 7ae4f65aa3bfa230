#!/usr/bin/env python3
# Trick:   bytes that a recovery skipped are changed afterwards: evidence of what was torn.
# Source:  docs/spec/journal.md, Opening: the header names the hash of the bytes behind the end
# Seen by: verify
# Named:   edited
from jitlog import expect, log, write

segment = log()[0]
assert segment.tail
write(segment.name, segment.data[:-1] + b"?")
expect("edited")
