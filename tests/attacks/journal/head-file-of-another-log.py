#!/usr/bin/env python3
# Trick:   the head file has the right number and another chain value.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   head-mismatch
from jitlog import expect, log, set_head, slot

last = log()[-1].entries()[-1]
set_head(slot(last.index + 1, bytes(32)) * 2)
expect("head-mismatch", last.index)
