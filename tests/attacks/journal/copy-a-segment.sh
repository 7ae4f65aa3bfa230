#!/bin/sh
# Trick:   a closed segment stands there twice, under a later generation's name.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   segment-duplicated
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
a=$(ls | sed -n 1p)
copy=${a%%.*}.9.seg
cp "$a" "$copy"
chattr +i "$copy"
echo segment-duplicated
