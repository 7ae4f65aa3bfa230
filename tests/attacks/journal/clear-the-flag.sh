#!/bin/sh
# Trick:   the append-only flag of the newest segment is cleared, to change it later.
# Source:  chattr(1); MITRE ATT&CK T1222.002
# Seen by: verify
# Named:   file-changed
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
chattr -a "$(ls | tail -n 1)"
echo file-changed
