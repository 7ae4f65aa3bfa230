#!/bin/sh
# Trick:   the segment that the agent has open gets a second name. As root, on the living log.
# Source:  CWE-62, hard link
# Seen by: agent
# Named:   it has a second name
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -a "$segment"
ln "$segment" /var/log/jit/second-name
chattr +a "$segment"
