#!/usr/bin/env python3
# Trick:   a record says another time, so that it falls out of the hour that is looked at.
# Source:  MITRE ATT&CK T1070.006, timestomping
# Seen by: verify
# Named:   edited
import re
from jitlog import expect, log, target, write

segment = log()[0]
frame = target(segment)
frame.payload = re.sub(rb'"time":"20(..)', b'"time":"19\\1', frame.payload)
write(segment.name, segment.bytes())
expect("edited", frame.index)
