#!/bin/sh
# Trick:   a file is hidden among the segments.
# Source:  MITRE ATT&CK T1564.001
# Seen by: verify
# Named:   foreign-file
set -eu
echo x >/var/log/jit/journal/.hidden
echo foreign-file
