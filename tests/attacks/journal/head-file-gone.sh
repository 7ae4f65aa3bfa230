#!/bin/sh
# Trick:   the head file is removed, so that nobody knows how long the log was; then its end is cut off.
# Source:  docs/spec/journal.md, Check
# Seen by: verify
# Named:   head-unreadable
set -eu
rm /var/lib/jit/journal.head
echo head-unreadable
