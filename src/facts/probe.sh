# What every decision needs to know of a host. POSIX sh; each line of the answer is key=value.
# It runs before every plan: a file costs nothing here, a process about a millisecond.
say() { printf '%s=%s\n' "$1" "$2"; }
# tell KEY FILE: the first line of a file, empty when there is none.
tell() {
	line=
	[ -r "$2" ] && IFS= read -r line 2>/dev/null < "$2"
	say "$1" "$line"
}
(
	. /etc/os-release 2>/dev/null
	say os.id "$ID"
	say os.version "$VERSION_ID"
	say os.like "$ID_LIKE"
	say os.name "$PRETTY_NAME"
)
tell kernel /proc/sys/kernel/osrelease
say architecture "$(uname -m)"
tell hostname /proc/sys/kernel/hostname
tell machine_id /etc/machine-id
tell hardware.uuid /sys/class/dmi/id/product_uuid
tell hardware.vendor /sys/class/dmi/id/sys_vendor
tell hardware.product /sys/class/dmi/id/product_name
tell init /proc/1/comm
say virtualization "$(systemd-detect-virt 2>/dev/null)"
# Those that run come last, and the last one counts.
set -- chrony.service chronyd.service ntp.service ntpd.service ntpsec.service openntpd.service systemd-timesyncd.service
{
	systemctl list-unit-files --no-legend "$@"
	systemctl list-units --no-legend --plain --state=active "$@"
} 2>/dev/null | while read -r unit state rest; do
	case $state in alias | masked*) ;; *) say time_service "${unit%.service}" ;; esac
done
say clock "$(date +%s)"
say cpus "$(nproc 2>/dev/null)"
while read -r key value unit; do
	case $key in MemTotal:) say memory_kib "$value" ;; esac
done < /proc/meminfo
while read -r device kind rest; do
	case $device in Filename) ;; *) say swap "$device" ;; esac
done < /proc/swaps
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say cgroup 2; else say cgroup 1; fi
df -Pk /var 2>/dev/null | while read -r device size used free rest; do
	case $free in *[!0-9]* | '') ;; *) say free_kib "$free" ;; esac
done
if command -v apt-get >/dev/null; then say packages apt; elif command -v dnf >/dev/null; then say packages dnf; fi
ip -o addr show scope global 2>/dev/null | while read -r index interface family address rest; do
	say address "$interface $address"
	mac=- mtu=0 kind=virtual
	folder=/sys/class/net/$interface
	[ -r "$folder/address" ] && read -r mac 2>/dev/null < "$folder/address"
	[ -r "$folder/mtu" ] && read -r mtu 2>/dev/null < "$folder/mtu"
	[ -e "$folder/device" ] && kind=hardware
	say interface "$interface ${mac:--} $mtu $kind"
done
# While kubeadm is at work, or was killed at it, nothing here is a member of anything.
if [ -e /var/lib/hoist/kubeadm-at-work ]; then
	say kubernetes.interrupted yes
else
	[ -e /etc/kubernetes/kubelet.conf ] && say kubernetes.joined yes
	[ -e /etc/kubernetes/admin.conf ] && say kubernetes.control_plane yes
	[ -s /etc/kubernetes/security/encryption.yaml ] && say kubernetes.encryption_key yes
fi
exit 0
