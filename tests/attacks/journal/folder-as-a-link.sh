#!/bin/sh
# Trick:   the head file's record is kept, and the journal's folder becomes a link to an older copy in /var/tmp.
# Source:  CWE-59, link following
# Seen by: verify
# Named:   tail-cut
# shellcheck disable=SC2012 # names of the journal's own
set -eu
umount /var/log/jit/journal
cp -a "$JIT_OLD/journal" "$JIT_WORK/old"
mount -t tmpfs tmpfs /var/log/jit
ln -s "$JIT_WORK/old" /var/log/jit/journal
chattr +i "$JIT_WORK"/old/*
last=$(ls "$JIT_WORK/old" | tail -n 1)
chattr -i "$JIT_WORK/old/$last"
chattr +a "$JIT_WORK/old/$last"
echo tail-cut
