#!/bin/sh
# Trick:   the segment that the agent has open is removed.
# Source:  MITRE ATT&CK T1070.002
# Seen by: agent
# Named:   it was removed or renamed
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -a "$segment"
rm "$segment"
