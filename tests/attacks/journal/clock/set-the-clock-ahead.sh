#!/bin/sh
# Trick:   the host's clock is set years ahead, so that all that was written counts as old and is given up.
# Source:  MITRE ATT&CK T1070.006, timestomping; docs/spec/journal.md, Retention
# Seen by: agent
# Named:   set ahead by
date --set '3 years'
