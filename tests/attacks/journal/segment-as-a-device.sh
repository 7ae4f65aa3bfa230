#!/bin/sh
# Trick:   a segment becomes a device that never ends (/dev/zero).
# Source:  CWE-66, file name of a virtual resource
# Seen by: verify
# Named:   foreign-file segment-missing inserted
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | sed -n 2p)
chattr -i -a "$segment"
rm "$segment"
mknod "$segment" c 1 5
echo foreign-file
echo segment-missing "$(echo "${segment%%.*}" | sed 's/^0*//')"
# Bytes that a crash left in the segment before, which only this one explained.
echo inserted
