#!/bin/sh
# Trick:   the cursor of a receiver is set back to the beginning, so that it is flooded with what it has, and counts things twice.
# Source:  docs/spec/siem.md, Who keeps what
# Seen by: receiver
# Named:   the same numbers once more
set -eu
systemctl stop jit-agent
sed -i 's/"siem":[0-9]*/"siem":0/' /var/lib/jit/receivers.json
systemctl start jit-agent
