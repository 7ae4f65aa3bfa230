#!/usr/bin/env python3
# Trick:   a record is changed and everything from it on sealed anew with the newest epoch's key, as root could if he found
#          it in the agent's memory. Keys that signed before it exist no longer.
# Source:  CVE-2023-31439 (journald: seals stripped and made anew with the current key)
# Seen by: verify
# Named:   seal-unknown-key seal-invalid
from jitlog import edit, expect, log, save, seal_anew, sha256, sign, target

segments = log()
frame = target(segments[0])
newest = max(s.json()["next"]["epoch"] for seg in segments for s in seg.seals() if "next" in s.json())
edit(frame, reason="nothing of note")


def with_newest(text, seal):
    seal["epoch"] = newest
    return sign(sha256(b"found in memory"), text)


seal_anew(segments, frame.index, with_newest)
save(segments)
expect("seal-unknown-key", frame.index)
expect("seal-invalid")
