#!/bin/sh
# Trick:   a segment in the middle is deleted.
# Source:  MITRE ATT&CK T1070.002
# Seen by: verify
# Named:   segment-missing inserted
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | sed -n 2p)
chattr -i -a "$segment"
rm "$segment"
echo segment-missing "$(echo "${segment%%.*}" | sed 's/^0*//')"
# Bytes that a crash left in the segment before, which only this one explained.
echo inserted
