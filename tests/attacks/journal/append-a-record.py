#!/usr/bin/env python3
# Trick:   a whole record without a signed head is appended, which needs no flag to be cleared: it looks like a write that
#          is not finished, and a reader that shows it shows a lie.
# Source:  CVE-2023-31438 (journald: truncate, then continue)
# Seen by: show
# Named:   unfinished
from jitlog import ENTRY, Frame, edit, expect, log, path

segment = log()[-1]
last = segment.entries()[-1]
forged = Frame(ENTRY, last.index + 1, last.payload)
edit(forged, login="mallory", reason="never happened")
forged.chain = forged.link(last.chain)
with open(path(segment.name), "ab") as file:
    file.write(forged.bytes())
expect("unfinished", forged.index)
