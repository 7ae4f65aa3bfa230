#!/bin/sh
# Trick:   journal and head file are put back together from a snapshot, as a rolled back machine has them. On the host
#          nothing can show it.
# Source:  docs/spec/journal.md, Check: "so does putting back an old copy of both"
# Seen by: copy
# Named:   gone
# Witness: rollback
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
chattr -i -a ./*
rm ./*
cp "$JIT_OLD"/journal/* .
chattr +i ./*
chattr -i "$(ls | tail -n 1)"
chattr +a "$(ls | tail -n 1)"
cat "$JIT_OLD/lib/journal.head" >/var/lib/jit/journal.head
echo gone
