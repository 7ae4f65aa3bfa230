#!/bin/sh
# Trick:   the oldest segment is deleted, as age would.
# Source:  MITRE ATT&CK T1070.002; systemd tmpfiles and logrotate, which delete what is old
# Seen by: verify
# Named:   segment-missing
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | head -n 1)
chattr -i -a "$segment"
rm "$segment"
echo segment-missing 0
