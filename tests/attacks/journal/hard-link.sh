#!/bin/sh
# Trick:   the newest segment gets a second name elsewhere, where rules that watch the journal's folder do not look.
# Source:  CWE-62, hard link; docs/spec/journal.md, An append: one link
# Seen by: verify
# Named:   file-changed
# shellcheck disable=SC2012 # names of the journal's own
set -eu
cd /var/log/jit/journal
segment=$(ls | tail -n 1)
chattr -a "$segment"
ln "$JIT_WORK/journal/$segment" "$JIT_WORK/other-name"
chattr +a "$segment"
echo file-changed
