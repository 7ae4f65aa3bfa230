#!/usr/bin/env python3
# Trick:   bytes that are no record are put between two records; a reader that stops there hides the rest.
# Source:  CVE-2023-31437
# Seen by: verify
# Named:   inserted
from jitlog import expect, log, seal_over, target, write

segment = log()[0]
seal = seal_over(segment, target(segment))
end = seal.at + len(seal.bytes())
write(segment.name, segment.data[:end] + b"nothing to see here\n" + segment.data[end:])
expect("inserted")
