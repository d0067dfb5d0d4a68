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
# Linux has it as a file since 6.1.
if [ -r /proc/sys/kernel/arch ]; then tell architecture /proc/sys/kernel/arch; else say architecture "$(uname -m)"; fi
tell hostname /proc/sys/kernel/hostname
tell machine_id /etc/machine-id
tell hardware.uuid /sys/class/dmi/id/product_uuid
tell hardware.vendor /sys/class/dmi/id/sys_vendor
tell hardware.product /sys/class/dmi/id/product_name
tell init /proc/1/comm
say virtualization "$(systemd-detect-virt 2>/dev/null)"
# Which programs that keep the clock are installed is told by their units' files; those of masked units are empty.
folders='/etc/systemd/system /run/systemd/generator.late /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system'
services=''
for unit in chrony chronyd ntp ntpd ntpsec openntpd systemd-timesyncd; do
	for folder in $folders; do
		[ -e "$folder/$unit.service" ] || continue
		[ ! -s "$folder/$unit.service" ] || services="$services $unit.service"
		break
	done
done
# Of several the last one counts: the one that runs comes last. Another name of one is one more here.
case $services in
	'') ;;
	*' '*' '*)
		load='' running=''
		{
			systemctl show -p Id -p LoadState -p ActiveState $services 2>/dev/null
			echo
		} | {
			while IFS== read -r key value; do
				case $key in
					Id) unit=${value%.service} ;;
					LoadState) load=$value ;;
					ActiveState) active=$value ;;
					'')
						[ "$load" != loaded ] || say time_service "$unit"
						[ "$load $active" != 'loaded active' ] || running=$unit
						load=''
						;;
				esac
			done
			[ -z "$running" ] || say time_service "$running"
		}
		;;
	*)
		unit=${services# }
		say time_service "${unit%.service}"
		;;
esac
say clock "$(date +%s)"
say cpus "$(nproc 2>/dev/null)"
while read -r key value unit; do
	case $key in MemTotal:) say memory_kib "$value" && break ;; esac
done < /proc/meminfo
while read -r device kind rest; do
	case $device in Filename) ;; *) say swap "$device" ;; esac
done < /proc/swaps
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say cgroup 2; else say cgroup 1; fi
df -Pk /var 2>/dev/null | while read -r device size used free rest; do
	case $free in *[!0-9]* | '') ;; *) say free_kib "$free" ;; esac
done
[ ! -d /etc/cloud ] || say cloud_init yes
if command -v apt-get >/dev/null; then say packages apt; elif command -v dnf >/dev/null; then say packages dnf; fi
# The version of containerd decides its configuration. What would be installed is asked only where nothing is. dpkg's own
# file is read: dpkg-query reads all its other files, too, and takes six times as long.
{
	if command -v dpkg-query >/dev/null; then
		grep -A 20 -x -e 'Package: containerd' -e 'Package: containerd.io' /var/lib/dpkg/status
	else
		rpm -q --qf 'Package: %{NAME}\nStatus: install ok installed\nVersion: %{VERSION}\n' containerd.io containerd
	fi
} 2>/dev/null | {
	name='' state='' found=''
	while [ -z "$found" ] && read -r key value; do
		case $key in
			Package:) name=$value state='' ;;
			Status:) state=$value ;;
			Version:)
				case $name/$state in
					containerd/*' installed' | containerd.io/*' installed') found="$name $value" ;;
				esac
				;;
		esac
	done
	if [ -n "$found" ]; then
		say containerd "$found"
	elif [ -e /usr/local/bin/containerd ]; then
		: # hoist's own, whose version hoist knows
	elif command -v apt-cache >/dev/null; then
		say containerd "containerd $(apt-cache policy containerd 2>/dev/null | sed -n 's/^ *Candidate: *//p')"
	else
		dnf -q -C repoquery --latest-limit 1 --qf 'containerd=%{name} %{version}\n' containerd.io containerd 2>/dev/null
	fi
}
while IFS== read -r key value; do
	case $key in InitiatorName) say initiator "$value" ;; esac
done 2>/dev/null < /etc/iscsi/initiatorname.iscsi
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
	if [ -e /etc/kubernetes/kubelet.conf ]; then
		say kubernetes.joined yes
		# The fingerprint of the first certificate there, as openssl shows it, but for the colons.
		if [ -r /etc/kubernetes/pki/ca.crt ]; then
			body=
			while IFS= read -r line; do
				case $line in
					*BEGIN*) body=yes ;;
					*END*) break ;;
					*) [ -z "$body" ] || printf '%s\n' "$line" ;;
				esac
			done < /etc/kubernetes/pki/ca.crt | base64 -d 2>/dev/null | sha256sum |
				while read -r digest rest; do say kubernetes.authority "$digest"; done
		fi
	fi
	if [ -e /etc/kubernetes/admin.conf ]; then
		say kubernetes.control_plane yes
		while read -r key value; do
			case "$key $value" in
				"server: "?*) say kubernetes.endpoint "${value#*://}" ;;
				"cluster: "?*) say kubernetes.cluster "$value" && break ;;
			esac
		done < /etc/kubernetes/admin.conf
		while read -r key value; do
			case "$key $value" in
				# kubeadm's own; no other etcd is compared with it.
				"- --etcd-cafile=/etc/kubernetes/pki/"*) ;;
				"- --etcd-cafile="*)
					ca=$(sha256sum < "${value#*=}") && say kubernetes.etcd_authority "${ca%% *}"
					;;
				"- --etcd-servers="*)
					say kubernetes.etcd_servers "${value#*=}"
					if [ -e /etc/kubernetes/manifests/etcd.yaml ] || [ "${value#*=}" = https://127.0.0.1:2379 ]; then
						say kubernetes.etcd stacked
					else
						say kubernetes.etcd external
					fi
					;;
				"- --secure-port="*) say kubernetes.api_port "${value#*=}" ;;
				"- --service-cluster-ip-range="*) say kubernetes.services "${value#*=}" ;;
				"image: "*) say kubernetes.version "${value##*:}" && break ;;
			esac
		done 2>/dev/null < /etc/kubernetes/manifests/kube-apiserver.yaml
		while read -r key value; do
			case "$key $value" in "- --cluster-cidr="*) say kubernetes.pods "${value#*=}" && break ;; esac
		done 2>/dev/null < /etc/kubernetes/manifests/kube-controller-manager.yaml
	fi
	[ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] && say kubernetes.api_server yes
	[ -s /etc/kubernetes/security/encryption.yaml ] && say kubernetes.encryption_key yes
fi
# Whom its keeper of the virtual address speaks to and hears.
within=''
while read -r word rest; do
	case $word in
		vrrp_instance) [ "${rest%% *}" != api ] || say keeper yes ;;
		unicast_peer) within=peers ;;
		'}') within='' ;;
		*) [ -z "$within" ] || say keeper.peer "$word" ;;
	esac
done 2>/dev/null < /etc/keepalived/keepalived.conf
# etcd on a host of its own, and what its members say; where there is none, this costs nothing.
pki=/etc/etcd/pki
if [ -e $pki/ca.key ]; then
	ca=$(sha256sum < $pki/ca.crt) && say etcd.ca "${ca%% *}"
fi
[ -e /var/lib/hoist/etcd-at-work ] && say etcd.interrupted yes
if [ -e /var/lib/etcd-external/member ]; then
	say etcd.data yes
	ask() {
		etcdctl --endpoints https://127.0.0.1:2379 --dial-timeout 1s --command-timeout 2s --cacert $pki/ca.crt \
			--cert $pki/member.pem --key $pki/member.pem "$@" 2>/dev/null
	}
	if status=$(ask endpoint status); then
		say etcd.status "$status"
		ask member list | while IFS= read -r member; do say etcd.member "$member"; done
		# Only a majority can answer this.
		written=$(ask get /registry/ --prefix --keys-only --limit 1) && say etcd.quorum yes
		[ -n "$written" ] && say etcd.used yes
	fi
fi
exit 0
