#!/usr/bin/env python3
# Trick:   a bit in the middle of one record of an exported tree is flipped. $1 is the tree, $2 the entry's index.
# Source:  codenotary/immudb issue 2063: data edited on disk, and the auditor compares only roots
# Seen by: judge
# Named:   entry
import sys
from tree import edit_entry

edit_entry(sys.argv[1], int(sys.argv[2]))
