#!/usr/bin/env python3
# Trick:   the last records are cut off and the head file is set back to match: a whole log that is only shorter.
# Source:  docs/spec/journal.md, Check: "Limits, said openly"; ATC'20 and C2SP tlog-witness: only another machine can tell
# Seen by: copy
# Named:   gone
# Witness: rollback fork
from jitlog import expect, log, save

segments = log()
seal = segments[-1].seals()[-3]
segments[-1].frames = segments[-1].frames[: segments[-1].frames.index(seal) + 1]
save(segments)
expect("gone", seal.index)
