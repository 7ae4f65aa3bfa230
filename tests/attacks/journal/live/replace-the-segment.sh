#!/bin/sh
# Trick:   the segment that the agent has open is moved away and a copy put in its place: what the agent writes from now on
#          goes into a file that nobody reads.
# Source:  logrotate(8), copytruncate and create; CWE-367
# Seen by: agent
# Named:   another file has its name
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -a "$segment"
mv "$segment" /var/log/jit/away
cp /var/log/jit/away "$segment"
chattr +a "$segment"
