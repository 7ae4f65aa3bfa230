#!/bin/sh
# Trick:   the head file becomes a named pipe: a reader that opens it waits for ever.
# Source:  CWE-66; open(2), O_NONBLOCK
# Seen by: verify
# Named:   head-unreadable
set -eu
rm /var/lib/jit/journal.head
mkfifo /var/lib/jit/journal.head
echo head-unreadable
