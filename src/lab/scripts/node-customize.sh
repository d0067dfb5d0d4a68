#!/bin/sh
# Run by mmdebstrap on the finished root file system, given as argument.
# Makes what cannot differ from node to node; names, addresses and keys come when a node is made.
set -eu
root=$1

# Each node makes or gets its own identity.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

# The administrator of a real server: no password, sudo, the same key as root (laid down per node).
chroot "$root" useradd --create-home --shell /bin/bash --groups sudo admin
echo 'admin ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/admin"
chmod 0440 "$root/etc/sudoers.d/admin"

# Nodes share the machine's kernel, clock and disks; these units only take time or fail here.
chroot "$root" systemctl --quiet mask \
    systemd-timesyncd.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-modules-load.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    console-getty.service getty@tty1.service

# They would run with what the distribution has them do; a role that wants one starts it.
chroot "$root" systemctl --quiet disable \
    etcd.service haproxy.service iscsid.socket keepalived.service open-iscsi.service

# A node that is told to stop stops; one that is told to start does not wait for what is not there, as old kubelets do for
# the credentials of a cloud.
mkdir -p "$root/etc/systemd/system.conf.d" "$root/etc/systemd/journald.conf.d"
printf '[Manager]\nDefaultTimeoutStopSec=10s\nDefaultEnvironment=AWS_EC2_METADATA_DISABLED=true\n' \
    >"$root/etc/systemd/system.conf.d/lab.conf"
printf '[Journal]\nSystemMaxUse=50M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"

chroot "$root" systemctl --quiet enable lab-prepare.service lab-network.service
