#!/usr/bin/env python3
# Trick:   a record names the key that signs after it; it is made to name the attacker's, who then seals on from there.
# Source:  docs/adr/0012: the next key is in the record because there it is signed
# Seen by: verify
# Named:   seal-invalid
from jitlog import Keys, expect, host_seed, log, save, seal_anew, seal_over, target

segments = log()
frame = target(segments[0])
keys = Keys(host_seed())
keys.rename(segments, start=frame.index, host=False)
# The seal over the record itself needs the key that is gone.
own = seal_over(segments[0], frame).index
seal_anew(segments, own, keys.sign)
save(segments)
expect("seal-invalid", frame.index)
