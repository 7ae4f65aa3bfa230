#!/usr/bin/env python3
# Trick:   one entry's hash in an exported tree is overwritten, in the tile that proofs are made of. $1 is the tree, $2 the
#          entry's index.
# Source:  CT log Yeti 2022: one flipped bit in a stored leaf hash ended the log; C2SP tlog-tiles
# Seen by: judge
# Named:   tile
import sys
from tree import part, put

index = int(sys.argv[2])
put(part(sys.argv[1], "tile/0", index), index % 256 * 32, b"\xff" * 32)
