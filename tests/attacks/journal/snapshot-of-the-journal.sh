#!/bin/sh
# Trick:   the journal's folder is put back from a snapshot, the rest of the host is not.
# Source:  C2SP tlog-witness: a log must not go back behind a head that it signed
# Seen by: verify
# Named:   tail-cut
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
chattr -i -a ./*
rm ./*
cp "$JIT_OLD"/journal/* .
chattr +i ./*
chattr -i "$(ls | tail -n 1)"
chattr +a "$(ls | tail -n 1)"
echo tail-cut
