#!/bin/sh
# Trick:   the whole log and its head file are replaced by another host's, which are without a fault.
# Source:  CVE-2022-39199 (immudb: a client believed another server's state)
# Seen by: verify
# Named:   seal-unknown-key
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
chattr -i -a ./*
rm ./*
cp "$JIT_OTHER"/journal/* .
chattr +i ./*
chattr -i "$(ls | tail -n 1)"
chattr +a "$(ls | tail -n 1)"
cat "$JIT_OTHER/lib/journal.head" >/var/lib/jit/journal.head
echo seal-unknown-key
