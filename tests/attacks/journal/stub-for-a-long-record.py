#!/usr/bin/env python3
# Trick:   in the place of a record that is longer than an open format's entry its stand-in is put, a short text that has the same
#          leaf in the tree, and the chain computed anew: every root and every seal still fits, and what the record said is gone.
# Source:  CVE-2012-2459 (Bitcoin: two lists of transactions with one Merkle root); docs/spec/journal.md, Open formats
# Seen by: verify
# Named:   edited
from jitlog import expect, log, save, sha256

segments = log()
long = [f for segment in segments for f in segment.entries() if len(f.payload) > 65535]
# One that names the next key must go on naming it.
frame = next(f for f in long if "key" not in f.json())
frame.payload = f'{{"length":{len(frame.payload)},"sha256":"{sha256(frame.payload).hex()}"}}'.encode()
save(segments)
expect("edited", frame.index)
