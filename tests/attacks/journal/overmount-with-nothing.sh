#!/bin/sh
# Trick:   an empty file system is mounted over the journal: a log that never held anything.
# Source:  mount(8); MITRE ATT&CK T1070.002
# Seen by: verify
# Named:   tail-cut
set -eu
mount -t tmpfs tmpfs /var/log/jit/journal
echo tail-cut 0
