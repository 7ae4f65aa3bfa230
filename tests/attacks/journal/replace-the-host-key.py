#!/usr/bin/env python3
# Trick:   as reseal-with-own-keys, and the host's key file is replaced by the attacker's, so that even the name fits.
# Source:  CVE-2022-39199 (immudb): a server that changed its identity was believed
# Seen by: copy
# Named:   differ
from jitlog import HOST_KEY, Keys, edit, expect, log, pkcs8, save, seal_anew, sha256, target

segments = log()
frame = target(segments[0])
keys = Keys(sha256(b"an attacker"))
edit(frame, login="carol", uid=1003)
keys.rename(segments)
seal_anew(segments, 0, keys.sign)
save(segments)
with open(HOST_KEY, "wb") as file:
    file.write(pkcs8(keys.host))
expect("differ", frame.index)
