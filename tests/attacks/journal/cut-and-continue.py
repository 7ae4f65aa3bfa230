#!/usr/bin/env python3
# Trick:   the last records are cut off and others written in their place, with chain, number and head file that fit, and a
#          signed head by a key of the attacker's.
# Source:  CVE-2023-31438 (journald: truncate, then continue; the fix "partially addresses" it, systemd pull request 28886)
# Seen by: verify
# Named:   seal-invalid
from jitlog import edit, expect, log, save, seal_anew, sha256, sign

segments = log()
segment = segments[-1]
seal = segment.seals()[-2]
segment.frames = segment.frames[: segment.frames.index(seal) + 1]
entry = next(f for f in reversed(segment.entries()) if f.index == seal.index - 1)
key = {k: v for k, v in entry.json().items() if k in ("epoch", "key")}
entry.put({"time": entry.json()["time"], "type": "clock", "detail": {"slept_ms": 60000}, **key})
seal_anew(segments, entry.index, lambda text, seal: sign(sha256(b"mine"), text))
save(segments)
expect("seal-invalid", entry.index)
