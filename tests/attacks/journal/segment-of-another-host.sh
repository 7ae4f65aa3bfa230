#!/bin/sh
# Trick:   a segment is replaced by one of another host's log, which is whole and signed.
# Source:  CVE-2022-39199 (immudb: one server's data passed off as another's)
# Seen by: verify
# Named:   segment-foreign segment-missing inserted
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
a=$(ls | sed -n 2p)
chattr -i -a "$a"
cat "$JIT_OTHER/journal/$(ls "$JIT_OTHER/journal" | head -n 1)" >"$a"
chattr +i "$a"
echo segment-foreign
echo segment-missing "$(echo "${a%%.*}" | sed 's/^0*//')"
# Bytes that a crash left in the segment before, which only this one explained.
echo inserted
