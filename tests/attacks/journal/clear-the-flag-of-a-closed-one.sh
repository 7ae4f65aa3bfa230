#!/bin/sh
# Trick:   a closed segment may grow again: its immutable flag is cleared, append-only stays.
# Source:  chattr(1); MITRE ATT&CK T1222.002
# Seen by: verify
# Named:   file-changed
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | head -n 1)
chattr -i "$segment"
chattr +a "$segment"
echo file-changed
