#!/usr/bin/env python3
# Trick:   as forge-a-prune, by an entry that is dated forty days ahead, as it would be with the host's clock set ahead: by its
#          time all that was removed was old.
# Source:  MITRE ATT&CK T1070.006, timestomping; docs/spec/journal.md, Retention
# Seen by: verify
# Named:   removed
import time
from jitlog import expect
from prune import forge

forge(time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 40 * 86400)))
expect("removed", 0)
