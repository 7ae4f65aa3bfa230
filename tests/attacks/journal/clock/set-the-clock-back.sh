#!/bin/sh
# Trick:   the host's clock is set back, so that what is written from now on looks older than what was written before.
# Source:  MITRE ATT&CK T1070.006, timestomping
# Seen by: agent
# Named:   set_by_ms
date --set '1 hour ago'
