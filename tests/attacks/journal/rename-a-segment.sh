#!/bin/sh
# Trick:   the newest segment gets a name that no reader takes for a segment.
# Source:  MITRE ATT&CK T1070.009, clear persistence; T1564
# Seen by: verify
# Named:   foreign-file edited
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -i -a ./*
mv "$segment" "$segment.old"
chattr +i ./*
chattr -i "$(ls ./*.seg | tail -n 1)"
chattr +a "$(ls ./*.seg | tail -n 1)"
echo foreign-file
# The segment before ends in the beginning of a record, which only the newest one explained.
echo edited "$(echo "${segment%%.*}" | sed 's/^0*//')"
