#!/usr/bin/env python3
# Trick:   root reads the host's key, which signs first after each opening, and writes everything from one record on anew
#          under it, with epoch keys of his own. The limit that docs/spec/journal.md names: on the host nothing shows it.
# Source:  docs/spec/journal.md, Seals: "Not prevented here"
# Seen by: copy
# Named:   differ
# Witness: fork
from jitlog import Keys, edit, expect, host_seed, log, save, seal_anew, target

segments = log()
frame = target(segments[0])
keys = Keys(host_seed())
edit(frame, login="carol", uid=1003)
keys.rename(segments, host=False)
seal_anew(segments, 0, keys.sign)
save(segments)
expect("differ", frame.index)
