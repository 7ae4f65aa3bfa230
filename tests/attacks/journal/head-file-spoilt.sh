#!/bin/sh
# Trick:   both slots of the head file are overwritten.
# Source:  docs/adr/0007: two slots, of which one is always whole
# Seen by: verify
# Named:   head-unreadable
set -eu
head -c 128 /dev/zero >/var/lib/jit/journal.head
echo head-unreadable
