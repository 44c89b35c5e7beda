#!/bin/sh
# Makes the host of the lab out of a bare Debian. Runs inside it, as in a chroot, from /lab, where the lab's public key is.
set -eu

# Every boot of the image is the same machine.
echo 6c616220686f73746e65742e6c616231 > /etc/machine-id
echo hostnet-lab > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 hostnet-lab\n::1 localhost\n' > /etc/hosts

# The uplink, without router advertisements, whose lifetimes would move in every comparison. QEMU hands out no default
# route, for it lets nothing out; the host has one all the same, so that what should stay inside could leave.
cat > /etc/systemd/network/10-uplink.network <<END
[Match]
Name=en*
[Network]
DHCP=ipv4
IPv6AcceptRA=no
[Route]
Gateway=10.0.2.2
GatewayOnLink=yes
END

# Connection tracking and VRFs bring sysctls of their own: there from the start, so that before and after compare.
printf 'nf_conntrack\nvrf\n' > /etc/modules-load.d/lab.conf

# Four users: root by key, one who may do all, one whose sudo asks, one without. Their passwords are their names.
useradd --create-home --shell /bin/bash op
useradd --create-home --shell /bin/bash asked
useradd --create-home --shell /bin/bash plain
printf 'op:op\nasked:asked\nplain:plain\n' | chpasswd
echo 'op ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/op
echo 'asked ALL=(ALL) ALL' > /etc/sudoers.d/asked
for home in root home/op home/asked home/plain; do
  install -d -m 700 "/$home/.ssh"
  install -m 600 /lab/key.pub "/$home/.ssh/authorized_keys"
  chown -R --reference="/$home" "/$home/.ssh"
done

# Under emulation a login takes twice as long with PAM, and nothing of ours asks for it.
echo 'UsePAM no' > /etc/ssh/sshd_config.d/lab.conf

# Nothing runs that no test asked for. libvirt starts at the first call, by its socket.
systemctl --quiet enable systemd-networkd
systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer dpkg-db-backup.timer libvirtd.service libvirt-guests.service vsftpd.service
systemctl --quiet mask getty@tty1.service serial-getty@ttyS0.service \
  systemd-networkd-wait-online.service systemd-tmpfiles-clean.timer systemd-random-seed.service
# On Debian 13 they go with the service.
systemctl --quiet enable libvirtd.socket libvirtd-ro.socket
rm -f /etc/libvirt/qemu/networks/autostart/*

# A small initial file system boots faster under emulation.
printf 'virtio_pci\nvirtio_blk\next4\n' >> /etc/initramfs-tools/modules
sed -i 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf
update-initramfs -u -k all

rm -rf /lab
