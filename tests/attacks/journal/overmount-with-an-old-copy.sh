#!/bin/sh
# Trick:   an older copy of the journal is mounted over the true one, which is untouched below it.
# Source:  mount(8), --bind; MITRE ATT&CK T1564, hide artifacts
# Seen by: verify
# Named:   tail-cut
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cp -a "$JIT_OLD/journal" "$JIT_WORK/old"
chattr +i "$JIT_WORK"/old/*
last=$(ls "$JIT_WORK/old" | tail -n 1)
chattr -i "$JIT_WORK/old/$last"
chattr +a "$JIT_WORK/old/$last"
mount --bind "$JIT_WORK/old" /var/log/jit/journal
echo tail-cut
