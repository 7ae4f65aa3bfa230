#!/usr/bin/env python3
# Trick:   a record of an exported tree is changed, and its hash in the tile made to fit: who compares the two with each other only
#          sees nothing. Only the tiles above and the signed root tell. $1 is the tree, $2 the entry's index.
# Source:  GHSA-672p-m5jq-mrh8 (immudb): a proof was believed whose parts did not belong together
# Seen by: judge
# Named:   tile
import hashlib, sys
from tree import edit_entry, part, put

index = int(sys.argv[2])
entry = edit_entry(sys.argv[1], index)
put(part(sys.argv[1], "tile/0", index), index % 256 * 32, hashlib.sha256(b"\0" + entry).digest())
