#!/bin/sh
# Trick:   the head file becomes a link to one of the attacker's.
# Source:  CWE-59, link following
# Seen by: verify
# Named:   head-unreadable
set -eu
cp /var/lib/jit/journal.head "$JIT_WORK/head"
rm /var/lib/jit/journal.head
ln -s "$JIT_WORK/head" /var/lib/jit/journal.head
echo head-unreadable
