#!/usr/bin/env python3
# Trick:   a copy is mounted over the newest segment: readers see the copy, the writer's file is below it, and no flag had to
#          be cleared. The copy is still the same; from now on it can be another.
# Source:  mount(8), --bind of one file
# Seen by: verify
# Named:   file-changed
import os, subprocess
from jitlog import expect, log, path

segment = log()[-1]
copy = os.environ["JIT_WORK"] + "/copy.seg"
with open(copy, "wb") as file:
    file.write(segment.data)
subprocess.run(["chattr", "+a", copy], check=True)
subprocess.run(["mount", "--bind", copy, path(segment.name)], check=True)
expect("file-changed")
