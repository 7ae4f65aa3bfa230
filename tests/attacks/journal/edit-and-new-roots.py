#!/usr/bin/env python3
# Trick:   as edit-and-chain-everything, and each signed head gets the root that fits; the signatures stay as they were.
# Source:  GHSA-672p-m5jq-mrh8 (immudb): a proof was believed whose parts did not belong together
# Seen by: verify
# Named:   seal-invalid
from jitlog import edit, expect, log, save, seal_anew, target
import base64

segments = log()
frame = target(segments[0])
edit(frame, reason="nothing of note")
seal_anew(segments, frame.index, lambda text, seal: base64.b64decode(seal["sig"]))
save(segments)
expect("seal-invalid", frame.index)
