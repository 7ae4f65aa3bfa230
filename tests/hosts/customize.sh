#!/bin/sh
# Runs once per base tree, outside of it, with the tree's path as its argument: people and names.
set -eu
root=$1

echo testhost >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 testhost\n' >"$root/etc/hosts"
mkdir -p "$root/var/log/journal"

add() {
    chroot "$root" useradd --create-home --shell /bin/bash --uid "$2" "$1"
    echo "$1:$1-secret" | chroot "$root" chpasswd
}
echo root:root-secret | chroot "$root" chpasswd
add alice 1001 # becomes eligible
add bob 1002   # nobody special
add carol 1003 # a standing admin who needs no password
add dave 1004  # a standing admin who gives one
chroot "$root" usermod -aG sudo carol
chroot "$root" usermod -aG sudo dave
echo 'carol ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/carol"
chmod 0440 "$root/etc/sudoers.d/carol"
