#!/usr/bin/env python3
# Trick:   the last records are cut off, cleanly behind a signed head.
# Source:  CVE-2023-31438 (journald: a sealed log can be truncated)
# Seen by: verify
# Named:   tail-cut
from jitlog import expect, log, write

segment = log()[-1]
seal = segment.seals()[-4]
write(segment.name, segment.data[: seal.at + len(seal.bytes())])
expect("tail-cut", seal.index)
