#!/bin/sh
# Run by mmdebstrap on the root file system of a virtual machine, given as argument, after node-customize.sh: gives back what
# that takes from nodes without a kernel of their own. The kernel goes to the folder of the second argument.
set -eu
root=$1
boot=$2

rm "$root/etc/systemd/system/systemd-timesyncd.service" "$root/etc/systemd/system/systemd-udevd.service" \
    "$root/etc/systemd/system/systemd-udev-trigger.service" "$root/etc/systemd/system/systemd-udevd-control.socket" \
    "$root/etc/systemd/system/systemd-udevd-kernel.socket" "$root/etc/systemd/system/systemd-modules-load.service"

# Nobody sits at the console, and nothing has to be put over the settings of a kernel that is the node's own.
chroot "$root" systemctl --quiet mask serial-getty@ttyS0.service
# A role that wants one starts it.
chroot "$root" systemctl --quiet disable lab-prepare.service open-vm-tools.service systemd-timesyncd.service

# The real one ends at once where the machine only looks like VMware's.
mkdir -p "$root/etc/systemd/system/open-vm-tools.service.d"
printf '[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\n' \
    >"$root/etc/systemd/system/open-vm-tools.service.d/lab.conf"

# The card has the name that it has in a container, and an address as soon as it is there.
mkdir -p "$root/etc/systemd/network" "$root/etc/systemd/system/lab-network.service.d"
printf '[Match]\nDriver=vmxnet3\n\n[Link]\nName=host0\n' >"$root/etc/systemd/network/10-lab.link"
printf '[Unit]\nWants=sys-subsystem-net-devices-host0.device\nAfter=sys-subsystem-net-devices-host0.device\n' \
    >"$root/etc/systemd/system/lab-network.service.d/card.conf"

# Only what finds the disk: the less there is to unpack, the sooner it boots.
mkdir -p "$root/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$root/etc/initramfs-tools/conf.d/lab.conf"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all
mkdir -p "$boot"
cp "$root"/boot/vmlinuz-* "$boot/kernel"
cp "$root"/boot/initrd.img-* "$boot/initrd"
