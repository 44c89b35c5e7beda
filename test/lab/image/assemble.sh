#!/bin/sh
# Turns root.tar in folder $1 into a disk of size $2, and takes out what QEMU boots and what a client must know.
set -eu
cd "$1"
mkdir root
# Device nodes need a real root, and the kernel makes them by itself.
tar -xpf root.tar -C root --exclude './dev/*'
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd
cp root/etc/ssh/ssh_host_ed25519_key.pub host-key.pub
PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -d root disk.img "$2"
rm -rf root root.tar
