#!/bin/sh
# Trick:   the append-only flag is cleared on the block device of a mounted ext4, past the kernel's own rule; once the inode
#          has left the cache, the file can be changed like any other. $1 is the device, $2 the file's path in it.
# Source:  debugfs(8), set_inode_field; bdev_allow_write_mounted in Linux's kernel-parameters
# Seen by: verify, and the agent's look at the file after each record
# Named:   file-changed
set -eu
# 0x80000: the file has extents, and nothing else is true of it any more.
debugfs -w -R "set_inode_field $2 flags 0x80000" "$1" 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
