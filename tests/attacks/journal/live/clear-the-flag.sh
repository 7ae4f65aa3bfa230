#!/bin/sh
# Trick:   the append-only flag of the segment that the agent has open is cleared. As root, on the living log.
# Source:  chattr(1); MITRE ATT&CK T1222.002
# Seen by: agent
# Named:   its append-only flag was cleared
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
chattr -a "$(ls | tail -n 1)"
