#!/usr/bin/env python3
# Trick:   the oldest segment is removed, and an entry and a header say that its entries were given up by rule, sealed with
#          the host's key, which root can read.
# Source:  C2SP tlog-tiles, Pruning: what may go is for a written policy to say
# Seen by: verify
# Named:   removed
from jitlog import expect, log
from prune import forge

forge(log()[-1].entries()[-1].json()["time"])
expect("removed", 0)
