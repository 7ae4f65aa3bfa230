#!/bin/sh
# Trick:   two segments exchange their names.
# Source:  docs/spec/journal.md, Frames: a header names the file it was made as
# Seen by: verify
# Named:   segment-renamed
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
a=$(ls | sed -n 1p) b=$(ls | sed -n 2p)
chattr -i -a "$a" "$b"
mv "$a" away
mv "$b" "$a"
mv away "$b"
chattr +i "$a" "$b"
echo segment-renamed
