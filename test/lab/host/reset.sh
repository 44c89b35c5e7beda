#!/bin/sh
# Takes the host back to what remember.sh saw, without a reboot. Each part is skipped where nothing differs.
set +eu
cd /run/lab || exit 1
uplink=$(cat uplink)

# Units of ours, and what they may undo later.
if [ -n "$(ls -d /run/systemd/transient/hostnet* /etc/systemd/system/hostnet* /run/systemd/system/hostnet* 2> /dev/null)" ]; then
  systemctl stop 'hostnet*'
  systemctl reset-failed 'hostnet*' 2> /dev/null
fi
rm -rf /etc/hostnet /run/hostnet /var/lib/hostnet /run/systemd/system/hostnet* /run/world /run/capture /run/ping-*

for name in $(ip netns list | cut -d' ' -f1); do
  pids=$(ip netns pids "$name")
  [ -z "$pids" ] || kill -9 $pids
  ip netns delete "$name"
done
nft flush ruleset
for name in $(ip -br link | sed 's/[@ ].*//'); do
  case $name in lo | "$uplink") ;; *) ip link delete dev "$name" 2> /dev/null ;; esac
done

# What cannot be taken back: the kernel adds its l3mdev rule with the first VRF after boot, and never again.
# Without a main table there would be no way back, so all in one batch.
if [ "$(ip -4 -d rule)" != "$(cat rules)" ]; then
  ip -4 -batch - <<END
rule flush
rule add pref 32766 table main protocol kernel
rule add pref 32767 table default protocol kernel
END
fi
if [ "$(ip -6 -d rule)" != "$(cat rules6)" ]; then
  ip -6 -batch - <<END
rule flush
rule add pref 32766 table main protocol kernel
END
fi

ip link set dev "$uplink" nomaster mtu "$(cat mtu)"
if [ "$(ip -br addr show dev "$uplink")" != "$(cat addresses)" ]; then
  ip link set dev "$uplink" up
  networkctl reconfigure "$uplink"
  tries=0
  while [ "$(ip -br addr show dev "$uplink")" != "$(cat addresses)" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
fi

# $1: options of ip, $2: the list to go back to
routes() {
  ip $1 route show table all > now
  grep -vxF -f "$2" now | while read -r route; do ip $1 route delete $route; done
  ip $1 route show table all > now
  grep -vxF -f now "$2" | sed 's/ linkdown//; s/ dead//' | while read -r route; do ip $1 route add $route; done
}
routes -4 routes
routes -6 routes6

rmmod br_netfilter nf_nat_ftp nf_conntrack_ftp 2> /dev/null
conntrack -F 2> /dev/null

# ip_forward changes what each device forwards, so it goes first and the others after it.
sysctls() {
  grep -rs '' /proc/sys/net | sort > now
  comm -13 now sysctls | grep "$1" | while IFS=: read -r file value; do
    echo "$value" 2> /dev/null > "$file"
  done
}
sysctls '/ip_forward:\|/conf/all/'
sysctls .

if ! find $(cat watched) -printf '%p %l %s %T@\n' 2> /dev/null | sort | cmp -s files; then
  systemctl stop libvirtd 2> /dev/null
  rm -rf $(cat watched) /run/libvirt/nwfilter-binding/*
  tar -xpf files.tar -C /
  systemctl daemon-reload
fi
exit 0
