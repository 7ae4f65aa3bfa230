#!/bin/sh
# Trick:   bytes are appended to the segment that the agent has open, which needs no flag to be cleared.
# Source:  chattr(1): append-only still lets everybody with the right to write append
# Seen by: agent
# Named:   its size is not what was written
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
echo x >>"$(ls | tail -n 1)"
