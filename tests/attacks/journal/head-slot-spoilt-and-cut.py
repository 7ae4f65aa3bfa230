#!/usr/bin/env python3
# Trick:   the newer slot of the head file is spoilt, so that the older one counts, and the last record is cut off to match.
# Source:  docs/adr/0007: two slots, of which one is always whole
# Seen by: verify
# Named:   head-unreadable
import struct
from jitlog import expect, log, set_head, slots, write

both = slots()
newer = max((0, 1), key=lambda n: struct.unpack(">Q", both[n][8:16]))
older = struct.unpack(">Q", both[1 - newer][8:16])[0]
both[newer] = bytes(64)
set_head(b"".join(both))
segment = log()[-1]
seal = next(s for s in segment.seals() if s.index == older)
write(segment.name, segment.data[: seal.at + len(seal.bytes())])
expect("head-unreadable")
