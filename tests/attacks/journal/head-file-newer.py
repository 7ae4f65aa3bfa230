#!/usr/bin/env python3
# Trick:   the head file names more records than there are, to make an honest log look cut.
# Source:  docs/spec/journal.md, Files: the head is never newer than the log
# Seen by: verify
# Named:   tail-cut
from jitlog import expect, log, set_head, slot

last = log()[-1].entries()[-1]
set_head(slot(last.index + 6, last.chain) * 2)
expect("tail-cut", last.index + 1)
