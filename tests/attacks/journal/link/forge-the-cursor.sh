#!/bin/sh
# Trick:   the cursor of a receiver, which says how much of the journal it has, is set beyond the end, so that it is sent nothing
#          from then on.
# Source:  docs/spec/siem.md, Who keeps what; rsyslog issue 2610: what a client's queue believes is lost
# Seen by: agent
# Named:   it gets them all again
set -eu
systemctl stop jit-agent
sed -i 's/"siem":[0-9]*/"siem":999999/' /var/lib/jit/receivers.json
systemctl start jit-agent
