#!/bin/sh
# Trick:   a segment becomes a symbolic link to a copy that can be changed at will.
# Source:  CWE-59, link following
# Seen by: verify
# Named:   foreign-file segment-missing inserted
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | sed -n 2p)
cp "$segment" "$JIT_WORK/copy.seg"
chattr -i -a "$segment"
rm "$segment"
ln -s "$JIT_WORK/copy.seg" "$segment"
echo foreign-file
echo segment-missing "$(echo "${segment%%.*}" | sed 's/^0*//')"
# Bytes that a crash left in the segment before, which only this one explained.
echo inserted
