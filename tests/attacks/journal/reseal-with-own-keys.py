#!/usr/bin/env python3
# Trick:   the whole log is written anew: other records, a host key and epoch keys of the attacker's own, every name of a key
#          changed to his. In itself it is without a fault; it is not this host's.
# Source:  CVE-2023-31439; systemd issue 11524: verifying with a wrong key sometimes passes
# Seen by: verify
# Named:   seal-unknown-key
from jitlog import Keys, edit, expect, log, save, seal_anew, sha256, target

segments = log()
keys = Keys(sha256(b"an attacker"))
edit(target(segments[0]), login="carol", uid=1003)
keys.rename(segments)
seal_anew(segments, 0, keys.sign)
save(segments)
expect("seal-unknown-key")
