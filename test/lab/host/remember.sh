#!/bin/sh
# Runs once after boot: keeps in /run/lab what the pristine host looks like, for reset.sh to go back to.
set -eu
rm -rf /run/lab.new
mkdir /run/lab.new
cd /run/lab.new
ip -4 -o route show default | sed 's/.* dev \([^ ]*\).*/\1/' > uplink
ip -br addr show dev "$(cat uplink)" > addresses
cat "/sys/class/net/$(cat uplink)/mtu" > mtu
ip -4 -d rule > rules
ip -6 -d rule > rules6
ip -4 route show table all > routes
ip -6 route show table all > routes6
grep -rs '' /proc/sys/net | sort > sysctls
echo "/etc/systemd/system /etc/systemd/network /etc/sysctl.d /etc/modules-load.d /etc/nftables.conf /etc/libvirt/nwfilter" > watched
tar -cf files.tar $(cat watched) 2> /dev/null || true # not all of them need to exist
find $(cat watched) -printf "%p %l %s %T@\n" 2> /dev/null | sort > files
mv /run/lab.new /run/lab
